#include "calibrate/layer_ranges.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <utility>

#include "base/error.h"
#include "calibrate/largest_observer.h"

namespace octet::tests {
namespace {

using calibrate::LargestObserver;
using calibrate::LayerRanges;
using kv::ScaleStrategy;

constexpr int kHeadDim = 4;

model::ModelConfig config(int layers) {
  model::ModelConfig c;
  c.num_layers = layers;
  c.num_heads = 4;
  c.num_kv_heads = 2;
  c.head_dim = kHeadDim;
  return c;
}

// Rows of `heads` heads, one value everywhere but where it is set, with a gap behind each row.
struct Rows {
  int tokens, heads;
  std::vector<float> values;

  Rows(int num_tokens, int num_heads, float value)
      : tokens(num_tokens), heads(num_heads), values(std::size_t(num_tokens) * std::size_t(stride()), value) {}
  int stride() const { return heads * kHeadDim + 3; }
  float& at(int token, int head, int i) {
    return values[static_cast<std::size_t>(token * stride() + head * kHeadDim + i)];
  }
  model::HeadRows rows() const { return {values.data(), stride(), tokens, heads, kHeadDim}; }
};

// The message of the Error that asking for scales throws.
std::string refusal(const std::vector<LayerRanges>& layers, ScaleStrategy strategy, bool with_q = false) {
  try {
    calibrate::scales_from_ranges(layers, strategy, {.q = with_q});
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    return error.what();
  }
  return "no error";
}

TEST(LargestObserver, KeepsTheLargestMagnitudeOfEachLayerAndHead) {
  LargestObserver observer({.targets = {.q = true}}, config(2));
  Rows q(3, 4, 0.5f), k(3, 2, -0.25f), v(3, 2, 1.0f);
  k.at(2, 1, 3) = -8.0f;  // the last value of the last row counts, and so does its magnitude
  q.at(0, 3, 0) = 2.0f;
  // What stands between rows belongs to no head.
  for (int token = 0; token < 3; ++token) k.values[static_cast<std::size_t>((token + 1) * k.stride() - 1)] = 99;
  observer.observe_qkv(1, q.rows(), k.rows(), v.rows());
  v.at(1, 0, 2) = 3.0f;
  k.at(2, 1, 3) = 0.0f;  // a later, smaller step takes nothing back
  observer.observe_qkv(1, q.rows(), k.rows(), v.rows());
  EXPECT_EQ(observer.ranges()[0].k, (std::vector<float>{0, 0}));
  EXPECT_EQ(observer.ranges()[1].q, (std::vector<float>{0.5f, 0.5f, 0.5f, 2.0f}));
  EXPECT_EQ(observer.ranges()[1].k, (std::vector<float>{0.25f, 8.0f}));
  EXPECT_EQ(observer.ranges()[1].v, (std::vector<float>{3.0f, 1.0f}));
}

TEST(LayerRanges, ScalesAreRangesOver448) {
  const std::vector<LayerRanges> layers = {{{448, 896, 0, 1}, {224, 448}, {1, 3}}};
  const kv::KvScales heads = calibrate::scales_from_ranges(layers, ScaleStrategy::attn_head);
  EXPECT_EQ(heads.strategy, ScaleStrategy::attn_head);
  EXPECT_EQ(heads.layers[0].k, (std::vector<float>{0.5f, 1.0f}));
  EXPECT_EQ(heads.layers[0].v, (std::vector<float>{1.0f / 448, 3.0f / 448}));
  EXPECT_TRUE(heads.layers[0].q.empty());
  const kv::KvScales tensor = calibrate::scales_from_ranges(layers, ScaleStrategy::tensor, {.q = true});
  EXPECT_EQ(tensor.layers[0].k, (std::vector<float>{1.0f, 1.0f}));
  EXPECT_EQ(tensor.layers[0].v, (std::vector<float>{3.0f / 448, 3.0f / 448}));
  EXPECT_EQ(tensor.layers[0].q, (std::vector<float>(4, 2.0f)));
}

TEST(LayerRanges, RefusesRangesThatGiveNoScale) {
  std::vector<LayerRanges> layers(3, {{1, 1, 1, 1}, {1, 1}, {1, 1}});
  layers[2].v[1] = 0;
  EXPECT_EQ(refusal(layers, ScaleStrategy::attn_head),
            "layer 2: the largest |v| of head 1: expected a positive finite number, found 0");
  EXPECT_EQ(refusal(layers, ScaleStrategy::tensor), "no error");  // the other head's serves it
  layers[2].v[0] = 0;
  EXPECT_NE(refusal(layers, ScaleStrategy::tensor).find("layer 2: the largest |v|"), std::string::npos);
  layers[2].v = {1e-15f, 1e-15f};  // a norm of zeros leaves the bound no more than its margin
  EXPECT_NE(refusal(layers, ScaleStrategy::tensor).find("from 2^-40 to 2^40"), std::string::npos);
  layers[2].v = {1, 1};
  layers[0].q[3] = std::numeric_limits<float>::infinity();
  EXPECT_NE(refusal(layers, ScaleStrategy::attn_head, true).find("layer 0: the largest |q| of head 3"),
            std::string::npos);
}

TEST(LargestObserver, NanIsNeverLost) {
  for (const auto strategy : {ScaleStrategy::tensor, ScaleStrategy::attn_head}) {
    LargestObserver observer({.targets = {.q = true}}, config(1));
    Rows q(2, 4, 1.0f), k(2, 2, 1.0f), v(2, 2, 1.0f);
    k.at(0, 1, 2) = -std::numeric_limits<float>::quiet_NaN();
    observer.observe_qkv(0, q.rows(), k.rows(), v.rows());
    k.at(0, 1, 2) = 1.0f;
    observer.observe_qkv(0, q.rows(), k.rows(), v.rows());
    EXPECT_TRUE(std::isnan(observer.ranges()[0].k[1]));
    EXPECT_NE(refusal(observer.ranges(), strategy).find("found nan"), std::string::npos);
  }
}

}  // namespace
}  // namespace octet::tests
