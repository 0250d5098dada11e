// LLM: load a Hugging Face checkpoint and generate text, in vLLM's shape.
//
// An LLM owns its weights (mapped or copied from the files), its KV cache and its threads. One thread may call
// it at a time (interrupt() alone may come from anywhere); make two LLMs for two threads. A moved-from LLM may
// only be destroyed or assigned to. Nothing is printed; notices() holds what a person should know
// (which KV scales were found, which cache dtype a checkpoint asked for).
#pragma once

#include <octet/error.h>
#include <octet/kv_cache_options.h>
#include <octet/sampling_params.h>

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace octet {

// How to load; vLLM's names. Every field has an initializer, so that -Wextra accepts designated ones.
struct LLMOptions {
  std::string model = {};  // a checkpoint directory
  // What activations are rounded to before a linear layer multiplies them: float32, not at all; bfloat16, which
  // CPUs with AVX-512-BF16 multiply twice as fast; auto, the dtype of the checkpoint where it is one of the
  // two, else float32. Sums, the residual stream, norms and attention are float32 in any case.
  std::string dtype = "float32";
  // One of kv_cache_dtype_names(), such as auto, fp8 (fp8_e4m3), fp8_e5m2, int8_hadamard_per_token_head,
  // float16; see docs/kv-cache.md for what they are
  std::string kv_cache_dtype = "auto";
  std::string kv_cache_dtype_k = {};                         // for the keys alone; empty = kv_cache_dtype
  std::string kv_cache_dtype_v = {};                         // for the values alone; empty = kv_cache_dtype
  std::vector<std::string> kv_cache_dtype_skip_layers = {};  // left in 16 bits: indices, or "sliding_window"
  // FP8 scales of this process's own, for all that it runs: true (from random tokens), "prompt" or "bound".
  CalculateKvScales calculate_kv_scales = {};
  std::string kv_scale_strategy = "tensor";  // of those scales: tensor, or attn_head (one a KV head)
  // How attention computes over an FP8 cache: one of attention_math_names().
  std::string attention_math = "fp32";
  std::optional<int> max_model_len = {};   // tokens; default: the config's max_position_embeddings
  int block_size = 64;                     // tokens a block: 8, 16, 32, 64 or 128
  std::int64_t kv_cache_memory_bytes = 0;  // 0 = what max_model_len needs for one sequence, at least
  int max_num_seqs = 32;                   // sequences in one step
  int max_num_batched_tokens = 512;        // tokens in one step; longer prompts go in chunks
  // The weights: lazy maps the files; eager copies them into memory on huge pages, which are read faster; auto
  // copies where the system grants such pages and the weights fit into half of the memory that is available.
  std::string safetensors_load_strategy = "auto";
  // Quantises weights of 16 or 32 bits while loading, a scale for every row: fp8, int8, or empty: as they are.
  // Embeddings and the output matrix stay as they are, as in vLLM; the files are mapped.
  std::string quantization = {};
  // Whether a prompt that begins like an earlier one takes the keys and values of its beginning from the cache.
  // It changes no bit of an answer: docs/serving.md.
  bool enable_prefix_caching = true;
  // Keeps the blocks behind sliding windows too: the cache of such layers grows with the sequence, and a prompt
  // finds all of a prefix there, not only where the window before its end is still cached. vLLM's name.
  bool disable_hybrid_kv_cache_manager = false;
  int threads = 0;       // 0 = physical cores
  std::string isa = {};  // forces a kernel table; empty = OCTET_ISA, then the fastest
};

// A prompt as text or as token ids (ids win where both are given).
struct Prompt {
  std::string text;
  std::optional<std::vector<std::int32_t>> token_ids;

  Prompt(std::string prompt_text) : text(std::move(prompt_text)) {}
  Prompt(const char* prompt_text) : text(prompt_text) {}
  Prompt(std::vector<std::int32_t> ids) : token_ids(std::move(ids)) {}
};

struct ChatMessage {
  std::string role;  // "system", "user", "assistant", or what else the template knows
  std::string content;

  // A constructor rather than an aggregate: braces around two strings must never be read as one string.
  ChatMessage(std::string message_role, std::string message_content)
      : role(std::move(message_role)), content(std::move(message_content)) {}
};

// One token's log-probability (natural logarithm, of the model's own distribution before temperature
// and penalties), with its rank (1 = likeliest).
struct Logprob {
  std::int32_t token_id = 0;
  float logprob = 0;
  int rank = 0;
  std::string decoded_token;
  std::string token_bytes;  // what it stands for, also where that is only a part of a character
};

struct CompletionOutput {
  int index = 0;
  std::string text;
  std::vector<std::int32_t> token_ids;
  // "stop" (an end token or stop string), "length" (max_tokens or max_model_len) or "abort" (interrupt() or
  // a callback that returned false).
  std::string finish_reason;
  std::string stop_reason;                     // the stop string or stop token id that ended it; empty for EOS
  double cumulative_logprob = 0;               // filled where logprobs were asked for
  std::vector<std::vector<Logprob>> logprobs;  // [token]: the chosen one, then the likeliest others
};

// Seconds since generate() was called.
struct RequestTimings {
  double first_token = 0;
  double finished = 0;
};

struct RequestOutput {
  std::string request_id;
  std::string prompt;  // text, rendered where it came from chat; empty where only token ids were given
  std::vector<std::int32_t> prompt_token_ids;
  std::vector<CompletionOutput> outputs;
  // Where asked for: [prompt token], the first row empty; each the token itself, then the likeliest others.
  std::vector<std::vector<Logprob>> prompt_logprobs;
  bool finished = false;
  RequestTimings timings;
};

// Called with newly decoded text (never a broken UTF-8 sequence) of prompt `prompt_index`; with n above 1, of
// its first answer. Return false to stop generating.
using TextCallback = std::function<bool(std::size_t prompt_index, const std::string& new_text)>;

class OCTET_EXPORT LLM {
 public:
  // Throws Error: not_found, invalid_file, unsupported, invalid_argument, out_of_memory.
  explicit LLM(LLMOptions options);
  ~LLM();
  LLM(LLM&&) noexcept;
  LLM& operator=(LLM&&) noexcept;

  // Generates for all prompts together (continuous batching); outputs are in the prompts' order.
  // Throws Error{invalid_argument} for bad parameters, invalid UTF-8 or a prompt longer than max_model_len,
  // before anything is generated.
  std::vector<RequestOutput> generate(const std::vector<Prompt>& prompts, const SamplingParams& params = {},
                                      const TextCallback& on_text = nullptr);
  RequestOutput generate(const Prompt& prompt, const SamplingParams& params = {},
                         const TextCallback& on_text = nullptr);

  // Renders each conversation with the checkpoint's chat template (with the generation prompt) and generates.
  std::vector<RequestOutput> chat(const std::vector<std::vector<ChatMessage>>& conversations,
                                  const SamplingParams& params = {}, const TextCallback& on_text = nullptr);
  RequestOutput chat(const std::vector<ChatMessage>& conversation, const SamplingParams& params = {},
                     const TextCallback& on_text = nullptr);
  // The same for chat({{"user", "Hello"}}), which would otherwise be ambiguous.
  RequestOutput chat(std::initializer_list<ChatMessage> conversation, const SamplingParams& params = {},
                     const TextCallback& on_text = nullptr);

  // Ends the running generate() or chat() after its current step (or the next call, where none runs); it
  // returns what there is, with the finish reason "abort". Safe from other threads and signal handlers.
  void interrupt() noexcept;

  // The parameters that generation_config.json suggests, over vLLM's defaults.
  SamplingParams default_sampling_params() const;

  KvCacheStats kv_cache_stats() const;
  // Grows once more where the first prompt decides the KV scales.
  const std::vector<std::string>& notices() const;
  int max_model_len() const;
  int vocab_size() const;
  std::string isa() const;  // of the kernels in use: "reference", "avx2", "avx512" or "avx512_bf16"
  int threads() const;

  std::vector<std::int32_t> encode(const std::string& text, bool add_special_tokens = true) const;
  std::string decode(const std::vector<std::int32_t>& token_ids, bool skip_special_tokens = false) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace octet
