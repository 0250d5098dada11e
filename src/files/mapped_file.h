// MappedFile: a regular file mapped read-only for as long as the object lives; and small files as text.
//
// The mapping is private and shared by all threads. A file that somebody shortens while it is mapped ends
// the process with SIGBUS when the missing pages are read, as with every mmap: replace files by renaming.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace octet::files {

class MappedFile {
 public:
  // Throws Error: not_found (no such file), io (a folder, a device, or the system refuses).
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  // The whole file; page aligned. Empty for an empty file.
  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::string& path() const { return path_; }
  // Gives back the memory of what was read in [begin, end); the bytes stay there, and reading them again brings
  // them back. For whoever reads through a file larger than memory.
  void give_back(std::size_t begin, std::size_t end) const;

 private:
  std::string path_;
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

// The whole file, copied. Throws as MappedFile, and Error{invalid_file} for more than `max_bytes`.
std::string read_text_file(const std::string& path, std::int64_t max_bytes);

}  // namespace octet::files
