#include "files/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "base/error.h"

namespace octet::files {

namespace {

[[noreturn]] void refuse(const std::string& path, const char* action, int error) {
  if (error == ENOENT || error == ENOTDIR) throw Error(ErrorCode::not_found, "no such file", path);
  throw Error(ErrorCode::io, std::string("cannot ") + action + ": " + std::generic_category().message(error),
              path);
}

// An open regular file.
class Descriptor {
 public:
  explicit Descriptor(const std::string& path) {
    // O_NONBLOCK: opening a named pipe must not wait for a writer; it changes nothing for regular files.
    number_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (number_ < 0) refuse(path, "open", errno);
    struct stat status {};
    const int error = ::fstat(number_, &status) == 0 ? 0 : errno;
    if (error == 0 && S_ISREG(status.st_mode)) {
      size_ = static_cast<std::size_t>(status.st_size);
      return;
    }
    ::close(number_);
    if (error) refuse(path, "examine", error);
    throw Error(ErrorCode::io, S_ISDIR(status.st_mode) ? "is a folder, not a file" : "not a regular file",
                path);
  }
  ~Descriptor() { ::close(number_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  int number() const { return number_; }
  std::size_t size() const { return size_; }

 private:
  int number_ = -1;
  std::size_t size_ = 0;
};

}  // namespace

MappedFile::MappedFile(const std::string& path) : path_(path) {
  const Descriptor file(path);
  if (file.size() == 0) return;  // mmap refuses a length of zero
  void* const data = ::mmap(nullptr, file.size(), PROT_READ, MAP_PRIVATE, file.number(), 0);
  if (data == MAP_FAILED) refuse(path, "map", errno);
  data_ = static_cast<const std::byte*>(data);
  size_ = file.size();
}

void MappedFile::give_back(std::size_t begin, std::size_t end) const {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  begin = (begin + page - 1) / page * page;
  end = std::min(end, size_) / page * page;
  // The mapping is private but never written, so the pages are those of the file and nothing is lost.
  if (begin < end) ::madvise(const_cast<std::byte*>(data_) + begin, end - begin, MADV_DONTNEED);
}

MappedFile::~MappedFile() {
  if (data_) ::munmap(const_cast<std::byte*>(data_), size_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

std::string read_text_file(const std::string& path, std::int64_t max_bytes) {
  const Descriptor file(path);
  if (file.size() > static_cast<std::size_t>(max_bytes))
    throw Error(
        ErrorCode::invalid_file,
        "has " + std::to_string(file.size()) + " bytes, at most " + std::to_string(max_bytes) + " are read",
        path);
  std::string text(file.size(), '\0');
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t count = ::read(file.number(), text.data() + done, text.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) refuse(path, "read", errno);
    if (count == 0) break;  // shortened since it was opened
    done += static_cast<std::size_t>(count);
  }
  text.resize(done);
  return text;
}

}  // namespace octet::files
