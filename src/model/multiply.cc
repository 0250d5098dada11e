// The linear layers: all products that read the same activations, cut into ranges of rows for the threads.
//
// One kernel does one token and many, and gives a token the same bits in any company: what a request generates
// does not depend on what else is in the batch.
#include <algorithm>

#include "base/error.h"
#include "model/step.h"

namespace octet::model {

namespace {

// Weight rows in one task: long enough a stream for the prefetchers, short enough to share evenly. A task of
// many tokens has more, since it brings its block of them nearer first.
constexpr int kFewTokensRows = 64;
constexpr int kManyTokensRows = 192;
constexpr int kManyTokens = 16;

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

}  // namespace

void multiply(Step& step, std::span<const Product> products, const float* x, std::int64_t x_stride,
              int num_tokens) {
  const int cols = products.front().linear->cols;
  const int task_rows = num_tokens < kManyTokens ? kFewTokensRows : kManyTokensRows;
  int row_tasks = 0;
  for (const Product& product : products) {
    OCTET_CHECK(product.linear->cols == cols);
    row_tasks += (product.linear->rows + task_rows - 1) / task_rows;
  }
  // Blocks of about the same size; the threads meet one block together.
  const int most = kernels::gemv_block_tokens(cols);
  const int blocks = (num_tokens + most - 1) / most;
  const int block_tokens = (num_tokens + blocks - 1) / blocks;

  step.pool.run(static_cast<std::size_t>(blocks * row_tasks), [&](std::size_t index, int) {
    const RowRange rows = find_rows(products, static_cast<int>(index) % row_tasks, task_rows);
    const int first = static_cast<int>(index) / row_tasks * block_tokens;
    const int last = std::min(first + block_tokens, num_tokens);
    const Linear& linear = *rows.product->linear;
    const std::int64_t y_stride = rows.product->y_stride;
    step.table.gemv({linear.weight, linear.dtype, cols, rows.begin, rows.end, x + first * x_stride, x_stride,
                     rows.product->y + first * y_stride, y_stride, last - first});
    add_bias(linear, *rows.product, rows.begin, rows.end, first, last);
  });
}

}  // namespace octet::model
