// Writing a calibrated checkpoint: another one's weights, untouched, with scales beside them.
#pragma once

#include <string>

#include "calibrate/quantization_config_json.h"
#include "files/checkpoint.h"
#include "kv/kv_scales.h"
#include "model/config.h"

namespace octet::calibrate {

// The added shard.
inline constexpr const char* kScalesFile = "model-kv-scales.safetensors";
// What model.safetensors is called where an index stands beside it: under its own name, readers would take it
// for the whole checkpoint and never look at the index.
inline constexpr const char* kWeightsFile = "model-00001-of-00001.safetensors";

struct CheckpointOutput {
  std::string directory;
  bool scales_only = false;  // the added shard, the index and config.json, and nothing else
  bool replace = false;      // a checkpoint that stands there
  Provenance provenance;
};

// What would make write_calibrated_checkpoint fail, before the time that calibrating takes.
// Throws Error: invalid_argument (the directory stands there, or is the checkpoint's own, or, with `replace`,
// is no checkpoint), not_found, io (no place to write), unsupported (quantised weights; KV scales in the same
// file as weights, or an hf_quant_config.json, either of which would contradict the new ones).
void check_output(const files::Checkpoint& checkpoint, const CheckpointOutput& output);

// Writes the directory and reads its scales back before it gets its name. Weights are hard links where the file
// system allows them, all else is copied. Throws as check_output, and Error{io}; nothing is left behind then.
void write_calibrated_checkpoint(const files::Checkpoint& checkpoint, const model::ModelConfig& config,
                                 const kv::KvScales& scales, const CheckpointOutput& output);

}  // namespace octet::calibrate
