// SmolLM3: Llama whose every fourth layer turns neither queries nor keys (NoPE).
// Source: transformers 5.19 modeling_smollm3.
#include "model/architecture.h"
#include "model/config_fields.h"
#include "model/decoder_layer.h"

namespace octet::model {

namespace {

// no_rope_layers has a 1 for each layer that turns and a 0 for each that does not; else no_rope_layer_interval.
void read_nope_layers(const files::JsonValue& config, ModelConfig& c) {
  const auto turns = config.find("no_rope_layers");
  if (!turns) {
    const int every = config.find("no_rope_layer_interval")
                          ? read_int(config, "no_rope_layer_interval", 1, kMostPositions)
                          : 4;
    for (std::size_t layer = 0; layer < c.layers.size(); ++layer)
      if ((static_cast<int>(layer) + 1) % every == 0) c.layers[layer].rope = LayerConfig::kNoRope;
    return;
  }
  const std::vector<files::JsonValue> values = turns->elements();
  if (values.size() != c.layers.size())
    turns->fail("expected num_hidden_layers " + std::to_string(c.layers.size()) + " of them, found " +
                std::to_string(values.size()));
  for (std::size_t layer = 0; layer < values.size(); ++layer)
    if (values[layer].as_int(0, 1) == 0) c.layers[layer].rope = LayerConfig::kNoRope;
}

ModelConfig read_smollm3_config(const files::JsonValue& config) {
  ModelConfig c = read_decoder(config, {.rope_theta = 2e6, .tie_word_embeddings = true});
  c.qkv_bias = c.o_bias = read_flag(config, "attention_bias");
  c.mlp_bias = read_flag(config, "mlp_bias");
  read_nope_layers(config, c);
  std::vector<bool> windowed;
  for (const LayerConfig& layer : c.layers) windowed.push_back(layer.rope == LayerConfig::kNoRope);
  set_windows(config, c, read_sliding_window(config, 0, false), windowed);
  return c;
}

}  // namespace

const Architecture& smollm3_architecture() {
  static const Architecture architecture{
      {"SmolLM3ForCausalLM"}, read_smollm3_config, load_pre_norm_layer, run_pre_norm_layer};
  return architecture;
}

}  // namespace octet::model
