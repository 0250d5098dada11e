// Mixture of experts: the router chooses, and only the chosen experts' weights are read.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>
#include <vector>

#include "model/decoder_layer.h"

namespace octet::model {

namespace {

// A token that an expert computes.
struct Routed {
  int token;
  float weight;
};

// One token's experts from its row of router logits, by falling probability; equals by rising index.
void choose_experts(const ModelConfig& c, const float* logits, int token,
                    std::vector<std::vector<Routed>>& routed) {
  const auto experts = static_cast<std::size_t>(c.num_experts);
  const auto chosen = static_cast<std::size_t>(c.experts_per_token);
  const float largest = *std::max_element(logits, logits + experts);
  std::vector<float> probability(experts);
  float sum = 0.0f;
  for (std::size_t e = 0; e < experts; ++e) sum += probability[e] = std::exp(logits[e] - largest);
  for (float& p : probability) p /= sum;

  std::vector<std::size_t> order(experts);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(chosen), order.end(),
                    [&](std::size_t a, std::size_t b) {
                      return probability[a] > probability[b] || (probability[a] == probability[b] && a < b);
                    });
  float total = 1.0f;
  if (c.norm_topk_prob) {
    total = 0.0f;
    for (std::size_t i = 0; i < chosen; ++i) total += probability[order[i]];
  }
  for (std::size_t i = 0; i < chosen; ++i) routed[order[i]].push_back({token, probability[order[i]] / total});
}

// The tokens of each expert [E], in order.
std::vector<std::vector<Routed>> route(Step& step, const LayerWeights& w, const float* x, int tokens) {
  const ModelConfig& c = step.config;
  float* logits =
      step.workspace.router.reserve(static_cast<std::size_t>(tokens) * static_cast<std::size_t>(c.num_experts));
  // In float32 whatever the linear layers round to: a near tie must not choose another expert.
  const Dtype dtype = std::exchange(step.dtype, Dtype::float32);
  const Product product[] = {{&w.router, logits, c.num_experts}};
  multiply(step, product, x, c.hidden_size, tokens);
  step.dtype = dtype;
  std::vector<std::vector<Routed>> routed(static_cast<std::size_t>(c.num_experts));
  for (int t = 0; t < tokens; ++t)
    choose_experts(c, logits + static_cast<std::int64_t>(t) * c.num_experts, t, routed);
  return routed;
}

// out[token] += weight * the expert's MLP of x[token], for its tokens.
void run_expert(Step& step, const ExpertWeights& w, const std::vector<Routed>& routed, const float* x,
                float* out) {
  const ModelConfig& c = step.config;
  const int tokens = static_cast<int>(routed.size());
  const int size = c.expert_intermediate_size, hidden = c.hidden_size;
  const auto row = [&](auto* rows, std::size_t index) {
    return rows + static_cast<std::int64_t>(index) * hidden;
  };
  float* in = step.workspace.expert_in.data();
  float* result = step.workspace.expert_out.data();
  float* gate_up = step.workspace.gate_up.data();
  for (std::size_t i = 0; i < routed.size(); ++i)
    std::copy_n(row(x, static_cast<std::size_t>(routed[i].token)), hidden, row(in, i));
  const Product gate_up_products[] = {{&w.gate, gate_up, 2 * size}, {&w.up, gate_up + size, 2 * size}};
  multiply(step, gate_up_products, in, hidden, tokens);
  activate(step, gate_up, size, tokens);
  const Product down_product[] = {{&w.down, result, hidden}};
  multiply(step, down_product, gate_up, 2 * size, tokens);
  for (std::size_t i = 0; i < routed.size(); ++i) {
    float* to = row(out, static_cast<std::size_t>(routed[i].token));
    const float* from = row(result, i);
    for (int d = 0; d < hidden; ++d) to[d] += routed[i].weight * from[d];
  }
}

}  // namespace

void mixture_of_experts(Step& step, const LayerWeights& w, const float* x, float* out, int num_tokens) {
  const ModelConfig& c = step.config;
  const auto tokens = static_cast<std::size_t>(num_tokens);
  const std::size_t floats = tokens * static_cast<std::size_t>(c.hidden_size);
  step.workspace.expert_in.reserve(floats);
  step.workspace.expert_out.reserve(floats);
  step.workspace.gate_up.reserve(tokens * 2 * static_cast<std::size_t>(c.expert_intermediate_size));
  const std::vector<std::vector<Routed>> routed = route(step, w, x, num_tokens);
  std::fill_n(out, floats, 0.0f);
  for (std::size_t e = 0; e < routed.size(); ++e)
    if (!routed[e].empty()) run_expert(step, w.experts[e], routed[e], x, out);
}

}  // namespace octet::model
