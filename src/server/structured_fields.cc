#include "server/structured_fields.h"

#include <string_view>
#include <utility>

#include "server/api_error.h"

namespace octet::server {

namespace {

[[noreturn]] void refuse_form(const std::string& path, const std::string& message) {
  throw ApiError(400, path + ": " + message, path, "unsupported_parameter");
}

// A JSON schema: itself, or as text.
std::string schema_text(const Json& schema, const std::string& path) {
  if (schema.is_string()) return schema.get<std::string>();
  if (!schema.is_object()) refuse_type(path, "a JSON schema, as an object or as text", schema);
  return schema.dump();
}

std::vector<std::string> strings_at(const Json& value, const std::string& path) {
  if (!value.is_array()) refuse_type(path, "an array of strings", value);
  std::vector<std::string> strings;
  for (const Json& element : value) strings.push_back(string_at(element, element_path(path, strings.size())));
  return strings;
}

class FormReader {
 public:
  std::optional<AskedForm> take() { return std::move(asked_); }

  void read_response_format(const Json& object) {
    const Fields format(object, "response_format");
    const std::string type = format.string("type").value_or("text");
    if (type == "text") return;
    if (type == "json_object") {
      add(format.path("type"), {.json_object = true});
      return;
    }
    if (type != "json_schema")
      refuse_form(format.path("type"), "expected text, json_object or json_schema, found '" + type + "'");
    const Fields named(format.required_object("json_schema"), format.path("json_schema"));
    named.required_string("name");
    named.string("description");
    named.boolean("strict");  // every schema is enforced
    add(named.path("schema"), {.json = named.required_object("schema").dump()});
  }

  // `prefix`: "guided_", or nothing inside structured_outputs.
  void read_vllm(const Fields& fields, const std::string& prefix) {
    const auto find = [&](const char* name) { return fields.find((prefix + name).c_str()); };
    const auto path = [&](const char* name) { return fields.path((prefix + name).c_str()); };
    for (const char* name : {"grammar", "structural_tag", "whitespace_pattern"})
      if (!asks_for_nothing(find(name)))
        refuse_form(path(name), "is not supported by this server; json, regex, choice and json_object are");
    if (const Json* json = find("json")) add(path("json"), {.json = schema_text(*json, path("json"))});
    if (const Json* regex = find("regex")) add(path("regex"), {.regex = string_at(*regex, path("regex"))});
    if (const Json* choice = find("choice"))
      add(path("choice"), {.choice = strings_at(*choice, path("choice"))});
    if (fields.boolean((prefix + "json_object").c_str()).value_or(false))
      add(path("json_object"), {.json_object = true});
  }

 private:
  void add(const std::string& field, StructuredOutputsParams form) {
    if (asked_) refuse_field(field, "expected one form for the answer, found another in " + asked_->field);
    asked_ = AskedForm{std::move(form), field};
  }

  std::optional<AskedForm> asked_;
};

}  // namespace

std::optional<AskedForm> read_form(const Fields& fields) {
  FormReader reader;
  if (const Json* format = fields.object("response_format")) reader.read_response_format(*format);
  reader.read_vllm(fields, "guided_");
  if (const Json* outputs = fields.object("structured_outputs")) {
    const Fields form(*outputs, "structured_outputs");
    for (const char* name : {"disable_any_whitespace", "disable_additional_properties"})
      if (form.boolean(name).value_or(false)) refuse_form(form.path(name), "is not supported by this server");
    reader.read_vllm(form, "");
  }
  return reader.take();
}

Error at_field(const Error& error, const std::string& field) {
  constexpr std::string_view kForm = "structured_outputs";
  if (field.empty() || !error.context().starts_with(kForm)) return error;
  // Also where it is the model or the build that has no forms, it is the field that cannot be had.
  constexpr ErrorCode kCode = ErrorCode::invalid_argument;
  // structured_outputs.KIND, and the path inside of its value.
  const std::string inside = error.context().substr(kForm.size());
  const std::size_t begin = inside.find_first_of(".[", 1);
  std::string rest = begin == inside.npos ? "" : inside.substr(begin);
  constexpr std::string_view kDefinitions = ".$defs.";  // of tools: chat_request.cc makes one of each
  if (field != "tools" || !rest.starts_with(kDefinitions)) return {kCode, error.message(), field + rest};
  rest.erase(0, kDefinitions.size());
  const std::size_t end = rest.find('.');
  return {
      kCode, error.message(),
      "tools[" + rest.substr(0, end) + "].function.parameters" + (end == rest.npos ? "" : rest.substr(end))};
}

}  // namespace octet::server
