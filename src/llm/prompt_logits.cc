#include "llm/prompt_logits.h"

#include <algorithm>

#include "base/error.h"
#include "evaluate/cached_sequences.h"
#include "llm/cache_choice.h"

namespace octet::llm {

namespace {

// Nothing that is computed here counts as stored or saturated, nor does it decide any scale.
class Unobserved {
 public:
  explicit Unobserved(EngineSetup& setup) : setup_(setup) { setup.loaded.model->set_observer(nullptr); }
  ~Unobserved() { setup_.loaded.model->set_observer(setup_.warm_up.get()); }
  Unobserved(const Unobserved&) = delete;
  Unobserved& operator=(const Unobserved&) = delete;

 private:
  EngineSetup& setup_;
};

}  // namespace

void check_logits_fit(std::int64_t rows, int vocab_size, std::int64_t available) {
  const std::int64_t bytes = rows * vocab_size * std::int64_t{sizeof(float)};
  if (available == 0 || bytes <= available) return;
  throw Error(ErrorCode::out_of_memory,
              "the logits of " + std::to_string(rows) + " tokens take " + std::to_string(bytes) +
                  " bytes, but " + std::to_string(available) +
                  " are available; last_only asks for those of the last token alone",
              "token_ids");
}

std::vector<float> prompt_logits(EngineSetup& setup, std::span<const std::int32_t> token_ids, bool last_only) {
  if (setup.awaits_first_prompt)
    throw Error(ErrorCode::invalid_argument,
                "the first prompt decides the scales: generate before asking for logits",
                "calculate_kv_scales");
  const int vocab_size = setup.loaded.model->config().vocab_size;
  const auto tokens = static_cast<std::int64_t>(token_ids.size());
  check_logits_fit(last_only ? 1 : tokens, vocab_size, available_memory_bytes());
  kv::KvLayout layout = setup.cache->layout();
  layout.windows.clear();  // nothing is given back: CachedSequences have one block table
  kv::KvCache cache(layout, static_cast<std::int32_t>(layout.blocks_for(tokens)), setup.cache->scales());
  evaluate::CachedSequences sequence({.name = "logits",
                                      .model = setup.loaded.model.get(),
                                      .cache = &cache,
                                      .math = setup.math,
                                      .dtype = setup.dtype});
  const Unobserved unobserved(setup);
  const auto most = static_cast<std::size_t>(std::min(setup.max_num_batched_tokens, evaluate::kMostStepTokens));
  std::vector<float> logits;
  logits.reserve((last_only ? 1 : token_ids.size()) * static_cast<std::size_t>(vocab_size));
  while (!token_ids.empty()) {
    const std::span<const std::int32_t> piece = token_ids.first(std::min(most, token_ids.size()));
    token_ids = token_ids.subspan(piece.size());
    const bool skipped = last_only && !token_ids.empty();
    const std::span<float> rows = sequence.feed(piece, skipped     ? evaluate::Logits::none
                                                       : last_only ? evaluate::Logits::last
                                                                   : evaluate::Logits::all);
    if (!skipped) logits.insert(logits.end(), rows.begin(), rows.end());
  }
  return logits;
}

}  // namespace octet::llm
