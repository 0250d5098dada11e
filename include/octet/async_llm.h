// AsyncLLM: many requests at once over one model, each answered as its tokens come: what a server is built on.
//
// An AsyncLLM owns a model, its KV cache and one engine thread, which batches all requests together. Every
// function may be called from any thread; none of them waits for the model, but those that say so. A request is
// a GenerationStream: the engine adds to it and never waits for who reads it, so a slow reader slows nobody;
// what is unread is merged into one update, whose size the request's max_tokens bounds. Dropping the stream
// cancels the request, and its blocks are free before the next step.
//
// A request's answer does not depend, in any bit, on what else is in the batch, on how its prompt was cut into
// steps, on preemption or on what the prefix cache held: see docs/serving.md.
#pragma once

#include <octet/cache_memory.h>
#include <octet/error.h>
#include <octet/llm.h>
#include <octet/sampling_params.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace octet {

struct AsyncLLMOptions {
  LLMOptions llm = {};
  // Answers (n a request) that may be unfinished beyond the max_num_seqs that run: with more, submit() refuses.
  int max_queue = 1024;
  std::string chat_template_file = {};  // a Jinja template instead of the checkpoint's own
};

struct GenerationRequest {
  Prompt prompt;
  // Whether a text gets the tokens that the tokenizer puts around one (BOS); false for what render_chat() gave,
  // where the template wrote them.
  bool add_special_tokens = true;
  SamplingParams params = {};
  // Called when the stream has news, for who waits on several streams: on the engine's thread, so it must be
  // quick, must not throw and must not call this AsyncLLM. It may still be running while the stream is dropped.
  std::function<void()> on_update = {};
};

// What is new of one of a request's n answers.
struct ChoiceUpdate {
  int index = 0;                               // 0 … n - 1
  std::string text;                            // whole UTF-8 characters that can no longer change
  std::vector<std::int32_t> token_ids;         // may run ahead of the text
  std::vector<std::vector<Logprob>> logprobs;  // of those tokens, where asked for: as CompletionOutput's
  // Empty while it goes on; at its end "stop", "length", "abort" (cancelled) or "error".
  std::string finish_reason;
  std::string stop_reason;  // the stop string or stop token id that ended it; empty for EOS
};

struct TokenUsage {
  int prompt_tokens = 0;
  int cached_tokens = 0;      // of those, found in the prefix cache
  int completion_tokens = 0;  // of all n answers, so far
};

struct GenerationUpdate {
  std::vector<ChoiceUpdate> choices;  // those that have news, by index
  TokenUsage usage;                   // so far
  // With the first token, where asked for: as RequestOutput's.
  std::vector<std::vector<Logprob>> prompt_logprobs;
  RequestTimings timings;      // seconds since submit(); 0 where not reached
  bool finished = false;       // every choice has ended: the last update
  std::optional<Error> error;  // with the finish reason "error"
};

// One submitted request. Move-only; one thread reads it at a time, cancel() may come from any. May outlive its
// AsyncLLM, which ends it first.
class OCTET_EXPORT GenerationStream {
 public:
  ~GenerationStream();  // cancels what is unfinished
  GenerationStream(GenerationStream&&) noexcept;
  GenerationStream& operator=(GenerationStream&&) noexcept;

  // Everything that is new since the last call, waiting up to `timeout` for something. Nothing where the time
  // passed without, or where the last update was taken before.
  std::optional<GenerationUpdate> next(std::chrono::milliseconds timeout);
  // Waits for the end and returns all of it that was not taken before. Throws the Error that ended it.
  RequestOutput wait();
  // Ends the request before the engine's next step with the finish reason "abort".
  void cancel() noexcept;
  bool finished() const;  // the last update was taken

  const std::string& request_id() const;  // unique in its AsyncLLM
  const std::vector<std::int32_t>& prompt_token_ids() const;

 private:
  friend class AsyncLLM;
  struct Impl;
  explicit GenerationStream(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// A conversation as the OpenAI API has it. JSON texts, so that whatever a template knows reaches it: content
// parts, tool calls, names.
struct ChatPrompt {
  std::string messages_json;              // an array of objects
  std::string tools_json = {};            // an array of tools; empty = none
  bool add_generation_prompt = true;      // end with the start of the assistant's message
  std::string template_kwargs_json = {};  // an object of further variables (chat_template_kwargs); empty = none
};

// Seconds as Prometheus counts them.
struct LatencyHistogram {
  std::vector<double> bounds;        // rising upper bounds, inclusive
  std::vector<std::int64_t> counts;  // [bounds + 1], not cumulative: the last is beyond all bounds
  double sum = 0;                    // of everything observed
};

// Elements that one layer's scales could not represent when they were stored, since the start.
struct KvSaturation {
  std::int64_t k = 0;
  std::int64_t v = 0;
};

// What a monitor wants to see, all of one moment between two steps. Counters count from the start.
struct AsyncLLMStats {
  int num_requests_running = 0;  // sequences in the batch
  int num_requests_waiting = 0;  // submitted or preempted, and not in the batch
  // The share of the cache's blocks that requests hold, 0 to 1; what only the prefix cache keeps is free.
  double kv_cache_usage = 0;
  std::int64_t kv_cache_blocks = 0;
  std::int64_t kv_cache_used_blocks = 0;    // held by requests
  std::int64_t kv_cache_cached_blocks = 0;  // free, but found again by a prompt that begins alike
  std::int64_t prefix_cache_queries = 0;    // tokens looked up
  std::int64_t prefix_cache_hits = 0;       // tokens found
  std::int64_t num_preemptions = 0;
  std::int64_t prompt_tokens = 0;      // of requests that were prefilled
  std::int64_t generation_tokens = 0;  // sampled
  std::int64_t requests_stop = 0;      // answers by finish reason
  std::int64_t requests_length = 0;
  std::int64_t requests_abort = 0;
  std::int64_t requests_error = 0;
  LatencyHistogram time_to_first_token_seconds;
  LatencyHistogram inter_token_latency_seconds;
  LatencyHistogram e2e_request_latency_seconds;
  // [layer]; counted on every store of every step. Always 0 where the cache's dtype cannot saturate.
  std::vector<KvSaturation> kv_saturated;
};

class OCTET_EXPORT AsyncLLM {
 public:
  // Loads the model and starts the engine thread. Throws Error as LLM's constructor does; invalid_argument for
  // max_queue below 0.
  explicit AsyncLLM(AsyncLLMOptions options);
  ~AsyncLLM();  // ends every request with "abort" and the engine thread
  AsyncLLM(const AsyncLLM&) = delete;
  AsyncLLM& operator=(const AsyncLLM&) = delete;

  // Encodes the prompt and compiles params.structured_outputs on the caller's thread, and queues it. Throws
  // Error: invalid_argument naming the field (parameters out of range, invalid UTF-8, no token, a prompt of
  // max_model_len tokens or more, prompt and max_tokens that are more than max_model_len together, a form that
  // cannot be enforced, n above max_unfinished(): both numbers are named); overloaded where max_queue is full;
  // unavailable after stop_accepting(). A request that memory runs out for later ends with an error.
  GenerationStream submit(GenerationRequest request);

  // From now on submit() refuses; what was accepted goes on.
  void stop_accepting() noexcept;
  // Waits until no request is unfinished; false where `timeout` passed before.
  bool wait_until_idle(std::chrono::milliseconds timeout);
  // Ends every unfinished request with "abort".
  void abort_all();

  // The prompt that the chat template makes of a conversation; to be submitted without special tokens. Throws
  // Error: not_found where the checkpoint has no template, invalid_argument for what is not JSON of that shape
  // or what the template refuses.
  std::string render_chat(const ChatPrompt& chat) const;
  bool has_chat_template() const;

  std::vector<std::int32_t> encode(const std::string& text, bool add_special_tokens = true) const;
  // Throws Error{invalid_argument} for an id outside the vocabulary.
  std::string decode(const std::vector<std::int32_t>& token_ids, bool skip_special_tokens = false) const;
  std::string token_text(std::int32_t token_id) const;  // as the tokenizer's file spells it; empty for no token

  const std::string& model() const;  // the directory, as given
  int max_model_len() const;
  int vocab_size() const;
  int max_unfinished() const;                      // answers at once: max_num_seqs + max_queue
  SamplingParams default_sampling_params() const;  // as LLM's
  std::string isa() const;
  int threads() const;

  // Logits [tokens, vocab_size] of a prompt, or [1, vocab_size] of its last token alone: what would come behind
  // each token. Waits for the engine, which computes them between two steps in a cache of their own; nothing of
  // it is kept. Throws Error: invalid_argument as submit(), and where the first prompt is to decide the KV
  // scales and none has run; out_of_memory; unavailable after stop_accepting().
  std::vector<float> logits(const std::vector<std::int32_t>& token_ids, bool last_only = false);

  KvCacheStats kv_cache_stats() const;
  // The memory of one layer of the cache. Throws Error{invalid_argument} for a layer that is not there.
  LayerCacheMemory cache_memory(int layer) const;
  std::vector<std::string> notices() const;
  AsyncLLMStats stats() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace octet
