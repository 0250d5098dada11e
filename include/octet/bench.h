// How fast a checkpoint runs on this machine: prefill of one sequence, decode of one and of many together, at
// several context depths and cache dtypes, beside the memory bandwidth that the same threads reach.
//
// Depths are filled with random keys and values, since times do not depend on what is cached. One thread
// calls; the measurement uses `threads` threads and a cache as large as the largest batch at the greatest
// depth.
#pragma once

#include <octet/error.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace octet {

struct BenchOptions {
  std::string model;                          // a checkpoint directory
  std::string dtype = "float32";              // of activations, as LLMOptions has it
  std::vector<int> depths = {0, 2048, 7000};  // tokens cached before what is timed
  std::vector<std::string> kv_cache_dtypes = {"auto", "fp8_e4m3", "fp8_e5m2"};
  std::string kv_cache_dtype_k;  // as LLMOptions has them, for every row
  std::string kv_cache_dtype_v;
  std::vector<std::string> kv_cache_dtype_skip_layers;
  std::string attention_math = "fp32";  // the same
  std::vector<int> batches = {1};       // sequences that decode together, each with its own cache
  bool start = false;                   // measure BenchStart too, first of all
  bool mixed_lengths = false;           // batches of sequences from half to one and a half times the depth
  int prefill_tokens = 512;             // timed in chunks of at most 512; 0 = do not measure prefill
  int decode_tokens = 64;               // of each sequence, timed one by one; 0 = do not measure decode
  int runs = 3;                         // repetitions of each figure
  int block_size = 64;                  // tokens a block
  std::string safetensors_load_strategy = "auto";  // as LLMOptions has it
  std::string quantization;                        // the same
  int threads = 0;                                 // 0 = physical cores
  std::string isa;                                 // forces a kernel table; empty = OCTET_ISA, then the fastest
};

// Tokens a second, or seconds, over the runs; zeros where not measured.
struct BenchRate {
  double median = 0;
  double least = 0;
  double most = 0;
};

// From nothing to the first token of a short prompt, tokenizer and all; in a process that is running already.
struct BenchStart {
  BenchRate load_seconds;         // until the LLM is there
  BenchRate first_token_seconds;  // until the token is
};

struct BenchRow {
  std::string kv_cache_dtype;        // as asked for
  std::string dtype;                 // as stored
  std::int64_t bytes_per_token = 0;  // of cache
  int depth = 0;
  int batch = 1;
  BenchRate prefill;  // of one sequence; measured in the rows of the first batch size
  BenchRate decode;   // of all sequences of the batch together
  // Weights and cache that one step, a token a sequence, reads on average; of a mixture, if every expert is as
  // likely to be chosen as the others.
  std::int64_t decode_bytes = 0;
  double decode_bandwidth = 0;   // bytes a second: decode_bytes * decode.median / batch
  std::int64_t cache_bytes = 0;  // of the whole cache that the rows of this dtype share
  // The most memory of the process since that cache was made, bytes: weights (also where they are mapped),
  // cache and all else; 0 where the system does not say.
  std::int64_t peak_memory_bytes = 0;
};

struct BenchResult {
  std::string isa;
  int threads = 0;
  std::int64_t weight_bytes = 0;      // that one decoded token has to read, of experts those that it chooses
  std::int64_t expert_bytes = 0;      // of all experts of a mixture, chosen or not
  std::int64_t checkpoint_bytes = 0;  // of all tensors, as they are quantised at load
  BenchStart start;                   // where asked for
  std::string dtype;                  // of activations: float32 or bfloat16
  std::string load_strategy;   // of the weights, as it turned out: lazy (mapped) or eager (on huge pages)
  double read_bandwidth = 0;   // bytes a second, all threads reading a buffer far larger than the caches
  std::vector<BenchRow> rows;  // dtype by dtype, depth by depth, batch by batch, as asked
};

// Median, least and most of `rates`; zeros where there are none.
OCTET_EXPORT BenchRate summarize_rates(std::vector<double> rates);

// Called with each row as soon as it is measured; return false to end the measurement there.
using BenchCallback = std::function<bool(const BenchResult& so_far)>;

// Measures everything that `options` asks for. The callback is first called with no rows, as soon as the
// bandwidth is known.
// Throws Error as LLM's constructor does, invalid_argument for depths that, with the tokens timed, go past the
// model's max_position_embeddings, and out_of_memory for a cache that the machine has no room for.
OCTET_EXPORT BenchResult run_benchmark(const BenchOptions& options, const BenchCallback& on_row = nullptr);

// Bytes a second that `threads` threads (0 = physical cores) read from memory: best of several passes over
// a 512 MiB buffer with the widest loads of this CPU. Throws Error{out_of_memory}.
OCTET_EXPORT double measure_read_bandwidth(int threads = 0);

}  // namespace octet
