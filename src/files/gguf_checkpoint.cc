#include "files/gguf_checkpoint.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
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
        gemma_(metadata_.architecture().starts_with("gemma")),
        interleaved_(metadata_.architecture() == "llama"),
        num_heads_(config.at("num_attention_heads").as_int()),
        num_kv_heads_(config.at("num_key_value_heads").as_int()),
        num_layers_(config.at("num_hidden_layers").as_int()),
        attention_bias_(has_flag(config, "attention_bias")),
        mlp_bias_(has_flag(config, "mlp_bias")) {}

  void run(GgufCheckpoint& checkpoint) const {
    for (const TensorView& tensor : contents_.tensors) {
      // The config says what these factors say.
      if (tensor.name == "rope_freqs.weight") continue;
      TensorView translated = tensor;
      std::string name = translate_name(tensor);
      if (interleaved_ && name.find("self_attn.q_proj.") != std::string::npos)
        order_halves(translated, num_heads_, checkpoint);
      else if (interleaved_ && name.find("self_attn.k_proj.") != std::string::npos)
        order_halves(translated, num_kv_heads_, checkpoint);
      else if (gemma_ && name.ends_with("norm.weight"))
        subtract_one(translated, checkpoint);
      translated.name = std::move(name);  // errors before this name the tensor of the file
      checkpoint.tensors.push_back(std::move(translated));
    }
  }

 private:
  std::string translate_name(const TensorView& tensor) const {
    const std::string_view whole = tensor.name;
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
    const std::size_t dot = std::min(numbered.find('.'), numbered.size());
    const std::string layer(numbered.substr(0, dot));
    const std::string_view part = numbered.substr(std::min(dot + 1, numbered.size()));
    std::string_view name = gemma_ ? find_name(kGemmaNames, part) : std::string_view();
    if (name.empty()) name = find_name(kLayerNames, part);
    if (name.empty() || !takes(name, bias)) return {};
    std::int64_t number = -1;
    std::from_chars(layer.data(), layer.data() + layer.size(), number);
    if (number < 0 || number >= num_layers_ || std::to_string(number) != layer)
      tensor.fail("expected a layer from 0 to " + std::to_string(num_layers_ - 1) +
                  ", as block_count has it, found \"" + printable(layer) + "\"");
    return "model.layers." + layer + "." + std::string(name);
  }

  // Whether the family's layers have a weight or a bias of this name.
  bool takes(std::string_view name, bool bias) const {
    const bool head_norm = name == "self_attn.q_norm" || name == "self_attn.k_norm";
    if (!bias) return !head_norm || metadata_.architecture() == "qwen3" || metadata_.architecture() == "gemma3";
    if (name == "self_attn.o_proj") return attention_bias_;
    if (name.starts_with("mlp.")) return mlp_bias_;
    return name.starts_with("self_attn.") && !head_norm &&
           (attention_bias_ || metadata_.architecture() == "qwen2");
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
  const bool gemma_;
  const bool interleaved_;
  const std::int64_t num_heads_, num_kv_heads_, num_layers_;
  const bool attention_bias_, mlp_bias_;
};

}  // namespace

GgufCheckpoint translate_gguf(const GgufContents& contents, const std::string& file) {
  GgufCheckpoint checkpoint{
      JsonValue::parse(gguf_config_json(contents, file), file + ": metadata as config.json"), {}, {}};
  Translation(contents, file, checkpoint.config).run(checkpoint);
  return checkpoint;
}

}  // namespace octet::files
