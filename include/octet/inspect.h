// What a checkpoint is, without loading it for generation: shapes, dtypes, KV scales, costs of a cache.
//
// Reads the headers, the configs, the tokenizer and the few bytes of the scale tensors and norms; matrices are
// not touched. Results are plain values. Thread-safe.
#pragma once

#include <octet/error.h>
#include <octet/kv_cache_options.h>

#include <cstdint>
#include <string>
#include <vector>

namespace octet {

// One scale tensor that stands in the checkpoint.
struct KvScaleInfo {
  std::string tensor;         // its name in the file
  std::string which;          // "k", "v" or "q"
  int layer = 0;              // from 0
  bool used = false;          // false: refused or not needed, and `note` says why
  std::string note;           // may be empty
  std::vector<float> values;  // [1] per tensor, [num_kv_heads] (k, v) or [num_heads] (q) per head
};

// The tensors of one element type.
struct WeightDtypeInfo {
  std::string dtype;  // as the files spell it: "BF16", "F8_E4M3", …
  std::int64_t tensors = 0;
  std::int64_t bytes = 0;
};

// What a KV cache of one element type takes.
struct KvCacheCost {
  std::string kv_cache_dtype;        // the flag's value: "auto", "fp8_e4m3", …
  std::string dtype;                 // as stored
  std::int64_t bytes_per_token = 0;  // K and V of all layers
  // Of a sequence of max_position_embeddings tokens, in whole blocks; of layers with a sliding window only what
  // they keep, and the tokens of a step.
  std::int64_t bytes_per_sequence = 0;
  std::int64_t tokens_in_1_gib = 0;       // as KvCacheStats::capacity_tokens
  std::vector<KvCacheGroup> groups = {};  // the plan of the layers, by rising window
};

struct CheckpointInfo {
  std::string directory;
  std::string architecture;  // "LlamaForCausalLM"
  std::string model_type;    // "llama"
  int num_layers = 0;
  int hidden_size = 0;
  int intermediate_size = 0;
  int num_heads = 0;
  int num_kv_heads = 0;
  int head_dim = 0;
  int vocab_size = 0;
  int max_position_embeddings = 0;  // tokens
  int sliding_window = 0;           // tokens; 0 = none
  bool tie_word_embeddings = false;
  std::string rope;   // "default, theta 100000"
  std::string dtype;  // the config's: "bfloat16"

  std::int64_t num_tensors = 0;
  std::int64_t num_parameters = 0;  // elements of all tensors but scales; tied embeddings count once
  std::int64_t weight_bytes = 0;    // of all tensors in the files
  std::vector<WeightDtypeInfo> weight_dtypes;
  std::string
      weights_error;  // the first tensor that is missing, or of a shape or dtype that will not do; else empty

  std::string quant_method;              // "compressed-tensors"; empty where there is none
  std::string quantization_config;       // its JSON text, compact; empty where there is none
  std::string requested_kv_cache_dtype;  // what `auto` takes because of it; empty = nothing asked for

  std::string scale_strategy;         // "tensor", "attn_head", or "none" where there are no scales
  std::vector<KvScaleInfo> scales;    // in layer order
  std::vector<int> layers_without_k;  // layers with no k scale, good or bad (all, where none were found)
  std::vector<int> layers_without_v;  // the same for v
  std::string scale_error;            // why loading the model would fail over its scales; else empty
  std::vector<std::string> warnings;  // one line each
  // Of every kv_cache_dtype that stores differently, with the layers skipped and the keys or values apart as
  // asked; "auto" is the first.
  std::vector<KvCacheCost> cache_costs;

  int tokenizer_vocab_size = 0;  // the largest id + 1, added tokens included
  std::string bos_token;         // empty where there is none
  std::string eos_token;
  std::vector<std::int32_t> eos_token_ids;  // all that end a text
  bool has_chat_template = false;
  std::string tokenizer_error;  // why the tokenizer or chat template cannot be used; else empty
};

// Describes the checkpoint in `directory`. Of `cache`, everything but kv_cache_dtype counts: the costs are
// given for each of those.
// Throws Error: not_found, invalid_file, unsupported (an architecture or a value that Octet does not run),
// invalid_argument (in `cache`). Bad scales, weights that lack a tensor and a bad tokenizer are reported in the
// result instead, as they are what one looks for here.
OCTET_EXPORT CheckpointInfo inspect_checkpoint(const std::string& directory,
                                               const KvCacheDtypeOptions& cache = {});

}  // namespace octet
