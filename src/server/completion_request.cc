#include "server/completion_request.h"

#include "server/api_error.h"
#include "server/chat_request.h"

namespace octet::server {

namespace {

constexpr std::size_t kMaxPrompts = 1024;

// A string, an array of strings, an array of token ids, or an array of arrays of token ids.
std::vector<Prompt> read_prompts(const Fields& fields) {
  constexpr const char* kExpected = "a string, strings or token ids";
  const Json& prompt = fields.required("prompt", kExpected);
  if (prompt.is_string()) return {Prompt(prompt.get<std::string>())};
  if (!prompt.is_array()) refuse_type("prompt", kExpected, prompt);
  if (prompt.empty()) refuse_field("prompt", "expected one prompt or more, found an empty array");
  if (prompt.front().is_number()) return {Prompt(token_ids_at(prompt, "prompt"))};
  if (prompt.size() > kMaxPrompts)
    refuse_field("prompt", "expected at most " + std::to_string(kMaxPrompts) + " prompts, found " +
                               std::to_string(prompt.size()));
  std::vector<Prompt> prompts;
  for (const Json& element : prompt) {
    const std::string path = element_path("prompt", prompts.size());
    if (!element.is_string() && !element.is_array()) refuse_type(path, "a string or token ids", element);
    if (element.is_string())
      prompts.emplace_back(element.get<std::string>());
    else
      prompts.emplace_back(token_ids_at(element, path));
  }
  return prompts;
}

}  // namespace

CompletionRequest parse_completion_request(std::string_view body, const SamplingParams& defaults) {
  const Json json = parse_json(body);
  const Fields fields(json, "");
  CompletionRequest request;
  request.answer = read_answer_options(fields);
  request.prompts = read_prompts(fields);
  if (const auto suffix = fields.string("suffix"); suffix && !suffix->empty())
    throw ApiError(400, "suffix: is not supported: the model writes forwards only", "suffix",
                   "unsupported_parameter");
  request.params = read_sampling_params(fields, defaults, request.answer);
  if (const auto max_tokens = fields.integer("max_tokens")) request.params.max_tokens = max_tokens;
  request.params.logprobs = fields.integer("logprobs");
  request.echo = fields.boolean("echo").value_or(false);
  request.prompt_only = request.echo && request.params.max_tokens == 0;  // OpenAI's way to score a text
  if (request.prompt_only) request.params.max_tokens = 1;
  request.prompt_logprobs = request.params.prompt_logprobs.has_value();
  if (request.echo && request.params.logprobs && !request.params.prompt_logprobs)
    request.params.prompt_logprobs = request.params.logprobs;
  request.add_special_tokens = fields.boolean("add_special_tokens").value_or(true);
  return request;
}

TokenizeRequest parse_tokenize_request(std::string_view body) {
  const Json json = parse_json(body);
  const Fields fields(json, "");
  TokenizeRequest request;
  request.model = fields.string("model").value_or("");
  request.prompt = fields.string("prompt");
  const bool has_messages = fields.find("messages") != nullptr;
  if (request.prompt.has_value() == has_messages) refuse_field("prompt", "expected either prompt or messages");
  if (has_messages) request.chat = read_chat_prompt(fields);
  // A template writes its special tokens itself.
  request.add_special_tokens = fields.boolean("add_special_tokens").value_or(!has_messages);
  request.return_token_strs = fields.boolean("return_token_strs").value_or(false);
  return request;
}

DetokenizeRequest parse_detokenize_request(std::string_view body) {
  const Json json = parse_json(body);
  const Fields fields(json, "");
  DetokenizeRequest request;
  request.model = fields.string("model").value_or("");
  request.tokens = token_ids_at(fields.required("tokens", "an array of token ids"), "tokens");
  return request;
}

}  // namespace octet::server
