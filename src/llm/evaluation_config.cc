#include "llm/evaluation_config.h"

#include <algorithm>
#include <filesystem>
#include <initializer_list>
#include <string_view>

#include "base/error.h"
#include "files/hub_cache.h"
#include "llm/attention_math_choice.h"

namespace octet::llm {

namespace {

bool is_dtype(const std::string& text) {
  const std::vector<std::string>& names = kv_cache_dtype_names();
  return std::find(names.begin(), names.end(), text) != names.end();
}

[[noreturn]] void refuse(const std::string& text, const std::string& option) {
  std::string known;
  for (const std::string& dtype : kv_cache_dtype_names()) known += dtype + ", ";
  throw Error(ErrorCode::invalid_argument,
              "expected " + known +
                  "or a checkpoint directory (DIR or DIR:DTYPE), with +k=DTYPE, +v=DTYPE, +skip=LAYERS, "
                  "+scales=random, prompt or bound, and with those +strategy=tensor or attn_head, "
                  "+math=MATH, +dtype=bfloat16, or +quantization=fp8 or int8 behind it where wanted, found '" +
                  text + "'",
              option);
}

bool is_directory(const std::string& path) {
  std::error_code ignored;
  return !path.empty() && std::filesystem::is_directory(path, ignored);
}

// "DTYPE", "DIR" or "DIR:DTYPE"; false where it is none of them.
bool read_base(const std::string& base, EvaluationConfig& config) {
  if (is_dtype(base)) {
    config.cache.kv_cache_dtype = base;
    return true;
  }
  config.directory = base;
  const std::size_t colon = base.rfind(':');
  if (!is_directory(base) && colon != std::string::npos && is_dtype(base.substr(colon + 1))) {
    config.cache.kv_cache_dtype = base.substr(colon + 1);
    config.directory = base.substr(0, colon);
  }
  config.directory = files::find_model(config.directory);
  return is_directory(config.directory);
}

bool is_one_of(std::string_view word, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

// Takes the last "+NAME=VALUE" off `text`; false where there is none, or none of those that are known.
bool take_suffix(std::string& text, EvaluationConfig& config) {
  const std::size_t plus = text.rfind('+');
  if (plus == std::string::npos) return false;
  const std::string suffix = text.substr(plus + 1);
  if (suffix.starts_with("skip=")) {
    config.cache.kv_cache_dtype_skip_layers.push_back(suffix.substr(5));
  } else if (suffix.starts_with("k=") && is_dtype(suffix.substr(2))) {
    config.cache.kv_cache_dtype_k = suffix.substr(2);
  } else if (suffix.starts_with("v=") && is_dtype(suffix.substr(2))) {
    config.cache.kv_cache_dtype_v = suffix.substr(2);
  } else if (suffix.starts_with("scales=") && is_one_of(suffix.substr(7), {"random", "prompt", "bound"})) {
    config.calculate_kv_scales = suffix.substr(7);
  } else if (suffix.starts_with("strategy=") && is_one_of(suffix.substr(9), {"tensor", "attn_head"})) {
    config.kv_scale_strategy = suffix.substr(9);
  } else if (suffix.starts_with("math=") && is_attention_math(suffix.substr(5))) {
    config.attention_math = suffix.substr(5);
  } else if (suffix.starts_with("dtype=") && is_one_of(suffix.substr(6), {"float32", "bfloat16", "auto"})) {
    config.dtype = suffix.substr(6);
  } else if (suffix.starts_with("quantization=") && is_one_of(suffix.substr(13), {"fp8", "int8"})) {
    config.quantization = suffix.substr(13);
  } else {
    return false;
  }
  text.resize(plus);
  return true;
}

}  // namespace

EvaluationConfig parse_evaluation_config(const std::string& text, const std::string& model,
                                         const std::string& option) {
  EvaluationConfig config{.name = text, .directory = model, .cache = {}};
  std::string base = text;
  while (take_suffix(base, config)) {
  }
  if (!read_base(base, config)) refuse(text, option);
  return config;
}

}  // namespace octet::llm
