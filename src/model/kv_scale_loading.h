// Finding KV scales in a checkpoint, checking every one of them, and saying what was found.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "files/checkpoint.h"
#include "kv/kv_scales.h"
#include "model/config.h"

namespace octet::model {

// One scale tensor that stands in the checkpoint.
struct ScaleFinding {
  std::string tensor;  // its name in the file
  char which;          // 'k', 'v' or 'q'; 'k' for the old kv_scale, which serves both
  int layer;
  bool used;  // false: refused or not needed; `note` says why
  std::string note;
  std::vector<float> values;
};

// What a checkpoint says about its KV cache.
struct KvScaleReport {
  std::optional<kv::KvScales> scales;      // nothing where the checkpoint has no k/v scales
  std::vector<ScaleFinding> findings;      // in layer order
  std::optional<KvDtype> requested_dtype;  // quantization_config asks for an FP8 cache
  std::string quant_method;                // "compressed-tensors", …; empty where there is none
  std::vector<std::string> warnings;       // one line each, naming the (first) tensor
  std::optional<Error> error;              // why load_kv_scales refuses the checkpoint; then no `scales`
  bool config_refused = false;             // `error` is about quantization_config, which no cache gets around
};

// Reads quantization_config (and hf_quant_config.json) and every scale tensor, and keeps the first fault as
// report.error, so that a person can be shown all that stands there. A bad q scale is a warning and is not
// used. Spellings under model.layers.N.self_attn, the first that is there counts: {q,k,v}_scale,
// attn.{q,k,v}_scale, {k,v}_proj.{k,v}_scale, qkv_proj.{k,v}_scale, {k,v}_cache.scale, {k,v}_proj.output_scale,
// kv_scale.
KvScaleReport examine_kv_scales(const files::Checkpoint& checkpoint, const ModelConfig& config);

// The same, for a checkpoint that is to be run.
// Throws Error{invalid_file} naming the tensor: NaN, infinite, zero, negative, outside 2^-40..2^40, a wrong
// count, only some layers, k without v, a non-zero zero point. Throws Error{unsupported} for a kv_cache_scheme
// that is not 8-bit static float, or quantised weights.
KvScaleReport load_kv_scales(const files::Checkpoint& checkpoint, const ModelConfig& config);

}  // namespace octet::model
