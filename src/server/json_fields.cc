#include "server/json_fields.h"

#include <cmath>
#include <limits>

#include "server/api_error.h"

namespace octet::server {

namespace {

constexpr int kMaxDepth = 64;
constexpr int kMaxKeys = 1024;

// Refuses while parsing, so that nothing large is built of what is refused.
class ShapeLimits {
 public:
  bool operator()(int depth, Json::parse_event_t event, const Json&) {
    using Event = Json::parse_event_t;
    if (event == Event::object_start || event == Event::array_start) {
      if (depth >= kMaxDepth)
        throw ApiError(400, "JSON that is nested more than " + std::to_string(kMaxDepth) + " levels deep");
      if (event == Event::object_start) keys_[static_cast<std::size_t>(depth) + 1] = 0;
    }
    if (event == Event::key && ++keys_[static_cast<std::size_t>(depth)] > kMaxKeys)
      throw ApiError(400, "a JSON object of more than " + std::to_string(kMaxKeys) + " keys");
    return true;
  }

 private:
  std::vector<int> keys_ = std::vector<int>(kMaxDepth + 2);  // of the open object at each depth
};

}  // namespace

Json parse_json(std::string_view text) {
  ShapeLimits limits;
  try {
    return Json::parse(text.begin(), text.end(), [&limits](int depth, Json::parse_event_t event, Json& parsed) {
      return limits(depth, event, parsed);
    });
  } catch (const Json::out_of_range&) {
    throw ApiError(400, "the body is not valid JSON: a number is beyond what a double holds", {},
                   "invalid_json");
  } catch (const Json::parse_error& error) {
    // Where, but not what: the parser's message quotes the text.
    throw ApiError(400, "the body is not valid JSON (in UTF-8): error at byte " + std::to_string(error.byte),
                   {}, "invalid_json");
  }
}

const char* type_name(const Json& value) {
  switch (value.type()) {
    case Json::value_t::null:
      return "null";
    case Json::value_t::object:
      return "an object";
    case Json::value_t::array:
      return "an array";
    case Json::value_t::string:
      return "a string";
    case Json::value_t::boolean:
      return "a boolean";
    case Json::value_t::number_integer:
    case Json::value_t::number_unsigned:
    case Json::value_t::number_float:
      return "a number";
    default:
      return "something else";
  }
}

void refuse_field(const std::string& path, const std::string& message) {
  throw ApiError(400, path + ": " + message, path);
}

void refuse_type(const std::string& path, const std::string& expected, const Json& found) {
  refuse_field(path, "expected " + expected + ", found " + type_name(found));
}

bool asks_for_nothing(const Json* value) {
  return value == nullptr || *value == false || (value->is_structured() && value->empty());
}

bool boolean_at(const Json& value, const std::string& path) {
  if (!value.is_boolean()) refuse_type(path, "a boolean", value);
  return value.get<bool>();
}

double number_at(const Json& value, const std::string& path) {
  if (!value.is_number()) refuse_type(path, "a number", value);
  return value.get<double>();
}

std::int64_t integer_at(const Json& value, const std::string& path, std::int64_t min, std::int64_t max) {
  if (!value.is_number()) refuse_type(path, "a whole number", value);
  const double as_double = value.get<double>();
  if (value.is_number_float() && std::trunc(as_double) != as_double)
    refuse_field(path, "expected a whole number, found " + value.dump());
  // Compared as doubles first: a conversion of what does not fit is undefined.
  if (as_double >= static_cast<double>(min) && as_double <= static_cast<double>(max)) {
    const bool too_large = value.is_number_unsigned() && value.get<std::uint64_t>() > INT64_MAX;
    if (!too_large && !(value.is_number_float() && as_double >= 0x1p63)) {
      const auto number = value.get<std::int64_t>();
      if (number >= min && number <= max) return number;
    }
  }
  refuse_field(path,
               "expected " + std::to_string(min) + " to " + std::to_string(max) + ", found " + value.dump());
}

const std::string& string_at(const Json& value, const std::string& path) {
  if (!value.is_string()) refuse_type(path, "a string", value);
  return value.get_ref<const std::string&>();
}

std::vector<std::int32_t> token_ids_at(const Json& value, const std::string& path) {
  if (!value.is_array()) refuse_type(path, "an array of token ids", value);
  std::vector<std::int32_t> ids;
  ids.reserve(value.size());
  for (const Json& id : value)
    ids.push_back(static_cast<std::int32_t>(
        integer_at(id, element_path(path, ids.size()), 0, std::numeric_limits<std::int32_t>::max())));
  return ids;
}

Fields::Fields(const Json& object, std::string path) : object_(object), path_(std::move(path)) {
  if (object.is_object()) return;
  if (!path_.empty()) refuse_type(path_, "an object", object);
  throw ApiError(400, std::string("the body: expected an object, found ") + type_name(object));
}

const Json* Fields::find(const char* name) const {
  const auto found = object_.find(name);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

std::string Fields::path(const char* name) const { return path_.empty() ? name : path_ + "." + name; }

std::optional<bool> Fields::boolean(const char* name) const {
  const Json* value = find(name);
  return value ? std::optional(boolean_at(*value, path(name))) : std::nullopt;
}

std::optional<double> Fields::number(const char* name) const {
  const Json* value = find(name);
  return value ? std::optional(number_at(*value, path(name))) : std::nullopt;
}

std::optional<int> Fields::integer(const char* name) const {
  using Int = std::numeric_limits<int>;
  const Json* value = find(name);
  if (!value) return std::nullopt;
  return static_cast<int>(integer_at(*value, path(name), Int::min(), Int::max()));
}

std::optional<std::string> Fields::string(const char* name) const {
  const Json* value = find(name);
  return value ? std::optional(string_at(*value, path(name))) : std::nullopt;
}

const Json* Fields::array(const char* name) const {
  const Json* value = find(name);
  if (value && !value->is_array()) refuse_type(path(name), "an array", *value);
  return value;
}

const Json* Fields::object(const char* name) const {
  const Json* value = find(name);
  if (value && !value->is_object()) refuse_type(path(name), "an object", *value);
  return value;
}

const Json& Fields::required(const char* name, const std::string& expected) const {
  const Json* value = find(name);
  if (!value) refuse_field(path(name), "expected " + expected + ", found nothing");
  return *value;
}

const std::string& Fields::required_string(const char* name) const {
  return string_at(required(name, "a string"), path(name));
}

const Json& Fields::required_object(const char* name) const {
  required(name, "an object");
  return *object(name);
}

std::string element_path(const std::string& path, std::size_t index) {
  return path + "[" + std::to_string(index) + "]";
}

}  // namespace octet::server
