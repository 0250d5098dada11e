// Weights of a decoder: views into the checkpoint's mappings, a shape beside every tensor.
//
// D hidden_size, F intermediate_size, E num_experts, H num_heads, K num_kv_heads, d head_dim, V vocab_size.
// Matrices are [out, in], as files store them. Norm gains and biases are small and copied to float.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "files/checkpoint.h"
#include "model/linear.h"

namespace octet::model {

// The MLP of one expert. Fe is expert_intermediate_size.
struct ExpertWeights {
  Linear gate;  // [Fe, D]
  Linear up;    // [Fe, D]
  Linear down;  // [D, Fe]
};

// What a family does not have is empty. Gains are what the norm multiplies by, 1 included where the family adds
// it.
struct LayerWeights {
  std::vector<float> attention_norm;       // [D]
  Linear q;                                // [H * d, D]
  Linear k;                                // [K * d, D]
  Linear v;                                // [K * d, D]
  std::vector<float> q_norm;               // [d]
  std::vector<float> k_norm;               // [d]
  Linear o;                                // [D, H * d]
  std::vector<float> attention_post_norm;  // [D]
  std::vector<float> mlp_norm;             // [D]
  Linear gate;                             // [F, D]
  Linear up;                               // [F, D]
  Linear down;                             // [D, F]
  Linear router;                           // [E, D], and then experts in place of gate, up and down
  std::vector<ExpertWeights> experts;      // [E]
  std::vector<float> mlp_post_norm;        // [D]
};

struct Weights {
  Linear embedding;                  // [V, D]
  std::vector<LayerWeights> layers;  // [num_layers]
  std::vector<float> final_norm;     // [D]
  Linear lm_head;                    // [V, D]; the embedding again where they are tied
};

// Every linear layer of `layer` that may be quantised (not the router) with its name in a checkpoint, such as
// "mlp.up_proj".
std::vector<std::pair<std::string, Linear*>> linear_layers(LayerWeights& layer);

// The tensor `name` of shape [size], as float. Throws as take_linear.
std::vector<float> take_vector(const files::Checkpoint& checkpoint, const std::string& name, int size);

}  // namespace octet::model
