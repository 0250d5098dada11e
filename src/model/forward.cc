// The forward pass: embed, run the layers, normalise, project to logits. Read this first.
#include "model/forward.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/error.h"
#include "model/architecture.h"
#include "model/rope.h"
#include "model/step.h"
#include "model/weights.h"

namespace octet::model {

namespace {

const Architecture& require_architecture(const ModelConfig& config) {
  const Architecture* architecture = find_architecture(config.architecture);
  OCTET_CHECK(architecture != nullptr);  // read_model_config refuses the others
  return *architecture;
}

std::vector<RopeFrequencies> frequencies_of_ropes(const ModelConfig& config, int max_model_len) {
  std::vector<RopeFrequencies> all;
  for (const RopeConfig& rope : config.ropes) all.push_back(rope_frequencies(rope, max_model_len));
  return all;
}

}  // namespace

struct Model::Impl {
  std::shared_ptr<const files::Checkpoint> checkpoint;  // the weights' memory
  ModelConfig config;
  const Architecture& architecture;
  Weights weights;
  std::vector<RopeFrequencies> ropes;  // of config.ropes
  int max_batched_tokens;
  Workspace workspace;
  Step step;

  Impl(std::shared_ptr<const files::Checkpoint> opened, const kernels::KernelTable& table, ThreadPool& pool,
       int max_tokens)
      : checkpoint(std::move(opened)),
        config(read_model_config(checkpoint->config())),
        architecture(require_architecture(config)),
        weights(load_weights(architecture, *checkpoint, config)),
        ropes(frequencies_of_ropes(config, config.max_position_embeddings)),
        max_batched_tokens(max_tokens),
        step{config, table, pool, workspace} {}

  void check(const BatchPlan& plan, const kv::KvCache& cache) const;
  void check_group(const BatchPlan& plan, const kv::KvCache& cache, int group) const;
  // hidden [T, D]: the embedding row of every token.
  void embed(const BatchPlan& plan, float* hidden);
  // logits [size] = cap * tanh(logits / cap).
  void cap_logits(float* logits, std::size_t size);
  // Normalises hidden [num_rows, D], as the last layer left it, and multiplies it by the output matrix.
  std::span<float> project(const float* hidden, int num_rows);
};

Model::Model(std::shared_ptr<const files::Checkpoint> checkpoint, const kernels::KernelTable& table,
             ThreadPool& pool, int max_batched_tokens)
    : impl_(std::make_unique<Impl>(std::move(checkpoint), table, pool, max_batched_tokens)) {}

Model::~Model() = default;

const ModelConfig& Model::config() const { return impl_->config; }

const Weights& Model::weights() const { return impl_->weights; }

std::span<float> Model::forward(const BatchPlan& plan, kv::KvCache& cache) {
  impl_->check(plan, cache);
  impl_->step.begin(plan, cache, impl_->ropes);
  float* hidden = impl_->workspace.hidden.data();
  impl_->embed(plan, hidden);
  for (int layer = 0; layer < impl_->config.num_layers; ++layer)
    impl_->architecture.run_layer(impl_->step, impl_->weights.layers[static_cast<std::size_t>(layer)], layer,
                                  hidden);
  return impl_->project(hidden, static_cast<int>(plan.logits_rows.size()));
}

QuantizedLayers Model::quantize_weights(Quantization quantization) {
  QuantizedLayers quantized;
  for (std::size_t i = 0; i < impl_->weights.layers.size(); ++i)
    for (const auto& [name, linear] : linear_layers(impl_->weights.layers[i])) {
      if (linear->format) continue;
      Linear codes = quantize_linear(*linear, quantization, "model.layers." + std::to_string(i) + "." + name,
                                     impl_->step.pool);
      if (!codes.format) continue;
      ++quantized.count;
      quantized.before += linear->weight_bytes();
      quantized.bytes += codes.weight_bytes();
      impl_->checkpoint->give_back(
          {static_cast<const std::byte*>(linear->weight), static_cast<std::size_t>(linear->weight_bytes())});
      *linear = std::move(codes);
    }
  return quantized;
}

void Model::set_dtype(Dtype dtype) {
  OCTET_CHECK(dtype == Dtype::float32 || dtype == Dtype::bfloat16);
  impl_->step.dtype = dtype;
}

void Model::set_max_model_len(int tokens) { impl_->ropes = frequencies_of_ropes(impl_->config, tokens); }

void Model::set_attention_math(kernels::AttentionMath math) { impl_->step.math = math; }

void Model::set_observer(AttentionObserver* observer) { impl_->step.observer = observer; }

void Model::Impl::check(const BatchPlan& plan, const kv::KvCache& cache) const {
  const auto tokens = plan.token_ids.size();
  OCTET_CHECK(tokens > 0 && plan.num_tokens() <= max_batched_tokens);
  const std::size_t groups = cache.groups().size(), seqs = static_cast<std::size_t>(plan.num_seqs());
  OCTET_CHECK(plan.positions.size() == tokens && plan.slot_mapping.size() == groups * tokens);
  OCTET_CHECK(plan.query_start.front() == 0 && plan.query_start.back() == plan.num_tokens());
  OCTET_CHECK(plan.prompt_lengths.size() == seqs);
  std::int32_t previous = -1;
  for (const std::int32_t row : plan.logits_rows) {
    OCTET_CHECK(row > previous && row < plan.num_tokens());
    previous = row;
  }
  OCTET_CHECK(plan.block_tables.size() == groups * seqs * static_cast<std::size_t>(plan.max_blocks));
  const kv::KvLayout& layout = cache.layout();
  OCTET_CHECK(layout.num_layers() == config.num_layers && layout.num_kv_heads == config.num_kv_heads &&
              layout.head_dim == config.head_dim);
  for (std::size_t t = 0; t < tokens; ++t) {
    OCTET_CHECK(plan.token_ids[t] >= 0 && plan.token_ids[t] < config.vocab_size);
    OCTET_CHECK(plan.positions[t] >= 0 && plan.positions[t] < plan.max_blocks * layout.block_size);
  }
  for (std::size_t group = 0; group < groups; ++group) check_group(plan, cache, static_cast<int>(group));
}

// What a group's window lets go must be out of sight of all of its layers.
void Model::Impl::check_group(const BatchPlan& plan, const kv::KvCache& cache, int group) const {
  const auto& [window, layers] = cache.groups()[static_cast<std::size_t>(group)];
  for (const int layer : layers) {
    const int sees = config.layers[static_cast<std::size_t>(layer)].sliding_window;
    OCTET_CHECK(window == 0 || (sees > 0 && sees <= window));
  }
  const std::int32_t num_blocks = cache.pool(group).num_blocks();
  const std::int64_t slots = std::int64_t{num_blocks} * cache.layout().block_size;
  const std::size_t first_slot = static_cast<std::size_t>(group) * plan.token_ids.size();
  for (const std::int64_t slot : std::span(plan.slot_mapping).subspan(first_slot, plan.token_ids.size()))
    OCTET_CHECK(slot >= 0 && slot < slots);
  const auto entries = static_cast<std::size_t>(plan.num_seqs()) * static_cast<std::size_t>(plan.max_blocks);
  for (const std::int32_t block :
       std::span(plan.block_tables).subspan(static_cast<std::size_t>(group) * entries, entries))
    OCTET_CHECK(block >= 0 && block < num_blocks);
}

void Model::Impl::embed(const BatchPlan& plan, float* hidden) {
  const Linear& table = weights.embedding;
  for (std::size_t t = 0; t < plan.token_ids.size(); ++t) {
    float* to = hidden + t * static_cast<std::size_t>(table.cols);
    read_linear_row(step.table, table, plan.token_ids[t], to);
    if (config.embedding_scale != 1.0)
      for (int i = 0; i < table.cols; ++i) to[i] *= static_cast<float>(config.embedding_scale);
  }
}

void Model::Impl::cap_logits(float* logits, std::size_t size) {
  constexpr std::size_t kPiece = 4096;
  const auto cap = static_cast<float>(config.final_logit_softcap);
  step.pool.run((size + kPiece - 1) / kPiece, [&](std::size_t piece, int) {
    const std::size_t end = std::min(size, (piece + 1) * kPiece);
    for (std::size_t i = piece * kPiece; i < end; ++i) logits[i] = cap * std::tanh(logits[i] / cap);
  });
}

std::span<float> Model::Impl::project(const float* hidden, int num_rows) {
  float* normed = workspace.normed.data();
  rms_norm(step, normed, hidden, weights.final_norm, num_rows);
  const std::size_t size = static_cast<std::size_t>(num_rows) * static_cast<std::size_t>(config.vocab_size);
  float* logits = workspace.logits.reserve(size);
  const Product product[] = {{&weights.lm_head, logits, config.vocab_size}};
  if (num_rows > 0) multiply(step, product, normed, config.hidden_size, num_rows);
  if (config.final_logit_softcap > 0) cap_logits(logits, size);
  return {logits, size};
}

}  // namespace octet::model
