// Attention over the cache: cut into pieces once a step, run for every layer.
//
// Pieces have fixed lengths, whatever the number of threads and whoever else is in the batch, so that a
// sequence's result does not depend on either. How many KV heads of a piece one task takes changes no bit. The
// more, the longer the runs that are read of the pool, where a block's heads lie one behind the other.
#include <algorithm>

#include "model/step.h"

namespace octet::model {

namespace {

// Cached positions in one piece of decode attention: long enough that merging costs nothing, short
// enough that a single sequence keeps many threads busy.
constexpr int kDecodePiece = 512;
// Tasks of decode attention that there should be for each thread, so that all end together.
constexpr int kDecodeTasksAThread = 4;
// Query rows (positions times the heads of a group) that one prefill piece aims at.
constexpr int kPrefillRows = 192;

const std::int32_t* block_table(const Step& step, int layer, int seq) {
  const std::int64_t row = static_cast<std::int64_t>(step.cache->group_of(layer)) * step.plan->num_seqs() + seq;
  return step.plan->block_tables.data() + row * step.plan->max_blocks;
}

float softmax_scale(const ModelConfig& config) { return static_cast<float>(config.attention_scale); }
float softcap(const ModelConfig& config) { return static_cast<float>(config.attention_logit_softcap); }

void plan_decode(const Step& step, AttentionPieces& pieces, int seq, int token) {
  const int end = step.plan->positions[static_cast<std::size_t>(token)] + 1;
  const int begin = pieces.window > 0 ? std::max(0, end - pieces.window) : 0;
  // One accumulator over the whole context is what that arithmetic is about.
  const int length = step.math == kernels::AttentionMath::fp8_hopper_plain ? end - begin : kDecodePiece;
  const int first = static_cast<int>(pieces.decode_items.size());
  for (int piece = begin; piece < end; piece += length)
    pieces.decode_items.push_back({seq, token, piece, std::min(piece + length, end)});
  const int count = static_cast<int>(pieces.decode_items.size()) - first;
  for (int head = 0; head < step.config.num_kv_heads; ++head)
    pieces.merge_items.push_back({token, head, first, count});
}

// As few as keep all threads busy and a call within what a kernel takes.
int tasks_an_item(const Step& step, std::size_t num_items) {
  const auto divided_up = [](int a, int b) { return (a + b - 1) / b; };
  const int heads = step.config.num_kv_heads, most = kernels::kMaxGroup / step.config.group();
  const int wanted = kDecodeTasksAThread * step.pool.num_threads();
  const int items = std::max(1, static_cast<int>(num_items));
  return std::clamp(divided_up(wanted, items), divided_up(heads, most), heads);
}

void plan_prefill(const Step& step, AttentionPieces& pieces, int seq, int first, int last) {
  const int tile = std::max(1, kPrefillRows / step.config.group());
  for (int token = first; token < last; token += tile)
    for (int head = 0; head < step.config.num_kv_heads; ++head)
      pieces.prefill_items.push_back({seq, token, head, std::min(tile, last - token)});
}

// Whether a layer's two products take FP8 numbers: the 16-bit layers among FP8 ones cannot.
bool is_quantized(const Step& step, const kernels::KvView& view) {
  return step.math != kernels::AttentionMath::fp32 && is_fp8(view.k_dtype) && is_fp8(view.v_dtype);
}

float* scratch_of(const Step& step, int thread) {
  return step.workspace.thread_scratch[static_cast<std::size_t>(thread)].data();
}

// What all pieces of a layer's quantised attention at one KV head have in common.
kernels::QuantizedAttentionArgs quantized_args(const Step& step, const kernels::KvView& view, int layer,
                                               int seq, int kv_head) {
  const ModelConfig& c = step.config;
  const std::vector<float>& q_scales = step.cache->scales().layers[static_cast<std::size_t>(layer)].q;
  kernels::QuantizedAttentionArgs args{};
  args.math = step.math;
  args.q_scale = q_scales.empty() ? nullptr : q_scales.data() + kv_head * c.group();
  args.group = c.group();
  args.softmax_scale = softmax_scale(c);
  args.kv = &view;
  args.kv_head = kv_head;
  args.block_table = block_table(step, layer, seq);
  args.softcap = softcap(c);
  return args;
}

// KV heads [first, last) of an item.
void run_decode(Step& step, std::size_t index, int first, int last, int layer, const float* qkv,
                std::int64_t row_width, int thread) {
  const ModelConfig& c = step.config;
  const DecodeItem& item = step.pieces_of(layer).decode_items[index];
  const kernels::KvView& view = step.cache->view(layer);
  Workspace& ws = step.workspace;
  const auto row = static_cast<std::int64_t>(index) * c.num_heads + first * c.group();
  const bool bf16 = step.dtype == Dtype::bfloat16 && step.table.decode_attention_bf16 != nullptr;
  const auto attention = bf16 ? step.table.decode_attention_bf16 : step.table.decode_attention;
  const kernels::DecodeAttentionArgs all{
      .q = qkv + item.token * row_width + static_cast<std::int64_t>(first) * c.group() * c.head_dim,
      .group = c.group(),
      .softmax_scale = softmax_scale(c),
      .kv = &view,
      .kv_head = first,
      .block_table = block_table(step, layer, item.seq),
      .begin = item.begin,
      .end = item.end,
      .out = ws.partial_out.data() + row * c.head_dim,
      .max = ws.partial_max.data() + row,
      .sum = ws.partial_sum.data() + row,
      .softcap = softcap(c),
      .num_kv_heads = last - first};
  if (!is_quantized(step, view)) return attention(all);
  for (int head = first; head < last; ++head) {
    const kernels::DecodeAttentionArgs one = of_kv_head(all, head - first);
    kernels::QuantizedAttentionArgs args = quantized_args(step, view, layer, item.seq, head);
    args.q = one.q;
    args.num_queries = 1;
    args.first_position = step.plan->positions[static_cast<std::size_t>(item.token)];
    args.begin = item.begin;
    args.end = item.end;
    args.out = one.out;
    args.max = one.max;
    args.sum = one.sum;
    args.scratch = scratch_of(step, thread);
    step.table.quantized_attention(args);
  }
}

void run_merge(Step& step, const MergeItem& item, const kernels::KvView& view, float* out) {
  const ModelConfig& c = step.config;
  const int group = c.group();
  const Workspace& ws = step.workspace;
  const auto row = static_cast<std::int64_t>(item.first) * c.num_heads + item.kv_head * group;
  const std::int64_t out_row = static_cast<std::int64_t>(item.token) * c.num_heads + item.kv_head * group;
  step.table.merge_attention({ws.partial_out.data() + row * c.head_dim, ws.partial_max.data() + row,
                              ws.partial_sum.data() + row, c.num_heads, item.count, group, c.head_dim,
                              view.v_scale[item.kv_head], out + out_row * c.head_dim});
}

void run_prefill(Step& step, const PrefillItem& item, int layer, const float* qkv, std::int64_t row_width,
                 float* out, int thread) {
  const ModelConfig& c = step.config;
  const kernels::KvView& view = step.cache->view(layer);
  const int group = c.group();
  const int first_position = step.plan->positions[static_cast<std::size_t>(item.token)];
  const std::int64_t out_width = static_cast<std::int64_t>(c.num_heads) * c.head_dim;
  const std::int64_t head_offset = static_cast<std::int64_t>(item.kv_head) * group * c.head_dim;
  const float* q = qkv + item.token * row_width + head_offset;
  float* to = out + item.token * out_width + head_offset;
  if (!is_quantized(step, view)) {
    const bool bf16 = step.dtype == Dtype::bfloat16 && step.table.prefill_attention_bf16 != nullptr;
    const auto attention = bf16 ? step.table.prefill_attention_bf16 : step.table.prefill_attention;
    attention({q, row_width, item.num_queries, group, first_position, step.layer_config(layer).sliding_window,
               softmax_scale(c), &view, item.kv_head, block_table(step, layer, item.seq), to, out_width,
               scratch_of(step, thread), softcap(c)});
    return;
  }
  kernels::QuantizedAttentionArgs args = quantized_args(step, view, layer, item.seq, item.kv_head);
  args.q = q;
  args.q_stride = row_width;
  args.num_queries = item.num_queries;
  args.first_position = first_position;
  args.window = step.layer_config(layer).sliding_window;
  args.end = first_position + item.num_queries;
  args.out = to;
  args.out_stride = out_width;
  args.scratch = scratch_of(step, thread);
  step.table.quantized_attention(args);
}

// Floats that any piece of the step may ask for, whatever the layer's dtypes.
std::size_t scratch_floats(const Step& step, int most_queries) {
  const int group = step.config.group(), head_dim = step.config.head_dim;
  std::size_t floats = 0;
  if (most_queries > 0) floats = step.table.prefill_scratch_floats(most_queries, group, head_dim);
  if (step.math != kernels::AttentionMath::fp32)
    floats =
        std::max({floats, step.table.quantized_scratch_floats(step.math, 1, group, head_dim),
                  step.table.quantized_scratch_floats(step.math, std::max(most_queries, 1), group, head_dim)});
  return floats;
}

void plan_pieces(const Step& step, AttentionPieces& pieces) {
  const BatchPlan& plan = *step.plan;
  pieces.decode_items.clear();
  pieces.merge_items.clear();
  pieces.prefill_items.clear();
  for (int seq = 0; seq < plan.num_seqs(); ++seq) {
    const int first = plan.query_start[static_cast<std::size_t>(seq)];
    const int last = plan.query_start[static_cast<std::size_t>(seq) + 1];
    const int prompt_left =
        plan.prompt_lengths[static_cast<std::size_t>(seq)] - plan.positions[static_cast<std::size_t>(first)];
    const int decode = first + std::clamp(prompt_left, 0, last - first);
    plan_prefill(step, pieces, seq, first, decode);
    for (int token = decode; token < last; ++token) plan_decode(step, pieces, seq, token);
  }
  pieces.tasks_an_item = tasks_an_item(step, pieces.decode_items.size());
  // The latest positions attend to most: start with them, so that the threads end together.
  std::stable_sort(pieces.prefill_items.begin(), pieces.prefill_items.end(),
                   [&](const PrefillItem& a, const PrefillItem& b) {
                     return plan.positions[static_cast<std::size_t>(a.token)] >
                            plan.positions[static_cast<std::size_t>(b.token)];
                   });
}

// One of each window that layers have.
std::vector<AttentionPieces> pieces_of_windows(const ModelConfig& config) {
  std::vector<AttentionPieces> all;
  for (const LayerConfig& layer : config.layers) {
    const auto same = [&](const AttentionPieces& pieces) { return pieces.window == layer.sliding_window; };
    if (std::none_of(all.begin(), all.end(), same)) all.push_back({layer.sliding_window});
  }
  return all;
}

}  // namespace

const AttentionPieces& Step::pieces_of(int layer) const {
  const auto found = std::find_if(
      attention_pieces.begin(), attention_pieces.end(),
      [&](const AttentionPieces& pieces) { return pieces.window == layer_config(layer).sliding_window; });
  return *found;
}

void plan_attention(Step& step) {
  if (step.attention_pieces.empty()) step.attention_pieces = pieces_of_windows(step.config);
  int most_queries = 0;
  std::size_t most_decode_items = 0;
  for (AttentionPieces& pieces : step.attention_pieces) {
    plan_pieces(step, pieces);
    for (const PrefillItem& item : pieces.prefill_items)
      most_queries = std::max(most_queries, item.num_queries);
    most_decode_items = std::max(most_decode_items, pieces.decode_items.size());
  }
  const ModelConfig& c = step.config;
  const auto rows = most_decode_items * static_cast<std::size_t>(c.num_heads);
  step.workspace.partial_out.reserve(rows * static_cast<std::size_t>(c.head_dim));
  step.workspace.partial_max.reserve(rows);
  step.workspace.partial_sum.reserve(rows);
  if (const std::size_t floats = scratch_floats(step, most_queries); floats > 0)
    for (AlignedFloats& scratch : step.workspace.thread_scratch) scratch.reserve(floats);
}

void attend(Step& step, int layer, const float* qkv, float* out) {
  const kernels::KvView& view = step.cache->view(layer);
  const AttentionPieces& pieces = step.pieces_of(layer);
  const std::int64_t row_width =
      static_cast<std::int64_t>(step.config.num_heads + 2 * step.config.num_kv_heads) * step.config.head_dim;
  const std::size_t prefills = pieces.prefill_items.size();
  const bool every_token = !step.is_last(layer) || step.observer != nullptr;
  const auto is_used = [&](int token, int count) {
    const std::vector<std::int32_t>& wanted = step.plan->logits_rows;
    const auto next = std::lower_bound(wanted.begin(), wanted.end(), token);
    return every_token || (next != wanted.end() && *next < token + count);
  };
  const auto tasks = static_cast<std::size_t>(pieces.tasks_an_item);
  step.pool.run(prefills + pieces.decode_items.size() * tasks, [&](std::size_t index, int thread) {
    if (index < prefills) {
      const PrefillItem& item = pieces.prefill_items[index];
      if (is_used(item.token, item.num_queries)) run_prefill(step, item, layer, qkv, row_width, out, thread);
    } else {
      const std::size_t item = (index - prefills) / tasks;
      const int heads = step.config.num_kv_heads, task = static_cast<int>((index - prefills) % tasks);
      if (is_used(pieces.decode_items[item].token, 1))
        run_decode(step, item, heads * task / pieces.tasks_an_item, heads * (task + 1) / pieces.tasks_an_item,
                   layer, qkv, row_width, thread);
    }
  });
  // Merging reads what fits in the first-level cache: not worth a fork for a few sequences.
  constexpr std::size_t kParallelMerges = 16;
  const auto merge = [&](std::size_t index, int) {
    if (is_used(pieces.merge_items[index].token, 1)) run_merge(step, pieces.merge_items[index], view, out);
  };
  if (pieces.merge_items.size() >= kParallelMerges)
    step.pool.run(pieces.merge_items.size(), merge);
  else
    for (std::size_t i = 0; i < pieces.merge_items.size(); ++i) merge(i, 0);
  if (step.observer != nullptr)
    step.observer->observe_output(
        layer, {out, static_cast<std::int64_t>(step.config.num_heads) * step.config.head_dim, step.num_tokens(),
                step.config.num_heads, step.config.head_dim});
}

}  // namespace octet::model
