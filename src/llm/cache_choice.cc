#include "llm/cache_choice.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>

#include "base/error.h"

namespace octet::llm {

namespace {

// Nothing where the flag says auto.
std::optional<KvDtype> parse_kv_cache_dtype(const std::string& name) {
  if (name == "auto") return std::nullopt;
  if (name == "fp8" || name == "fp8_e4m3") return KvDtype::fp8_e4m3;
  if (name == "fp8_e5m2") return KvDtype::fp8_e5m2;
  if (name == "float16") return KvDtype::float16;
  if (name == "bfloat16") return KvDtype::bfloat16;
  throw Error(ErrorCode::invalid_argument,
              "expected auto, fp8, fp8_e4m3, fp8_e5m2, float16 or bfloat16, found '" + name + "'",
              "kv_cache_dtype");
}

// What auto is for a checkpoint that asks for nothing: two bytes a value, in the type that keeps more of
// them. Keys and values are computed in float32 and lie far inside float16's range (stores saturate), and
// its rounding is an eighth of bfloat16's: docs/kv-cache.md has the measured difference.
KvDtype auto_dtype(const model::ModelConfig& config) {
  return config.dtype == Dtype::float32 ? KvDtype::float32 : KvDtype::float16;
}

std::int64_t count_used_scales(const model::KvScaleReport& report) {
  return std::count_if(report.findings.begin(), report.findings.end(),
                       [](const model::ScaleFinding& found) { return found.used && found.which != 'q'; });
}

void use_checkpoint_scales(const model::KvScaleReport& report, CacheChoice& choice) {
  const std::string count = std::to_string(count_used_scales(report));
  choice.scales = *report.scales;
  choice.scale_source = "checkpoint (" + count + " tensors)";
  choice.scale_strategy = report.scales->strategy == kv::ScaleStrategy::attn_head ? "attn_head" : "tensor";
  choice.notices.push_back("KV scales: " + count + " tensors from the checkpoint, strategy " +
                           choice.scale_strategy);
  // A scale only shifts the exponent, so it is right for either format; but whoever made it had one in mind.
  if (report.requested_dtype && *report.requested_dtype != choice.dtype)
    choice.notices.push_back("the checkpoint's KV scales were made for " +
                             std::string(dtype_name(*report.requested_dtype)) + "; they are used for " +
                             std::string(dtype_name(choice.dtype)) + " as asked");
}

std::int64_t available_memory_bytes() {
  std::ifstream meminfo("/proc/meminfo");
  std::string key, unit;
  std::int64_t kibibytes = 0;
  while (meminfo >> key >> kibibytes) {
    if (key == "MemAvailable:") return kibibytes * 1024;
    std::getline(meminfo, unit);
  }
  return 0;  // unknown: the caller falls back to the least
}

}  // namespace

CacheChoice choose_cache(const std::string& kv_cache_dtype, const model::ModelConfig& config,
                         const model::KvScaleReport& report) {
  const std::optional<KvDtype> asked = parse_kv_cache_dtype(kv_cache_dtype);
  CacheChoice choice;
  choice.dtype = asked.value_or(report.requested_dtype.value_or(auto_dtype(config)));
  choice.scales = kv::KvScales::ones(config.num_layers, config.num_kv_heads);
  choice.scale_source = "not needed";
  choice.scale_strategy = "none";
  const std::string name(dtype_name(choice.dtype));
  if (!asked && report.requested_dtype)
    choice.notices.push_back("kv_cache_dtype auto: " + name + ", as the checkpoint's quantization_config (" +
                             report.quant_method + ") asks");
  if (is_fp8(choice.dtype) && report.scales) {
    use_checkpoint_scales(report, choice);
  } else if (is_fp8(choice.dtype)) {
    choice.scale_source = "none found: 1.0";
    choice.scale_strategy = "tensor";
    choice.notices.push_back("no KV scales in the checkpoint: the " + name + " cache uses 1.0");
  } else if (report.scales) {
    choice.notices.push_back("the checkpoint's " + std::to_string(count_used_scales(report)) +
                             " KV scale tensors are not needed by a " + name + " cache");
  }
  // Warnings are about scales (a bad q scale, for one): a cache without scales has no use for them.
  if (is_fp8(choice.dtype))
    choice.notices.insert(choice.notices.end(), report.warnings.begin(), report.warnings.end());
  return choice;
}

kv::KvLayout cache_layout(const model::ModelConfig& config, KvDtype dtype, int block_size) {
  kv::KvLayout layout;
  layout.num_layers = config.num_layers;
  layout.num_kv_heads = config.num_kv_heads;
  layout.head_dim = config.head_dim;
  layout.block_size = block_size;
  layout.k_dtype = dtype;
  layout.v_dtype = dtype;
  layout.validate();
  return layout;
}

std::int32_t choose_num_blocks(const kv::KvLayout& layout, int max_model_len, int max_num_seqs,
                               std::int64_t memory_bytes) {
  if (memory_bytes < 0)
    throw Error(ErrorCode::invalid_argument,
                "expected 0 (choose) or a positive number of bytes, found " + std::to_string(memory_bytes),
                "kv_cache_memory_bytes");
  constexpr std::int64_t kMostBlocks = std::numeric_limits<std::int32_t>::max();
  const std::int64_t one_sequence = layout.blocks_for(max_model_len);
  const std::int64_t block_bytes = layout.bytes_per_block();
  if (memory_bytes == 0) {
    const std::int64_t affordable = available_memory_bytes() / 4 / block_bytes;
    const std::int64_t wanted = std::min(one_sequence * max_num_seqs, affordable);
    return static_cast<std::int32_t>(std::min(std::max(wanted, one_sequence), kMostBlocks));
  }
  const std::int64_t blocks = memory_bytes / block_bytes;
  if (blocks < one_sequence) {
    const std::string fits = std::to_string(blocks * layout.block_size);
    throw Error(ErrorCode::out_of_memory,
                "one sequence of max_model_len " + std::to_string(max_model_len) + " tokens needs " +
                    std::to_string(one_sequence * block_bytes) + " bytes, but the cache is given " +
                    std::to_string(memory_bytes) +
                    (blocks == 0 ? ", less than one block of " + std::to_string(block_bytes)
                                 : "; a max_model_len of " + fits + " would fit"),
                "kv_cache_memory_bytes");
  }
  return static_cast<std::int32_t>(std::min(blocks, kMostBlocks));
}

}  // namespace octet::llm
