#include "apps/output_file.h"

#include <fcntl.h>
#include <octet/error.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <utility>

namespace octet::apps {

namespace {

// A new file beside the one it is to replace, gone again unless it was renamed.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& path)
      : path_(path), temporary_(path + ".tmp-" + std::to_string(getpid())) {
    file_ = open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (file_ < 0) fail("cannot write");
  }
  ~TemporaryFile() {
    if (file_ >= 0) close(file_);
    if (!renamed_) unlink(temporary_.c_str());
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  void write_all(const std::string& content) {
    for (std::size_t done = 0; done < content.size();) {
      const ssize_t count = ::write(file_, content.data() + done, content.size() - done);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) fail("cannot write");
      done += static_cast<std::size_t>(count);
    }
    if (fsync(file_) != 0) fail("cannot write");
  }

  void rename_to_path() {
    if (std::rename(temporary_.c_str(), path_.c_str()) != 0) fail("cannot replace");
    renamed_ = true;
  }

 private:
  [[noreturn]] void fail(const char* what) const {
    throw Error(ErrorCode::io, std::string(what) + ": " + std::strerror(errno), path_);
  }

  std::string path_;
  std::string temporary_;
  int file_ = -1;
  bool renamed_ = false;
};

}  // namespace

OutputFile::OutputFile(std::string path) : path_(std::move(path)) {
  std::error_code ignored;
  if (path_.empty() || std::filesystem::is_directory(path_, ignored))
    throw Error(ErrorCode::invalid_argument, "expected the name of a file, found a folder", path_);
  const TemporaryFile trial(path_);
}

void OutputFile::write(const std::string& content) const {
  TemporaryFile file(path_);
  file.write_all(content);
  file.rename_to_path();
}

}  // namespace octet::apps
