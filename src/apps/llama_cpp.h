// llama.cpp's benchmark programs, as peers of octet bench.
//
// llama-bench times one sequence at a depth, prefill and decode; llama-batched-bench times many that decode
// together, each with a copy of one prompt in a part of the cache of its own.
#pragma once

#include <octet/bench.h>

#include <string>
#include <vector>

namespace octet::apps {

struct LlamaCppFlags {
  std::vector<std::string> programs;                       // NAME=PATH, as --compare gives them
  std::string gguf;                                        // the model in llama.cpp's format
  std::vector<std::string> cache_types = {"f16", "q8_0"};  // of keys and values
};

// One figure of a peer: tokens a second, 0 where it was not measured.
struct PeerRate {
  double prefill = 0;
  double decode = 0;
};

class LlamaCpp {
 public:
  // Throws Error: invalid_argument naming --compare, --gguf or --batch for a program that is not known or named
  // twice, a file that is not given, and a batch that no given program runs; not_found for a path that is not
  // there; io for one that is no program.
  LlamaCpp(const LlamaCppFlags& flags, const BenchOptions& options);

  const std::vector<std::string>& cache_types() const { return cache_types_; }
  // The program that measures batches of this size.
  std::string program(int batch) const;

  // Runs that program once, for one figure of everything that `options` asks for.
  // Throws Error: as run_child; invalid_file for output that is not what the program usually writes.
  PeerRate measure(const BenchOptions& options, const std::string& cache_type, int depth, int batch,
                   int threads) const;

 private:
  PeerRate run_bench(const BenchOptions& options, const std::string& cache_type, int depth, int threads) const;
  double run_batched_bench(const BenchOptions& options, const std::string& cache_type, int depth, int batch,
                           int threads) const;

  std::string bench_;  // paths; empty where not given
  std::string batched_bench_;
  std::string gguf_;
  std::vector<std::string> cache_types_;
};

}  // namespace octet::apps
