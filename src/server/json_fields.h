// A request's JSON, read field by field: what is absent or null is nothing, what is unknown is not looked at,
// and what has the wrong type is refused with its path.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace octet::server {

// The order of keys is kept: chat templates print tools as they were given.
using Json = nlohmann::ordered_json;

// Throws ApiError 400: what is no JSON (invalid UTF-8 included), is nested more than 64 deep or has an object
// of more than 1,024 keys, which ordered objects would take quadratic time for.
Json parse_json(std::string_view text);

// "an object", "a number" and so on, for messages.
const char* type_name(const Json& value);

// Throws ApiError 400: "path: expected …, found …".
[[noreturn]] void refuse_type(const std::string& path, const std::string& expected, const Json& found);

// Throws ApiError 400: "path: message".
[[noreturn]] void refuse_field(const std::string& path, const std::string& message);

// Absent, null, false or empty.
bool asks_for_nothing(const Json* value);

// One value as a type; path is for the message. Whole numbers may be written as 5.0.
bool boolean_at(const Json& value, const std::string& path);
double number_at(const Json& value, const std::string& path);
std::int64_t integer_at(const Json& value, const std::string& path, std::int64_t min, std::int64_t max);
const std::string& string_at(const Json& value, const std::string& path);
std::vector<std::int32_t> token_ids_at(const Json& value, const std::string& path);

// The fields of one object, which must outlive this.
class Fields {
 public:
  // Throws ApiError where `object` is none. The path of a request itself is empty.
  Fields(const Json& object, std::string path);

  const Json* find(const char* name) const;  // null pointer: absent, or null
  std::string path(const char* name) const;  // "name", or "messages[0].name"

  std::optional<bool> boolean(const char* name) const;
  std::optional<double> number(const char* name) const;
  std::optional<int> integer(const char* name) const;
  std::optional<std::string> string(const char* name) const;
  const Json* array(const char* name) const;
  const Json* object(const char* name) const;

  // The same where there must be one; `expected` is for the message.
  const Json& required(const char* name, const std::string& expected) const;
  const std::string& required_string(const char* name) const;
  const Json& required_object(const char* name) const;

 private:
  const Json& object_;
  std::string path_;
};

std::string element_path(const std::string& path, std::size_t index);  // path[index]

}  // namespace octet::server
