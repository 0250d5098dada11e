// octet bench --compare: Octet and llama.cpp in alternation on the same weights, and the ratios of their rates.
#pragma once

#include <octet/bench.h>

#include <functional>
#include <string>
#include <vector>

#include "apps/llama_cpp.h"

namespace octet::apps {

struct PeerRow {
  std::string program;
  std::string cache_type;
  int depth = 0;
  int batch = 1;
  BenchRate prefill;
  BenchRate decode;
};

// Octet's rate over a peer's, medians over the rounds: what disturbed a round disturbed both. 0 where either
// was not measured.
struct RateRatio {
  std::size_t row;   // of Comparison::octet.rows
  std::size_t peer;  // of Comparison::peers
  double prefill = 0;
  double decode = 0;
};

struct Comparison {
  BenchResult octet;              // depth by depth; the bandwidth is the median of the rounds'
  std::vector<PeerRow> peers;     // depth by depth, batch by batch, cache type by cache type
  std::vector<RateRatio> ratios;  // of every row with every peer of its depth and batch
};

// For each depth `options.runs` rounds: each figure of Octet's once, then each of the peers' once. Every round
// loads the models anew, both Octet's and the peers'. `on_depth` is called whenever a depth is complete, and
// for the first time, with no rows, when the machine is known; it returns false to end there.
Comparison compare(const BenchOptions& options, const LlamaCpp& peers,
                   const std::function<bool(const Comparison&)>& on_depth);

}  // namespace octet::apps
