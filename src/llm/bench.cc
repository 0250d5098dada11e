#include <octet/bench.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <utility>

#include "base/error.h"
#include "files/hub_cache.h"
#include "kv/kv_cache.h"
#include "llm/attention_math_choice.h"
#include "llm/bench_sequences.h"
#include "llm/bench_start.h"
#include "llm/cache_choice.h"
#include "llm/engine_setup.h"
#include "llm/process_memory.h"
#include "model/kv_scale_loading.h"
#include "model/weights.h"

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
  require(!options.batches.empty(), "batches", "at least one number of sequences", "none");
  for (const int batch : options.batches) check(batch, 1, kChunkTokens, "batches");
  check(options.prefill_tokens, 0, kMostTokens, "prefill_tokens");
  check(options.decode_tokens, 0, kMostTokens, "decode_tokens");
  check(options.runs, 1, 1000, "runs");
}

// Tokens that each sequence of a batch holds: `depth`, or evenly from half of it to one and a half.
std::vector<int> sequence_lengths(int depth, int batch, bool mixed) {
  std::vector<int> lengths(static_cast<std::size_t>(batch), depth);
  if (mixed && batch > 1)
    for (int i = 0; i < batch; ++i)
      lengths[static_cast<std::size_t>(i)] =
          static_cast<int>(depth / 2 + std::int64_t{depth} * i / (batch - 1));
  return lengths;
}

// Tokens of the longest sequence when all that is timed has been computed.
int longest_sequence(const BenchOptions& options) {
  int longest = 0;
  for (const int depth : options.depths) {
    longest = std::max(longest, depth + std::max({options.prefill_tokens, options.decode_tokens, 1}));
    for (const int batch : options.batches)
      longest = std::max(longest, sequence_lengths(depth, batch, options.mixed_lengths).back() +
                                      std::max(options.decode_tokens, 1));
  }
  return longest;
}

// Blocks of `sequences` sequences of `tokens`. Throws Error{out_of_memory} for more than the machine has free:
// the memory comes page by page as the cache is filled, so it would be killed half-way.
std::int32_t num_blocks(const kv::KvLayout& layout, int sequences, int tokens) {
  const std::int64_t blocks = sequences * layout.blocks_for(tokens);
  const std::int64_t bytes = blocks * layout.bytes_per_block(), available = llm::available_memory_bytes();
  if (blocks > std::numeric_limits<std::int32_t>::max() || (available > 0 && bytes > available))
    throw Error(ErrorCode::out_of_memory,
                std::to_string(sequences) + " sequences of " + std::to_string(tokens) + " tokens take " +
                    std::to_string(bytes) + " bytes, but " + std::to_string(available) + " are free",
                "KV cache");
  return static_cast<std::int32_t>(blocks);
}

// Weights that a step of decoding reads.
struct WeightBytes {
  std::int64_t always = 0;
  std::int64_t experts = 0;  // of all of them
  double chosen = 0;         // the share of them that a token chooses

  // Of the experts those that the tokens together choose, on average where each is as likely as the others.
  std::int64_t read_by(int tokens) const {
    return always + std::llround(static_cast<double>(experts) * (1 - std::pow(1 - chosen, tokens)));
  }
};

std::int64_t bytes_of_experts(const model::Weights& weights) {
  std::int64_t bytes = 0;
  for (const model::LayerWeights& layer : weights.layers)
    for (const model::ExpertWeights& expert : layer.experts)
      bytes += expert.gate.weight_bytes() + expert.up.weight_bytes() + expert.down.weight_bytes();
  return bytes;
}

// All tensors, but of an embedding that is not the output matrix too only one row.
std::int64_t decoded_weight_bytes(const files::Checkpoint& checkpoint, bool tied) {
  std::int64_t bytes = 0;
  for (const files::TensorView& tensor : checkpoint.tensors())
    if (tied || !tensor.name.ends_with("embed_tokens.weight"))
      bytes += static_cast<std::int64_t>(tensor.data.size());
  return bytes;
}

// Bytes of the cache that one step reads, on average of `steps` behind sequences of these lengths: a token
// attends to itself and all before it, in a layer with a window to the latest alone.
std::int64_t cache_bytes_read(const kv::KvLayout& layout, const std::vector<int>& windows,
                              const std::vector<int>& lengths, int steps) {
  std::int64_t bytes = 0;
  for (int layer = 0; layer < layout.num_layers(); ++layer) {
    const int window = windows[static_cast<std::size_t>(layer)];
    std::int64_t tokens = 0;
    for (const int length : lengths)
      for (int step = 1; step <= steps; ++step)
        tokens += window > 0 ? std::min(length + step, window) : length + step;
    bytes += tokens * ((layout.k_block_bytes(layer) + layout.v_block_bytes(layer)) / layout.block_size);
  }
  return bytes / steps;
}

// One row of the table: what is timed, of which cache.
struct Cell {
  const kv::KvLayout& layout;
  const std::vector<int>& windows;  // of the layers
  int depth;
  int batch;
  bool times_prefill;
};

BenchRow measure(llm::BenchSequences& sequences, const Cell& cell, const BenchOptions& options,
                 const WeightBytes& weights) {
  const std::vector<int> lengths = sequence_lengths(cell.depth, cell.batch, options.mixed_lengths);
  sequences.fill(lengths);
  if (cell.times_prefill) sequences.fill(std::vector<int>{cell.depth});
  BenchRow row;
  row.dtype = cell.layout.describe_dtypes();
  row.bytes_per_token = cell.layout.bytes_per_token();
  row.depth = cell.depth;
  row.batch = cell.batch;
  // The first time is not counted: it warms caches, page tables and clocks.
  const auto repeat = [&](int tokens, const auto& seconds_for) {
    seconds_for(true);
    std::vector<double> rates;
    for (int i = 0; i < options.runs; ++i) rates.push_back(tokens / seconds_for(false));
    return summarize_rates(std::move(rates));
  };
  if (cell.times_prefill)
    row.prefill = repeat(options.prefill_tokens, [&](bool warms) {
      const int tokens = warms ? std::min(options.prefill_tokens, kChunkTokens) : options.prefill_tokens;
      return sequences.prefill(cell.depth, tokens, kChunkTokens);
    });
  if (options.decode_tokens == 0) return row;
  row.decode = repeat(cell.batch * options.decode_tokens,
                      [&](bool warms) { return sequences.decode(lengths, warms ? 1 : options.decode_tokens); });
  row.decode_bytes =
      weights.read_by(cell.batch) + cache_bytes_read(cell.layout, cell.windows, lengths, options.decode_tokens);
  row.decode_bandwidth = static_cast<double>(row.decode_bytes) * row.decode.median / cell.batch;
  return row;
}

}  // namespace

BenchRate summarize_rates(std::vector<double> rates) {
  if (rates.empty()) return {};
  std::sort(rates.begin(), rates.end());
  const std::size_t n = rates.size();
  return {n % 2 == 1 ? rates[n / 2] : (rates[n / 2 - 1] + rates[n / 2]) / 2, rates.front(), rates.back()};
}

BenchResult run_benchmark(const BenchOptions& options, const BenchCallback& on_row) {
  check_options(options);
  BenchResult result;
  if (options.start) result.start = llm::measure_start(options);
  llm::LoadedModel loaded =
      llm::load_model(files::find_model(options.model), options.isa, options.threads, kChunkTokens,
                      options.safetensors_load_strategy, options.quantization);
  const model::ModelConfig& config = loaded.model->config();
  const Dtype dtype = llm::choose_dtype(options.dtype, config);
  loaded.model->set_dtype(dtype);
  const int most_sequences = *std::max_element(options.batches.begin(), options.batches.end());
  const int most_tokens = longest_sequence(options);
  require(most_tokens <= config.max_position_embeddings, "depths",
          "depth and timed tokens together to be at most the model's max_position_embeddings, " +
              std::to_string(config.max_position_embeddings),
          std::to_string(most_tokens));
  const model::KvScaleReport report = model::examine_kv_scales(*loaded.checkpoint, config);
  std::vector<llm::CacheChoice> choices;  // all of them first: a bad dtype is known before minutes go by
  for (const std::string& name : options.kv_cache_dtypes) {
    choices.push_back(llm::choose_cache(
        {name, options.kv_cache_dtype_k, options.kv_cache_dtype_v, options.kv_cache_dtype_skip_layers}, config,
        report));
    llm::CacheChoice& choice = choices.back();
    loaded.model->set_attention_math(llm::choose_attention_math(
        options.attention_math, llm::cache_layout(config, choice, options.block_size), choice));
  }

  result.isa = loaded.table->isa;
  result.threads = loaded.threads->num_threads();
  WeightBytes weights;
  weights.experts = result.expert_bytes = bytes_of_experts(loaded.model->weights());
  weights.always = decoded_weight_bytes(*loaded.checkpoint, config.tie_word_embeddings) - weights.experts -
                   loaded.quantized.before + loaded.quantized.bytes;
  if (config.num_experts > 0)
    weights.chosen = static_cast<double>(config.experts_per_token) / config.num_experts;
  result.weight_bytes = weights.read_by(1);
  for (const files::TensorView& tensor : loaded.checkpoint->tensors())
    result.checkpoint_bytes += static_cast<std::int64_t>(tensor.data.size());
  result.checkpoint_bytes += loaded.quantized.bytes - loaded.quantized.before;
  result.dtype = dtype_name(dtype);
  result.load_strategy = loaded.copied ? "eager" : "lazy";
  result.read_bandwidth = measure_read_bandwidth(result.threads);
  if (on_row && !on_row(result)) return result;
  std::vector<int> windows;
  for (const model::LayerConfig& layer : config.layers) windows.push_back(layer.sliding_window);
  for (std::size_t i = 0; i < choices.size(); ++i) {
    const kv::KvLayout layout = llm::cache_layout(config, choices[i], options.block_size);
    const bool knows_peak = llm::reset_peak_memory();
    kv::KvCache cache(layout, num_blocks(layout, most_sequences, most_tokens), choices[i].scales);
    llm::BenchSequences sequences(loaded, cache, most_sequences, most_tokens);
    for (const int depth : options.depths) {
      for (std::size_t b = 0; b < options.batches.size(); ++b) {
        const bool times_prefill = b == 0 && options.prefill_tokens > 0;
        BenchRow row =
            measure(sequences, {layout, windows, depth, options.batches[b], times_prefill}, options, weights);
        row.kv_cache_dtype = options.kv_cache_dtypes[i];
        row.cache_bytes = cache.total_bytes();
        row.peak_memory_bytes = knows_peak ? llm::peak_memory_bytes() : 0;
        result.rows.push_back(std::move(row));
        if (on_row && !on_row(result)) return result;
      }
    }
  }
  return result;
}

}  // namespace octet
