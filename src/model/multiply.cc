// The linear layers: all products that read the same activations, cut into ranges of rows for the threads.
//
// One kernel does one token and many, and gives a token the same bits in any company: what a request generates
// does not depend on what else is in the batch.
#include <algorithm>

#include "base/error.h"
#include "model/step.h"

namespace octet::model {

namespace {

// Weight rows in one task of few tokens: long enough a stream for the prefetchers, short enough to share
// evenly.
constexpr int kGemvRows = 64;

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
  const bool panels = num_tokens >= kernels::kGemvPanelTokens;
  const int panel_rows = kernels::gemv_panel_rows(cols);
  const int task_rows = panels ? panel_rows : kGemvRows;
  std::size_t num_tasks = 0;
  for (const Product& product : products) {
    OCTET_CHECK(product.linear->cols == cols);
    num_tasks += static_cast<std::size_t>((product.linear->rows + task_rows - 1) / task_rows);
  }
  if (panels)
    for (AlignedFloats& scratch : step.workspace.thread_scratch)
      scratch.reserve(static_cast<std::size_t>(panel_rows) * static_cast<std::size_t>(cols));

  step.pool.run(num_tasks, [&](std::size_t index, int thread) {
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
                     num_tokens, step.workspace.thread_scratch[static_cast<std::size_t>(thread)].data()});
    add_bias(linear, *product, begin, end, num_tokens);
  });
}

}  // namespace octet::model
