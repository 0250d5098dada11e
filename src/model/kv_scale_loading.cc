#include "model/kv_scale_loading.h"

#include <algorithm>
#include <map>
#include <string_view>
#include <utility>

#include "model/kv_scale_tensor.h"
#include "model/quantization_config.h"

namespace octet::model {

namespace {

using files::TensorView;

constexpr const char* kForQuantizedQueries = "needed only where attention_math is not fp32";

// Whether a part of the name, wherever in the model, is what scales of a cache are called.
bool is_named_as_cache_scale(std::string_view name) {
  if (name.find("scal") == name.npos) return false;
  for (const std::string_view word : {"k_scal", "v_scal", "kv_scal", "k_cache", "v_cache", "kv_cache"})
    if (name.starts_with(word) || name.find("." + std::string(word)) != name.npos) return true;
  return false;
}

class Examiner {
 public:
  Examiner(const files::Checkpoint& checkpoint, const ModelConfig& config)
      : config_(config), layers_(static_cast<std::size_t>(config.num_layers)) {
    for (const TensorView& tensor : checkpoint.tensors()) sort_in(tensor);
  }

  KvScaleReport examine(const files::Checkpoint& checkpoint) {
    CacheRequest request;
    try {
      request = read_cache_request(checkpoint);
    } catch (const Error& error) {
      report_.config_refused = true;
      report_.error = error;
    }
    report_.quant_method = request.quant_method;
    report_.requested_dtype = request.dtype;
    for (std::size_t layer = 0; layer < layers_.size(); ++layer) examine_layer(static_cast<int>(layer));
    check_complete();
    if (!any_kv_) leave_q_alone();
    add_warnings(request);
    if (any_kv_ && !report_.error) report_.scales = std::move(scales_);
    return std::move(report_);
  }

 private:
  struct Layer {
    std::map<std::string_view, const TensorView*> tensors;  // by spelling
    std::string bad_q;                                      // why q cannot be used, where a zero point says so
  };

  void refuse(const TensorView& tensor, const std::string& message) {
    if (!report_.error)
      report_.error = Error(ErrorCode::invalid_file, message, tensor.file + ": tensor " + tensor.name);
  }

  void sort_in(const TensorView& tensor) {
    const auto name = parse_attention_tensor(tensor.name);
    if (!name) {
      if (is_named_as_cache_scale(tensor.name)) unknown_.push_back(tensor.name);
      return;
    }
    const auto [layer, rest] = *name;
    const bool known =
        std::any_of(kScaleSpellings.begin(), kScaleSpellings.end(),
                    [name = rest](const ScaleSpelling& spelling) { return spelling.name == name; });
    const bool zero_point = rest.ends_with("zero_point");
    if (!known && !zero_point) {
      // Scales of weights are refused elsewhere, and those of other activations are no concern of the cache.
      const bool of_cache = rest.find("scal") != rest.npos && rest.find("weight") == rest.npos &&
                            rest.find("input_") == rest.npos && !rest.starts_with("o_proj");
      if (of_cache) unknown_.push_back(tensor.name);
      return;
    }
    if (layer >= config_.num_layers)
      return refuse(tensor, "is of layer " + std::to_string(layer) + ", but the model has " +
                                std::to_string(config_.num_layers) + " layers");
    Layer& at = layers_[static_cast<std::size_t>(layer)];
    if (known) {
      at.tensors[rest] = &tensor;
    } else if (!is_all_zero(tensor)) {
      const std::string message = "asymmetric quantisation is not run here: expected zeros";
      if (rest.starts_with("q_") || rest.starts_with("attn.q_"))
        at.bad_q = "zero point " + tensor.name + " is not zero";
      else
        refuse(tensor, message);
    }
  }

  // The tensor that counts for `which`, or null.
  const TensorView* chosen(const Layer& layer, char which) const {
    for (const ScaleSpelling& spelling : kScaleSpellings)
      if (const auto found = layer.tensors.find(spelling.name);
          serves(spelling, which) && found != layer.tensors.end())
        return found->second;
    return nullptr;
  }

  void examine_layer(int number) {
    Layer& layer = layers_[static_cast<std::size_t>(number)];
    const auto kv_heads = static_cast<std::size_t>(config_.num_kv_heads);
    kv::LayerScales& scales = scales_.layers.emplace_back(
        kv::LayerScales{std::vector(kv_heads, 1.0f), std::vector(kv_heads, 1.0f), {}});
    const TensorView* const k = chosen(layer, 'k');
    const TensorView* const v = chosen(layer, 'v');
    const TensorView* const q = chosen(layer, 'q');
    any_kv_ = any_kv_ || k || v;
    for (const ScaleSpelling& spelling : kScaleSpellings) {
      const auto found = layer.tensors.find(spelling.name);
      if (found == layer.tensors.end()) continue;
      const TensorView& tensor = *found->second;
      const bool for_q = spelling.which == 'q';
      ReadScale read = read_scale(tensor, for_q ? config_.num_heads : config_.num_kv_heads);
      ScaleFinding finding{tensor.name, spelling.which == 'b' ? 'k' : spelling.which, number, false, {}, {}};
      if (for_q) {
        if (read.fault.empty()) read.fault = layer.bad_q;
        take_q(tensor, &tensor == q, read, finding, scales);
      } else {
        take_kv(tensor, &tensor == k, &tensor == v, read, finding, scales);
      }
      finding.values = std::move(read.values);
      report_.findings.push_back(std::move(finding));
    }
  }

  void take_kv(const TensorView& tensor, bool for_k, bool for_v, const ReadScale& read, ScaleFinding& finding,
               kv::LayerScales& scales) {
    if (!read.fault.empty()) {
      finding.note = read.fault;
      return refuse(tensor, read.fault);
    }
    if (!for_k && !for_v) {
      finding.note = "another spelling comes first";
      return;
    }
    finding.used = true;
    finding.which = for_k ? 'k' : 'v';
    if (for_k && for_v) finding.note = "for k and v";
    if (for_k) spread(read.values, scales.k);
    if (for_v) spread(read.values, scales.v);
    // With one KV head the shape alone tells the strategies apart.
    if (read.values.size() > 1 || (config_.num_kv_heads == 1 && tensor.shape.size() > 1))
      scales_.strategy = kv::ScaleStrategy::attn_head;
  }

  void take_q(const TensorView& tensor, bool chosen, const ReadScale& read, ScaleFinding& finding,
              kv::LayerScales& scales) {
    finding.note = kForQuantizedQueries;
    if (!read.fault.empty()) {
      finding.note = read.fault;
      if (bad_q_++ == 0) first_bad_q_ = tensor.name + ": " + read.fault;
    } else if (chosen) {
      scales.q.resize(static_cast<std::size_t>(config_.num_heads));
      spread(read.values, scales.q);
    }
  }

  // Without scales of keys and values there is no set of scales for those of the queries to be part of.
  void leave_q_alone() {
    for (ScaleFinding& finding : report_.findings)
      if (finding.which == 'q' && finding.note == kForQuantizedQueries)
        finding.note = "not used: there are no k and v scales";
  }

  static void spread(const std::vector<float>& values, std::vector<float>& heads) {
    for (std::size_t head = 0; head < heads.size(); ++head) heads[head] = values[values.size() == 1 ? 0 : head];
  }

  // All layers or none, and k with v.
  void check_complete() {
    if (!any_kv_) return;
    const TensorView* some = nullptr;
    for (const Layer& layer : layers_)
      if (!some) some = chosen(layer, 'k') ? chosen(layer, 'k') : chosen(layer, 'v');
    for (std::size_t number = 0; number < layers_.size(); ++number) {
      const TensorView* const k = chosen(layers_[number], 'k');
      const TensorView* const v = chosen(layers_[number], 'v');
      const std::string layer = "layer " + std::to_string(number);
      if (!k && !v) refuse(*some, "stands there, but " + layer + " has no KV scales; all layers need them");
      if (k && !v) refuse(*k, layer + " has this k scale, but no v scale");
      if (!k && v) refuse(*v, layer + " has this v scale, but no k scale");
    }
  }

  void add_warnings(const CacheRequest& request) {
    if (bad_q_ > 0)
      report_.warnings.push_back(
          first_bad_q_ + (bad_q_ > 1 ? " (and " + std::to_string(bad_q_ - 1) + " more)" : "") +
          "; such q scales are not used, also where attention_math asks for fp8 queries");
    if (!unknown_.empty())
      report_.warnings.push_back(
          unknown_.front() +
          (unknown_.size() > 1 ? " (and " + std::to_string(unknown_.size() - 1) + " more)" : "") +
          " looks like a KV scale, but has no spelling that is read; it is not used");
    if (any_kv_ && request.strategy && *request.strategy != scales_.strategy)
      report_.warnings.push_back(std::string("quantization_config states the strategy ") +
                                 (scales_.strategy == kv::ScaleStrategy::tensor ? "attn_head" : "tensor") +
                                 ", but the scales in the file are of the other one; those are used");
  }

  const ModelConfig& config_;
  std::vector<Layer> layers_;
  std::vector<std::string> unknown_;
  KvScaleReport report_;
  kv::KvScales scales_;
  bool any_kv_ = false;
  int bad_q_ = 0;
  std::string first_bad_q_;
};

}  // namespace

KvScaleReport examine_kv_scales(const files::Checkpoint& checkpoint, const ModelConfig& config) {
  return Examiner(checkpoint, config).examine(checkpoint);
}

KvScaleReport load_kv_scales(const files::Checkpoint& checkpoint, const ModelConfig& config) {
  KvScaleReport report = examine_kv_scales(checkpoint, config);
  if (report.error) throw *report.error;
  return report;
}

}  // namespace octet::model
