// Arrays over the library's own memory: what numpy, or anything else with DLPack or the buffer protocol, takes
// without a copy. Each keeps alive what it looks at.
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>
#include <octet/async_llm.h>

#include <initializer_list>
#include <memory>
#include <utility>
#include <vector>

#include "bindings.h"
#include "engine.h"

namespace octet::python {

namespace nb = nanobind;
using nb::literals::operator""_a;

namespace {

// Of whatever the Python side asks it to be; numpy need not be there.
template <typename T>
using Array = nb::ndarray<T, nb::array_api, nb::device::cpu, nb::c_contig>;

template <typename T>
Array<T> array(T* data, std::initializer_list<std::size_t> shape, nb::handle owner) {
  return Array<T>(data, shape, owner);
}

Array<float> logits(const Engine& engine, const std::vector<std::int32_t>& token_ids, bool last_only) {
  auto numbers = std::make_unique<std::vector<float>>();
  std::size_t vocab = 0;
  {
    const nb::gil_scoped_release released;
    *numbers = engine.llm().logits(token_ids, last_only);
    vocab = static_cast<std::size_t>(engine.llm().vocab_size());
  }
  std::vector<float>* const held = numbers.release();
  const nb::capsule owner(held, [](void* p) noexcept { delete static_cast<std::vector<float>*>(p); });
  return array(held->data(), {held->size() / vocab, vocab}, owner);
}

nb::dict describe(nb::handle engine, const CacheTensor& tensor) {
  const auto size = [](std::int64_t n) { return static_cast<std::size_t>(n); };
  nb::dict d;
  d["dtype"] = tensor.dtype;
  d["bytes"] =
      nb::cast(array(reinterpret_cast<const std::uint8_t*>(tensor.bytes),
                     {size(tensor.num_blocks), size(tensor.num_kv_heads), size(tensor.head_bytes)}, engine));
  d["token_scales_offset"] = tensor.token_scales_offset;
  d["scales"] = nb::cast(array(tensor.scales, {size(tensor.num_kv_heads)}, engine));
  return d;
}

nb::dict cache_memory(nb::handle self, int layer) {
  const LayerCacheMemory memory = nb::cast<const Engine&>(self).llm().cache_memory(layer);
  nb::dict d;
  d["k"] = describe(self, memory.k);
  d["v"] = describe(self, memory.v);
  d["block_size"] = memory.block_size;
  d["head_dim"] = memory.head_dim;
  d["key_tile"] = memory.key_tile;
  d["q_scales"] = memory.num_q_scales == 0
                      ? nb::object(nb::none())
                      : nb::cast(array(memory.q_scales, {static_cast<std::size_t>(memory.num_q_scales)}, self));
  return d;
}

}  // namespace

void bind_arrays(nb::module_& m) {
  m.def("logits", logits, "engine"_a, "token_ids"_a, "last_only"_a);
  m.def("cache_memory", cache_memory, "engine"_a, "layer"_a);
}

}  // namespace octet::python
