#include "llm/request_preparation.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/error.h"

namespace octet::llm {

namespace {

void check_id(std::int32_t id, const std::string& where, int vocab_size) {
  if (id >= 0 && id < vocab_size) return;
  throw Error(ErrorCode::invalid_argument,
              "token id " + std::to_string(id) + " is outside the vocabulary of " + std::to_string(vocab_size),
              where);
}

void check_count(const std::optional<int>& count, const char* field, int vocab_size) {
  if (!count || *count <= vocab_size) return;
  throw Error(
      ErrorCode::invalid_argument,
      "expected at most the vocabulary's " + std::to_string(vocab_size) + ", found " + std::to_string(*count),
      field);
}

}  // namespace

void check_params(const SamplingParams& params, int vocab_size) {
  params.validate();
  check_count(params.logprobs, "logprobs", vocab_size);
  check_count(params.prompt_logprobs, "prompt_logprobs", vocab_size);
  for (const std::int32_t id : params.stop_token_ids) check_id(id, "stop_token_ids", vocab_size);
  for (const auto& [id, bias] : params.logit_bias) check_id(id, "logit_bias", vocab_size);
}

void check_prompt(const std::vector<std::int32_t>& token_ids, const std::string& where, int vocab_size,
                  int max_model_len) {
  if (token_ids.empty())
    throw Error(ErrorCode::invalid_argument, "expected at least one token, found none", where);
  for (const std::int32_t id : token_ids) check_id(id, where, vocab_size);
  // One place must be left for the first new token.
  if (token_ids.size() >= static_cast<std::size_t>(max_model_len))
    throw Error(ErrorCode::invalid_argument,
                std::to_string(token_ids.size()) + " tokens are too long for max_model_len " +
                    std::to_string(max_model_len) + ", which counts prompt and new tokens",
                where);
}

engine::Request make_request(std::vector<std::int32_t> token_ids, const SamplingParams& params,
                             const EngineSetup& setup, std::shared_ptr<const engine::TokenGrammar> grammar) {
  engine::Request request;
  request.prompt = std::move(token_ids);
  request.sampling.temperature = params.temperature;
  request.sampling.top_p = params.top_p;
  request.sampling.top_k = std::max(params.top_k, 0);
  request.sampling.min_p = params.min_p;
  request.sampling.presence_penalty = params.presence_penalty;
  request.sampling.frequency_penalty = params.frequency_penalty;
  request.sampling.repetition_penalty = params.repetition_penalty;
  request.sampling.seed = params.seed;
  request.sampling.logprobs = params.logprobs.value_or(-1);
  for (const auto& [id, bias] : params.logit_bias)
    request.sampling.logit_bias.emplace_back(id, static_cast<float>(bias));
  request.max_tokens = params.max_tokens.value_or(setup.max_model_len);
  request.min_tokens = params.min_tokens;
  request.n = params.n;
  request.grammar = std::move(grammar);
  request.prompt_logprobs = params.prompt_logprobs.value_or(-1);
  request.stop_token_ids = params.stop_token_ids;
  if (!params.ignore_eos)
    request.stop_token_ids.insert(request.stop_token_ids.end(), setup.end_tokens.all.begin(),
                                  setup.end_tokens.all.end());
  return request;
}

}  // namespace octet::llm
