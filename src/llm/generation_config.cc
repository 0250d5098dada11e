#include "llm/generation_config.h"

#include <algorithm>
#include <limits>
#include <string>

#include "base/error.h"

namespace octet::llm {

namespace {

void add_once(std::vector<std::int32_t>& ids, std::int32_t id) {
  if (std::find(ids.begin(), ids.end(), id) == ids.end()) ids.push_back(id);
}

// eos_token_id is a number or a list of them.
std::vector<std::int32_t> read_ids(const files::JsonValue& value, int vocab_size) {
  std::vector<std::int32_t> ids;
  const auto read = [&](const files::JsonValue& id) {
    ids.push_back(static_cast<std::int32_t>(id.as_int(0, vocab_size - 1)));
  };
  if (value.is_array()) {
    for (const files::JsonValue& element : value.elements()) read(element);
  } else {
    read(value);
  }
  return ids;
}

}  // namespace

EndTokens read_end_tokens(const files::Checkpoint& checkpoint, const model::ModelConfig& config,
                          const text::Tokenizer& tokenizer) {
  EndTokens result;
  const std::string& eos_token = tokenizer.eos_token();
  const auto of_tokenizer = eos_token.empty() ? std::nullopt : tokenizer.token_to_id(eos_token);
  if (of_tokenizer && *of_tokenizer < config.vocab_size) result.all.push_back(*of_tokenizer);
  std::vector<std::int32_t> of_configs = config.eos_token_ids;
  if (const auto generation = checkpoint.generation_config())
    if (const auto eos = generation->find("eos_token_id")) of_configs = read_ids(*eos, config.vocab_size);
  for (const std::int32_t id : of_configs) add_once(result.all, id);
  if (!result.all.empty()) result.primary = result.all.front();
  return result;
}

SamplingParams read_default_sampling_params(const files::Checkpoint& checkpoint) {
  SamplingParams params;
  const auto config = checkpoint.generation_config();
  if (!config) return params;
  const auto number = [&](const char* key, double& field) {
    if (const auto value = config->find(key)) field = value->as_double();
  };
  number("temperature", params.temperature);
  number("top_p", params.top_p);
  number("min_p", params.min_p);
  number("repetition_penalty", params.repetition_penalty);
  constexpr std::int64_t kMost = std::numeric_limits<int>::max();
  if (const auto top_k = config->find("top_k")) params.top_k = static_cast<int>(top_k->as_int(-1, kMost));
  if (const auto most = config->find("max_new_tokens"))
    params.max_tokens = static_cast<int>(most->as_int(1, kMost));
  try {
    params.validate();
  } catch (const Error& error) {
    throw Error(ErrorCode::invalid_file, error.message(), config->file() + ": " + error.context());
  }
  return params;
}

}  // namespace octet::llm
