// BatchPlan: what one step computes; every layer reads the same plan.
#pragma once

#include <cstdint>
#include <vector>

namespace octet::model {

// T tokens of S sequences, each sequence's tokens consecutive; slots and block tables for each of the G groups
// of the cache's layers.
struct BatchPlan {
  std::vector<std::int32_t> token_ids;     // [T]
  std::vector<std::int32_t> positions;     // [T] position of the token in its sequence
  std::vector<std::int64_t> slot_mapping;  // [G, T] cache slot: block * block_size + offset
  std::vector<std::int32_t> query_start;   // [S + 1] first token of each sequence; back() == T
  // [G, S, max_blocks] block ids, rows padded with 0. Blocks behind a group's window are not read and may be
  // any.
  std::vector<std::int32_t> block_tables;
  std::int32_t max_blocks = 0;  // row length of block_tables
  // [S] Tokens at positions below this are attended to as a prompt (prefill), the others one by one (decode).
  // The two kernels differ in the last bits, so which one a token meets must not depend on how its sequence is
  // cut into steps.
  std::vector<std::int32_t> prompt_lengths;
  std::vector<std::int32_t> logits_rows;  // [L] tokens whose logits are wanted, rising

  int num_tokens() const { return static_cast<int>(token_ids.size()); }
  int num_seqs() const { return static_cast<int>(query_start.size()) - 1; }
  void clear() {
    token_ids.clear();
    positions.clear();
    slot_mapping.clear();
    query_start.assign(1, 0);
    block_tables.clear();
    max_blocks = 0;
    prompt_lengths.clear();
    logits_rows.clear();
  }
};

}  // namespace octet::model
