#include "llm/scale_calculation.h"

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

#include "base/error.h"
#include "calibrate/bound.h"
#include "calibrate/warm_up.h"
#include "engine/request.h"
#include "evaluate/cached_sequences.h"

namespace octet::llm {

namespace {

constexpr int kRandomTokens = 512;
constexpr std::uint64_t kRandomSeed = 42;

// Ids as a prompt has them: what the tokenizer begins every text with, then random ones.
std::vector<std::int32_t> random_prompt(const text::Tokenizer& tokenizer, int vocab_size, int count) {
  std::vector<std::int32_t> ids = tokenizer.encode("");
  std::erase_if(ids, [&](std::int32_t id) { return id >= vocab_size; });
  const std::vector<std::int32_t> random = calibrate::random_tokens(count, vocab_size, kRandomSeed);
  ids.insert(ids.end(), random.begin(), random.end());
  ids.resize(static_cast<std::size_t>(count));
  return ids;
}

std::string describe_first_prompt(int tokens) {
  return "calculated from the first prompt (" + std::to_string(tokens) + " tokens)";
}

std::string describe_calculation(const std::string& scale_source, const std::string& strategy) {
  return "KV scales: " + scale_source + ", strategy " + strategy + "; fixed from here on";
}

ScaleCalculation::Source read_source(const std::string& from) {
  using Source = ScaleCalculation::Source;
  if (from.empty() || from == "false") return Source::none;
  if (from == "random" || from == "true") return Source::random;
  if (from == "prompt") return Source::prompt;
  if (from == "bound") return Source::bound;
  throw Error(ErrorCode::invalid_argument,
              "expected random (or true), prompt, bound or false, found '" + from + "'", "calculate_kv_scales");
}

}  // namespace

ScaleCalculation read_scale_calculation(const CalculateKvScales& calculate, const std::string& strategy) {
  ScaleCalculation calculation{.source = read_source(calculate.from)};
  if (strategy == "attn_head")
    calculation.strategy = kv::ScaleStrategy::attn_head;
  else if (strategy != "tensor")
    throw Error(ErrorCode::invalid_argument, "expected tensor or attn_head, found '" + strategy + "'",
                "kv_scale_strategy");
  if (!calculation.wanted() && calculation.strategy != kv::ScaleStrategy::tensor)
    throw Error(ErrorCode::invalid_argument,
                "has a meaning only with calculate_kv_scales; the checkpoint's scales are as they are",
                "kv_scale_strategy");
  return calculation;
}

void calculate_scales(const ScaleCalculation& calculation, model::Model& model, ThreadPool& pool,
                      const text::Tokenizer& tokenizer, int max_model_len, int max_batched_tokens,
                      CacheChoice& choice) {
  choice.scale_strategy = calculation.strategy == kv::ScaleStrategy::attn_head ? "attn_head" : "tensor";
  choice.scales.strategy = calculation.strategy;
  switch (calculation.source) {
    case ScaleCalculation::Source::none:
      return;
    case ScaleCalculation::Source::prompt:
      choice.scale_source = "to be calculated from the first prompt";
      return;  // said when it has come
    case ScaleCalculation::Source::random: {
      const int count = std::min(kRandomTokens, max_model_len);
      const std::vector<std::int32_t> ids = random_prompt(tokenizer, model.config().vocab_size, count);
      choice.scales = calibrate::scales_from_ranges(
          calibrate::with_headroom(calibrate::ranges_of_tokens(model, ids, max_batched_tokens)),
          calculation.strategy);
      choice.scale_source = "calculated from " + std::to_string(count) + " random tokens";
      break;
    }
    case ScaleCalculation::Source::bound:
      choice.scales = calibrate::scales_from_ranges(
          calibrate::bound_ranges(model.config(), model.weights(), pool), calculation.strategy);
      choice.scale_source = "calculated from the weights";
      break;
  }
  choice.notices.push_back(describe_calculation(choice.scale_source, choice.scale_strategy));
}

void calculate_scales_from_prompt(const ScaleCalculation& calculation, model::Model& model,
                                  std::span<const std::int32_t> ids, kv::KvCache& cache, CacheChoice& choice) {
  calibrate::WarmUpObserver observer(cache, calculation.strategy, /*from_first_prompt=*/true);
  struct Watch {  // whatever the model throws, it must not keep a pointer to what is gone
    model::Model& watched;
    ~Watch() { watched.set_observer(nullptr); }
  } const watch{model};
  model.set_observer(&observer);
  evaluate::CachedSequences({"first prompt", &model, &cache}).feed(ids, evaluate::Logits::none);
  choice.scale_source = describe_first_prompt(observer.prompt_tokens());
  choice.notices.push_back(describe_calculation(choice.scale_source, choice.scale_strategy));
}

void expect_first_prompt(EngineSetup& setup, std::size_t prompt_tokens, const SamplingParams& params) {
  if (!setup.awaits_first_prompt) return;
  note_first_prompt(setup);  // a step may have set them and then failed
  // The oldest request is the first of a step, in a chunk as large as a step may be, or its logits.
  int chunk = setup.max_num_batched_tokens;
  if (params.prompt_logprobs) chunk = std::min(chunk, engine::kMostPromptLogits);
  setup.warm_up->expect_prompt(static_cast<int>(std::min(prompt_tokens, static_cast<std::size_t>(chunk))));
}

void note_first_prompt(EngineSetup& setup) {
  if (!setup.awaits_first_prompt || setup.warm_up->waiting()) return;
  setup.awaits_first_prompt = false;
  setup.scale_source = describe_first_prompt(setup.warm_up->prompt_tokens());
  setup.notices.push_back(describe_calculation(setup.scale_source, setup.scale_strategy));
}

}  // namespace octet::llm
