// AttentionObserver: what watches queries, keys, values and attention outputs while a model runs: calibration,
// warm-up and evaluation.
//
// Called on the thread that runs forward(), between the parallel loops, once a layer and step. The rows are the
// step's own buffers: read them during the call, copy what must outlive it.
#pragma once

#include <cstdint>

namespace octet::model {

// The heads of T tokens. Head h of token t begins at data + t * stride + h * head_dim (elements, float32).
struct HeadRows {
  const float* data;
  std::int64_t stride;
  int num_tokens;
  int num_heads;
  int head_dim;
};

class AttentionObserver {
 public:
  virtual ~AttentionObserver() = default;
  // After rotary embedding and before the keys and values are written into the cache: the cache's scales of
  // this layer may still be set here (KvCache::set_scales).
  virtual void observe_qkv(int layer, const HeadRows& q, const HeadRows& k, const HeadRows& v) = 0;
  // The attention output, before the output projection.
  virtual void observe_output(int /*layer*/, const HeadRows& /*out*/) {}
};

}  // namespace octet::model
