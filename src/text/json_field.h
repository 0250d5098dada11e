// JsonField: a value in a parsed JSON file that knows its place, so that every complaint names the file, the
// field's path, what was expected and what was found.
//
// A view: the parsed document must outlive it. Large members (a vocabulary, the merges) are read straight from
// raw(), because a path string for each of their elements would cost more than the elements.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace octet::text {

// Parses a JSON document; `file` is used in errors. Throws Error{invalid_file} with line and column.
nlohmann::json parse_json(std::string_view text, const std::string& file);

class JsonField {
 public:
  // The document itself. `file` is used in errors.
  JsonField(const nlohmann::json& value, std::string file);

  const nlohmann::json& raw() const { return *value_; }
  bool is_string() const;
  bool is_object() const;
  bool is_array() const;

  // The member `key`, or nothing where it is absent or null. Throws Error{invalid_file} if not an object.
  std::optional<JsonField> find(const std::string& key) const;
  // The member `key`. Throws Error{invalid_file} where it is absent or null.
  JsonField at(const std::string& key) const;
  // Throws Error{invalid_file} if not an array.
  std::vector<JsonField> elements() const;

  // Conversions; each throws Error{invalid_file} where the type or range is wrong.
  std::string string() const;
  bool boolean() const;
  std::int64_t integer(std::int64_t least, std::int64_t most) const;
  char32_t character() const;  // a string of exactly one code point

  // The member `key` as a bool, or `fallback` where it is absent or null.
  bool boolean_or(const std::string& key, bool fallback) const;

  std::string context() const;                                      // "FILE: PATH"
  [[noreturn]] void fail(const std::string& message) const;         // Error{invalid_file}
  [[noreturn]] void unsupported(const std::string& message) const;  // Error{unsupported}
  [[noreturn]] void expected(std::string_view what) const;          // "expected WHAT, found a number"

 private:
  JsonField(const nlohmann::json& value, std::string file, std::string path);

  const nlohmann::json* value_;
  std::string file_;
  std::string path_;
};

}  // namespace octet::text
