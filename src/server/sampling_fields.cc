#include "server/sampling_fields.h"

#include <charconv>
#include <limits>
#include <utility>

#include "server/api_error.h"
#include "server/structured_fields.h"

namespace octet::server {

namespace {

// Known to OpenAI's or vLLM's API, not supported here, and not to be ignored: the answer would be another one.
constexpr std::pair<const char*, const char*> kUnsupported[] = {
    {"structural_tag", "structured output by tags"},
    {"allowed_token_ids", "allowed tokens"},
    {"bad_words", "forbidden words"},
    {"truncate_prompt_tokens", "truncation of prompts"},
    {"prompt_embeds", "prompts as embeddings"},
    {"functions", "the functions of before tools"},
    {"function_call", "the functions of before tools"},
    {"logits_processors", "processors of logits"},
    {"audio", "audio"},
    {"prediction", "predicted output"},
};

[[noreturn]] void refuse_unsupported(const std::string& path, const std::string& what) {
  throw ApiError(400, path + ": " + what + " is not supported by this server", path, "unsupported_parameter");
}

void refuse_what_is_not_there(const Fields& fields) {
  for (const auto& [name, what] : kUnsupported)
    if (!asks_for_nothing(fields.find(name))) refuse_unsupported(name, what);
  if (fields.boolean("use_beam_search").value_or(false)) refuse_unsupported("use_beam_search", "beam search");
  if (const auto best_of = fields.integer("best_of"); best_of && *best_of != fields.integer("n").value_or(1))
    refuse_unsupported("best_of", "a best_of other than n");
}

std::vector<std::string> read_stop(const Fields& fields) {
  const Json* stop = fields.find("stop");
  if (stop == nullptr) return {};
  if (stop->is_string()) return {stop->get<std::string>()};
  if (!stop->is_array()) refuse_type("stop", "a string or an array of strings", *stop);
  std::vector<std::string> strings;
  for (const Json& element : *stop) strings.push_back(string_at(element, element_path("stop", strings.size())));
  return strings;
}

std::map<std::int32_t, double> read_logit_bias(const Fields& fields) {
  std::map<std::int32_t, double> biases;
  const Json* object = fields.object("logit_bias");
  if (object == nullptr) return biases;
  for (const auto& [key, value] : object->items()) {
    std::int32_t id = 0;
    const auto [rest, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (error != std::errc() || rest != key.data() + key.size())
      throw ApiError(400, "logit_bias: expected token ids as keys, found '" + key + "'", "logit_bias");
    biases[id] = number_at(value, "logit_bias." + key);
  }
  return biases;
}

std::optional<std::uint64_t> read_seed(const Fields& fields) {
  const Json* seed = fields.find("seed");
  if (seed == nullptr) return std::nullopt;
  if (seed->is_number_unsigned()) return seed->get<std::uint64_t>();
  using Int64 = std::numeric_limits<std::int64_t>;
  return static_cast<std::uint64_t>(integer_at(*seed, "seed", Int64::min(), Int64::max()));
}

template <typename Value, typename Given>
void set_if(Value& value, const std::optional<Given>& given) {
  if (given) value = *given;
}

}  // namespace

AnswerOptions read_answer_options(const Fields& fields) {
  refuse_what_is_not_there(fields);
  AnswerOptions options;
  options.model = fields.string("model").value_or("");
  options.stream = fields.boolean("stream").value_or(false);
  options.tokens_as_ids = fields.boolean("return_tokens_as_token_ids").value_or(false);
  if (const Json* object = fields.object("stream_options")) {
    if (!options.stream)
      throw ApiError(400, "stream_options: has a meaning only with stream: true", "stream_options");
    const Fields stream_options(*object, "stream_options");
    options.include_usage = stream_options.boolean("include_usage").value_or(false);
    options.continuous_usage = stream_options.boolean("continuous_usage_stats").value_or(false);
  }
  return options;
}

SamplingParams read_sampling_params(const Fields& fields, SamplingParams params, AnswerOptions& answer) {
  set_if(params.n, fields.integer("n"));
  set_if(params.temperature, fields.number("temperature"));
  set_if(params.top_p, fields.number("top_p"));
  set_if(params.top_k, fields.integer("top_k"));
  set_if(params.min_p, fields.number("min_p"));
  set_if(params.presence_penalty, fields.number("presence_penalty"));
  set_if(params.frequency_penalty, fields.number("frequency_penalty"));
  set_if(params.repetition_penalty, fields.number("repetition_penalty"));
  set_if(params.min_tokens, fields.integer("min_tokens"));
  set_if(params.ignore_eos, fields.boolean("ignore_eos"));
  set_if(params.skip_special_tokens, fields.boolean("skip_special_tokens"));
  set_if(params.include_stop_str_in_output, fields.boolean("include_stop_str_in_output"));
  if (const auto prompt_logprobs = fields.integer("prompt_logprobs")) {
    if (fields.boolean("stream").value_or(false))
      refuse_field("prompt_logprobs",
                   "is not available with stream: true");  // nor in vLLM: events have no place for it
    params.prompt_logprobs = prompt_logprobs;
  }
  if (auto asked = read_form(fields)) {
    params.structured_outputs = std::move(asked->form);
    answer.form_field = std::move(asked->field);
  }
  params.stop = read_stop(fields);
  params.logit_bias = read_logit_bias(fields);
  if (const Json* ids = fields.find("stop_token_ids"))
    params.stop_token_ids = token_ids_at(*ids, "stop_token_ids");
  if (const auto seed = read_seed(fields)) params.seed = seed;
  return params;
}

}  // namespace octet::server
