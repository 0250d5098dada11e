#include "files/gguf_checkpoint.h"

#include <algorithm>
#include <array>
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

class Translation {
 public:
  Translation(const GgufContents& contents, const std::string& file, const JsonValue& config)
      : contents_(contents),
        metadata_(contents, file),
        gemma_(metadata_.architecture().starts_with("gemma")),
        interleaved_(metadata_.architecture() == "llama"),
        num_heads_(config.at("num_attention_heads").as_int()),
        num_kv_heads_(config.at("num_key_value_heads").as_int()) {}

  void run(GgufCheckpoint& checkpoint) const {
    for (const TensorView& tensor : contents_.tensors) {
      // The config says what these factors say.
      if (tensor.name.ends_with("rope_freqs.weight")) continue;
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
    const std::size_t dot = tensor.name.rfind('.');
    const std::string_view whole = tensor.name;
    const std::string_view ending = dot == std::string::npos ? std::string_view() : whole.substr(dot);
    if (ending == ".weight" || ending == ".bias") {
      const std::string_view stem = whole.substr(0, dot);
      if (const auto name = find_name(kModelNames, stem); !name.empty())
        return std::string(name) + std::string(ending);
      if (stem.starts_with("blk.")) {
        const std::size_t end = stem.find('.', 4);
        const std::string_view number = stem.substr(4, end == std::string_view::npos ? end : end - 4);
        const std::string_view part = end == std::string_view::npos ? std::string_view() : stem.substr(end + 1);
        std::string_view name = gemma_ ? find_name(kGemmaNames, part) : std::string_view();
        if (name.empty()) name = find_name(kLayerNames, part);
        if (!name.empty())
          return "model.layers." + std::string(number) + "." + std::string(name) + std::string(ending);
      }
    }
    // A weight that would be left out would change what the model computes.
    throw Error(ErrorCode::unsupported,
                "is not known in a model of architecture \"" + printable(metadata_.architecture()) + "\"",
                tensor.file + ": tensor " + printable(tensor.name));
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
  const std::int64_t num_heads_, num_kv_heads_;
};

}  // namespace

GgufCheckpoint translate_gguf(const GgufContents& contents, const std::string& file) {
  GgufCheckpoint checkpoint{
      JsonValue::parse(gguf_config_json(contents, file), file + ": metadata as config.json"), {}, {}};
  Translation(contents, file, checkpoint.config).run(checkpoint);
  return checkpoint;
}

}  // namespace octet::files
