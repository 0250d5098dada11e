// StagedFolder: a new folder that gets its name only when everything in it is complete.
#pragma once

#include <string>

namespace octet::files {

// Made beside `target`, under a temporary name; gone again unless commit() was called.
class StagedFolder {
 public:
  // Throws Error{invalid_argument} where `target` stands already and `replace` is false, or is no folder;
  // Error{not_found, io} where a folder cannot be made beside it.
  StagedFolder(const std::string& target, bool replace);
  ~StagedFolder();
  StagedFolder(const StagedFolder&) = delete;
  StagedFolder& operator=(const StagedFolder&) = delete;

  // Where the file `name` is to be written.
  std::string path(const std::string& name) const;

  // Gives the folder its name. One that stood there is replaced at once, and removed afterwards.
  // Throws Error{io}; the old folder is then still there.
  void commit();

 private:
  std::string target_;
  std::string temporary_;
  bool replace_;
};

// What StagedFolder's constructor would throw for `target`, before hours of work are spent on what goes in.
void check_can_stage(const std::string& target, bool replace);

}  // namespace octet::files
