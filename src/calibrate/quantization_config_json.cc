#include "calibrate/quantization_config_json.h"

#include "files/json_edit.h"

namespace octet::calibrate {

namespace {

// QuantizationArgs, members in the order of their names. E4M3 is the only 8-bit float it knows.
std::string arguments(kv::ScaleStrategy strategy, const Provenance& provenance) {
  const char* name = strategy == kv::ScaleStrategy::tensor ? "tensor" : "attn_head";
  return R"({"actorder":null,"block_structure":null,"dynamic":false,"group_size":null,"num_bits":8,"observer":)" +
         files::json_string(provenance.observer) + R"(,"observer_kwargs":)" + provenance.observer_kwargs +
         R"(,"scale_dtype":null,"strategy":")" + name + R"(","symmetric":true,"type":"float","zp_dtype":null})";
}

std::string attention_class(const std::string& architecture) {
  const std::size_t end = architecture.rfind("For");
  return architecture.substr(0, end) + "Attention";
}

}  // namespace

std::string quantization_config_json(const model::ModelConfig& config, kv::ScaleStrategy strategy,
                                     Targets targets, const Provenance& provenance) {
  const std::string scheme = arguments(strategy, provenance);
  std::string groups = "{}";
  if (targets.q)
    groups = R"({"group_0":{"format":"dense","input_activations":)" + scheme +
             R"(,"output_activations":null,"targets":[)" +
             files::json_string(attention_class(config.architecture)) + R"(],"weights":null}})";
  return R"({"config_groups":)" + groups +
         R"(,"format":"dense","global_compression_ratio":null,"ignore":[],"kv_cache_scheme":)" + scheme +
         R"(,"quant_method":"compressed-tensors","quantization_status":"compressed","sparsity_config":{},)" +
         R"("transform_config":{},"version":"0.19.0"})";
}

}  // namespace octet::calibrate
