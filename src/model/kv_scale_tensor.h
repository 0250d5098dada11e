// One scale tensor: how its name is spelled, and whether its values can be believed.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "files/checkpoint.h"

namespace octet::model {

// What follows "model.layers.N.self_attn.", the first that is there counts. 'b': for both k and v.
struct ScaleSpelling {
  std::string_view name;
  char which;
};
inline constexpr std::array<ScaleSpelling, 15> kScaleSpellings{{{"k_scale", 'k'},
                                                                {"v_scale", 'v'},
                                                                {"q_scale", 'q'},
                                                                {"attn.k_scale", 'k'},
                                                                {"attn.v_scale", 'v'},
                                                                {"attn.q_scale", 'q'},
                                                                {"k_proj.k_scale", 'k'},
                                                                {"v_proj.v_scale", 'v'},
                                                                {"qkv_proj.k_scale", 'k'},
                                                                {"qkv_proj.v_scale", 'v'},
                                                                {"k_cache.scale", 'k'},
                                                                {"v_cache.scale", 'v'},
                                                                {"k_proj.output_scale", 'k'},
                                                                {"v_proj.output_scale", 'v'},
                                                                {"kv_scale", 'b'}}};

inline bool serves(const ScaleSpelling& spelling, char which) {
  return spelling.which == which || (spelling.which == 'b' && which != 'q');
}

// A tensor of one layer's attention: "model.layers.7.self_attn.k_scale" is {7, "k_scale"}.
struct AttentionTensor {
  int layer;
  std::string_view rest;  // a part of the name that was parsed
};
// Nothing for any other tensor.
std::optional<AttentionTensor> parse_attention_tensor(std::string_view name);

// A scale's values, one or one a head, or what is wrong with them.
struct ReadScale {
  std::vector<float> values;  // empty where dtype or shape are the fault
  std::string fault;          // empty where there is none
};
ReadScale read_scale(const files::TensorView& tensor, int heads);

// True for -0.0 too. What has no conversion to float is zero where all its bytes are.
bool is_all_zero(const files::TensorView& tensor);

}  // namespace octet::model
