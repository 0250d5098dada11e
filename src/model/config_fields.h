// What the families' read_config are made of: single members of config.json, and the decoder that all of them
// vary. Errors as read_model_config.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "files/json_value.h"
#include "model/config.h"

namespace octet::model {

inline constexpr int kMostWidth = 1 << 20;
inline constexpr int kMostPositions = 1 << 28;
inline constexpr int kMostExperts = 1 << 14;

// Throws Error{unsupported} at this value's place.
[[noreturn]] void refuse(const files::JsonValue& value, const std::string& message);

int read_int(const files::JsonValue& config, const char* key, int least, int most);
bool read_flag(const files::JsonValue& config, const char* key, bool absent = false);
// Greater than `above` and at most `most`.
double read_number(const files::JsonValue& value, double above, double most);
// Nothing where neither is there; an error where both are and differ.
std::optional<files::JsonValue> find_either(const files::JsonValue& config, const char* key, const char* other);
// True where the member stands in the object, null included.
bool is_stated(const files::JsonValue& config, const char* key);

// What a family assumes where config.json is silent.
struct DecoderDefaults {
  double rope_theta = 10000.0;
  double rms_norm_eps = 1e-6;
  bool tie_word_embeddings = false;
  bool kv_heads_as_query_heads = false;  // num_key_value_heads may be absent
  int head_dim = 0;                      // 0 = hidden_size / num_attention_heads
  const char* activation_key = "hidden_act";
  Activation activation = Activation::silu;
  bool per_layer_type_rope = false;  // the family reads `ropes` itself
};

// What all families share: sizes, norms, one rope for all layers, activation, dtype, end tokens. No layer has a
// window, no projection a bias; attention_scale is 1 / sqrt(head_dim).
ModelConfig read_decoder(const files::JsonValue& config, const DecoderDefaults& defaults);

// The window of layers: sliding_window tokens, or `absent` where the member is not there at all.
// 0 where it is null or use_sliding_window (`used` where that is absent) is false.
int read_sliding_window(const files::JsonValue& config, int absent, bool used = true);

// Gives layers their windows: as layer_types says where it stands ("full_attention", "sliding_attention"), else
// those of `windowed` [num_layers]. A layer type that needs a window where there is none is an error.
void set_windows(const files::JsonValue& config, ModelConfig& c, int window, const std::vector<bool>& windowed);

}  // namespace octet::model
