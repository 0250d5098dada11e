#include "model/weight_quantization.h"

#include <algorithm>
#include <array>
#include <map>
#include <string_view>

#include "base/error.h"
#include "model/config_fields.h"

namespace octet::model {

namespace {

using files::Checkpoint;
using files::JsonValue;
using files::TensorDtype;
using files::TensorView;

[[noreturn]] void refuse_value(const JsonValue& value, const std::string& run) {
  refuse(value, value.dump() + " is not run here; run are " + run);
}

// The member must be absent, null, or one of the strings.
void require_one_of(const JsonValue& object, const char* key, std::initializer_list<std::string_view> wanted) {
  const auto value = object.find(key);
  if (!value) return;
  std::string run;
  for (const std::string_view each : wanted) {
    if (value->is_string() && value->as_string() == each) return;
    run += (run.empty() ? "\"" : ", \"") + std::string(each) + "\"";
  }
  refuse_value(*value, run);
}

// "F8_E4M3", "Q4_K", "I32 packed"; empty for plain weights and for what is no weight.
std::string quantized_kind(const TensorView& tensor) {
  if (tensor.name.ends_with(".weight_packed")) return "packed";
  if (!tensor.name.ends_with(".weight")) return {};
  const bool quantized = tensor.dtype == TensorDtype::F8_E4M3 || tensor.dtype == TensorDtype::I8 ||
                         files::tensor_block_format(tensor.dtype).has_value();
  return quantized ? std::string(files::tensor_dtype_name(tensor.dtype)) : std::string();
}

bool quantizes_activations(const Checkpoint& checkpoint) {
  const auto config = checkpoint.config().find("quantization_config");
  if (!config) return false;
  if (const auto groups = config->find("config_groups"))
    for (const std::string& name : groups->keys())
      if (const auto group = groups->find(name);
          group && group->is_object() && group->find("weights") && group->find("input_activations"))
        return true;
  const bool scaled =
      std::any_of(checkpoint.tensors().begin(), checkpoint.tensors().end(),
                  [](const TensorView& tensor) { return tensor.name.ends_with(".input_scale"); });
  return scaled || config->find("activation_scheme").has_value();
}

}  // namespace

void check_weight_scheme(const JsonValue& group) {
  const JsonValue weights = group.at("weights");
  require_one_of(group, "format", {"float-quantized", "naive-quantized", "int-quantized", "pack-quantized"});
  const std::int64_t bits = weights.at("num_bits").as_int();
  require_one_of(weights, "type", {"float", "int"});
  const bool is_float = weights.find("type") && weights.at("type").as_string() == "float";
  if (bits != 8 && (bits != 4 || is_float)) refuse_value(weights.at("num_bits"), "8, and 4 of type int");
  require_one_of(weights, "strategy", {"tensor", "channel", "group", "block"});
  require_one_of(weights, "actorder", {"static", "weight"});
  if (const auto dynamic = weights.find("dynamic"); dynamic && dynamic->dump() != "false")
    refuse_value(*dynamic, "false");
  if (const auto activations = group.find("input_activations"))
    if (const auto size = activations->find("num_bits"); size && size->as_int() != 8) refuse_value(*size, "8");
}

void check_weight_algorithm(const JsonValue& object) { require_one_of(object, "quant_algo", {"FP8"}); }

bool has_quantized_weights(const Checkpoint& checkpoint) {
  return std::any_of(checkpoint.tensors().begin(), checkpoint.tensors().end(),
                     [](const TensorView& tensor) { return !quantized_kind(tensor).empty(); });
}

std::string describe_quantized_weights(const Checkpoint& checkpoint) {
  std::map<std::string, int> counts;
  for (const TensorView& tensor : checkpoint.tensors())
    if (const std::string kind = quantized_kind(tensor); !kind.empty()) ++counts[kind];
  if (counts.empty()) return {};
  std::string text;
  for (const auto& [kind, count] : counts)
    text += (text.empty() ? "quantised weights: " : ", ") + std::to_string(count) + " " + kind;
  if (quantizes_activations(checkpoint))
    text +=
        "; the activations, which the checkpoint would have in 8 bits too, are kept in the precision of dtype";
  return text;
}

void refuse_unknown_weights(const Checkpoint& checkpoint, const std::string& method) {
  static constexpr std::array<std::string_view, 5> kEndings = {".weight_scale_2", ".qweight", ".qzeros",
                                                               ".weight_global_scale", ".weight_g_idx"};
  for (const TensorView& tensor : checkpoint.tensors()) {
    const auto is_ending = [&](std::string_view ending) { return tensor.name.ends_with(ending); };
    const bool stored_otherwise = tensor.name.ends_with(".weight") && quantized_kind(tensor).empty() &&
                                  tensor.dtype != TensorDtype::F32 && tensor.dtype != TensorDtype::F16 &&
                                  tensor.dtype != TensorDtype::BF16;
    if (stored_otherwise || std::any_of(kEndings.begin(), kEndings.end(), is_ending))
      throw Error(ErrorCode::unsupported, "weights quantised so by " + method + " are not run here",
                  tensor.file + ": tensor " + tensor.name);
  }
}

}  // namespace octet::model
