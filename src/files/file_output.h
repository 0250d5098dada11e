// Writing files so that what stands under a name is whole: everything goes to the disk before it gets its name.
//
// Every failure (no space, no permission, a limit) is an Error{io} that names the file, and leaves nothing
// behind.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace octet::files {

// Makes or replaces the file `path`, in place: for files in a folder that nobody sees yet. Removed again where
// it cannot be written whole.
void write_file(const std::string& path, std::span<const std::byte> bytes);
void write_file(const std::string& path, std::string_view text);

// The same by way of a temporary name beside it, so that at every moment the old file or the new one stands
// there.
void replace_file(const std::string& path, std::span<const std::byte> bytes);

// A second name `to` for the bytes of the file `from` (symbolic links are followed), or, on another file system
// or where the system allows no such link, a copy.
void link_or_copy_file(const std::string& from, const std::string& to);
// A copy of its own.
void copy_file(const std::string& from, const std::string& to);

// Makes the names in `directory` last.
void sync_directory(const std::string& directory);

}  // namespace octet::files
