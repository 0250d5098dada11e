// Calibration: scales for an FP8 KV cache from a dataset or from the weights alone, written as a checkpoint
// that needs no other.
//
// docs/calibration.md says what the observers do, what a dataset may be and which files are written. One thread
// calls; the work uses `threads` threads. Nothing is printed.
#pragma once

#include <octet/error.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace octet {

struct CalibrationOptions {
  std::string model = {};    // a checkpoint directory
  std::string dataset = {};  // a file: .jsonl, .ndjson, .json (an object a line) or .txt, .text, .raw, .md
  // dataset: what the samples show; bound: what the weights allow, so that nothing ever saturates. The latter
  // has no use for samples: `dataset` is then "none" or empty, and what says how to look at them is not given.
  std::string method = "dataset";
  std::string output = {};                 // a directory; empty = MODEL-kvattn-fp8-STRATEGY beside the model
  std::string strategy = "tensor";         // one scale a layer, or attn_head: one a head
  std::string observer = "static_minmax";  // or minmax, mse, percentile
  double percentile = 99.99;               // (0, 100], for the observer percentile
  std::string targets = "kv";              // or qkv: queries too
  int num_samples = 512;                   // at most
  std::optional<int> max_seq_length = {};  // tokens of a sample; default 2048, or what the model takes
  std::uint64_t seed = 42;                 // of the choice of samples and their order
  bool shuffle = true;                     // false: the first samples, as they stand
  bool scales_only = false;                // write the added shard, the index and config.json alone
  bool force = false;                      // replace a calibrated checkpoint that stands at `output`
  bool resume = false;                     // go on where an interrupted calibration with the same options stood
  std::string dtype = "float32";           // of activations, as LLMOptions has it; bound has no use for it
  int threads = 0;                         // 0 = physical cores
  std::string isa = {};                    // forces a kernel table; empty = OCTET_ISA, then the fastest
};

struct CalibrationProgress {
  std::int64_t samples = 0;        // done or skipped
  std::int64_t total_samples = 0;  // that will be
  std::int64_t tokens = 0;         // run through the model, before an interruption too
  double seconds = 0;              // spent on them
};

// The scales of one layer: one, or one a head.
struct CalibratedLayer {
  std::vector<float> k;
  std::vector<float> v;
  std::vector<float> q;  // empty unless queries are a target
};

struct CalibrationResult {
  std::string output;        // the directory that was written
  bool interrupted = false;  // the callback ended it: nothing was written but `state`
  std::string state;         // the file from which `resume` goes on, where it was interrupted
  CalibrationProgress progress;
  std::int64_t skipped = 0;             // samples of less than two tokens
  std::int64_t samples_in_dataset = 0;  // chosen from so many (without shuffling: as many as were looked at)
  std::string strategy;
  std::string observer;  // or "bound"
  std::vector<CalibratedLayer> layers;
  std::vector<std::string> notices;  // what a person should know, a line each
  std::string dtype;                 // of activations: float32 or bfloat16
  std::string isa;
  int threads = 0;
};

// Called after every sample; return false to stop there. What was seen is then kept for `resume`.
using CalibrationCallback = std::function<bool(const CalibrationProgress&)>;

// Runs the dataset through the model, turns the ranges of keys and values (and queries) into scales and writes
// the checkpoint. At most once a minute, and when it is stopped, the state is saved beside the output, in
// OUTPUT.resume; success removes it. Throws Error as LLM's constructor does, and: invalid_argument for an
// option, an output that stands there, a state that was made from something else, or a layer whose range is
// zero, infinite or NaN; not_found, unsupported and invalid_file for the dataset, naming its line; io where
// something cannot be written. Nothing is half-written.
OCTET_EXPORT CalibrationResult run_calibration(const CalibrationOptions& options,
                                               const CalibrationCallback& on_progress = nullptr);

}  // namespace octet
