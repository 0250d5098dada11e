#include "files/json_value.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.h"
#include "files/json_node.h"
#include "files/mapped_file.h"
#include "files/printable.h"

namespace octet::files {

namespace {

constexpr std::int64_t kMaxFileBytes = std::int64_t{256} << 20;

std::string quoted(std::string_view text) { return nlohmann::json(text).dump(); }

// Depth is bounded by kMaxJsonDepth, so recursion is safe.
void append_text(std::string& out, const JsonNode& node) {
  switch (node.kind) {
    case JsonKind::null:
      out += "null";
      return;
    case JsonKind::boolean:
      out += node.boolean ? "true" : "false";
      return;
    case JsonKind::integer:
      out += std::to_string(node.integer);
      return;
    case JsonKind::unsigned_integer:
      out += std::to_string(node.unsigned_integer);
      return;
    case JsonKind::real:
      out += nlohmann::json(node.real).dump();
      return;
    case JsonKind::string:
      out += quoted(node.text);
      return;
    case JsonKind::array:
    case JsonKind::object:
      break;
  }
  const bool object = node.kind == JsonKind::object;
  out += object ? '{' : '[';
  for (const JsonNode* child = node.first_child; child; child = child->next) {
    if (child->index) out += ',';
    if (object) out += quoted(child->name) + ":";
    append_text(out, *child);
  }
  out += object ? '}' : ']';
}

// What stands there, for "expected …, found …".
std::string found(const JsonNode& node) {
  switch (node.kind) {
    case JsonKind::array:
      return "an array";
    case JsonKind::object:
      return "an object";
    case JsonKind::string:
      return "the string \"" + printable(node.text, 60) + "\"";
    default: {
      std::string text;
      append_text(text, node);
      return text;
    }
  }
}

[[noreturn]] void fail_at(const JsonDocument& document, const std::string& path, const std::string& message) {
  throw Error(ErrorCode::invalid_file, message, path.empty() ? document.file : document.file + ": " + path);
}

[[noreturn]] void wrong_type(const JsonNode& node, const std::string& expected) {
  fail_at(*node.document, json_path(node), "expected " + expected + ", found " + found(node));
}

}  // namespace

JsonValue::JsonValue(std::shared_ptr<const JsonNode> node) : node_(std::move(node)) {}

JsonValue JsonValue::parse(std::string_view text, std::string file) {
  const std::shared_ptr<const JsonDocument> document = parse_json(text, std::move(file));
  return JsonValue({document, &document->nodes.front()});
}

JsonValue JsonValue::read_file(const std::string& path) {
  return parse(read_text_file(path, kMaxFileBytes), path);
}

bool JsonValue::is_null() const { return node_->kind == JsonKind::null; }
bool JsonValue::is_bool() const { return node_->kind == JsonKind::boolean; }
bool JsonValue::is_number() const {
  return node_->kind == JsonKind::integer || node_->kind == JsonKind::unsigned_integer ||
         node_->kind == JsonKind::real;
}
bool JsonValue::is_string() const { return node_->kind == JsonKind::string; }
bool JsonValue::is_array() const { return node_->kind == JsonKind::array; }
bool JsonValue::is_object() const { return node_->kind == JsonKind::object; }

std::optional<JsonValue> JsonValue::find(std::string_view key) const {
  if (!is_object()) wrong_type(*node_, "an object");
  const JsonNode* member = node_->document->find(*node_, key);
  if (!member || member->kind == JsonKind::null) return std::nullopt;
  return JsonValue({node_, member});
}

JsonValue JsonValue::at(std::string_view key) const {
  if (std::optional<JsonValue> member = find(key)) return *std::move(member);
  const std::string parent = path();
  fail_at(*node_->document, (parent.empty() ? "" : parent + ".") + printable(key), "missing");
}

std::vector<std::string> JsonValue::keys() const {
  if (!is_object()) wrong_type(*node_, "an object");
  std::vector<std::string> names;
  names.reserve(node_->children);
  for (const JsonNode* child = node_->first_child; child; child = child->next) names.emplace_back(child->name);
  return names;
}

std::vector<JsonValue> JsonValue::elements() const {
  if (!is_array()) wrong_type(*node_, "an array");
  std::vector<JsonValue> values;
  values.reserve(node_->children);
  for (const JsonNode* child = node_->first_child; child; child = child->next)
    values.push_back(JsonValue({node_, child}));
  return values;
}

bool JsonValue::as_bool() const {
  if (!is_bool()) wrong_type(*node_, "true or false");
  return node_->boolean;
}

std::int64_t JsonValue::as_int() const {
  if (node_->kind != JsonKind::integer) wrong_type(*node_, "an integer");
  return node_->integer;
}

std::int64_t JsonValue::as_int(std::int64_t least, std::int64_t most) const {
  const bool fits = node_->kind == JsonKind::integer && node_->integer >= least && node_->integer <= most;
  if (!fits) wrong_type(*node_, "an integer from " + std::to_string(least) + " to " + std::to_string(most));
  return node_->integer;
}

double JsonValue::as_double() const {
  switch (node_->kind) {
    case JsonKind::integer:
      return static_cast<double>(node_->integer);
    case JsonKind::unsigned_integer:
      return static_cast<double>(node_->unsigned_integer);
    case JsonKind::real:
      if (std::isfinite(node_->real)) return node_->real;
      break;
    default:
      break;
  }
  wrong_type(*node_, "a number");
}

std::string JsonValue::as_string() const {
  if (!is_string()) wrong_type(*node_, "a string");
  return std::string(node_->text);
}

std::string JsonValue::file() const { return node_->document->file; }

std::string JsonValue::path() const { return json_path(*node_); }

std::string JsonValue::dump() const {
  std::string text;
  append_text(text, *node_);
  return text;
}

void JsonValue::fail(const std::string& message) const { fail_at(*node_->document, path(), message); }

}  // namespace octet::files
