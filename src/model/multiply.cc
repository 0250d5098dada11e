// The linear layers: a GEMV that streams the weights for few tokens, a GEMM over converted panels for many.
#include <algorithm>

#include "base/error.h"
#include "kernels/gemm.h"
#include "model/step.h"

namespace octet::model {

namespace {

// From this many tokens on, converting a panel of weights and calling the GEMM beats the GEMV.
constexpr int kGemmTokens = 16;
// Weight rows in one GEMM panel; 128 rows of 576 to 1536 floats fit a 512 KiB L2 with room for the rest.
constexpr int kPanelRows = 128;
// Weight rows in one GEMV task: long enough a stream for the prefetchers, short enough to share evenly.
constexpr int kGemvRows = 64;

void add_bias(const Linear& linear, const Product& product, int row_begin, int row_end, int num_tokens) {
  if (linear.bias.empty()) return;
  for (int t = 0; t < num_tokens; ++t) {
    float* y = product.y + t * product.y_stride;
    for (int r = row_begin; r < row_end; ++r) y[r] += linear.bias[static_cast<std::size_t>(r)];
  }
}

void multiply_rows(Step& step, const Product& product, const float* x, std::int64_t x_stride, int num_tokens,
                   int row_begin, int row_end) {
  const Linear& w = *product.linear;
  step.table.gemv(
      {w.weight, w.dtype, w.cols, row_begin, row_end, x, x_stride, product.y, product.y_stride, num_tokens});
}

void multiply_panel(Step& step, const Product& product, const float* x, std::int64_t x_stride, int num_tokens,
                    int row_begin, int row_end, AlignedFloats& scratch) {
  const Linear& w = *product.linear;
  const std::int64_t first = static_cast<std::int64_t>(row_begin) * w.cols;
  const std::int64_t size = static_cast<std::int64_t>(row_end - row_begin) * w.cols;
  const std::byte* weight =
      static_cast<const std::byte*>(w.weight) + first * static_cast<std::int64_t>(dtype_bytes(w.dtype));
  float* panel = scratch.data();
  step.table.to_float(panel, weight, w.dtype, size);
  const bool done = kernels::sgemm_nt(num_tokens, row_end - row_begin, w.cols, x, x_stride, panel, w.cols,
                                      product.y + row_begin, product.y_stride);
  // oneDNN refuses only for want of memory; the GEMV gives the same product, slower.
  if (!done) multiply_rows(step, product, x, x_stride, num_tokens, row_begin, row_end);
}

}  // namespace

void multiply(Step& step, std::span<const Product> products, const float* x, std::int64_t x_stride,
              int num_tokens) {
  const bool gemm = num_tokens >= kGemmTokens;
  const int task_rows = gemm ? kPanelRows : kGemvRows;
  std::size_t num_tasks = 0;
  for (const Product& product : products) {
    OCTET_CHECK(product.linear->cols == products.front().linear->cols);
    num_tasks += static_cast<std::size_t>((product.linear->rows + task_rows - 1) / task_rows);
  }
  if (gemm)
    for (AlignedFloats& scratch : step.workspace.thread_scratch)
      scratch.reserve(static_cast<std::size_t>(kPanelRows) *
                      static_cast<std::size_t>(products.front().linear->cols));

  step.pool.run(num_tasks, [&](std::size_t index, int thread) {
    auto task = static_cast<int>(index);
    const Product* product = products.data();
    for (;; ++product) {
      const int tasks = (product->linear->rows + task_rows - 1) / task_rows;
      if (task < tasks) break;
      task -= tasks;
    }
    const int begin = task * task_rows;
    const int end = std::min(begin + task_rows, product->linear->rows);
    if (gemm)
      multiply_panel(step, *product, x, x_stride, num_tokens, begin, end,
                     step.workspace.thread_scratch[static_cast<std::size_t>(thread)]);
    else
      multiply_rows(step, *product, x, x_stride, num_tokens, begin, end);
    add_bias(*product->linear, *product, begin, end, num_tokens);
  });
}

}  // namespace octet::model
