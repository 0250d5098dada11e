// attention_math: in which arithmetic attention runs over an FP8 cache.
#pragma once

#include <string>

#include "kernels/quantized_attention.h"
#include "kv/kv_layout.h"
#include "llm/cache_choice.h"

namespace octet::llm {

// Whether it is one of attention_math_names().
bool is_attention_math(const std::string& name);

// What `name` stands for over a cache of `layout`. Where queries are quantised, adds a notice to `choice` about
// the q scales that there are. Throws Error{invalid_argument} naming attention_math for an unknown name, or a
// cache none of whose layers has keys and values in FP8.
kernels::AttentionMath choose_attention_math(const std::string& name, const kv::KvLayout& layout,
                                             CacheChoice& choice);

}  // namespace octet::llm
