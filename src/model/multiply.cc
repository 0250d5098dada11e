// The linear layers: all products that read the same activations, cut into ranges of rows for the threads.
//
// Whichever kernel does them, one for few tokens or one that packs many, a token gets the same bits in any
// company: what a request generates does not depend on what else is in the batch.
#include <algorithm>

#include "base/error.h"
#include "model/step.h"

namespace octet::model {

namespace {

// Weight rows in one task, few enough to share evenly. A task of many tokens has more, since it brings its
// block of them nearer first.
constexpr int kFewTokensRows = 32;
constexpr int kManyTokensRows = 192;
constexpr int kManyTokens = 16;
// Packed tokens are near already.
constexpr int kPackedTokensRows = 64;

void add_bias(const Linear& linear, const Product& product, int row_begin, int row_end, int first, int last) {
  if (linear.bias.empty()) return;
  for (int t = first; t < last; ++t) {
    float* y = product.y + t * product.y_stride;
    for (int r = row_begin; r < row_end; ++r) y[r] += linear.bias[static_cast<std::size_t>(r)];
  }
}

// Rows [begin, end) of one of the products.
struct RowRange {
  const Product* product;
  int begin;
  int end;
};

RowRange find_rows(std::span<const Product> products, int task, int task_rows) {
  const Product* product = products.data();
  for (;; ++product) {
    const int tasks = (product->linear->rows + task_rows - 1) / task_rows;
    if (task < tasks) break;
    task -= tasks;
  }
  return {product, task * task_rows, std::min((task + 1) * task_rows, product->linear->rows)};
}

bool multiplies_bf16(const kernels::KernelTable& table, const Linear& linear) {
  return table.gemv_bf16 != nullptr && !linear.format && linear.dtype == Dtype::bfloat16;
}

// The activations of a product as the kernels take them.
struct Activations {
  const float* values;           // [num_tokens, stride]
  const std::uint16_t* bfloats;  // the same in bfloat16; null where they are not wanted
  std::int64_t stride;
  const float* packed = nullptr;  // the same in blocks as KernelTable::gemm takes them, where it is used
};

// The tokens in blocks of about the same size, the last one perhaps smaller.
struct TokenBlocks {
  int num_tokens, count, size;

  TokenBlocks(int tokens, int most) : num_tokens(tokens) {
    count = (tokens + most - 1) / most;
    size = (tokens + count - 1) / count;
  }
  int first(int block) const { return block * size; }
  int tokens(int block) const { return std::min(size, num_tokens - first(block)); }
};

// Rounds x to the step's dtype: as bfloat16 for the kernel that takes it, as floats again for the other.
Activations round(Step& step, std::span<const Product> products, const float* x, std::int64_t x_stride,
                  int num_tokens) {
  if (step.dtype == Dtype::float32) return {x, nullptr, x_stride};
  const int cols = products.front().linear->cols;
  const auto width = static_cast<std::size_t>(cols), tokens = static_cast<std::size_t>(num_tokens);
  const bool in_floats = std::any_of(products.begin(), products.end(), [&](const Product& product) {
    return !multiplies_bf16(step.table, *product.linear);
  });
  auto* bfloats = reinterpret_cast<std::uint16_t*>(step.workspace.bfloats.reserve((tokens * width + 1) / 2));
  float* values = in_floats ? step.workspace.rounded.reserve(tokens * width) : nullptr;
  const auto round_row = [&](std::size_t row, int) {
    std::uint16_t* rounded = bfloats + row * width;
    step.table.to_bfloat16(rounded, x + static_cast<std::int64_t>(row) * x_stride, cols);
    if (in_floats) step.table.to_float(values + row * width, rounded, Dtype::bfloat16, cols);
  };
  if (num_tokens >= kManyTokens)
    step.pool.run(tokens, round_row);
  else
    for (std::size_t row = 0; row < tokens; ++row) round_row(row, 0);
  return {values, bfloats, cols};
}

// Packs every token's activations with the others of its block.
void pack(Step& step, Activations& x, int cols, const TokenBlocks& blocks) {
  float* packed = step.workspace.packed.reserve(kernels::packed_floats(blocks.num_tokens, cols));
  step.pool.run(static_cast<std::size_t>(blocks.num_tokens), [&](std::size_t index, int) {
    const int token = static_cast<int>(index), block = token / blocks.size, first = blocks.first(block);
    step.table.pack_activations({x.values + token * x.stride, cols,
                                 packed + kernels::packed_floats(first, cols), token - first,
                                 blocks.tokens(block)});
  });
  x.packed = packed;
}

// Rows [begin, end) of a product for tokens [first, last), which are a block, by one of the threads.
void multiply_rows(Step& step, const RowRange& rows, const Activations& x, int cols, int first, int last,
                   int thread) {
  const Linear& linear = *rows.product->linear;
  const std::int64_t y_stride = rows.product->y_stride;
  float* y = rows.product->y + first * y_stride;
  AlignedFloats& scratch_floats = step.workspace.thread_scratch[static_cast<std::size_t>(thread)];
  if (x.packed != nullptr) {
    const float* packed = x.packed + kernels::packed_floats(first, cols);
    float* scratch = scratch_floats.reserve(step.table.gemm_scratch_floats(last - first, cols));
    if (linear.format)
      step.table.gemm_quantized(
          {linear.quantized(), rows.begin, rows.end, packed, y, y_stride, last - first, scratch});
    else
      step.table.gemm({linear.weight, linear.dtype, cols, rows.begin, rows.end, packed, y, y_stride,
                       last - first, scratch});
  } else if (linear.format) {
    float* scratch = scratch_floats.reserve(static_cast<std::size_t>(kernels::kQuantizedRows) *
                                            static_cast<std::size_t>(cols));
    step.table.gemv_quantized({linear.quantized(), rows.begin, rows.end, x.values + first * x.stride, x.stride,
                               y, y_stride, last - first, scratch});
  } else if (x.bfloats != nullptr && multiplies_bf16(step.table, linear))
    step.table.gemv_bf16({static_cast<const std::uint16_t*>(linear.weight), cols, rows.begin, rows.end,
                          x.bfloats + first * x.stride, x.stride, y, y_stride, last - first});
  else
    step.table.gemv({linear.weight, linear.dtype, cols, rows.begin, rows.end, x.values + first * x.stride,
                     x.stride, y, y_stride, last - first});
  add_bias(linear, *rows.product, rows.begin, rows.end, first, last);
}

}  // namespace

void multiply(Step& step, std::span<const Product> products, const float* x, std::int64_t x_stride,
              int num_tokens) {
  const int cols = products.front().linear->cols;
  const bool packs = num_tokens >= kernels::kGemmLeastTokens && step.table.gemm != nullptr;
  const int task_rows = packs ? kPackedTokensRows : num_tokens < kManyTokens ? kFewTokensRows : kManyTokensRows;
  int row_tasks = 0;
  for (const Product& product : products) {
    OCTET_CHECK(product.linear->cols == cols);
    row_tasks += (product.linear->rows + task_rows - 1) / task_rows;
  }
  // The threads meet one block together.
  const TokenBlocks blocks(num_tokens, packs ? kernels::kGemmMostTokens : kernels::gemv_block_tokens(cols));

  Activations activations = round(step, products, x, x_stride, num_tokens);
  if (packs) pack(step, activations, cols, blocks);
  const auto task = [&](std::size_t index, int thread) {
    const RowRange rows = find_rows(products, static_cast<int>(index) % row_tasks, task_rows);
    const int block = static_cast<int>(index) / row_tasks, first = blocks.first(block);
    multiply_rows(step, rows, activations, cols, first, first + blocks.tokens(block), thread);
  };
  const auto num_tasks = static_cast<std::size_t>(blocks.count * row_tasks);
  // Few tokens are bound by memory, which the threads read fastest as one stream of weights each.
  if (num_tokens < kManyTokens)
    step.pool.run_streams(num_tasks, task);
  else
    step.pool.run(num_tasks, task);
}

}  // namespace octet::model
