#include "grammar/json_schema.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "base/error.h"
#include "grammar/regex_size.h"

namespace octet::grammar {

namespace {

using Json = nlohmann::ordered_json;
using Keywords = std::initializer_list<std::string_view>;

constexpr std::string_view kAnnotations[] = {"title",    "description", "default",          "examples",
                                             "example",  "deprecated",  "readOnly",         "writeOnly",
                                             "$comment", "$schema",     "contentMediaType", "contentEncoding",
                                             "$defs",    "definitions", "strict",           "discriminator"};
// Those whose grammars the tests compare with the standards; other formats would be annotations, not enforced.
constexpr std::string_view kFormats[] = {"date", "time", "date-time", "duration", "ipv4", "ipv6", "uuid"};

bool contains(std::span<const std::string_view> names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

[[noreturn]] void refuse(const std::string& path, const std::string& message) {
  throw Error(ErrorCode::invalid_argument, message, path);
}

std::string type_of(const Json& value) {
  if (value.is_number_integer()) return "integer";
  return value.is_null() ? "null" : value.type_name();
}

bool is_of_type(const Json& value, const std::string& type) {
  if (type == "number") return value.is_number();
  return type_of(value) == type;
}

// Of a schema of several types, what it says of one: the keywords about other types say nothing of it.
Json schema_of_type(const Json& schema, const std::string& type) {
  static const std::pair<std::string_view, std::vector<const char*>> kAbout[] = {
      {"object", {"properties", "required", "additionalProperties"}},
      {"array", {"items", "prefixItems", "minItems", "maxItems"}},
      {"string", {"minLength", "maxLength", "pattern", "format"}},
      {"number", {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}}};
  Json one = schema;
  one["type"] = type;
  for (const auto& [other, keywords] : kAbout) {
    if (other == (type == "integer" ? "number" : type)) continue;
    for (const char* keyword : keywords) one.erase(keyword);
  }
  return one;
}

class SchemaCheck {
 public:
  SchemaCheck(const Json& root, const std::string& field) : root_(root), field_(field) {}

  void check(const Json& schema, const std::string& path, int depth);
  std::vector<SchemaPattern> take_patterns() { return std::move(patterns_); }

 private:
  void only(const Json& schema, const std::string& path, Keywords enforced, const char* beside) const;
  void check_members(const Json& schemas, const std::string& path, int depth);
  void check_elements(const Json& schemas, const std::string& path, int depth);
  void check_values(const Json& schema, const std::string& path) const;
  void check_reference(const Json& reference, const std::string& path, int depth);
  void check_type(const Json& schema, const std::string& path, int depth);
  void check_object(const Json& schema, const std::string& path, int depth);
  void check_array(const Json& schema, const std::string& path, int depth);
  void check_string(const Json& schema, const std::string& path);
  void check_number(const Json& schema, const std::string& path, bool integer) const;
  void check_counts(const Json& schema, const std::string& path, const char* least, const char* most) const;

  const Json& root_;
  const std::string& field_;
  std::vector<SchemaPattern> patterns_;
  std::set<std::string> references_ = {"#"};  // whose schemas are checked
  int count_ = 0;
  int pattern_size_ = 0;  // of all patterns
};

// Refuses every keyword but annotations and those that the kind of schema at hand enforces.
void SchemaCheck::only(const Json& schema, const std::string& path, Keywords enforced,
                       const char* beside) const {
  for (const auto& [name, value] : schema.items()) {
    if (contains(kAnnotations, name) || name.starts_with("x-") ||
        std::find(enforced.begin(), enforced.end(), name) != enforced.end())
      continue;
    refuse(path + "." + name, std::string("this keyword is not enforced ") + beside + ", so it is refused");
  }
}

void SchemaCheck::check(const Json& schema, const std::string& path, int depth) {
  if (depth > kMostSchemaDepth)
    refuse(path, "expected at most " + std::to_string(kMostSchemaDepth) + " levels of schemas, found more");
  if (++count_ > kMostSubschemas)
    refuse(path, "expected at most " + std::to_string(kMostSubschemas) + " schemas in one, found more");
  if (schema == true) return;
  if (!schema.is_object()) refuse(path, "expected a schema, an object or true, found " + type_of(schema));
  for (const char* definitions : {"$defs", "definitions"})
    if (schema.contains(definitions)) check_members(schema[definitions], path + "." + definitions, depth);
  if (schema.contains("$ref")) {
    only(schema, path, {"$ref"}, "beside $ref");
    check_reference(schema["$ref"], path + ".$ref", depth);
  } else if (schema.contains("const") || schema.contains("enum")) {
    const bool is_const = schema.contains("const");
    only(schema, path, {is_const ? "const" : "enum", "type"}, is_const ? "beside const" : "beside enum");
    check_values(schema, path);
  } else if (schema.contains("anyOf") || schema.contains("oneOf") || schema.contains("allOf")) {
    const char* keyword = schema.contains("anyOf") ? "anyOf" : schema.contains("oneOf") ? "oneOf" : "allOf";
    only(schema, path, {keyword}, ("beside " + std::string(keyword)).c_str());
    check_elements(schema[keyword], path + "." + keyword, depth);
    if (std::string_view(keyword) == "allOf" && schema[keyword].size() != 1)
      refuse(path + ".allOf", "expected one schema (several are not enforced together), found " +
                                  std::to_string(schema[keyword].size()));
  } else {
    check_type(schema, path, depth);
  }
}

void SchemaCheck::check_members(const Json& schemas, const std::string& path, int depth) {
  if (!schemas.is_object()) refuse(path, "expected an object of schemas, found " + type_of(schemas));
  for (const auto& [name, schema] : schemas.items()) check(schema, path + "." + name, depth + 1);
}

void SchemaCheck::check_elements(const Json& schemas, const std::string& path, int depth) {
  if (!schemas.is_array() || schemas.empty())
    refuse(path, "expected an array of schemas that is not empty, found " +
                     (schemas.empty() ? "an empty one" : type_of(schemas)));
  for (std::size_t i = 0; i < schemas.size(); ++i)
    check(schemas[i], path + "[" + std::to_string(i) + "]", depth + 1);
}

// Of const and enum: the grammar knows their values alone, so a type beside them must say nothing new.
void SchemaCheck::check_values(const Json& schema, const std::string& path) const {
  Json values = Json::array();
  if (schema.contains("const")) {
    values.push_back(schema["const"]);
  } else {
    values = schema["enum"];
    if (!values.is_array() || values.empty()) refuse(path + ".enum", "expected an array that is not empty");
  }
  if (!schema.contains("type")) return;
  const Json types = schema["type"].is_array() ? schema["type"] : Json::array({schema["type"]});
  for (const Json& value : values) {
    const bool fits = std::any_of(types.begin(), types.end(), [&](const Json& type) {
      return type.is_string() && is_of_type(value, type.get<std::string>());
    });
    if (!fits)
      refuse(path + ".type", "expected the type of every value beside it, found one for which it is not");
  }
}

// "#", or "#/$defs/NAME" and the like through objects. Names with escapes are not looked for.
void SchemaCheck::check_reference(const Json& reference, const std::string& path, int depth) {
  if (!reference.is_string()) refuse(path, "expected a string, found " + type_of(reference));
  const auto& uri = reference.get_ref<const std::string&>();
  if (references_.contains(uri)) return;
  const bool known =
      uri.starts_with("#/$defs/") || uri.starts_with("#/definitions/") || uri.starts_with("#/properties/");
  if (!known || uri.find_first_of("~%") != uri.npos || uri.find("//") != uri.npos || uri.back() == '/')
    refuse(path,
           "expected #, or a path of plain names in this schema such as #/$defs/name, found '" + uri + "'");
  references_.insert(uri);
  const Json* target = &root_;
  for (std::size_t begin = 2; begin <= uri.size();) {
    const std::size_t end = std::min(uri.find('/', begin), uri.size());
    const std::string name = uri.substr(begin, end - begin);
    if (!target->is_object() || !target->contains(name)) refuse(path, "'" + uri + "' is not there");
    target = &(*target)[name];
    begin = end + 1;
  }
  std::string target_path = field_ + uri.substr(1);
  std::replace(target_path.begin() + static_cast<std::ptrdiff_t>(field_.size()), target_path.end(), '/', '.');
  check(*target, target_path, depth + 1);
}

void SchemaCheck::check_type(const Json& schema, const std::string& path, int depth) {
  const bool object = schema.contains("properties") || schema.contains("additionalProperties");
  const bool array = schema.contains("items") || schema.contains("prefixItems");
  if (!schema.contains("type")) {
    if (object) {
      check_object(schema, path, depth);
    } else if (array) {
      check_array(schema, path, depth);
    } else {
      only(schema, path, {}, "without a type");
    }
    return;
  }
  const Json& type = schema["type"];
  if (type.is_array() && !type.empty()) {
    for (const Json& each : type) {
      if (!each.is_string()) refuse(path + ".type", "expected strings, found " + type_of(each));
      check_type(schema_of_type(schema, each.get<std::string>()), path, depth);
    }
    return;
  }
  if (type == "object") return check_object(schema, path, depth);
  if (type == "array") return check_array(schema, path, depth);
  if (type == "string") return check_string(schema, path);
  if (type == "integer" || type == "number") return check_number(schema, path, type == "integer");
  if (type != "boolean" && type != "null")
    refuse(path + ".type",
           "expected object, array, string, integer, number, boolean or null, found " + type.dump());
  only(schema, path, {"type"}, ("of type " + type.get<std::string>()).c_str());
}

void SchemaCheck::check_object(const Json& schema, const std::string& path, int depth) {
  only(schema, path, {"type", "properties", "required", "additionalProperties"}, "of objects");
  if (schema.contains("properties")) check_members(schema["properties"], path + ".properties", depth);
  if (schema.contains("additionalProperties") && !schema["additionalProperties"].is_boolean())
    check(schema["additionalProperties"], path + ".additionalProperties", depth + 1);
  if (!schema.contains("required")) return;
  const Json& required = schema["required"];
  if (!required.is_array())
    refuse(path + ".required", "expected an array of strings, found " + type_of(required));
  for (std::size_t i = 0; i < required.size(); ++i) {
    const std::string at = path + ".required[" + std::to_string(i) + "]";
    if (!required[i].is_string()) refuse(at, "expected a string, found " + type_of(required[i]));
    if (!schema.contains("properties") || !schema["properties"].contains(required[i].get<std::string>()))
      refuse(at, "expected one of the properties, found " + required[i].dump());
  }
}

void SchemaCheck::check_array(const Json& schema, const std::string& path, int depth) {
  only(schema, path, {"type", "items", "prefixItems", "minItems", "maxItems"}, "of arrays");
  check_counts(schema, path, "minItems", "maxItems");
  if (schema.contains("items") && schema["items"] != false) check(schema["items"], path + ".items", depth + 1);
  if (schema.contains("prefixItems")) check_elements(schema["prefixItems"], path + ".prefixItems", depth);
}

void SchemaCheck::check_string(const Json& schema, const std::string& path) {
  if (schema.contains("pattern") && schema.contains("format"))
    refuse(path + ".format", "this keyword is not enforced beside pattern, so it is refused");
  if (schema.contains("pattern") || schema.contains("format"))
    only(schema, path, {"type", "pattern", "format"}, "beside pattern or format");
  else
    only(schema, path, {"type", "minLength", "maxLength"}, "of strings");
  check_counts(schema, path, "minLength", "maxLength");
  for (const char* name : {"pattern", "format"})
    if (schema.contains(name) && !schema[name].is_string())
      refuse(path + "." + name, "expected a string, found " + type_of(schema[name]));
  if (schema.contains("pattern")) {
    const std::string at = path + ".pattern";
    const auto& pattern = schema["pattern"].get_ref<const std::string&>();
    const int size = regex_size(pattern, at);
    pattern_size_ += std::min(size, kMostRegexSize + 1);
    if (size > kMostRegexSize || pattern_size_ > kMostPatternSize)
      refuse(at, "expected a pattern of at most " + std::to_string(kMostRegexSize) +
                     " characters with its repetitions written out, and " + std::to_string(kMostPatternSize) +
                     " in all patterns of a schema, found more");
    patterns_.push_back({at, pattern});
  }
  if (schema.contains("format") && !contains(kFormats, schema["format"].get_ref<const std::string&>()))
    refuse(path + ".format",
           "expected date, time, date-time, duration, ipv4, ipv6 or uuid (no other format is "
           "enforced), found " +
               schema["format"].dump());
}

void SchemaCheck::check_number(const Json& schema, const std::string& path, bool integer) const {
  constexpr double kMost = 1e15;  // whole numbers up to here are exact, and their digits few
  if (integer)
    only(schema, path, {"type", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"},
         "of integers");
  else
    only(schema, path, {"type", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}, "of numbers");
  for (const auto& [name, value] : schema.items()) {
    if (!name.starts_with("minimum") && !name.starts_with("maximum") && !name.starts_with("exclusive"))
      continue;
    const std::string at = path + "." + name;
    if (!value.is_number()) refuse(at, "expected a number, found " + type_of(value));
    const auto bound = value.get<double>();
    if (!(std::abs(bound) <= kMost))
      refuse(at, "expected a number of magnitude 1e15 at most, found " + value.dump());
    if (integer && bound != std::trunc(bound)) refuse(at, "expected a whole number, found " + value.dump());
    if (!integer && bound * 1e6 != std::trunc(bound * 1e6))
      refuse(at, "expected a number of at most 6 decimals, found " + value.dump());
  }
}

void SchemaCheck::check_counts(const Json& schema, const std::string& path, const char* least,
                               const char* most) const {
  for (const char* name : {least, most}) {
    if (!schema.contains(name)) continue;
    const Json& count = schema[name];
    if (!count.is_number_integer() || count < 0 || count > kMostRepetitions)
      refuse(path + "." + name, "expected a whole number from 0 to " + std::to_string(kMostRepetitions) +
                                    ", found " + (count.is_number() ? count.dump() : type_of(count)));
  }
}

}  // namespace

std::vector<SchemaPattern> check_json_schema(std::string_view schema, const std::string& field) {
  if (schema.size() > kMostSchemaBytes)
    refuse(field, "expected a schema of at most " + std::to_string(kMostSchemaBytes) + " bytes, found " +
                      std::to_string(schema.size()));
  const auto shallow = [&](int depth, Json::parse_event_t, const Json&) {
    if (depth > 4 * kMostSchemaDepth) refuse(field, "JSON that is nested too deeply");
    return true;
  };
  Json root;
  try {
    root = Json::parse(schema, shallow);
  } catch (const Json::exception&) {
    refuse(field, "expected a JSON schema as text, found no valid JSON");
  }
  SchemaCheck check(root, field);
  check.check(root, field, 0);
  return check.take_patterns();
}

}  // namespace octet::grammar
