// OutputFile: a file that is there whole or not at all.
#pragma once

#include <string>

namespace octet::apps {

class OutputFile {
 public:
  // Makes sure that `path` can be written, before the work whose result it is to hold. Throws Error: io naming
  // `path`, invalid_argument where it is a folder.
  explicit OutputFile(std::string path);

  // Writes beside `path`, flushes to the disk and renames. Throws Error{io}; `path` is then as it was.
  void write(const std::string& content) const;

 private:
  std::string path_;
};

}  // namespace octet::apps
