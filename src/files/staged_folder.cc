#include "files/staged_folder.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>

#include "base/error.h"
#include "files/file_output.h"

namespace octet::files {

namespace {

namespace fs = std::filesystem;

// The path without the slash that a shell's completion puts behind it, which would make its name empty.
fs::path normal(const std::string& target) {
  fs::path path = fs::absolute(target).lexically_normal();
  return path.has_filename() ? path : path.parent_path();
}

[[noreturn]] void refuse(const std::string& path, const char* action, int error) {
  throw Error(ErrorCode::io, std::string("cannot ") + action + ": " + std::generic_category().message(error),
              path);
}

}  // namespace

void check_can_stage(const std::string& target, bool replace) {
  if (target.empty())
    throw Error(ErrorCode::invalid_argument, "expected the name of a folder, found an empty string", "output");
  const fs::path path = normal(target);
  std::error_code ignored;
  const fs::file_status status = fs::symlink_status(path, ignored);
  if (fs::exists(status) && !fs::is_directory(status))
    throw Error(ErrorCode::invalid_argument, "stands there already, and is not a folder", target);
  if (fs::exists(status) && !replace)
    throw Error(ErrorCode::invalid_argument, "the folder stands there already; --force replaces it", target);
  const fs::path parent = path.parent_path();
  if (!fs::is_directory(parent, ignored))
    throw Error(ErrorCode::not_found, "no such folder to put the output in", parent.string());
  if (::access(parent.c_str(), W_OK | X_OK) != 0) refuse(parent.string(), "write in the folder", errno);
}

StagedFolder::StagedFolder(const std::string& target, bool replace) : replace_(replace) {
  check_can_stage(target, replace);
  const fs::path path = normal(target);
  target_ = path.string();
  temporary_ =
      (path.parent_path() / ("." + path.filename().string() + ".tmp-" + std::to_string(::getpid()))).string();
  std::error_code failed;
  fs::remove_all(temporary_, failed);  // of a process that had our number and was killed
  if (!fs::create_directory(temporary_, failed)) refuse(temporary_, "make the folder", failed.value());
}

StagedFolder::~StagedFolder() {
  std::error_code ignored;
  if (!temporary_.empty()) fs::remove_all(temporary_, ignored);
}

std::string StagedFolder::path(const std::string& name) const { return (fs::path(temporary_) / name).string(); }

void StagedFolder::commit() {
  sync_directory(temporary_);
  std::error_code ignored;
  const bool exchange = replace_ && fs::exists(target_, ignored);
  // Without --force nothing is replaced, even if somebody made it in the meantime; with it, the two change
  // places in one step, and the old one goes with the temporary name.
  const unsigned flags = exchange ? RENAME_EXCHANGE : RENAME_NOREPLACE;
  if (::renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, target_.c_str(), flags) != 0) {
    // A file system without such renames: the plain one replaces nothing but an empty folder.
    if ((errno != EINVAL && errno != ENOSYS) ||
        (exchange && fs::remove_all(target_, ignored) == static_cast<std::uintmax_t>(-1)) ||
        ::rename(temporary_.c_str(), target_.c_str()) != 0)
      refuse(target_, "name the folder", errno);
  }
  sync_directory(fs::path(target_).parent_path().string());
  if (exchange) fs::remove_all(temporary_, ignored);
  temporary_.clear();
}

}  // namespace octet::files
