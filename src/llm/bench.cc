#include <octet/bench.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <numeric>
#include <random>
#include <span>

#include "base/error.h"
#include "kv/kv_cache.h"
#include "llm/cache_choice.h"
#include "llm/engine_setup.h"
#include "model/batch_plan.h"
#include "model/kv_scale_loading.h"

namespace octet {

namespace {

constexpr int kChunkTokens = 512;  // LLMOptions::max_num_batched_tokens' default
constexpr int kMostTokens = 1 << 24;

void require(bool allowed, const char* option, const std::string& expected, const std::string& found) {
  if (!allowed) throw Error(ErrorCode::invalid_argument, "expected " + expected + ", found " + found, option);
}

void check_options(const BenchOptions& options) {
  const auto check = [](int value, int least, int most, const char* option) {
    require(value >= least && value <= most, option, std::to_string(least) + " to " + std::to_string(most),
            std::to_string(value));
  };
  require(!options.depths.empty(), "depths", "at least one depth", "none");
  require(!options.kv_cache_dtypes.empty(), "kv_cache_dtypes", "at least one dtype", "none");
  for (const int depth : options.depths) check(depth, 0, kMostTokens, "depths");
  check(options.prefill_tokens, 0, kMostTokens, "prefill_tokens");
  check(options.decode_tokens, 0, kMostTokens, "decode_tokens");
  check(options.runs, 1, 1000, "runs");
}

BenchRate summarize(std::vector<double> rates) {
  std::sort(rates.begin(), rates.end());
  const std::size_t n = rates.size();
  return {n % 2 == 1 ? rates[n / 2] : (rates[n / 2 - 1] + rates[n / 2]) / 2, rates.front(), rates.back()};
}

// Weights that decoding one token reads: all of them, but of an embedding that is not the output matrix too
// only one row.
std::int64_t decoded_weight_bytes(const files::Checkpoint& checkpoint, bool tied) {
  std::int64_t bytes = 0;
  for (const files::TensorView& tensor : checkpoint.tensors())
    if (tied || !tensor.name.ends_with("embed_tokens.weight"))
      bytes += static_cast<std::int64_t>(tensor.data.size());
  return bytes;
}

// One sequence in a cache that it has to itself, driven below the engine so that nothing but the model is
// timed, at positions of our choice.
class SingleSequence {
 public:
  SingleSequence(llm::LoadedModel& loaded, kv::KvCache& cache) : loaded_(loaded), cache_(cache) {
    block_table_.resize(static_cast<std::size_t>(cache.pool().num_blocks()));
    std::iota(block_table_.begin(), block_table_.end(), 0);
  }

  // Puts keys and values in positions [0, tokens), through the kernel that the model stores with. Every
  // token gets other ones, since a cache full of equal lines might be read faster than a real one.
  void fill(int tokens) {
    const kv::KvLayout& layout = cache_.layout();
    const std::size_t size = static_cast<std::size_t>(layout.num_kv_heads) * layout.head_dim;
    constexpr std::size_t kSpare = 4096;
    std::vector<float> numbers(size + kSpare);
    std::mt19937_64 generator(1);
    std::normal_distribution<float> normal;
    std::generate(numbers.begin(), numbers.end(), [&] { return normal(generator); });
    for (int layer = 0; layer < layout.num_layers(); ++layer) {
      for (int token = 0; token < tokens; ++token) {
        const float* k = numbers.data() + generator() % kSpare;
        const float* v = numbers.data() + generator() % kSpare;
        loaded_.table->store_kv({.k = k, .v = v, .kv = &cache_.view(layer), .slot = token});
      }
    }
  }

  // Seconds for `tokens` tokens from position `begin`, `chunk` in a step; logits at the end of each step.
  double time(int begin, int tokens, int chunk) {
    const auto started = std::chrono::steady_clock::now();
    for (int done = 0; done < tokens; done += chunk) run(begin + done, std::min(chunk, tokens - done));
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  }

 private:
  void run(int first_position, int tokens) {
    plan_.clear();
    const int vocab_size = loaded_.model->config().vocab_size;
    for (int i = 0; i < tokens; ++i) {
      const int position = first_position + i;
      plan_.token_ids.push_back(static_cast<std::int32_t>((position * 7919LL + 13) % vocab_size));
      plan_.positions.push_back(position);
      plan_.slot_mapping.push_back(position);  // the block table is the identity
    }
    plan_.query_start.push_back(tokens);
    plan_.prompt_lengths.push_back(tokens > 1 ? first_position + tokens : 0);
    plan_.block_tables = block_table_;
    plan_.max_blocks = static_cast<std::int32_t>(block_table_.size());
    plan_.logits_rows.push_back(tokens - 1);
    loaded_.model->forward(plan_, cache_);
  }

  llm::LoadedModel& loaded_;
  kv::KvCache& cache_;
  std::vector<std::int32_t> block_table_;
  model::BatchPlan plan_;
};

BenchRow measure_depth(SingleSequence& sequence, const kv::KvLayout& layout, const BenchOptions& options,
                       int depth, std::int64_t weight_bytes) {
  BenchRow row;
  row.dtype = layout.describe_dtypes();
  row.bytes_per_token = layout.bytes_per_token();
  row.depth = depth;
  const auto measure = [&](int tokens, int chunk) {
    sequence.time(depth, std::min(tokens, chunk), chunk);  // warms caches, page tables and clocks
    std::vector<double> rates;
    for (int i = 0; i < options.runs; ++i) rates.push_back(tokens / sequence.time(depth, tokens, chunk));
    return summarize(std::move(rates));
  };
  if (options.prefill_tokens > 0) row.prefill = measure(options.prefill_tokens, kChunkTokens);
  if (options.decode_tokens > 0) row.decode = measure(options.decode_tokens, 1);
  // A token attends to itself and all before it: depth + 1 … depth + decode_tokens cached tokens.
  row.decode_bytes = weight_bytes + layout.bytes_per_token() *
                                        (2 * static_cast<std::int64_t>(depth) + options.decode_tokens + 1) / 2;
  row.decode_bandwidth = static_cast<double>(row.decode_bytes) * row.decode.median;
  return row;
}

}  // namespace

BenchResult run_benchmark(const BenchOptions& options, const BenchCallback& on_row) {
  check_options(options);
  llm::LoadedModel loaded = llm::load_model(options.model, options.isa, options.threads, kChunkTokens,
                                            options.safetensors_load_strategy);
  const model::ModelConfig& config = loaded.model->config();
  const int deepest = *std::max_element(options.depths.begin(), options.depths.end());
  const int most_tokens = deepest + std::max({options.prefill_tokens, options.decode_tokens, 1});
  require(most_tokens <= config.max_position_embeddings, "depths",
          "depth and timed tokens together to be at most the model's max_position_embeddings, " +
              std::to_string(config.max_position_embeddings),
          std::to_string(most_tokens));
  const model::KvScaleReport report = model::examine_kv_scales(*loaded.checkpoint, config);
  std::vector<llm::CacheChoice> choices;  // all of them first: a bad dtype is known before minutes go by
  for (const std::string& name : options.kv_cache_dtypes)
    choices.push_back(llm::choose_cache(
        {name, options.kv_cache_dtype_k, options.kv_cache_dtype_v, options.kv_cache_dtype_skip_layers}, config,
        report));

  BenchResult result;
  result.isa = loaded.table->isa;
  result.threads = loaded.threads->num_threads();
  result.weight_bytes = decoded_weight_bytes(*loaded.checkpoint, config.tie_word_embeddings);
  result.load_strategy = loaded.copied ? "eager" : "lazy";
  result.read_bandwidth = measure_read_bandwidth(result.threads);
  if (on_row && !on_row(result)) return result;
  for (std::size_t i = 0; i < choices.size(); ++i) {
    const kv::KvLayout layout = llm::cache_layout(config, choices[i], options.block_size);
    kv::KvCache cache(layout, static_cast<std::int32_t>(layout.blocks_for(most_tokens)), choices[i].scales);
    SingleSequence sequence(loaded, cache);
    sequence.fill(deepest);
    for (const int depth : options.depths) {
      BenchRow row = measure_depth(sequence, layout, options, depth, result.weight_bytes);
      row.kv_cache_dtype = options.kv_cache_dtypes[i];
      result.rows.push_back(std::move(row));
      if (on_row && !on_row(result)) return result;
    }
  }
  return result;
}

}  // namespace octet
