// What a KV cache costs in quality: perplexity and divergence from a 16-bit cache, drift of greedy text, errors
// of every layer and head, and retrieval from long contexts, for any set of caches side by side.
//
// Everything is measured on the caller's text with the model itself; nothing is estimated. Results are plain
// values. One thread calls; the weights are loaded once for all configurations of a directory. What each figure
// means: docs/quality.md.
#pragma once

#include <octet/error.h>
#include <octet/llm.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace octet {

struct EvaluationOptions {
  std::string model = {};  // a checkpoint directory
  // Each "DTYPE" (a kv_cache_dtype, for `model`), "DIR" or "DIR:DTYPE" (another checkpoint of the same model,
  // with scales of its own; auto where no dtype is given), and behind it "+k=DTYPE", "+v=DTYPE" or
  // "+skip=LAYERS" as LLMOptions' kv_cache_dtype_k, _v and _skip_layers, "+scales=random", "prompt" or "bound"
  // as its calculate_kv_scales, "+strategy=attn_head" as its kv_scale_strategy, "+math=MATH" as its
  // attention_math, "+dtype=bfloat16" as its dtype, and "+quantization=fp8" or "int8" as its quantization. The
  // first prompt is the beginning of the first document, or needle: at most 512 tokens.
  std::vector<std::string> configs = {"auto", "fp8_e4m3", "fp8_e5m2"};
  // What the others are compared with: a configuration. Empty = auto, or float16 where auto is an FP8 cache
  // because the checkpoint asks for one.
  std::string baseline = {};

  std::vector<Prompt> documents = {};  // text or token ids; each of 2 tokens or more
  // More documents: the samples of a file, as CalibrationOptions::dataset; those of less than 2 tokens are left
  // out, and each is cut off after `context` tokens.
  std::string dataset = {};
  int dataset_samples = 512;  // at most, chosen and put in order by dataset_seed
  std::uint64_t dataset_seed = 42;
  int context = 0;  // tokens a window; 0 = 2048, or max_position_embeddings where less
  int stride = 0;   // tokens from one window to the next; 0 = context
  // Tokens that must stand before a position in its window for it to be scored; those with fewer are left out
  // of the likelihood. llama-perplexity leaves out the first half of each window.
  int min_context = 0;
  std::int64_t max_tokens = 0;  // of the documents, from the start; 0 = all

  int layer_tokens = 1024;  // text for the errors of layers and heads; 0 = leave out

  int drift_prompts = 8;         // beginnings spread over the documents, continued greedily; 0 = leave out
  int drift_prompt_tokens = 64;  // of each
  int drift_tokens = 128;        // new ones, at most

  std::vector<int> needle_lengths = {};                   // tokens of prompt and answer; empty = leave out
  std::vector<int> needle_depths = {0, 25, 50, 75, 100};  // percent of the haystack before the needle
  int needle_samples = 1;                                 // haystacks for each length and depth
  std::uint64_t needle_seed = 1;

  int block_size = 64;   // tokens a block
  int threads = 0;       // 0 = physical cores
  std::string isa = {};  // forces a kernel table; empty = OCTET_ISA, then the fastest
};

// KL(baseline || configuration) of the next token's distribution, nats, over the scored positions.
struct DivergenceFigures {
  double mean = 0;
  double standard_error = 0;  // of the mean, taking positions as independent
  double median = 0;
  double p99 = 0;
  double largest = 0;
};

// Mean KL over positions [begin, end) of their windows.
struct PositionFigures {
  int begin = 0;
  int end = 0;
  std::int64_t count = 0;
  double mean_kl = 0;
};

struct LikelihoodFigures {
  std::int64_t positions = 0;    // scored
  std::int64_t predictions = 0;  // those with a next token
  double mean_nll = 0;           // nats a token
  double perplexity = 0;         // exp(mean_nll)
  DivergenceFigures kl;
  double top1_agreement = 0;  // share of positions whose likeliest token is the baseline's
  std::vector<PositionFigures> by_position;
};

struct DriftText {
  int baseline_tokens = 0;
  int first_difference = 0;  // index of the first new token that differs; baseline_tokens where none does
  int in_common = 0;         // longest common subsequence, tokens
  std::string baseline_text;
  std::string text;
};
struct DriftFigures {
  double mean_first_difference = 0;
  double median_first_difference = 0;
  double in_common = 0;  // share of the baseline's tokens
  int identical = 0;     // texts without a difference
  std::vector<DriftText> texts;
};

// One tensor of one head. Rates are shares of all (saturation) or of the non-zero (underflow) elements.
struct HeadFigures {
  double absmax = 0;      // before storing
  double scale = 1;       // stored = value / scale
  double saturation = 0;  // beyond the largest value that dtype and scale can hold
  double underflow = 0;   // stored as zero
  double sqnr_db = 0;     // signal to quantisation noise; infinite where nothing is lost
};
struct LayerFigures {
  std::string k_dtype, v_dtype;        // as stored
  std::vector<HeadFigures> k, v;       // [num_kv_heads]
  std::vector<double> output_sqnr_db;  // [num_heads] of the attention output
};

// Means over needle_samples.
struct NeedleFigures {
  int length = 0;      // tokens
  int depth = 0;       // percent
  double logprob = 0;  // of the whole answer, nats
  double found = 0;    // share whose greedy continuation is exactly the answer
};

struct ConfigFigures {
  std::string name;                  // as asked for
  std::string directory;             // of the checkpoint
  std::string dtype;                 // as stored
  std::int64_t bytes_per_token = 0;  // of cache
  std::string scale_source;          // as KvCacheStats has it
  std::string scale_strategy;        // the same
  std::optional<LikelihoodFigures> likelihood;
  std::optional<DriftFigures> drift;
  std::vector<LayerFigures> layers;
  std::vector<NeedleFigures> needles;  // length by length, depths as asked
};

struct EvaluationResult {
  std::string model;
  std::string isa;
  int threads = 0;
  int context = 0;
  int stride = 0;
  int min_context = 0;
  int num_layers = 0;
  int num_heads = 0;
  int num_kv_heads = 0;
  std::int64_t documents = 0;
  std::int64_t tokens = 0;  // of the documents, after max_tokens
  std::int64_t layer_tokens = 0;
  int needle_samples = 0;
  std::vector<ConfigFigures> configs;  // the baseline first, then the others as asked
  std::vector<std::string> notices;    // about the files and the caches, as LLM::notices()
  bool complete = false;               // false where the callback ended the evaluation
};

// What is being measured, and how far it is: "likelihood", "layers", "drift" or "needles".
struct EvaluationProgress {
  std::string measurement;
  std::int64_t done = 0;  // tokens
  std::int64_t total = 0;
};
// Called after each step; return false to end the evaluation there.
using EvaluationCallback = std::function<bool(const EvaluationProgress&)>;

// Loads the models, checks everything that `options` says, then measures.
// Throws Error as LLM's constructor does; invalid_argument for an unknown configuration (listing those there
// are), one named twice, documents of fewer than two tokens, or lengths past max_position_embeddings;
// invalid_file for a directory that holds another model.
OCTET_EXPORT EvaluationResult run_evaluation(const EvaluationOptions& options,
                                             const EvaluationCallback& on_progress = nullptr);

}  // namespace octet
