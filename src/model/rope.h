// Rotary position embedding: how one model's queries and keys turn with their position.
#pragma once

#include <optional>
#include <vector>

#include "files/json_value.h"

namespace octet::model {

// How rotary frequencies are stretched; rope_type as configs spell it.
struct RopeConfig {
  enum class Type { default_, linear, llama3, yarn, longrope } type = Type::default_;
  double theta = 10000.0;
  int rotary_dim = 0;                        // the first so many elements of a head turn; even
  double factor = 1.0;                       // linear, llama3, yarn
  double low_freq_factor = 1.0;              // llama3
  double high_freq_factor = 4.0;             // llama3
  int original_max_position_embeddings = 0;  // llama3, yarn, longrope: tokens
  double attention_factor = 1.0;             // yarn, longrope: multiplies every cosine and sine
  double beta_fast = 32.0;                   // yarn: turns in the original context
  double beta_slow = 1.0;                    // yarn
  bool truncate = true;                      // yarn: the range of dimensions is one of whole numbers
  std::vector<double> short_factor;          // longrope [rotary_dim / 2]
  std::vector<double> long_factor;           // longrope [rotary_dim / 2]: for longer contexts
};

// What `parameters` (rope_parameters, rope_scaling, or one layer type's part of it; null where there is none)
// and the members beside it in config.json say; the base of the frequencies stands in `parameters` or under
// `theta_key`, else it is `theta`. Throws as read_model_config.
RopeConfig read_rope(const files::JsonValue& config, const std::optional<files::JsonValue>& parameters,
                     const char* theta_key, double theta, int head_dim);

// rope_parameters (transformers 5) or rope_scaling; nothing where neither is there. Throws where they differ.
std::optional<files::JsonValue> find_rope_parameters(const files::JsonValue& config);

// Angles are position * inverse_frequencies[i], in radians; cosines and sines are multiplied by `scale`.
struct RopeFrequencies {
  std::vector<float> inverse_frequencies;  // [rotary_dim / 2]
  float scale = 1.0f;
};

// `max_model_len` (tokens) chooses between the short and the long factors of longrope: the long ones for a
// model that is run beyond its original context, whatever a sequence's length, so that no key in the cache
// is turned in another way than the next.
// Source: transformers 5.19 modeling_rope_utils, computed in float32 as there.
RopeFrequencies rope_frequencies(const RopeConfig& rope, int max_model_len);

}  // namespace octet::model
