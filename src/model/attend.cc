// Attention over the cache: cut into pieces once a step, run for every layer.
//
// Pieces have fixed lengths, whatever the number of threads and whoever else is in the batch, so that a
// sequence's result does not depend on either.
#include <algorithm>
#include <cmath>

#include "model/step.h"

namespace octet::model {

namespace {

// Cached positions in one piece of decode attention: long enough that merging costs nothing, short
// enough that a single sequence keeps many threads busy.
constexpr int kDecodePiece = 512;
// Query rows (positions times the heads of a group) that one prefill piece aims at.
constexpr int kPrefillRows = 192;

const std::int32_t* block_table(const Step& step, int seq) {
  return step.plan->block_tables.data() + static_cast<std::int64_t>(seq) * step.plan->max_blocks;
}

float softmax_scale(const ModelConfig& config) { return 1.0f / std::sqrt(static_cast<float>(config.head_dim)); }

void plan_decode(Step& step, int seq, int token) {
  const int end = step.plan->positions[static_cast<std::size_t>(token)] + 1;
  const int window = step.config.sliding_window;
  const int begin = window > 0 ? std::max(0, end - window) : 0;
  for (int head = 0; head < step.config.num_kv_heads; ++head) {
    const int first = static_cast<int>(step.decode_items.size());
    for (int piece = begin; piece < end; piece += kDecodePiece)
      step.decode_items.push_back({seq, token, head, piece, std::min(piece + kDecodePiece, end)});
    step.merge_items.push_back({token, head, first, static_cast<int>(step.decode_items.size()) - first});
  }
}

void plan_prefill(Step& step, int seq, int first, int last) {
  const int tile = std::max(1, kPrefillRows / step.config.group());
  for (int token = first; token < last; token += tile)
    for (int head = 0; head < step.config.num_kv_heads; ++head)
      step.prefill_items.push_back({seq, token, head, std::min(tile, last - token)});
}

void run_decode(Step& step, const DecodeItem& item, std::size_t index, const kernels::KvView& view,
                const float* qkv, std::int64_t row_width) {
  const ModelConfig& c = step.config;
  const int group = c.group();
  Workspace& ws = step.workspace;
  const auto rows = static_cast<std::int64_t>(index) * group;
  const float* q = qkv + item.token * row_width + static_cast<std::int64_t>(item.kv_head) * group * c.head_dim;
  step.table.decode_attention({q, group, softmax_scale(c), &view, item.kv_head, block_table(step, item.seq),
                               item.begin, item.end, ws.partial_out.data() + rows * c.head_dim,
                               ws.partial_max.data() + rows, ws.partial_sum.data() + rows});
}

void run_merge(Step& step, const MergeItem& item, const kernels::KvView& view, float* out) {
  const ModelConfig& c = step.config;
  const int group = c.group();
  const Workspace& ws = step.workspace;
  const auto rows = static_cast<std::int64_t>(item.first) * group;
  const std::int64_t out_row = static_cast<std::int64_t>(item.token) * c.num_heads + item.kv_head * group;
  step.table.merge_attention({ws.partial_out.data() + rows * c.head_dim, ws.partial_max.data() + rows,
                              ws.partial_sum.data() + rows, item.count, group, c.head_dim,
                              view.v_scale[item.kv_head], out + out_row * c.head_dim});
}

void run_prefill(Step& step, const PrefillItem& item, const kernels::KvView& view, const float* qkv,
                 std::int64_t row_width, float* out, int thread) {
  const ModelConfig& c = step.config;
  const int group = c.group();
  const std::int64_t out_width = static_cast<std::int64_t>(c.num_heads) * c.head_dim;
  const std::int64_t head_offset = static_cast<std::int64_t>(item.kv_head) * group * c.head_dim;
  step.table.prefill_attention({qkv + item.token * row_width + head_offset, row_width, item.num_queries, group,
                                step.plan->positions[static_cast<std::size_t>(item.token)], c.sliding_window,
                                softmax_scale(c), &view, item.kv_head, block_table(step, item.seq),
                                out + item.token * out_width + head_offset, out_width,
                                step.workspace.thread_scratch[static_cast<std::size_t>(thread)].data()});
}

}  // namespace

void plan_attention(Step& step) {
  const BatchPlan& plan = *step.plan;
  step.decode_items.clear();
  step.merge_items.clear();
  step.prefill_items.clear();
  int most_queries = 0;
  for (int seq = 0; seq < plan.num_seqs(); ++seq) {
    const int first = plan.query_start[static_cast<std::size_t>(seq)];
    const int last = plan.query_start[static_cast<std::size_t>(seq) + 1];
    const int prompt_left =
        plan.prompt_lengths[static_cast<std::size_t>(seq)] - plan.positions[static_cast<std::size_t>(first)];
    const int decode = first + std::clamp(prompt_left, 0, last - first);
    plan_prefill(step, seq, first, decode);
    for (int token = decode; token < last; ++token) plan_decode(step, seq, token);
  }
  // The latest positions attend to most: start with them, so that the threads end together.
  std::stable_sort(step.prefill_items.begin(), step.prefill_items.end(),
                   [&](const PrefillItem& a, const PrefillItem& b) {
                     return plan.positions[static_cast<std::size_t>(a.token)] >
                            plan.positions[static_cast<std::size_t>(b.token)];
                   });
  for (const PrefillItem& item : step.prefill_items) most_queries = std::max(most_queries, item.num_queries);

  const ModelConfig& c = step.config;
  const auto rows = step.decode_items.size() * static_cast<std::size_t>(c.group());
  step.workspace.partial_out.reserve(rows * static_cast<std::size_t>(c.head_dim));
  step.workspace.partial_max.reserve(rows);
  step.workspace.partial_sum.reserve(rows);
  if (most_queries > 0)
    for (AlignedFloats& scratch : step.workspace.thread_scratch)
      scratch.reserve(step.table.prefill_scratch_floats(most_queries, c.group(), c.head_dim));
}

void attend(Step& step, int layer, const float* qkv, float* out) {
  const kernels::KvView& view = step.cache->view(layer);
  const std::int64_t row_width =
      static_cast<std::int64_t>(step.config.num_heads + 2 * step.config.num_kv_heads) * step.config.head_dim;
  const std::size_t prefills = step.prefill_items.size();
  step.pool.run(prefills + step.decode_items.size(), [&](std::size_t index, int thread) {
    if (index < prefills)
      run_prefill(step, step.prefill_items[index], view, qkv, row_width, out, thread);
    else
      run_decode(step, step.decode_items[index - prefills], index - prefills, view, qkv, row_width);
  });
  // Merging reads what fits in the first-level cache: not worth a fork for a few sequences.
  constexpr std::size_t kParallelMerges = 16;
  const auto merge = [&](std::size_t index, int) { run_merge(step, step.merge_items[index], view, out); };
  if (step.merge_items.size() >= kParallelMerges)
    step.pool.run(step.merge_items.size(), merge);
  else
    for (std::size_t i = 0; i < step.merge_items.size(); ++i) merge(i, 0);
  if (step.observer != nullptr)
    step.observer->observe_output(
        layer, {out, static_cast<std::int64_t>(step.config.num_heads) * step.config.head_dim, step.num_tokens(),
                step.config.num_heads, step.config.head_dim});
}

}  // namespace octet::model
