#include "llm/attention_math_choice.h"

#include <octet/kv_cache_options.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/error.h"

namespace octet {

namespace llm {

namespace {

using kernels::AttentionMath;

// In the order in which they are listed to people.
constexpr std::pair<const char*, AttentionMath> kMathNames[] = {
    {"fp32", AttentionMath::fp32},
    {"fp8", AttentionMath::fp8},
    {"fp8-hopper", AttentionMath::fp8_hopper},
    {"fp8-hopper-plain", AttentionMath::fp8_hopper_plain},
};

std::optional<AttentionMath> find_math(const std::string& name) {
  for (const auto& [spelling, math] : kMathNames)
    if (name == spelling) return math;
  return std::nullopt;
}

AttentionMath parse_math(const std::string& name) {
  if (const auto math = find_math(name)) return *math;
  std::string expected;
  for (const std::string& known : attention_math_names())
    expected += (expected.empty() ? "" : &known == &attention_math_names().back() ? " or " : ", ") + known;
  throw Error(ErrorCode::invalid_argument, "expected " + expected + ", found '" + name + "'", "attention_math");
}

// Where the scales of the queries come from.
std::string describe_q_scales(const kv::KvLayout& layout, const kv::KvScales& scales) {
  int quantized = 0, with_scale = 0;
  bool per_head = false;
  for (std::size_t layer = 0; layer < layout.layers.size(); ++layer) {
    if (!is_fp8(layout.layers[layer].k) || !is_fp8(layout.layers[layer].v)) continue;
    ++quantized;
    const std::vector<float>& q = scales.layers[layer].q;
    with_scale += q.empty() ? 0 : 1;
    per_head = per_head || std::any_of(q.begin(), q.end(), [&](float scale) { return scale != q.front(); });
  }
  const std::string found = std::string("the checkpoint's q scales, ") + (per_head ? "attn_head" : "tensor");
  const std::string made = "a scale of each token and head";
  if (with_scale == 0) return made + ", as no q scales are loaded";
  if (with_scale == quantized) return found;
  return found + ", in " + std::to_string(with_scale) + " layers, and " + made + " in " +
         std::to_string(quantized - with_scale) + " that have none";
}

}  // namespace

bool is_attention_math(const std::string& name) { return find_math(name).has_value(); }

AttentionMath choose_attention_math(const std::string& name, const kv::KvLayout& layout, CacheChoice& choice) {
  const AttentionMath math = parse_math(name);
  if (math == AttentionMath::fp32) return math;
  const bool any = std::any_of(layout.layers.begin(), layout.layers.end(), [](const kv::LayerDtypes& dtypes) {
    return is_fp8(dtypes.k) && is_fp8(dtypes.v);
  });
  if (!any)
    throw Error(ErrorCode::invalid_argument,
                name + " needs keys and values in fp8_e4m3 or fp8_e5m2 (kv_cache_dtype fp8), found " +
                    layout.describe_dtypes(),
                "attention_math");
  choice.notices.push_back("attention_math " + name + ": queries are fp8_e4m3 with " +
                           describe_q_scales(layout, choice.scales));
  return math;
}

}  // namespace llm

const std::vector<std::string>& attention_math_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const auto& [name, math] : llm::kMathNames) all.emplace_back(name);
    return all;
  }();
  return names;
}

}  // namespace octet
