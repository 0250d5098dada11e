#include "llm/cache_memory.h"

#include "base/error.h"
#include "numeric/dtype.h"

namespace octet::llm {

namespace {

CacheTensor tensor(const kernels::KvView& view, const kv::BlockPool& pool, bool keys) {
  const KvDtype dtype = keys ? view.k_dtype : view.v_dtype;
  return {.dtype = std::string(dtype_name(dtype)),
          .bytes = keys ? view.k : view.v,
          .num_blocks = pool.num_blocks(),
          .num_kv_heads = view.num_kv_heads,
          .head_bytes = kernels::head_block_bytes(dtype, view.block_size, view.head_dim),
          .token_scales_offset = kernels::head_numbers_bytes(dtype, view.block_size, view.head_dim),
          .scales = keys ? view.k_scale : view.v_scale};
}

}  // namespace

LayerCacheMemory cache_memory(const kv::KvCache& cache, int layer) {
  const int num_layers = cache.layout().num_layers();
  if (layer < 0 || layer >= num_layers)
    throw Error(ErrorCode::invalid_argument,
                "expected 0 to " + std::to_string(num_layers - 1) + ", found " + std::to_string(layer),
                "layer");
  const kernels::KvView& view = cache.view(layer);
  const std::vector<float>& q_scales = cache.scales().layers[static_cast<std::size_t>(layer)].q;
  const kv::BlockPool& pool = cache.pool(cache.group_of(layer));
  return {.k = tensor(view, pool, true),
          .v = tensor(view, pool, false),
          .block_size = view.block_size,
          .head_dim = view.head_dim,
          .key_tile = view.k_tile,
          .q_scales = q_scales.data(),
          .num_q_scales = static_cast<std::int64_t>(q_scales.size())};
}

}  // namespace octet::llm
