#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>
#include <octet/hub_cache.h>
#include <octet/inspect.h>

#include "bindings.h"

namespace octet::python {

namespace nb = nanobind;
using nb::literals::operator""_a;

namespace {

nb::list scale_rows(const std::vector<KvScaleInfo>& scales) {
  nb::list rows;
  for (const KvScaleInfo& scale : scales) {
    nb::dict d;
    d["tensor"] = scale.tensor;
    d["which"] = scale.which;
    d["layer"] = scale.layer;
    d["used"] = scale.used;
    d["note"] = scale.note;
    d["values"] = nb::cast(scale.values);
    rows.append(d);
  }
  return rows;
}

nb::list weight_rows(const std::vector<WeightDtypeInfo>& dtypes) {
  nb::list rows;
  for (const WeightDtypeInfo& weights : dtypes) {
    nb::dict d;
    d["dtype"] = weights.dtype;
    d["tensors"] = weights.tensors;
    d["bytes"] = weights.bytes;
    rows.append(d);
  }
  return rows;
}

nb::dict inspect(const std::string& model) {
  CheckpointInfo info;
  {
    const nb::gil_scoped_release released;
    info = inspect_checkpoint(model);
  }
  nb::dict costs;
  for (const KvCacheCost& cost : info.cache_costs) costs[cost.kv_cache_dtype.c_str()] = cost.bytes_per_token;
  nb::dict d;
  d["directory"] = info.directory;
  d["architecture"] = info.architecture;
  d["model_type"] = info.model_type;
  d["num_layers"] = info.num_layers;
  d["hidden_size"] = info.hidden_size;
  d["intermediate_size"] = info.intermediate_size;
  d["num_heads"] = info.num_heads;
  d["num_kv_heads"] = info.num_kv_heads;
  d["head_dim"] = info.head_dim;
  d["vocab_size"] = info.vocab_size;
  d["max_position_embeddings"] = info.max_position_embeddings;
  d["sliding_window"] = info.sliding_window;
  d["tie_word_embeddings"] = info.tie_word_embeddings;
  d["rope"] = info.rope;
  d["dtype"] = info.dtype;
  d["num_tensors"] = info.num_tensors;
  d["num_parameters"] = info.num_parameters;
  d["weight_bytes"] = info.weight_bytes;
  d["weight_dtypes"] = weight_rows(info.weight_dtypes);
  d["quantization_config"] = info.quantization_config;
  d["requested_kv_cache_dtype"] = info.requested_kv_cache_dtype;
  d["scale_strategy"] = info.scale_strategy;
  d["scales"] = scale_rows(info.scales);
  d["layers_without_k"] = nb::cast(info.layers_without_k);
  d["layers_without_v"] = nb::cast(info.layers_without_v);
  d["scale_error"] = info.scale_error;
  d["weights_error"] = info.weights_error;
  d["tokenizer_error"] = info.tokenizer_error;
  d["warnings"] = nb::cast(info.warnings);
  d["bytes_per_token"] = costs;
  d["tokenizer_vocab_size"] = info.tokenizer_vocab_size;
  d["bos_token"] = info.bos_token;
  d["eos_token"] = info.eos_token;
  d["eos_token_ids"] = nb::cast(info.eos_token_ids);
  d["has_chat_template"] = info.has_chat_template;
  return d;
}

}  // namespace

void bind_checkpoint(nb::module_& m) {
  m.def("inspect", inspect, "model"_a);
  m.def("find_model", find_model, "model"_a, "revision"_a);
}

}  // namespace octet::python
