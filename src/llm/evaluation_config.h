// A configuration of an evaluation: which checkpoint's scales, and how the cache stores.
#pragma once

#include <octet/kv_cache_options.h>

#include <string>
#include <vector>

namespace octet::llm {

struct EvaluationConfig {
  std::string name;       // as it was written
  std::string directory;  // the checkpoint
  KvCacheDtypeOptions cache;
  // LLMOptions' options of the same names: scales that are calculated take the place of the checkpoint's.
  std::string calculate_kv_scales = {};
  std::string kv_scale_strategy = "tensor";
  std::string attention_math = "fp32";  // the same
  std::string dtype = "float32";        // the same
  std::string quantization = {};        // the same
};

// "DTYPE", "DIR" or "DIR:DTYPE", each with "+k=DTYPE", "+v=DTYPE", "+skip=LAYERS", "+scales=SOURCE",
// "+strategy=STRATEGY", "+math=MATH", "+dtype=DTYPE" or "+quantization=METHOD" behind it, as
// EvaluationOptions::configs has them; `model` is the directory of the first kind. Throws
// Error{invalid_argument} listing what there is, with `option` as context.
EvaluationConfig parse_evaluation_config(const std::string& text, const std::string& model,
                                         const std::string& option);

}  // namespace octet::llm
