#include "llm/cache_choice.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <optional>
#include <set>
#include <utility>

#include "base/error.h"

namespace octet {

namespace llm {

namespace {

// The spellings, in the order in which they are listed to people. A second one of a dtype comes first.
constexpr std::pair<const char*, KvDtype> kDtypeNames[] = {
    {"fp8", KvDtype::fp8_e4m3},
    {"fp8_e4m3", KvDtype::fp8_e4m3},
    {"fp8_e5m2", KvDtype::fp8_e5m2},
    {"fp8_per_token_head", KvDtype::fp8_per_token_head},
    {"int8_per_token_head", KvDtype::int8_per_token_head},
    {"int8_hadamard_per_token_head", KvDtype::int8_hadamard_per_token_head},
    {"float16", KvDtype::float16},
    {"bfloat16", KvDtype::bfloat16},
};

// Nothing where the option says auto.
std::optional<KvDtype> parse_kv_cache_dtype(const std::string& name, const char* option) {
  if (name == "auto") return std::nullopt;
  for (const auto& [spelling, dtype] : kDtypeNames)
    if (name == spelling) return dtype;
  std::string expected;
  for (const std::string& allowed : kv_cache_dtype_names())
    expected += (expected.empty() ? "" : &allowed == &kv_cache_dtype_names().back() ? " or " : ", ") + allowed;
  throw Error(ErrorCode::invalid_argument, "expected " + expected + ", found '" + name + "'", option);
}

// What auto is for a checkpoint that asks for nothing: two bytes a value, in the type that keeps more of
// them. Keys and values are computed in float32 and lie far inside float16's range (stores saturate), and
// its rounding is an eighth of bfloat16's: docs/kv-cache.md has the measured difference.
KvDtype auto_dtype(const model::ModelConfig& config) {
  return config.dtype == Dtype::float32 ? KvDtype::float32 : KvDtype::float16;
}

// The layers that `items` name, each a decimal index, "sliding_window", or a comma-separated list of those.
std::vector<int> parse_skip_layers(const std::vector<std::string>& items, const model::ModelConfig& config,
                                   std::vector<std::string>& notices) {
  std::set<int> layers;
  const auto add = [&](const std::string& item) {
    if (item == "sliding_window") {
      for (std::size_t layer = 0; layer < config.layers.size(); ++layer)
        if (config.layers[layer].sliding_window > 0) layers.insert(static_cast<int>(layer));
      if (config.sliding_window == 0)
        notices.push_back("kv_cache_dtype_skip_layers sliding_window: no layer of this model has a window");
      return;
    }
    int layer = -1;
    const auto [rest, error] = std::from_chars(item.data(), item.data() + item.size(), layer);
    if (error != std::errc() || rest != item.data() + item.size() || layer < 0 || layer >= config.num_layers)
      throw Error(ErrorCode::invalid_argument,
                  "expected layers from 0 to " + std::to_string(config.num_layers - 1) +
                      ", or sliding_window, found '" + item + "'",
                  "kv_cache_dtype_skip_layers");
    layers.insert(layer);
  };
  for (const std::string& item : items) {
    std::size_t begin = 0;
    for (std::size_t comma = item.find(','); comma != std::string::npos; comma = item.find(',', begin)) {
      add(item.substr(begin, comma - begin));
      begin = comma + 1;
    }
    add(item.substr(begin));
  }
  return {layers.begin(), layers.end()};
}

std::int64_t count_used_scales(const model::KvScaleReport& report) {
  return std::count_if(report.findings.begin(), report.findings.end(),
                       [](const model::ScaleFinding& found) { return found.used && found.which != 'q'; });
}

// The parts of the cache that take scales: "fp8_e4m3 cache", "fp8_e4m3 keys" or "fp8_e5m2 values".
std::string describe_scaled(const kv::LayerDtypes& dtypes) {
  const std::string k(dtype_name(dtypes.k)), v(dtype_name(dtypes.v));
  if (!takes_scale(dtypes.v)) return k + " keys";
  if (!takes_scale(dtypes.k)) return v + " values";
  return dtypes.k == dtypes.v ? k + " cache" : k + " keys and " + v + " values";
}

void use_checkpoint_scales(const model::KvScaleReport& report, CacheChoice& choice) {
  const std::string count = std::to_string(count_used_scales(report));
  choice.scales = *report.scales;
  choice.scale_source = "checkpoint (" + count + " tensors)";
  choice.scale_strategy = report.scales->strategy == kv::ScaleStrategy::attn_head ? "attn_head" : "tensor";
  choice.notices.push_back("KV scales: " + count + " tensors from the checkpoint, strategy " +
                           choice.scale_strategy);
  // A scale only shifts the exponent, so it is right for either format; but whoever made it had one in mind.
  for (const KvDtype dtype : {choice.dtypes.k, choice.dtypes.v}) {
    if (!takes_scale(dtype) || !report.requested_dtype || *report.requested_dtype == dtype) continue;
    choice.notices.push_back("the checkpoint's KV scales were made for " +
                             std::string(dtype_name(*report.requested_dtype)) + "; they are used for " +
                             std::string(dtype_name(dtype)) + " as asked");
    break;
  }
}

// What is to be calculated takes the place of what the checkpoint has, as in vLLM.
void leave_scales_to_calculation(const model::KvScaleReport& report, CacheChoice& choice) {
  if (!takes_scale(choice.dtypes.k) && !takes_scale(choice.dtypes.v)) {
    const kv::KvLayout one_layer(1, 1, 1, 16, choice.dtypes.k, choice.dtypes.v);
    throw Error(ErrorCode::invalid_argument,
                "expected a cache that takes scales (kv_cache_dtype fp8), found " + one_layer.describe_dtypes(),
                "calculate_kv_scales");
  }
  if (report.error)
    choice.notices.push_back(std::string("the checkpoint's KV scales are refused (") + report.error->what() +
                             ") and not used: others are calculated, as calculate_kv_scales asks");
  if (report.scales)
    choice.notices.push_back(
        "the checkpoint's " + std::to_string(count_used_scales(report)) +
        " KV scale tensors are not used: others are calculated, as calculate_kv_scales asks");
}

void choose_scales(const model::KvScaleReport& report, CacheChoice& choice) {
  choice.scale_source = "not needed";
  choice.scale_strategy = "none";
  const bool needed = takes_scale(choice.dtypes.k) || takes_scale(choice.dtypes.v);
  if (needed && report.error) throw *report.error;
  if (needed && report.scales) {
    use_checkpoint_scales(report, choice);
  } else if (needed) {
    choice.scale_source = "none found: 1.0";
    choice.scale_strategy = "tensor";
    const std::string parts = describe_scaled(choice.dtypes);
    choice.notices.push_back("no KV scales in the checkpoint: the " + parts +
                             (parts.ends_with("cache") ? " uses 1.0" : " use 1.0"));
  } else if (report.scales || report.error) {
    const kv::KvLayout one_layer(1, 1, 1, 16, choice.dtypes.k, choice.dtypes.v);
    const std::string what = report.error
                                 ? std::string("KV scales are refused (") + report.error->what() + "), but"
                                 : std::to_string(count_used_scales(report)) + " KV scale tensors are";
    choice.notices.push_back("the checkpoint's " + what + " not needed by a " + one_layer.describe_dtypes() +
                             " cache");
  }
  // Warnings are about scales (a bad q scale, for one): a cache without scales has no use for them.
  if (needed) choice.notices.insert(choice.notices.end(), report.warnings.begin(), report.warnings.end());
}

// A figure of the kernel's in bytes; 0 = unknown, for which each caller has an answer.
std::int64_t read_meminfo(std::string_view name) {
  std::ifstream meminfo("/proc/meminfo");
  std::string key, unit;
  std::int64_t kibibytes = 0;
  while (meminfo >> key >> kibibytes) {
    if (key == name) return kibibytes * 1024;
    std::getline(meminfo, unit);
  }
  return 0;
}

// Memory is given page by page, as blocks are first written: a cache that the machine can never hold would
// start, and be killed much later.
void check_machine_holds(std::int64_t memory_bytes) {
  const std::int64_t machine = read_meminfo("MemTotal:");
  if (machine > 0 && memory_bytes > machine)
    throw Error(ErrorCode::out_of_memory,
                "the cache is given " + std::to_string(memory_bytes) +
                    " bytes, but the memory of this machine is " + std::to_string(machine),
                "kv_cache_memory_bytes");
}

}  // namespace

std::int64_t available_memory_bytes() {
  const std::int64_t machine = read_meminfo("MemAvailable:");
  // A container may have less, though what it sees of /proc is the machine's.
  std::int64_t most = 0, used = 0;
  std::ifstream("/sys/fs/cgroup/memory.max") >> most;  // "max" where there is no limit, which leaves 0
  std::ifstream("/sys/fs/cgroup/memory.current") >> used;
  return most > used ? std::min(machine, most - used) : machine;
}

CacheChoice choose_cache(const KvCacheDtypeOptions& options, const model::ModelConfig& config,
                         const model::KvScaleReport& report, bool calculated) {
  if (report.error && report.config_refused) throw *report.error;
  const KvDtype automatic = report.requested_dtype.value_or(auto_dtype(config));
  const auto asked = parse_kv_cache_dtype(options.kv_cache_dtype, "kv_cache_dtype");
  bool follows_checkpoint = false;
  const auto resolve = [&](const std::string& name, const char* option) {
    const auto own = name.empty() ? asked : parse_kv_cache_dtype(name, option);
    follows_checkpoint = follows_checkpoint || (!own && report.requested_dtype);
    return own.value_or(automatic);
  };
  CacheChoice choice;
  choice.dtypes = {resolve(options.kv_cache_dtype_k, "kv_cache_dtype_k"),
                   resolve(options.kv_cache_dtype_v, "kv_cache_dtype_v")};
  // Only keys are turned: values have no such outliers, and would have to be turned back.
  if (is_hadamard(choice.dtypes.v)) choice.dtypes.v = code_dtype(choice.dtypes.v);
  choice.skip_dtype = auto_dtype(config);
  choice.skip_layers = parse_skip_layers(options.kv_cache_dtype_skip_layers, config, choice.notices);
  choice.scales = kv::KvScales::ones(config.num_layers, config.num_kv_heads);
  if (follows_checkpoint)
    choice.notices.push_back("kv_cache_dtype auto: " + std::string(dtype_name(automatic)) +
                             ", as the checkpoint's quantization_config (" + report.quant_method + ") asks");
  if (calculated)
    leave_scales_to_calculation(report, choice);
  else
    choose_scales(report, choice);
  return choice;
}

kv::KvLayout cache_layout(const model::ModelConfig& config, const CacheChoice& choice, int block_size) {
  kv::KvLayout layout(config.num_layers, config.num_kv_heads, config.head_dim, block_size, choice.dtypes.k,
                      choice.dtypes.v);
  for (const int layer : choice.skip_layers)
    layout.layers[static_cast<std::size_t>(layer)] = {choice.skip_dtype, choice.skip_dtype};
  layout.validate();
  return layout;
}

kv::KvLayout engine_layout(const model::ModelConfig& config, const CacheChoice& choice, int block_size,
                           int max_model_len) {
  kv::KvLayout layout = cache_layout(config, choice, block_size);
  for (const model::LayerConfig& layer : config.layers)
    layout.windows.push_back(layer.sliding_window < max_model_len ? layer.sliding_window : 0);
  return layout;
}

std::string describe_scarce_memory(std::int64_t cache_bytes) {
  const std::int64_t available = available_memory_bytes();
  if (available == 0 || cache_bytes <= available) return {};
  return "the KV cache may grow to " + std::to_string(cache_bytes) + " bytes, but only " +
         std::to_string(available) +
         " bytes of memory are free now; kv_cache_memory_bytes and max_model_len make "
         "it smaller";
}

std::int64_t choose_num_blocks(const kv::KvLayout& layout, const kv::KvDemand& demand, int max_num_seqs,
                               std::int64_t memory_bytes) {
  if (memory_bytes < 0)
    throw Error(ErrorCode::invalid_argument,
                "expected 0 (choose) or a positive number of bytes, found " + std::to_string(memory_bytes),
                "kv_cache_memory_bytes");
  const kv::KvCapacity capacity(layout, demand);
  const std::int64_t one_sequence = capacity.blocks_of_a_sequence();
  if (memory_bytes == 0) {
    const std::int64_t affordable = capacity.blocks_that_fit(available_memory_bytes() / 4);
    const std::int64_t wanted = std::min(one_sequence * max_num_seqs, affordable);
    return std::min(std::max(wanted, one_sequence), kv::KvCapacity::kMostBlocks);
  }
  check_machine_holds(memory_bytes);
  const std::int64_t blocks = capacity.blocks_that_fit(memory_bytes);
  if (blocks < one_sequence) {
    const std::string fits = std::to_string(blocks * layout.block_size);
    throw Error(ErrorCode::out_of_memory,
                "one sequence of max_model_len " + std::to_string(demand.max_model_len) + " tokens needs " +
                    std::to_string(capacity.bytes(one_sequence)) + " bytes, but the cache is given " +
                    std::to_string(memory_bytes) +
                    (blocks == 0 ? ", less than one block of " + std::to_string(layout.bytes_per_block())
                                 : "; a max_model_len of " + fits + " would fit"),
                "kv_cache_memory_bytes");
  }
  return blocks;
}

}  // namespace llm

const std::vector<std::string>& kv_cache_dtype_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all = {"auto"};
    for (const auto& [name, dtype] : llm::kDtypeNames) all.emplace_back(name);
    return all;
  }();
  return names;
}

}  // namespace octet
