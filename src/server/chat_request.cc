#include "server/chat_request.h"

#include "server/api_error.h"

namespace octet::server {

namespace {

// Text, or the texts of an array of parts, joined as vLLM joins them for templates that take a string.
Json read_content(const Json& content, const std::string& path) {
  if (content.is_string()) return content;
  if (!content.is_array()) refuse_type(path, "a string or an array of content parts", content);
  std::string text;
  for (std::size_t i = 0; i < content.size(); ++i) {
    const std::string part_path = element_path(path, i);
    const Fields part(content[i], part_path);
    const std::string type = part.string("type").value_or("");
    if (type != "text" && type != "refusal")
      refuse_field(part.path("type"), "expected 'text' (this model reads text only), found '" + type + "'");
    text += (i == 0 ? "" : "\n") + part.required_string(type.c_str());
  }
  return text;
}

// The function of a tool, of a call or of a choice, which has a name.
Fields function_of(const Fields& fields) {
  const Fields function(fields.required_object("function"), fields.path("function"));
  function.required_string("name");
  return function;
}

// Arguments come as JSON in a string; templates print the object itself.
void open_arguments(Json& call, const std::string& path) {
  const Fields fields(call, path);
  const Fields function = function_of(fields);
  const Json* arguments = function.find("arguments");
  if (arguments == nullptr || !arguments->is_string()) return;
  const std::string text = arguments->get<std::string>();
  Json opened = Json::object();
  try {
    if (!text.empty()) opened = parse_json(text);
  } catch (const ApiError&) {
    refuse_field(function.path("arguments"), "expected a JSON object in a string");
  }
  if (!opened.is_object()) refuse_field(function.path("arguments"), "expected a JSON object in a string");
  call["function"]["arguments"] = std::move(opened);
}

Json read_message(const Json& given, const std::string& path) {
  const Fields fields(given, path);
  const std::string& role = fields.required_string("role");
  Json message = given;
  const bool has_calls = fields.array("tool_calls") != nullptr;
  if (!has_calls && role != "assistant") fields.required("content", "a string or an array of content parts");
  // None is an empty text, as vLLM has it: templates add it to others.
  const Json* content = fields.find("content");
  message["content"] = content ? read_content(*content, fields.path("content")) : Json("");
  fields.string("name");
  fields.string("tool_call_id");
  if (has_calls)
    for (std::size_t i = 0; i < message["tool_calls"].size(); ++i)
      open_arguments(message["tool_calls"][i], element_path(fields.path("tool_calls"), i));
  return message;
}

void check_tool(const Json& tool, const std::string& path) {
  const Fields fields(tool, path);
  const std::string type = fields.string("type").value_or("function");
  if (type != "function") refuse_field(fields.path("type"), "expected 'function', found '" + type + "'");
  const Fields function = function_of(fields);
  function.string("description");
  function.object("parameters");
}

// References inside a schema that becomes the definition `root` of a larger one.
void move_references(Json& schema, const std::string& root) {
  if (schema.is_object() && schema.contains("$ref") && schema["$ref"].is_string()) {
    const auto uri = schema["$ref"].get<std::string>();
    if (uri.starts_with('#')) schema["$ref"] = root + uri.substr(1);
  }
  if (schema.is_structured())
    for (Json& each : schema) move_references(each, root);
}

Json parameters_of(const Json& tool) {
  const Fields function(tool["function"], "function");
  const Json* parameters = function.object("parameters");
  return parameters ? *parameters : Json{{"type", "object"}};
}

// An array of calls of any of the tools, as vLLM asks for it.
Json calls_schema(const Json& tools, bool parallel) {
  Json definitions = Json::object(), calls = Json::array();
  for (std::size_t i = 0; i < tools.size(); ++i) {
    const std::string root = "#/$defs/" + std::to_string(i);
    Json parameters = parameters_of(tools[i]);
    move_references(parameters, root);
    definitions[std::to_string(i)] = std::move(parameters);
    calls.push_back({{"type", "object"},
                     {"properties",
                      {{"name", {{"const", tools[i]["function"]["name"]}}}, {"parameters", {{"$ref", root}}}}},
                     {"required", {"name", "parameters"}},
                     {"additionalProperties", false}});
  }
  Json schema = {{"type", "array"}, {"items", {{"anyOf", std::move(calls)}}}, {"minItems", 1}};
  if (!parallel) schema["maxItems"] = 1;
  schema["$defs"] = std::move(definitions);
  return schema;
}

// The answer must be a call: of the named function, or of any.
void require_call(const Json& tools, const std::optional<std::string>& name, ChatRequest& request) {
  if (request.params.structured_outputs)
    refuse_field(request.answer.form_field, "expected one form for the answer, found another in tool_choice");
  if (!name) {
    request.params.structured_outputs = {.json = calls_schema(tools, request.parallel_tool_calls).dump()};
    request.answer.form_field = "tools";
    request.tool_calls = ToolCallFormat::array;
    return;
  }
  for (std::size_t i = 0; i < tools.size(); ++i) {
    if (tools[i]["function"]["name"] != *name) continue;
    request.params.structured_outputs = {.json = parameters_of(tools[i]).dump()};
    request.answer.form_field = element_path("tools", i) + ".function.parameters";
    request.tool_calls = ToolCallFormat::arguments;
    request.tool_function = *name;
    return;
  }
  refuse_field("tool_choice.function.name", "expected one of the tools, found '" + *name + "'");
}

std::string named_function(const Json& choice) {
  const Fields fields(choice, "tool_choice");
  const std::string type = fields.string("type").value_or("function");
  if (type != "function") refuse_field(fields.path("type"), "expected 'function', found '" + type + "'");
  return function_of(fields).required_string("name");
}

// Decides whether tools are shown to the model, whether it must call them, and how its calls look.
void read_tool_choice(const Fields& fields, const ToolCallOptions& options, ChatRequest& request) {
  const bool has_tools = !request.chat.tools_json.empty();
  const Json* choice = fields.find("tool_choice");
  if (choice && !choice->is_string() && !choice->is_object())
    refuse_type("tool_choice", "'none', 'auto', 'required' or an object", *choice);
  const std::string kind = choice == nullptr     ? "auto"
                           : choice->is_string() ? choice->get<std::string>()
                                                 : "named";
  if (kind == "none") {
    request.chat.tools_json.clear();
    return;
  }
  const bool must_call = kind == "required" || (choice && choice->is_object());
  if (!must_call && kind != "auto")
    refuse_field("tool_choice", "expected 'none', 'auto' or 'required', found '" + kind + "'");
  if (must_call) {
    if (!has_tools) refuse_field("tool_choice", "has a meaning only with tools");
    const auto name = choice->is_object() ? std::optional(named_function(*choice)) : std::nullopt;
    require_call(*fields.array("tools"), name, request);
    return;
  }
  if (!has_tools) return;
  if (!options.enabled || options.format == ToolCallFormat::none)
    refuse_field("tool_choice", "'auto' needs a server with --enable-auto-tool-choice and --tool-call-parser");
  request.tool_calls = options.format;
}

// OpenAI's name of today goes before the one of before.
void read_max_tokens(const Fields& fields, ChatRequest& request) {
  const auto max_tokens = fields.integer("max_tokens");
  const auto max_completion_tokens = fields.integer("max_completion_tokens");
  request.params.max_tokens = max_completion_tokens ? max_completion_tokens : max_tokens;
  if (max_completion_tokens) request.max_tokens_field = "max_completion_tokens";
  if (request.params.max_tokens && *request.params.max_tokens < 1)
    refuse_field(request.max_tokens_field,
                 "expected at least 1, found " + std::to_string(*request.params.max_tokens));
}

void read_logprobs(const Fields& fields, ChatRequest& request) {
  request.logprobs = fields.boolean("logprobs").value_or(false);
  const auto top = fields.integer("top_logprobs");
  if (top && !request.logprobs && *top != 0)
    refuse_field("top_logprobs", "has a meaning only with logprobs: true");
  if (top && (*top < 0 || *top > 20))
    refuse_field("top_logprobs", "expected 0 to 20, found " + std::to_string(*top));
  request.top_logprobs = top.value_or(0);
  if (request.logprobs) request.params.logprobs = request.top_logprobs;
}

}  // namespace

ChatPrompt read_chat_prompt(const Fields& fields) {
  fields.required("messages", "an array");
  const Json* messages = fields.array("messages");
  if (messages->empty()) refuse_field("messages", "expected one message or more, found none");
  Json read = Json::array();
  for (std::size_t i = 0; i < messages->size(); ++i)
    read.push_back(read_message((*messages)[i], element_path("messages", i)));
  ChatPrompt prompt;
  prompt.messages_json = read.dump();
  if (const Json* tools = fields.array("tools"); tools && !tools->empty()) {
    for (std::size_t i = 0; i < tools->size(); ++i) check_tool((*tools)[i], element_path("tools", i));
    prompt.tools_json = tools->dump();
  }
  Json more = Json::object();
  if (const Json* kwargs = fields.object("chat_template_kwargs")) more = *kwargs;
  if (const Json* documents = fields.array("documents")) more["documents"] = *documents;
  if (!more.empty()) prompt.template_kwargs_json = more.dump();
  prompt.add_generation_prompt = fields.boolean("add_generation_prompt").value_or(true);
  if (fields.find("chat_template"))
    refuse_field("chat_template", "is set where the server is started (--chat-template)");
  if (fields.boolean("continue_final_message").value_or(false))
    refuse_field("continue_final_message", "is not supported by this server");
  return prompt;
}

ChatRequest parse_chat_request(std::string_view body, const SamplingParams& defaults,
                               const ToolCallOptions& tools) {
  const Json json = parse_json(body);
  const Fields fields(json, "");
  ChatRequest request;
  request.answer = read_answer_options(fields);
  if (fields.boolean("echo").value_or(false)) refuse_field("echo", "is not supported for chats");
  request.chat = read_chat_prompt(fields);
  request.params = read_sampling_params(fields, defaults, request.answer);
  read_max_tokens(fields, request);
  request.add_special_tokens = fields.boolean("add_special_tokens").value_or(false);
  request.parallel_tool_calls = fields.boolean("parallel_tool_calls").value_or(true);
  read_tool_choice(fields, tools, request);
  read_logprobs(fields, request);
  return request;
}

}  // namespace octet::server
