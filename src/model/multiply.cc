// The linear layers: all products that read the same activations, cut into ranges of rows for the threads.
//
// One kernel does one token and many, and gives a token the same bits in any company: what a request generates
// does not depend on what else is in the batch.
#include <algorithm>

#include "base/error.h"
#include "model/step.h"

namespace octet::model {

namespace {

// Weight rows in one task: long enough a stream for the prefetchers, short enough to share evenly. With many
// tokens a task meets all of them, block by block, and brings each block nearer once.
constexpr int kFewTokensRows = 64;
constexpr int kManyTokensRows = 192;
constexpr int kManyTokens = 16;

void add_bias(const Linear& linear, const Product& product, int row_begin, int row_end, int num_tokens) {
  if (linear.bias.empty()) return;
  for (int t = 0; t < num_tokens; ++t) {
    float* y = product.y + t * product.y_stride;
    for (int r = row_begin; r < row_end; ++r) y[r] += linear.bias[static_cast<std::size_t>(r)];
  }
}

}  // namespace

void multiply(Step& step, std::span<const Product> products, const float* x, std::int64_t x_stride,
              int num_tokens) {
  const int cols = products.front().linear->cols;
  const int task_rows = num_tokens < kManyTokens ? kFewTokensRows : kManyTokensRows;
  std::size_t num_tasks = 0;
  for (const Product& product : products) {
    OCTET_CHECK(product.linear->cols == cols);
    num_tasks += static_cast<std::size_t>((product.linear->rows + task_rows - 1) / task_rows);
  }
  step.pool.run(num_tasks, [&](std::size_t index, int) {
    auto task = static_cast<int>(index);
    const Product* product = products.data();
    for (;; ++product) {
      const int tasks = (product->linear->rows + task_rows - 1) / task_rows;
      if (task < tasks) break;
      task -= tasks;
    }
    const Linear& linear = *product->linear;
    const int begin = task * task_rows;
    const int end = std::min(begin + task_rows, linear.rows);
    step.table.gemv({linear.weight, linear.dtype, cols, begin, end, x, x_stride, product->y, product->y_stride,
                     num_tokens});
    add_bias(linear, *product, begin, end, num_tokens);
  });
}

}  // namespace octet::model
