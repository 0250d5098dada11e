#include <octet/inspect.h>
#include <octet/llm.h>

#include <algorithm>
#include <cstddef>
#include <map>
#include <optional>
#include <string_view>

#include "base/error.h"
#include "files/checkpoint.h"
#include "files/hub_cache.h"
#include "llm/cache_choice.h"
#include "llm/cache_stats.h"
#include "llm/generation_config.h"
#include "llm/key_offsets.h"
#include "model/architecture.h"
#include "model/config.h"
#include "model/kv_scale_loading.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace octet {

namespace {

std::string plain_number(double value) {
  std::string text = std::to_string(value);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text;
}

std::string describe_rope(const model::RopeConfig& rope) {
  const std::string theta = "theta " + plain_number(rope.theta);
  const std::string factor = ", factor " + plain_number(rope.factor);
  const std::string original =
      ", original_max_position_embeddings " + std::to_string(rope.original_max_position_embeddings);
  switch (rope.type) {
    case model::RopeConfig::Type::default_:
      return "default, " + theta;
    case model::RopeConfig::Type::linear:
      return "linear, " + theta + factor;
    case model::RopeConfig::Type::llama3:
      return "llama3, " + theta + factor + ", low_freq_factor " + plain_number(rope.low_freq_factor) +
             ", high_freq_factor " + plain_number(rope.high_freq_factor) + original;
    case model::RopeConfig::Type::yarn:
      return "yarn, " + theta + factor + ", attention_factor " + plain_number(rope.attention_factor) + original;
    case model::RopeConfig::Type::longrope:
      return "longrope, " + theta + factor + ", attention_factor " + plain_number(rope.attention_factor) +
             original;
  }
  OCTET_CHECK(false);
  return {};
}

// Each once, in the order of the layers that they turn.
std::string describe_ropes(const model::ModelConfig& config) {
  std::string text;
  for (const model::RopeConfig& rope : config.ropes) {
    text.append(text.empty() ? "" : "; ").append(describe_rope(rope));
    if (rope.rotary_dim != config.head_dim)
      text += ", the first " + std::to_string(rope.rotary_dim) + " elements of a head";
  }
  std::int64_t without = 0;
  for (const model::LayerConfig& layer : config.layers)
    without += layer.rope == model::LayerConfig::kNoRope ? 1 : 0;
  if (without > 0) text += "; none in " + std::to_string(without) + " layers";
  return text;
}

void describe_config(const model::ModelConfig& config, CheckpointInfo& info) {
  info.architecture = config.architecture;
  info.model_type = config.model_type;
  info.num_layers = config.num_layers;
  info.hidden_size = config.hidden_size;
  info.intermediate_size = config.intermediate_size;
  info.num_heads = config.num_heads;
  info.num_kv_heads = config.num_kv_heads;
  info.head_dim = config.head_dim;
  info.vocab_size = config.vocab_size;
  info.max_position_embeddings = config.max_position_embeddings;
  info.sliding_window = config.sliding_window;
  info.tie_word_embeddings = config.tie_word_embeddings;
  info.rope = describe_ropes(config);
  info.dtype = dtype_name(config.dtype);
}

// Scales and zero points are not parameters of the model, whether or not they are usable.
bool is_parameter(std::string_view name) {
  for (const std::string_view end : {"_scale", ".scale", "_zero_point", ".zero_point"})
    if (name.ends_with(end)) return false;
  return true;
}

void describe_tensors(const files::Checkpoint& checkpoint, CheckpointInfo& info) {
  std::map<files::TensorDtype, WeightDtypeInfo> by_dtype;
  for (const files::TensorView& tensor : checkpoint.tensors()) {
    WeightDtypeInfo& row = by_dtype[tensor.dtype];
    row.dtype = files::tensor_dtype_name(tensor.dtype);
    ++row.tensors;
    row.bytes += static_cast<std::int64_t>(tensor.data.size());
    if (is_parameter(tensor.name)) info.num_parameters += tensor.elements();
  }
  for (auto& [dtype, row] : by_dtype) info.weight_dtypes.push_back(std::move(row));
  info.num_tensors = static_cast<std::int64_t>(checkpoint.tensors().size());
  info.weight_bytes = checkpoint.weight_bytes();
}

// Finds every weight as loading does.
std::optional<model::Weights> find_weights(const files::Checkpoint& checkpoint,
                                           const model::ModelConfig& config, CheckpointInfo& info) {
  const model::Architecture* architecture = model::find_architecture(config.architecture);
  OCTET_CHECK(architecture != nullptr);  // read_model_config refuses the others
  try {
    return model::load_weights(*architecture, checkpoint, config);
  } catch (const Error& error) {
    info.weights_error = error.what();
    return std::nullopt;
  }
}

void warn_of_key_offsets(const model::ModelConfig& config, const model::Weights& weights,
                         CheckpointInfo& info) {
  const kv::KvLayout fp8{config.num_layers, config.num_kv_heads, config.head_dim, 16,
                         KvDtype::fp8_e4m3, KvDtype::fp8_e4m3};
  if (std::string warning = llm::describe_key_offsets(config, weights, fp8); !warning.empty())
    info.warnings.push_back(std::move(warning));
}

std::vector<int> layers_without(char which, const model::KvScaleReport& report, int num_layers) {
  std::vector<int> missing;
  for (int layer = 0; layer < num_layers; ++layer) {
    const bool found =
        std::any_of(report.findings.begin(), report.findings.end(), [&](const model::ScaleFinding& finding) {
          const bool serves_both = which == 'v' && finding.tensor.ends_with(".kv_scale");
          return finding.layer == layer && (finding.which == which || serves_both);
        });
    if (!found) missing.push_back(layer);
  }
  return missing;
}

void describe_scales(const model::KvScaleReport& report, const model::ModelConfig& config,
                     CheckpointInfo& info) {
  info.quant_method = report.quant_method;
  if (report.requested_dtype) info.requested_kv_cache_dtype = dtype_name(*report.requested_dtype);
  info.scale_strategy = "none";
  if (report.scales)
    info.scale_strategy = report.scales->strategy == kv::ScaleStrategy::attn_head ? "attn_head" : "tensor";
  for (const model::ScaleFinding& finding : report.findings)
    info.scales.push_back({finding.tensor, std::string(1, finding.which), finding.layer,
                           finding.used && !report.error, finding.note, finding.values});
  // With scales, every layer has both (loading insists on it), even where one kv_scale tensor serves k and v.
  if (!report.scales) {
    info.layers_without_k = layers_without('k', report, config.num_layers);
    info.layers_without_v = layers_without('v', report, config.num_layers);
  }
  info.warnings.insert(info.warnings.end(), report.warnings.begin(), report.warnings.end());
}

void describe_cache_costs(const model::ModelConfig& config, model::KvScaleReport report,
                          KvCacheDtypeOptions cache, CheckpointInfo& info) {
  static const LLMOptions kDefaults;
  report.error.reset();  // what a cache takes does not depend on its scales
  for (const std::string& name : kv_cache_dtype_names()) {
    if (name == "fp8") continue;  // another name of fp8_e4m3
    cache.kv_cache_dtype = name;
    const kv::KvLayout layout = llm::engine_layout(config, llm::choose_cache(cache, config, report),
                                                   kDefaults.block_size, config.max_position_embeddings);
    const kv::KvCapacity capacity(layout, {config.max_position_embeddings, kDefaults.max_num_batched_tokens});
    KvCacheCost& cost = info.cache_costs.emplace_back();
    cost.kv_cache_dtype = name;
    cost.dtype = layout.describe_dtypes();
    cost.bytes_per_token = layout.bytes_per_token();
    cost.bytes_per_sequence = capacity.bytes(capacity.blocks_of_a_sequence());
    cost.tokens_in_1_gib = capacity.blocks_that_fit(std::int64_t{1} << 30) * layout.block_size;
    for (const kv::KvGroup& group : layout.groups()) cost.groups.push_back(llm::describe_group(layout, group));
  }
}

void describe_tokenizer(const files::Checkpoint& checkpoint, const model::ModelConfig& config,
                        CheckpointInfo& info) {
  try {
    const text::Tokenizer tokenizer = text::Tokenizer::load(checkpoint.directory());
    info.tokenizer_vocab_size = tokenizer.vocab_size();
    info.bos_token = tokenizer.bos_token();
    info.eos_token = tokenizer.eos_token();
    info.eos_token_ids = llm::read_end_tokens(checkpoint, config, tokenizer).all;
    if (tokenizer.chat_template().empty()) return;
    text::ChatTemplate::parse(tokenizer.chat_template(), tokenizer.chat_template_file());
    info.has_chat_template = true;
  } catch (const Error& error) {
    info.tokenizer_error = error.what();
  }
}

}  // namespace

CheckpointInfo inspect_checkpoint(const std::string& directory, const KvCacheDtypeOptions& cache) {
  const files::Checkpoint checkpoint = files::Checkpoint::open(files::find_model(directory));
  const model::ModelConfig config = model::read_model_config(checkpoint.config());
  CheckpointInfo info;
  info.directory = checkpoint.directory();
  info.warnings = checkpoint.notices();
  describe_config(config, info);
  describe_tensors(checkpoint, info);
  const std::optional<model::Weights> weights = find_weights(checkpoint, config, info);
  if (const auto quantization = checkpoint.config().find("quantization_config"))
    info.quantization_config = quantization->dump();
  const model::KvScaleReport report = model::examine_kv_scales(checkpoint, config);
  if (report.error) info.scale_error = report.error->what();
  describe_scales(report, config, info);
  if (weights) warn_of_key_offsets(config, *weights, info);
  describe_cache_costs(config, report, cache, info);
  describe_tokenizer(checkpoint, config, info);
  return info;
}

}  // namespace octet
