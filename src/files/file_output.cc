#include "files/file_output.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>

#include "base/error.h"
#include "files/mapped_file.h"

namespace octet::files {

namespace {

namespace fs = std::filesystem;

[[noreturn]] void refuse(const std::string& path, const std::string& action, int error) {
  throw Error(ErrorCode::io, "cannot " + action + ": " + std::generic_category().message(error), path);
}

// Writes all of it and waits for the disk; 0, or the error's number.
int write_all(int file, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(file, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno;
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
  // A device or a pipe has no disk to wait for.
  return ::fsync(file) == 0 || errno == EINVAL ? 0 : errno;
}

}  // namespace

void write_file(const std::string& path, std::span<const std::byte> bytes) {
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (file < 0) refuse(path, "write", errno);
  int error = write_all(file, bytes);
  // Some file systems say only here that there was no space.
  if (::close(file) != 0 && error == 0) error = errno;
  if (error == 0) return;
  struct stat status {};
  if (::stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode)) ::unlink(path.c_str());
  refuse(path, "write", error);
}

void write_file(const std::string& path, std::string_view text) {
  write_file(path, std::as_bytes(std::span<const char>(text.data(), text.size())));
}

void replace_file(const std::string& path, std::span<const std::byte> bytes) {
  const std::string temporary = path + ".tmp-" + std::to_string(::getpid());
  write_file(temporary, bytes);
  if (std::rename(temporary.c_str(), path.c_str()) != 0) {
    const int error = errno;
    ::unlink(temporary.c_str());
    refuse(path, "write", error);
  }
  sync_directory(fs::absolute(path).parent_path().string());
}

void copy_file(const std::string& from, const std::string& to) { write_file(to, MappedFile(from).bytes()); }

void link_or_copy_file(const std::string& from, const std::string& to) {
  std::error_code failed;
  // link() gives a symbolic link itself another name, and that may point elsewhere from its new place.
  const fs::path target = fs::canonical(from, failed);
  if (failed) refuse(from, "read", failed.value());
  if (::link(target.c_str(), to.c_str()) != 0) copy_file(target.string(), to);
}

void sync_directory(const std::string& directory) {
  const int folder = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) refuse(directory, "open", errno);
  // Not every file system can; those that cannot say so, and have nothing to wait for.
  const int error = ::fsync(folder) == 0 || errno == EINVAL ? 0 : errno;
  ::close(folder);
  if (error != 0) refuse(directory, "write", error);
}

}  // namespace octet::files
