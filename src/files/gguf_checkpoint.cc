#include "files/gguf_checkpoint.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <set>
#include <utility>

#include "base/error.h"
#include "files/gguf_metadata.h"
#include "files/printable.h"

namespace octet::files {

namespace {

using Names = std::pair<std::string_view, std::string_view>;

constexpr std::array<Names, 3> kModelNames{
    {{"token_embd", "model.embed_tokens"}, {"output_norm", "model.norm"}, {"output", "lm_head"}}};

constexpr std::array<Names, 11> kLayerNames{{{"attn_norm", "input_layernorm"},
                                             {"attn_q", "self_attn.q_proj"},
                                             {"attn_k", "self_attn.k_proj"},
                                             {"attn_v", "self_attn.v_proj"},
                                             {"attn_output", "self_attn.o_proj"},
                                             {"attn_q_norm", "self_attn.q_norm"},
                                             {"attn_k_norm", "self_attn.k_norm"},
                                             {"ffn_norm", "post_attention_layernorm"},
                                             {"ffn_gate", "mlp.gate_proj"},
                                             {"ffn_up", "mlp.up_proj"},
                                             {"ffn_down", "mlp.down_proj"}}};
// Gemma has a norm behind attention and one on either side of the MLP.
constexpr std::array<Names, 3> kGemmaNames{{{"post_attention_norm", "post_attention_layernorm"},
                                            {"ffn_norm", "pre_feedforward_layernorm"},
                                            {"post_ffw_norm", "post_feedforward_layernorm"}}};

// Phi-3 has fewer and larger matrices.
constexpr std::array<Names, 2> kPhi3Names{{{"attn_qkv", "self_attn.qkv_proj"}, {"ffn_up", "mlp.gate_up_proj"}}};
// Experts: the router, and tensors of [experts, rows, columns], of which * is one. Before April 2024 each
// expert had its own: ffn_up.3.
constexpr std::array<Names, 4> kQwen3MoeNames{{{"ffn_gate_inp", "mlp.gate"},
                                               {"ffn_gate_exps", "mlp.experts.*.gate_proj"},
                                               {"ffn_up_exps", "mlp.experts.*.up_proj"},
                                               {"ffn_down_exps", "mlp.experts.*.down_proj"}}};
constexpr std::array<Names, 4> kMixtralNames{{{"ffn_gate_inp", "block_sparse_moe.gate"},
                                              {"ffn_gate_exps", "block_sparse_moe.experts.*.w1"},
                                              {"ffn_up_exps", "block_sparse_moe.experts.*.w3"},
                                              {"ffn_down_exps", "block_sparse_moe.experts.*.w2"}}};

// Both matrices of each expert in one tensor of [experts, 2 * rows, columns], the gate's rows first.
constexpr std::string_view kGateUpExperts = ".ffn_gate_up_exps.weight";

template <typename Table>
std::string_view find_name(const Table& table, std::string_view name) {
  for (const auto& [from, to] : table)
    if (from == name) return to;
  return {};
}

bool has_flag(const JsonValue& config, const char* key) {
  const auto value = config.find(key);
  return value && value->as_bool();
}

class Translation {
 public:
  Translation(const GgufContents& contents, const std::string& file, const JsonValue& config)
      : contents_(contents),
        metadata_(contents, file),
        model_type_(config.at("model_type").as_string()),
        gemma_(metadata_.architecture().starts_with("gemma")),
        interleaved_(metadata_.architecture() == "llama" || metadata_.architecture() == "smollm3"),
        num_heads_(config.at("num_attention_heads").as_int()),
        num_kv_heads_(config.at("num_key_value_heads").as_int()),
        num_layers_(config.at("num_hidden_layers").as_int()),
        num_experts_(config.find("num_local_experts") ? config.at("num_local_experts").as_int() : 0),
        attention_bias_(has_flag(config, "attention_bias")),
        mlp_bias_(has_flag(config, "mlp_bias")) {
    if (const auto dense = config.find("mlp_only_layers"))
      for (const JsonValue& layer : dense->elements()) dense_layers_.insert(layer.dump());
  }

  void run(GgufCheckpoint& checkpoint) const {
    for (const TensorView& tensor : contents_.tensors) {
      // The config says what these factors say.
      if (tensor.name == "rope_freqs.weight" && model_type_ != "phi3") continue;
      if (model_type_ == "phi3" && tensor.name.starts_with("rope_factors_")) continue;
      if (tensor.name.ends_with(kGateUpExperts)) {
        const std::string layer = tensor.name.substr(0, tensor.name.size() - kGateUpExperts.size());
        add_experts(tensor,
                    {translate_name(tensor, layer + ".ffn_gate_exps.weight"),
                     translate_name(tensor, layer + ".ffn_up_exps.weight")},
                    checkpoint);
        continue;
      }
      std::string name = translate_name(tensor, tensor.name);
      if (name.find('*') != std::string::npos) {
        add_experts(tensor, {name}, checkpoint);
        continue;
      }
      TensorView translated = tensor;
      if (interleaved_ && name.find("self_attn.q_proj.") != std::string::npos)
        order_halves(translated, num_heads_, checkpoint);
      else if (interleaved_ && name.find("self_attn.k_proj.") != std::string::npos)
        order_halves(translated, num_kv_heads_, checkpoint);
      else if (gemma_ && name.ends_with("norm.weight"))
        subtract_one(translated, checkpoint);
      translated.name = std::move(name);  // errors before this name the tensor of the file
      checkpoint.tensors.push_back(std::move(translated));
    }
    refuse_second_names(checkpoint);
  }

 private:
  // Of `whole`, the tensor's name or one that stands for a part of it.
  std::string translate_name(const TensorView& tensor, std::string_view whole) const {
    const std::size_t dot = std::min(whole.rfind('.'), whole.size());
    const std::string_view stem = whole.substr(0, dot), ending = whole.substr(dot);
    std::string name;
    if (stem.starts_with("blk.") && (ending == ".weight" || ending == ".bias"))
      name = translate_part(tensor, stem.substr(4), ending == ".bias");
    else if (ending == ".weight")
      name = find_name(kModelNames, stem);
    if (!name.empty()) return name + std::string(ending);
    // A weight that would be left out would change what the model computes.
    throw Error(ErrorCode::unsupported,
                "is not known in a model of architecture \"" + printable(metadata_.architecture()) + "\"",
                tensor.file + ": tensor " + printable(tensor.name));
  }

  // "LAYER.PART"; empty for a part that the family does not have.
  std::string translate_part(const TensorView& tensor, std::string_view numbered, bool bias) const {
    const auto [layer, rest] = split_at_dot(numbered);
    const auto [part, expert] = split_at_dot(rest);
    const bool alone = part.size() < rest.size();  // "PART.EXPERT"
    std::string name(find_part(layer, alone ? part + "_exps" : part));
    if (name.empty() || !takes(name, bias)) return {};
    require_number(tensor, "a layer", layer, num_layers_, "block_count");
    if (alone) {
      require_number(tensor, "an expert", expert, num_experts_, "expert_count");
      name.replace(name.find('*'), 1, expert);
    }
    return "model.layers." + layer + "." + name;
  }

  static std::pair<std::string, std::string> split_at_dot(std::string_view text) {
    const std::size_t dot = std::min(text.find('.'), text.size());
    return {std::string(text.substr(0, dot)), std::string(text.substr(std::min(dot + 1, text.size())))};
  }

  static void require_number(const TensorView& tensor, const char* what, const std::string& text,
                             std::int64_t count, const char* key) {
    std::int64_t number = -1;
    std::from_chars(text.data(), text.data() + text.size(), number);
    if (number < 0 || number >= count || std::to_string(number) != text)
      tensor.fail(std::string("expected ") + what + " from 0 to " + std::to_string(count - 1) + ", as " + key +
                  " has it, found \"" + printable(text) + "\"");
  }

  std::string_view find_part(const std::string& layer, std::string_view part) const {
    std::string_view name;
    if (gemma_) name = find_name(kGemmaNames, part);
    if (model_type_ == "phi3") name = find_name(kPhi3Names, part);
    if (num_experts_ > 0) {
      name = model_type_ == "mixtral" ? find_name(kMixtralNames, part) : find_name(kQwen3MoeNames, part);
      // A layer has either kind of MLP.
      if (name.empty() != dense_layers_.contains(layer) && part.starts_with("ffn_") && part != "ffn_norm")
        return {};
    }
    return name.empty() ? find_name(kLayerNames, part) : name;
  }

  // Whether the family's layers have a weight or a bias of this name.
  bool takes(std::string_view name, bool bias) const {
    const bool head_norm = name == "self_attn.q_norm" || name == "self_attn.k_norm";
    if (!bias && head_norm) return model_type_.starts_with("qwen3") || model_type_ == "gemma3_text";
    if (!bias)
      return model_type_ != "phi3" || (name != "self_attn.q_proj" && name != "self_attn.k_proj" &&
                                       name != "self_attn.v_proj" && name != "mlp.gate_proj");
    if (name == "self_attn.o_proj") return attention_bias_;
    if (name.starts_with("mlp.")) return mlp_bias_;
    return name.starts_with("self_attn.") && !head_norm && (attention_bias_ || model_type_ == "qwen2");
  }

  // Each expert's matrices, which stand one behind the other, under `names` with its number at the star.
  void add_experts(const TensorView& tensor, const std::vector<std::string>& names,
                   GgufCheckpoint& checkpoint) const {
    if (tensor.shape.size() != 3 || tensor.shape[0] != num_experts_ || tensor.data.empty())
      tensor.fail("expected a matrix for each of " + std::to_string(num_experts_) +
                  " experts, as expert_count has it, found " +
                  (tensor.shape.size() == 3 ? std::to_string(tensor.data.empty() ? 0 : tensor.shape[0])
                                            : std::to_string(tensor.shape.size()) + " dimensions"));
    const auto parts = static_cast<std::int64_t>(names.size());
    if (tensor.shape[1] % parts != 0)
      tensor.fail("expected as many rows of the gate as of up, found " + std::to_string(tensor.shape[1]) +
                  " together");
    const std::size_t bytes = tensor.data.size() / static_cast<std::size_t>(num_experts_ * parts);
    std::size_t offset = 0;
    for (std::int64_t e = 0; e < num_experts_; ++e)
      for (const std::string& name : names) {
        TensorView expert = tensor;
        expert.name.assign(name).replace(name.find('*'), 1, std::to_string(e));
        expert.shape = {tensor.shape[1] / parts, tensor.shape[2]};
        expert.data = tensor.data.subspan(offset, bytes);
        offset += bytes;
        checkpoint.tensors.push_back(std::move(expert));
      }
  }

  // A lying file may have an expert alone and in a tensor of all.
  static void refuse_second_names(const GgufCheckpoint& checkpoint) {
    std::set<std::string_view> names;
    for (const TensorView& tensor : checkpoint.tensors)
      if (!names.insert(tensor.name).second)
        tensor.fail(
            "the file has this matrix twice: as an expert's own tensor, and in one of several experts or of "
            "gates and ups");
  }

  static std::byte* copy_of(TensorView& tensor, GgufCheckpoint& checkpoint) {
    checkpoint.copies.push_back(std::make_unique<std::byte[]>(tensor.data.size()));
    std::byte* copy = checkpoint.copies.back().get();
    tensor.data = {copy, tensor.data.size()};
    return copy;
  }

  // Rows of a head from [pair, half] to [half, pair]. Rows are whole blocks, so they move as they are.
  static void order_halves(TensorView& tensor, std::int64_t heads, GgufCheckpoint& checkpoint) {
    if (tensor.shape.empty() || tensor.data.empty()) tensor.fail("expected a matrix, found no rows or columns");
    const std::int64_t rows = tensor.shape[0];
    if (rows % (2 * heads) != 0)
      tensor.fail("expected rows for " + std::to_string(heads) + " heads of an even size, found " +
                  std::to_string(rows));
    const std::span<const std::byte> from = tensor.data;
    std::byte* const to = copy_of(tensor, checkpoint);
    const std::size_t row_bytes = from.size() / static_cast<std::size_t>(rows);
    const std::int64_t half = rows / heads / 2;
    for (std::int64_t row = 0; row < rows; ++row) {
      const std::int64_t head = row / (2 * half), within = row % (2 * half);
      const std::int64_t source = head * 2 * half + within % half * 2 + within / half;
      std::memcpy(to + static_cast<std::size_t>(row) * row_bytes,
                  from.data() + static_cast<std::size_t>(source) * row_bytes, row_bytes);
    }
  }

  // The file has 1 + w, which is what is multiplied by; transformers keeps w.
  static void subtract_one(TensorView& tensor, GgufCheckpoint& checkpoint) {
    if (tensor.dtype != TensorDtype::F32)
      throw Error(ErrorCode::unsupported,
                  "expected norm gains in F32, found " + std::string(tensor_dtype_name(tensor.dtype)),
                  tensor.file + ": tensor " + printable(tensor.name));
    std::vector<float> gains = tensor.to_floats();
    for (float& gain : gains) gain -= 1.0f;
    std::byte* const to = copy_of(tensor, checkpoint);
    if (!gains.empty()) std::memcpy(to, gains.data(), tensor.data.size());
  }

  const GgufContents& contents_;
  const GgufMetadata metadata_;
  const std::string model_type_;
  const bool gemma_;
  const bool interleaved_;
  const std::int64_t num_heads_, num_kv_heads_, num_layers_, num_experts_;
  const bool attention_bias_, mlp_bias_;
  std::set<std::string> dense_layers_;  // of a mixture, those without experts
};

}  // namespace

GgufCheckpoint translate_gguf(const GgufContents& contents, const std::string& file) {
  std::vector<std::string> notices;
  const std::string config = gguf_config_json(contents, file, notices);
  GgufCheckpoint checkpoint{
      JsonValue::parse(config, file + ": metadata as config.json"), {}, {}, std::move(notices)};
  Translation(contents, file, checkpoint.config).run(checkpoint);
  return checkpoint;
}

}  // namespace octet::files
