#include "llm/bench_sequences.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <numeric>
#include <random>

#include "base/error.h"

namespace octet::llm {

namespace {

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace

BenchSequences::BenchSequences(LoadedModel& loaded, kv::KvCache& cache, int most_sequences, int most_tokens)
    : loaded_(loaded),
      cache_(cache),
      blocks_a_sequence_(static_cast<std::int32_t>(cache.layout().blocks_for(most_tokens))),
      filled_(static_cast<std::size_t>(most_sequences), 0) {
  OCTET_CHECK(cache.pool().num_blocks() / blocks_a_sequence_ >= most_sequences);
}

void BenchSequences::fill(std::span<const int> lengths) {
  const kv::KvLayout& layout = cache_.layout();
  constexpr std::size_t kSpare = 4096;
  std::vector<float> numbers(static_cast<std::size_t>(layout.num_kv_heads) * layout.head_dim + kSpare);
  std::mt19937_64 seeded(1);
  std::normal_distribution<float> normal;
  std::generate(numbers.begin(), numbers.end(), [&] { return normal(seeded); });

  const auto layers = static_cast<std::size_t>(layout.num_layers());
  loaded_.threads->run(lengths.size() * layers, [&](std::size_t task, int) {
    const std::size_t sequence = task / layers;
    const std::int64_t first_slot =
        static_cast<std::int64_t>(sequence) * blocks_a_sequence_ * layout.block_size;
    const kernels::KvView& view = cache_.view(static_cast<int>(task % layers));
    std::mt19937_64 random(task);
    for (int token = filled_[sequence]; token < lengths[sequence]; ++token) {
      const float* k = numbers.data() + random() % kSpare;
      const float* v = numbers.data() + random() % kSpare;
      loaded_.table->store_kv({.k = k, .v = v, .kv = &view, .slot = first_slot + token});
    }
  });
  for (std::size_t i = 0; i < lengths.size(); ++i) filled_[i] = std::max(filled_[i], lengths[i]);
}

double BenchSequences::prefill(int begin, int tokens, int chunk) {
  const auto started = std::chrono::steady_clock::now();
  for (int done = 0; done < tokens; done += chunk) {
    begin_plan(begin + tokens);
    add(0, begin + done, std::min(chunk, tokens - done), true);
    run();
  }
  return seconds_since(started);
}

double BenchSequences::decode(std::span<const int> lengths, int tokens) {
  const int longest = *std::max_element(lengths.begin(), lengths.end());
  const auto started = std::chrono::steady_clock::now();
  for (int done = 0; done < tokens; ++done) {
    begin_plan(longest + tokens);
    for (std::size_t i = 0; i < lengths.size(); ++i) add(static_cast<int>(i), lengths[i] + done, 1, false);
    run();
  }
  return seconds_since(started);
}

void BenchSequences::begin_plan(int longest) {
  plan_.clear();
  plan_.max_blocks = static_cast<std::int32_t>(cache_.layout().blocks_for(longest));
}

// Tokens of one sequence, with the last one's logits.
void BenchSequences::add(int sequence, int first_position, int tokens, bool prompt) {
  const int vocab_size = loaded_.model->config().vocab_size;
  const std::int64_t first_slot =
      std::int64_t{sequence} * blocks_a_sequence_ * cache_.layout().block_size + first_position;
  for (int i = 0; i < tokens; ++i) {
    const int position = first_position + i;
    plan_.token_ids.push_back(
        static_cast<std::int32_t>((position * 7919LL + sequence * 104729LL + 13) % vocab_size));
    plan_.positions.push_back(position);
    plan_.slot_mapping.push_back(first_slot + i);
  }
  plan_.query_start.push_back(plan_.num_tokens());
  plan_.prompt_lengths.push_back(prompt ? first_position + tokens : 0);
  const auto row = static_cast<std::ptrdiff_t>(plan_.block_tables.size());
  plan_.block_tables.resize(plan_.block_tables.size() + static_cast<std::size_t>(plan_.max_blocks));
  std::iota(plan_.block_tables.begin() + row, plan_.block_tables.end(), sequence * blocks_a_sequence_);
  plan_.logits_rows.push_back(plan_.num_tokens() - 1);
}

void BenchSequences::run() { loaded_.model->forward(plan_, cache_); }

}  // namespace octet::llm
