// JsonValue: read-only JSON whose every error names the file, the field's path, what was expected and
// what was found. The library behind it (nlohmann-json) stays inside files/.
//
// A JsonValue shares ownership of its document and is cheap to copy; reading is thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace octet::files {

struct JsonNode;

class JsonValue {
 public:
  // Parses `text`; `file` is used in errors. Throws Error{invalid_file} for invalid JSON or UTF-8 (with
  // line and column), a member that stands twice in its object (with its path), more than 256 levels.
  static JsonValue parse(std::string_view text, std::string file);
  // Reads and parses a regular file of at most 256 MiB. Throws Error{not_found, io, invalid_file}.
  static JsonValue read_file(const std::string& path);

  bool is_null() const;
  bool is_bool() const;
  bool is_number() const;
  bool is_string() const;
  bool is_array() const;
  bool is_object() const;

  // The member `key`, or nothing where it is absent or null. Throws Error{invalid_file} if not an object.
  std::optional<JsonValue> find(std::string_view key) const;
  // The member `key`. Throws Error{invalid_file} "missing" where it is absent or null.
  JsonValue at(std::string_view key) const;
  // Member names in file order (objects), elements (arrays).
  std::vector<std::string> keys() const;
  std::vector<JsonValue> elements() const;

  // Conversions; each throws Error{invalid_file} where the type or range is wrong.
  bool as_bool() const;
  std::int64_t as_int() const;  // integral numbers only
  std::int64_t as_int(std::int64_t least, std::int64_t most) const;
  double as_double() const;  // finite
  std::string as_string() const;

  std::string file() const;
  std::string path() const;  // "rope_scaling.factor"
  std::string dump() const;  // compact JSON text

  // Throws Error{invalid_file} at this value's place with this message.
  [[noreturn]] void fail(const std::string& message) const;

 private:
  explicit JsonValue(std::shared_ptr<const JsonNode> node);
  std::shared_ptr<const JsonNode> node_;  // the count is the whole document's
};

}  // namespace octet::files
