// GgufMetadata: the metadata of one architecture, by the part of the key behind "ARCHITECTURE.".
//
// Holds a view of the contents and of the file's path, which must outlive it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "files/gguf.h"

namespace octet::files {

class GgufMetadata {
 public:
  // Throws Error{invalid_file} where general.architecture is missing.
  GgufMetadata(const GgufContents& contents, const std::string& file);

  const std::string& architecture() const { return architecture_; }
  const GgufContents& contents() const { return contents_; }

  const GgufValue* find(std::string_view name) const;  // "ARCHITECTURE.name"; null where absent
  const GgufValue& at(std::string_view name) const;    // throws Error{invalid_file} where absent
  std::int64_t size(std::string_view name) const;      // an integer from 1 to 2^31 - 1
  const TensorView* find_tensor(std::string_view name) const;
  const TensorView& tensor(std::string_view name) const;  // throws Error{invalid_file} where absent

  // Throws Error{unsupported} with the file and "metadata ARCHITECTURE.name" as context.
  [[noreturn]] void unsupported(std::string_view name, const std::string& message) const;

 private:
  const GgufContents& contents_;
  const std::string& file_;
  std::string architecture_;
};

}  // namespace octet::files
