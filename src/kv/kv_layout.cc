#include "kv/kv_layout.h"

#include <string>

#include "base/error.h"

namespace octet::kv {

void KvLayout::validate() const {
  const auto refuse = [](const char* field, const char* expected, int found) {
    throw Error(ErrorCode::invalid_argument,
                std::string("expected ") + expected + ", found " + std::to_string(found), field);
  };
  if (num_layers <= 0) refuse("num_layers", "1 or more", num_layers);
  if (num_kv_heads <= 0) refuse("num_kv_heads", "1 or more", num_kv_heads);
  if (head_dim <= 0) refuse("head_dim", "1 or more", head_dim);
  if (block_size != 8 && block_size != 16 && block_size != 32 && block_size != 64 && block_size != 128)
    refuse("block_size", "8, 16, 32, 64 or 128 tokens", block_size);
}

namespace {

std::int64_t elements_per_block(const KvLayout& layout) {
  return static_cast<std::int64_t>(layout.block_size) * layout.num_kv_heads * layout.head_dim;
}

}  // namespace

std::int64_t KvLayout::k_block_bytes() const {
  return elements_per_block(*this) * static_cast<std::int64_t>(dtype_bytes(k_dtype));
}

std::int64_t KvLayout::v_block_bytes() const {
  return elements_per_block(*this) * static_cast<std::int64_t>(dtype_bytes(v_dtype));
}

std::int64_t KvLayout::bytes_per_block() const { return num_layers * (k_block_bytes() + v_block_bytes()); }

std::int64_t KvLayout::bytes_per_token() const { return bytes_per_block() / block_size; }

std::int64_t KvLayout::blocks_for(std::int64_t tokens) const { return (tokens + block_size - 1) / block_size; }

}  // namespace octet::kv
