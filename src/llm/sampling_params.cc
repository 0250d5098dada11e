// The limits of each field are vLLM's (vllm/sampling_params.py), so that a request that is refused there is
// refused here.
#include <octet/sampling_params.h>

#include <cmath>
#include <cstddef>
#include <string>

#include "base/error.h"
#include "engine/engine.h"
#include "llm/utf8.h"

namespace octet {

namespace {

std::string number(double value) {
  std::string text = std::to_string(value);
  while (text.find('.') != std::string::npos && (text.back() == '0' || text.back() == '.')) {
    const bool point = text.back() == '.';
    text.pop_back();
    if (point) break;
  }
  return text;
}

[[noreturn]] void refuse(const char* field, const char* expected, const std::string& found) {
  throw Error(ErrorCode::invalid_argument, std::string("expected ") + expected + ", found " + found, field);
}

// `allowed` is false for NaN too, since every comparison with it is.
void require(bool allowed, const char* field, const char* expected, double found) {
  if (!allowed) refuse(field, expected, number(found));
}

void validate_stop_strings(const std::vector<std::string>& stop) {
  for (std::size_t i = 0; i < stop.size(); ++i) {
    const std::string field = "stop[" + std::to_string(i) + "]";
    if (stop[i].empty()) refuse(field.c_str(), "a non-empty string", "an empty one");
    llm::require_utf8(stop[i], field);
  }
}

void validate_structured_outputs(const StructuredOutputsParams& asked) {
  const int forms = int{asked.json.has_value()} + int{asked.regex.has_value()} + int{asked.choice.has_value()} +
                    int{asked.json_object};
  if (forms != 1)
    refuse("structured_outputs", "one of json, regex, choice and json_object", forms == 0 ? "none" : "several");
  if (asked.json) llm::require_utf8(*asked.json, "structured_outputs.json");
  if (asked.regex) llm::require_utf8(*asked.regex, "structured_outputs.regex");
  if (!asked.choice) return;
  for (std::size_t i = 0; i < asked.choice->size(); ++i)
    llm::require_utf8((*asked.choice)[i], "structured_outputs.choice[" + std::to_string(i) + "]");
}

}  // namespace

void SamplingParams::validate() const {
  require(presence_penalty >= -2.0 && presence_penalty <= 2.0, "presence_penalty", "-2 to 2", presence_penalty);
  require(frequency_penalty >= -2.0 && frequency_penalty <= 2.0, "frequency_penalty", "-2 to 2",
          frequency_penalty);
  require(repetition_penalty > 0.0 && std::isfinite(repetition_penalty), "repetition_penalty",
          "a number greater than 0", repetition_penalty);
  require(temperature >= 0.0 && std::isfinite(temperature), "temperature", "0 or a greater number",
          temperature);
  require(top_p > 0.0 && top_p <= 1.0, "top_p", "a number greater than 0 and at most 1", top_p);
  require(top_k >= -1, "top_k", "0 or -1 (all tokens) or a positive number", top_k);
  require(min_p >= 0.0 && min_p <= 1.0, "min_p", "0 to 1", min_p);
  if (max_tokens) require(*max_tokens >= 1, "max_tokens", "at least 1", *max_tokens);
  require(min_tokens >= 0, "min_tokens", "0 or more", min_tokens);
  if (max_tokens && min_tokens > *max_tokens)
    refuse("min_tokens", ("at most max_tokens (" + std::to_string(*max_tokens) + ")").c_str(),
           std::to_string(min_tokens));
  if (logprobs) require(*logprobs >= 0, "logprobs", "0 or more", *logprobs);
  if (prompt_logprobs) require(*prompt_logprobs >= 0, "prompt_logprobs", "0 or more", *prompt_logprobs);
  require(n >= 1 && n <= engine::Engine::kMostAnswers, "n", "1 to 1024", n);
  for (const auto& [id, bias] : logit_bias)
    require(bias >= -100.0 && bias <= 100.0, ("logit_bias[" + std::to_string(id) + "]").c_str(), "-100 to 100",
            bias);
  validate_stop_strings(stop);
  if (structured_outputs) validate_structured_outputs(*structured_outputs);
}

}  // namespace octet
