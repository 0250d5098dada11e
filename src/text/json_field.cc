#include "text/json_field.h"

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "text/utf8.h"

namespace octet::text {
namespace {

std::string describe(const nlohmann::json& value) {
  if (value.is_null()) return "null";
  if (value.is_object()) return "an object";
  if (value.is_array()) return "an array";
  if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    return text.size() <= 40 ? "the string \"" + text + "\"" : "a string";
  }
  return value.dump();  // a number or a bool
}

// The library's message without its name for it: "[json…101] parse error at line 1, column 2: …".
std::string reason(std::string_view what) {
  if (const std::size_t bracket = what.find("] "); bracket != std::string_view::npos)
    what.remove_prefix(bracket + 2);
  constexpr std::string_view kPrefix = "parse error at ";
  if (what.starts_with(kPrefix)) what.remove_prefix(kPrefix.size());
  return "invalid JSON: " + std::string(what);
}

}  // namespace

nlohmann::json parse_json(std::string_view text, const std::string& file) {
  try {
    return nlohmann::json::parse(text);
  } catch (const nlohmann::json::exception& error) {
    throw Error(ErrorCode::invalid_file, reason(error.what()), file);
  }
}

JsonField::JsonField(const nlohmann::json& value, std::string file) : value_(&value), file_(std::move(file)) {}

JsonField::JsonField(const nlohmann::json& value, std::string file, std::string path)
    : value_(&value), file_(std::move(file)), path_(std::move(path)) {}

bool JsonField::is_string() const { return value_->is_string(); }
bool JsonField::is_object() const { return value_->is_object(); }
bool JsonField::is_array() const { return value_->is_array(); }

std::optional<JsonField> JsonField::find(const std::string& key) const {
  if (!value_->is_object()) expected("an object");
  const auto member = value_->find(key);
  if (member == value_->end() || member->is_null()) return std::nullopt;
  return JsonField(*member, file_, path_.empty() ? key : path_ + "." + key);
}

JsonField JsonField::at(const std::string& key) const {
  std::optional<JsonField> member = find(key);
  if (!member) fail("\"" + key + "\" is missing");
  return *std::move(member);
}

std::vector<JsonField> JsonField::elements() const {
  if (!value_->is_array()) expected("an array");
  std::vector<JsonField> result;
  result.reserve(value_->size());
  for (std::size_t k = 0; k < value_->size(); ++k) {
    result.push_back(JsonField((*value_)[k], file_, path_ + "[" + std::to_string(k) + "]"));
  }
  return result;
}

std::string JsonField::string() const {
  if (!value_->is_string()) expected("a string");
  return value_->get<std::string>();
}

bool JsonField::boolean() const {
  if (!value_->is_boolean()) expected("true or false");
  return value_->get<bool>();
}

std::int64_t JsonField::integer(std::int64_t least, std::int64_t most) const {
  const std::string what = "an integer from " + std::to_string(least) + " to " + std::to_string(most);
  if (!value_->is_number_integer()) expected(what);
  if (value_->is_number_unsigned() && value_->get<std::uint64_t>() > static_cast<std::uint64_t>(INT64_MAX)) {
    expected(what);
  }
  const auto number = value_->get<std::int64_t>();
  if (number < least || number > most) expected(what);
  return number;
}

char32_t JsonField::character() const {
  const std::string text = string();
  std::size_t position = 0;
  if (text.empty()) expected("a string of one character");
  const char32_t code_point = next_code_point(text, position);
  if (position != text.size()) expected("a string of one character");
  return code_point;
}

bool JsonField::boolean_or(const std::string& key, bool fallback) const {
  const std::optional<JsonField> member = find(key);
  return member ? member->boolean() : fallback;
}

std::string JsonField::context() const { return path_.empty() ? file_ : file_ + ": " + path_; }

void JsonField::fail(const std::string& message) const {
  throw Error(ErrorCode::invalid_file, message, context());
}

void JsonField::unsupported(const std::string& message) const {
  throw Error(ErrorCode::unsupported, message, context());
}

void JsonField::expected(std::string_view what) const {
  fail("expected " + std::string(what) + ", found " + describe(*value_));
}

}  // namespace octet::text
