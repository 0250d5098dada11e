// What storing does to the keys, values and attention outputs of every layer and head.
//
// One model runs over the text with a float32 cache. At each layer every subject stores the same keys and
// values in its own cache and attends to them with the same queries, so that the figures of a layer are its own
// and not those of all layers before it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "evaluate/subject.h"
#include "evaluate/windows.h"
#include "kernels/kernel_table.h"

namespace octet::evaluate {

// Sums over the elements of one tensor of one head.
struct ErrorSums {
  double absmax = 0;  // of the values before storing
  std::int64_t elements = 0;
  std::int64_t saturated = 0;  // beyond the largest value that the dtype and the scale can hold
  std::int64_t nonzero = 0;
  std::int64_t underflowed = 0;  // not zero before storing, zero afterwards
  double signal = 0;             // sum of squares
  double error = 0;              // sum of squared differences

  double sqnr_db() const;  // 10 log10(signal / error); infinite where there is no error
};

struct LayerErrors {
  std::vector<ErrorSums> k, v;    // [num_kv_heads]
  std::vector<ErrorSums> output;  // [num_heads] of attention, before the output projection
};

// [subject][layer]. `exact` is the model with a float32 cache; its window-long cache and the subjects' caches
// hold the longest window. Progress counts tokens.
std::vector<std::vector<LayerErrors>> measure_layers(std::span<const Window> windows, const Subject& exact,
                                                     std::span<const Subject> subjects,
                                                     const kernels::KernelTable& table, ThreadPool& pool,
                                                     const Progress& progress);

}  // namespace octet::evaluate
