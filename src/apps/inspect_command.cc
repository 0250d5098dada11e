// octet inspect: what a checkpoint is.
#include <octet/inspect.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "apps/cache_flags.h"
#include "apps/commands.h"

namespace octet::apps {

namespace {

using Json = nlohmann::ordered_json;

struct InspectFlags {
  std::string model;
  KvCacheDtypeOptions cache;
  bool json = false;
};

Json scales_json(const CheckpointInfo& info) {
  Json scales = Json::array();
  for (const KvScaleInfo& scale : info.scales)
    scales.push_back({{"tensor", scale.tensor},
                      {"which", scale.which},
                      {"layer", scale.layer},
                      {"used", scale.used},
                      {"note", scale.note},
                      {"values", scale.values}});
  return {{"strategy", info.scale_strategy},
          {"error", info.scale_error.empty() ? Json(nullptr) : Json(info.scale_error)},
          {"layers_without_k", info.layers_without_k},
          {"layers_without_v", info.layers_without_v},
          {"tensors", scales}};
}

Json shapes_json(const CheckpointInfo& info) {
  return {{"num_layers", info.num_layers},
          {"hidden_size", info.hidden_size},
          {"intermediate_size", info.intermediate_size},
          {"num_heads", info.num_heads},
          {"num_kv_heads", info.num_kv_heads},
          {"head_dim", info.head_dim},
          {"vocab_size", info.vocab_size},
          {"max_position_embeddings", info.max_position_embeddings},
          {"sliding_window", info.sliding_window},
          {"tie_word_embeddings", info.tie_word_embeddings},
          {"rope", info.rope}};
}

Json weights_json(const CheckpointInfo& info) {
  Json dtypes = Json::array();
  for (const WeightDtypeInfo& row : info.weight_dtypes)
    dtypes.push_back({{"dtype", row.dtype}, {"tensors", row.tensors}, {"bytes", row.bytes}});
  return {{"tensors", info.num_tensors},
          {"parameters", info.num_parameters},
          {"bytes", info.weight_bytes},
          {"error", info.weights_error.empty() ? Json(nullptr) : Json(info.weights_error)},
          {"dtypes", dtypes}};
}

Json tokenizer_json(const CheckpointInfo& info) {
  return {{"vocab_size", info.tokenizer_vocab_size},
          {"bos_token", info.bos_token},
          {"eos_token", info.eos_token},
          {"eos_token_ids", info.eos_token_ids},
          {"has_chat_template", info.has_chat_template},
          {"error", info.tokenizer_error.empty() ? Json(nullptr) : Json(info.tokenizer_error)}};
}

void write_json(std::ostream& out, const CheckpointInfo& info) {
  Json costs = Json::array();
  for (const KvCacheCost& cost : info.cache_costs) {
    Json groups = Json::array();
    for (const KvCacheGroup& group : cost.groups)
      groups.push_back({{"window", group.window},
                        {"layers", group.layers},
                        {"dtype", group.dtype},
                        {"bytes_per_token", group.bytes_per_token}});
    costs.push_back({{"kv_cache_dtype", cost.kv_cache_dtype},
                     {"dtype", cost.dtype},
                     {"bytes_per_token", cost.bytes_per_token},
                     {"bytes_per_sequence", cost.bytes_per_sequence},
                     {"tokens_in_1_gib", cost.tokens_in_1_gib},
                     {"groups", groups}});
  }
  const std::string& quantization = info.quantization_config;
  const Json document = {
      {"directory", info.directory},
      {"architecture", info.architecture},
      {"model_type", info.model_type},
      {"dtype", info.dtype},
      {"shapes", shapes_json(info)},
      {"weights", weights_json(info)},
      {"quantization_config", quantization.empty() ? Json(nullptr) : Json::parse(quantization)},
      {"requested_kv_cache_dtype",
       info.requested_kv_cache_dtype.empty() ? Json(nullptr) : Json(info.requested_kv_cache_dtype)},
      {"kv_scales", scales_json(info)},
      {"kv_cache", costs},
      {"tokenizer", tokenizer_json(info)},
      {"warnings", info.warnings}};
  out << document.dump(2, ' ', false, Json::error_handler_t::replace) << "\n";
}

std::ostream& row(std::ostream& out, std::string name) {
  name.resize(std::max<std::size_t>(name.size() + 2, 24), ' ');
  return out << name;
}

void write_model(std::ostream& out, const CheckpointInfo& info) {
  row(out, "checkpoint") << info.directory << "\n";
  row(out, "architecture") << info.architecture << " (" << info.model_type << ")\n";
  row(out, "layers") << info.num_layers << "\n";
  row(out, "hidden size") << info.hidden_size << ", MLP " << info.intermediate_size << "\n";
  row(out, "heads") << info.num_heads << " query, " << info.num_kv_heads << " key/value, of " << info.head_dim
                    << "\n";
  row(out, "vocabulary") << info.vocab_size
                         << (info.tie_word_embeddings ? ", output tied to the embedding" : "") << "\n";
  row(out, "longest sequence") << info.max_position_embeddings << " tokens";
  if (info.sliding_window > 0) out << ", attention window " << info.sliding_window;
  out << "\n";
  row(out, "rotary embedding") << info.rope << "\n";
  row(out, "dtype") << info.dtype << "\n";
  row(out, "parameters") << info.num_parameters << " in " << info.num_tensors << " tensors, "
                         << info.weight_bytes << " bytes\n";
  for (const WeightDtypeInfo& dtype : info.weight_dtypes)
    row(out, "  " + dtype.dtype) << dtype.tensors << " tensors, " << dtype.bytes << " bytes\n";
  if (!info.weights_error.empty()) row(out, "weights") << "REFUSED: " << info.weights_error << "\n";
}

void write_tokenizer(std::ostream& out, const CheckpointInfo& info) {
  if (info.tokenizer_error.empty()) {
    row(out, "tokenizer") << info.tokenizer_vocab_size << " tokens; begin '" << info.bos_token << "', end '"
                          << info.eos_token << "', end ids";
    for (const std::int32_t id : info.eos_token_ids) out << " " << id;
    out << "; " << (info.has_chat_template ? "with" : "no") << " chat template\n";
  } else {
    row(out, "tokenizer") << "REFUSED: " << info.tokenizer_error << "\n";
  }
}

void write_scale(std::ostream& out, const KvScaleInfo& scale) {
  row(out, "  " + scale.tensor);
  if (!scale.values.empty()) {
    const auto [least, most] = std::minmax_element(scale.values.begin(), scale.values.end());
    out << scale.values.size() << (scale.values.size() == 1 ? " value, " : " values, ") << *least;
    if (scale.values.size() > 1) out << " to " << *most;
    out << ", ";
  }
  out << (scale.used ? "used" : "not used") << (scale.note.empty() ? "" : ": " + scale.note) << "\n";
}

// "0-29" or "3, 7": layers rise, so runs of neighbours are shortened.
std::string layer_list(const std::vector<int>& layers) {
  std::string text;
  for (std::size_t begin = 0; begin < layers.size();) {
    std::size_t end = begin + 1;
    while (end < layers.size() && layers[end] == layers[end - 1] + 1) ++end;
    text += (text.empty() ? "" : ", ") + std::to_string(layers[begin]);
    if (end - begin > 1) text += "-" + std::to_string(layers[end - 1]);
    begin = end;
  }
  return text;
}

void write_scales(std::ostream& out, const CheckpointInfo& info) {
  row(out, "quantization_config") << (info.quantization_config.empty() ? "none" : info.quantization_config)
                                  << "\n";
  row(out, "asks for KV cache") << (info.requested_kv_cache_dtype.empty() ? "nothing"
                                                                          : info.requested_kv_cache_dtype)
                                << "\n";
  if (!info.scale_error.empty()) {
    row(out, "KV scales") << "REFUSED: " << info.scale_error << "\n";
  } else if (info.scales.empty()) {
    row(out, "KV scales") << "none found (an FP8 cache uses 1.0)\n";
  } else {
    row(out, "KV scales") << info.scales.size() << " tensors, strategy " << info.scale_strategy << "\n";
  }
  if (!info.scales.empty()) {
    if (!info.layers_without_k.empty())
      row(out, "  no k scale in layers") << layer_list(info.layers_without_k) << "\n";
    if (!info.layers_without_v.empty())
      row(out, "  no v scale in layers") << layer_list(info.layers_without_v) << "\n";
  }
  for (const KvScaleInfo& scale : info.scales) write_scale(out, scale);
  for (const std::string& warning : info.warnings) row(out, "warning") << warning << "\n";
}

void write_cache_cost(std::ostream& out, const KvCacheCost& cost, const CheckpointInfo& info) {
  row(out, "KV cache " + cost.kv_cache_dtype)
      << cost.dtype << ", " << cost.bytes_per_token << " bytes a token, " << cost.bytes_per_sequence
      << " bytes for " << info.max_position_embeddings << " tokens, " << cost.tokens_in_1_gib
      << " tokens in 1 GiB\n";
  if (cost.groups.size() == 1 && cost.groups.front().window == 0) return;
  for (const KvCacheGroup& group : cost.groups)
    row(out, group.window > 0 ? "  window " + std::to_string(group.window) : "  all tokens")
        << (group.layers.size() == 1 ? "layer " : "layers ") << layer_list(group.layers) << ": " << group.dtype
        << ", " << group.bytes_per_token << " bytes a token\n";
}

int inspect(const InspectFlags& flags) {
  const CheckpointInfo info = inspect_checkpoint(flags.model, flags.cache);
  if (flags.json) {
    write_json(std::cout, info);
  } else {
    write_model(std::cout, info);
    write_tokenizer(std::cout, info);
    write_scales(std::cout, info);
    for (const KvCacheCost& cost : info.cache_costs) write_cache_cost(std::cout, cost, info);
  }
  finish_output();
  return kSuccess;
}

}  // namespace

Command add_inspect_command(CLI::App& program) {
  CLI::App* app =
      program.add_subcommand("inspect", "Describe a checkpoint: shapes, dtypes, KV scales, cache costs");
  app->footer("Example:\n  octet inspect models/smollm2-135m-instruct");
  const auto flags = std::make_shared<InspectFlags>();
  app->add_option("MODEL_DIR", flags->model, "Checkpoint directory, its Hugging Face name, or a GGUF file")
      ->required();
  add_cache_dtype_flags(*app, flags->cache.kv_cache_dtype_k, flags->cache.kv_cache_dtype_v,
                        flags->cache.kv_cache_dtype_skip_layers);
  app->add_flag("--json", flags->json, "As one JSON object");
  return {app, [flags] { return inspect(*flags); }};
}

}  // namespace octet::apps
