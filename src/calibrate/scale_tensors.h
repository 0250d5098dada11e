// Scales as the tensors of a checkpoint, named, shaped and typed as compressed-tensors writes them.
#pragma once

#include <vector>

#include "files/safetensors_writer.h"
#include "kv/kv_scales.h"
#include "model/config.h"

namespace octet::calibrate {

// model.layers.N.self_attn.{k,v}_scale, and q_scale where the scales have q: [1] per tensor, [heads, 1, 1] per
// head, in the dtype of the weights (float32 where float16 is too coarse for a scale as small as one of them).
// Calibrated attention also gets zero points of zero in F8_E4M3, which compressed-tensors expects there; a
// calibrated cache alone has none. Source: compressed-tensors 0.19 initialize_qparams.
std::vector<files::OwnedTensor> scale_tensors(const kv::KvScales& scales, const model::ModelConfig& config);

// True for the name of any attention scale or zero point, in any spelling that is read.
bool is_scale_tensor(std::string_view name);

}  // namespace octet::calibrate
