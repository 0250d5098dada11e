#include "engine/engine.h"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <string>
#include <utility>

#include "base/error.h"
#include "engine/scheduler.h"
#include "kv/kv_capacity.h"

namespace octet::engine {

namespace {

void check_range(const char* option, int value, int least, int most) {
  if (value >= least && value <= most) return;
  throw Error(
      ErrorCode::invalid_argument,
      "expected " + std::to_string(least) + " to " + std::to_string(most) + ", found " + std::to_string(value),
      option);
}

void check_options(const EngineOptions& options, const model::ModelConfig& config, const kv::KvCache& cache) {
  constexpr int kMost = 1 << 20;  // beyond any machine; keeps the arithmetic far from overflow
  check_range("max_num_seqs", options.max_num_seqs, 1, kMost);
  check_range("max_num_batched_tokens", options.max_num_batched_tokens, 1, kMost);
  check_range("admission_lookahead", options.admission_lookahead, 1, kMost);
  check_range("max_model_len", options.max_model_len, 2, config.max_position_embeddings);

  const kv::KvLayout& layout = cache.layout();
  for (std::size_t i = 0; i < cache.groups().size(); ++i) {
    const kv::KvGroup& group = cache.groups()[i];
    const std::int32_t num_blocks = cache.pool(static_cast<int>(i)).num_blocks();
    const std::int64_t needed = kv::sequence_blocks(layout, group.window, options.max_model_len);
    if (num_blocks >= needed) continue;
    throw Error(ErrorCode::out_of_memory,
                "holds " + std::to_string(std::int64_t{num_blocks} * layout.block_size) + " tokens" +
                    (group.window > 0 ? " of layers with a window of " + std::to_string(group.window) : "") +
                    ", but one sequence of max_model_len has " + std::to_string(options.max_model_len) +
                    ", which needs " + std::to_string(needed * layout.bytes_per_block(group)) +
                    " bytes; raise kv_cache_memory_bytes or lower max_model_len",
                "KV cache");
  }
}

}  // namespace

struct Engine::Impl {
  model::Model& model;
  kv::KvCache& cache;
  EngineOptions options;
  Scheduler scheduler;
  model::BatchPlan plan;
  SamplerScratch scratch;
  RequestId next_id = 0;
  std::int64_t num_steps = 0;
  std::int64_t num_batch_tokens = 0;
  std::int64_t prompt_tokens = 0;
  std::int64_t generation_tokens = 0;
  TokenMask allowed;                 // scratch of mask()
  std::vector<float> shared_logits;  // what siblings sample their first token from

  Impl(model::Model& the_model, kv::KvCache& the_cache, EngineOptions the_options)
      : model(the_model),
        cache(the_cache),
        options((check_options(the_options, the_model.config(), the_cache), the_options)),
        scheduler(cache, {options.max_num_seqs, options.max_num_batched_tokens, options.enable_prefix_caching,
                          options.admission_lookahead}) {}

  int vocab_size() const { return model.config().vocab_size; }
  bool in_vocabulary(std::int32_t id) const { return id >= 0 && id < vocab_size(); }

  void check(const Request& request) const;
  std::vector<TokenOutput> run_batch();
  bool take_prompt_logprobs(const ScheduledChunk& chunk, std::span<float>& logits,
                            std::vector<TokenOutput>& outputs);
  void sample(Sequence& sequence, std::span<float> logits, std::vector<TokenOutput>& outputs);
  void sample_siblings(Sequence& sequence, std::span<float> logits, std::vector<TokenOutput>& outputs);
  TokenOutput next_token(Sequence& sequence, std::span<float> logits);
  bool mask(Sequence& sequence, std::span<float> logits);
  FinishReason finish_reason(const Sequence& sequence, bool ended) const;
};

void Engine::Impl::check(const Request& request) const {
  const auto refuse = [](const char* field, const std::string& message) {
    throw Error(ErrorCode::invalid_argument, message, field);
  };
  const auto number = [](auto value) { return std::to_string(value); };
  if (request.prompt.empty()) refuse("prompt", "expected at least one token, found none");
  for (std::size_t i = 0; i < request.prompt.size(); ++i) {
    if (in_vocabulary(request.prompt[i])) continue;
    refuse("prompt", "token " + number(i) + ": expected an id below the vocabulary size " +
                         number(vocab_size()) + ", found " + number(request.prompt[i]));
  }
  if (request.prompt.size() >= static_cast<std::size_t>(options.max_model_len))
    refuse("prompt", "expected fewer tokens than max_model_len, which is " + number(options.max_model_len) +
                         ", found " + number(request.prompt.size()));
  if (request.max_tokens < 1) refuse("max_tokens", "expected 1 or more, found " + number(request.max_tokens));
  if (request.min_tokens > 0 && request.stop_token_ids.size() >= static_cast<std::size_t>(vocab_size()))
    refuse("stop_token_ids", "expected fewer than the vocabulary has where min_tokens is set, found " +
                                 number(request.stop_token_ids.size()));
  if (request.n < 1 || request.n > kMostAnswers)
    refuse("n", "expected 1 to " + number(kMostAnswers) + ", found " + number(request.n));
  for (const auto& [id, bias] : request.sampling.logit_bias)
    if (!in_vocabulary(id))
      refuse("logit_bias",
             "expected ids below the vocabulary size " + number(vocab_size()) + ", found " + number(id));
}

std::vector<TokenOutput> Engine::Impl::run_batch() {
  std::vector<TokenOutput> outputs;
  const std::span<const ScheduledChunk> chunks = scheduler.schedule();
  if (chunks.empty()) return outputs;
  for (const BlockCopy& copy : scheduler.copies()) cache.copy_block(copy.from, copy.to, copy.group);
  fill_batch_plan(chunks, cache.layout().block_size, plan);
  std::span<float> logits = model.forward(plan, cache);
  const auto row_size = static_cast<std::size_t>(vocab_size());
  OCTET_CHECK(logits.size() == plan.logits_rows.size() * row_size);
  ++num_steps;
  num_batch_tokens += plan.num_tokens();

  outputs.reserve(plan.logits_rows.size());
  for (const ScheduledChunk& chunk : chunks) {
    if (!take_prompt_logprobs(chunk, logits, outputs)) continue;
    scheduler.advance(chunk);
    Sequence& sequence = *chunk.sequence;
    if (sequence.remaining() > 0) continue;
    if (sequence.num_generated() == 0) prompt_tokens += sequence.size();
    if (sequence.siblings.empty())
      sample(sequence, logits.first(row_size), outputs);
    else
      sample_siblings(sequence, logits.first(row_size), outputs);
    logits = logits.subspan(row_size);
  }
  return outputs;
}

// Takes the rows of logits that are the prompt's off the front. False where they ended the request.
bool Engine::Impl::take_prompt_logprobs(const ScheduledChunk& chunk, std::span<float>& logits,
                                        std::vector<TokenOutput>& outputs) {
  Sequence& sequence = *chunk.sequence;
  const auto row_size = static_cast<std::size_t>(vocab_size());
  const auto [begin, end] = chunk.prompt_logit_positions();
  const auto rows = logits.first(static_cast<std::size_t>(end - begin) * row_size);
  logits = logits.subspan(rows.size());
  try {
    for (int position = begin; position < end; ++position)
      sequence.prompt_logprobs.push_back(token_logprobs(
          rows.subspan(static_cast<std::size_t>(position - begin) * row_size, row_size),
          sequence.tokens[static_cast<std::size_t>(position) + 1], sequence.num_prompt_logprobs, scratch));
  } catch (const Error& error) {
    if (chunk.completes()) logits = logits.subspan(row_size);
    for (RequestId id = sequence.id, last = id + static_cast<RequestId>(sequence.siblings.size()); id <= last;
         ++id) {
      outputs.push_back({.request = id,
                         .token_id = -1,
                         .finish_reason = FinishReason::error,
                         .logprobs = {},
                         .error = error.what()});
    }
    for (auto left = sequence.siblings.size() + 1; left > 0; --left)
      scheduler.remove(outputs[outputs.size() - left].request);
    return false;
  }
  return true;
}

void Engine::Impl::sample_siblings(Sequence& sequence, std::span<float> logits,
                                   std::vector<TokenOutput>& outputs) {
  shared_logits.assign(logits.begin(), logits.end());  // sampling leaves them changed
  const std::vector<Sequence*> siblings = scheduler.fork(sequence);
  sample(sequence, logits, outputs);
  for (Sequence* sibling : siblings) {
    std::copy(shared_logits.begin(), shared_logits.end(), logits.begin());
    sample(*sibling, logits, outputs);
  }
}

// Ends the sequence where its new token, or an error, ends it.
void Engine::Impl::sample(Sequence& sequence, std::span<float> logits, std::vector<TokenOutput>& outputs) {
  TokenOutput& output = outputs.emplace_back(TokenOutput{sequence.id, -1, FinishReason::error, {}});
  try {
    output = next_token(sequence, logits);
    ++generation_tokens;
  } catch (const Error& error) {  // its own alone: the others' logits are what they are
    output.error = error.what();
  }
  if (output.finish_reason != FinishReason::none) scheduler.remove(sequence.id);
}

TokenOutput Engine::Impl::next_token(Sequence& sequence, std::span<float> logits) {
  const bool must_stop = sequence.matcher && mask(sequence, logits);
  const bool may_stop = must_stop || sequence.num_generated() >= sequence.min_tokens;
  const std::span<const std::int32_t> forbidden =
      may_stop ? std::span<const std::int32_t>() : std::span<const std::int32_t>(sequence.stop_token_ids);
  TokenOutput output{sequence.id, 0, FinishReason::none, {}, sequence.cached};
  output.token_id = sequence.sampler.sample(logits, sequence.prompt(), sequence.output(), forbidden, scratch,
                                            sequence.wants_logprobs ? &output.logprobs : nullptr);
  sequence.tokens.push_back(output.token_id);
  const bool ended = sequence.matcher && !sequence.matcher->accept(output.token_id);
  output.prompt_logprobs = std::move(sequence.prompt_logprobs);
  sequence.prompt_logprobs.clear();
  sequence.num_prompt_logprobs = -1;
  output.finish_reason = finish_reason(sequence, ended);
  return output;
}

// Leaves the logits of those tokens alone that the sequence's grammar allows, so that all that the sampler
// does, logprobs included, knows no other: vLLM's order. True where each of them is a stop token: min_tokens
// cannot ask for more.
bool Engine::Impl::mask(Sequence& sequence, std::span<float> logits) {
  allowed.resize((logits.size() + 31) / 32);
  sequence.matcher->allowed_next(allowed);
  for (std::size_t i = 0; i < logits.size(); ++i)
    if (!is_allowed(allowed, static_cast<std::int32_t>(i))) logits[i] = -std::numeric_limits<float>::infinity();
  if (sequence.num_generated() >= sequence.min_tokens) return false;
  for (const std::int32_t id : sequence.stop_token_ids)
    allowed[static_cast<std::size_t>(id) / 32] &= ~(1u << (static_cast<std::uint32_t>(id) % 32));
  return std::all_of(allowed.begin(), allowed.end(), [](std::uint32_t word) { return word == 0; });
}

// Of a sequence whose last token is new; `ended`: by its grammar. Before min_tokens no stop token can be that
// token, but where the grammar allows nothing else.
FinishReason Engine::Impl::finish_reason(const Sequence& sequence, bool ended) const {
  if (ended) return FinishReason::stop;
  const auto& stops = sequence.stop_token_ids;
  if (std::find(stops.begin(), stops.end(), sequence.tokens.back()) != stops.end()) return FinishReason::stop;
  if (sequence.num_generated() >= sequence.max_tokens) return FinishReason::length;
  return sequence.size() >= options.max_model_len ? FinishReason::length : FinishReason::none;
}

Engine::Engine(model::Model& model, kv::KvCache& cache, EngineOptions options)
    : impl_(std::make_unique<Impl>(model, cache, options)) {}

Engine::~Engine() = default;

RequestId Engine::add(Request request) {
  std::erase_if(request.stop_token_ids, [&](std::int32_t id) { return !impl_->in_vocabulary(id); });
  std::sort(request.stop_token_ids.begin(), request.stop_token_ids.end());
  request.stop_token_ids.erase(std::unique(request.stop_token_ids.begin(), request.stop_token_ids.end()),
                               request.stop_token_ids.end());
  impl_->check(request);
  const RequestId id = impl_->next_id;
  impl_->next_id += request.n;
  std::vector<std::unique_ptr<Sequence>> siblings;
  for (int i = 1; i < request.n; ++i) {
    Request sibling = request;
    if (sibling.sampling.seed) *sibling.sampling.seed += static_cast<std::uint64_t>(i);  // vLLM's rule
    siblings.push_back(std::make_unique<Sequence>(id + i, std::move(sibling)));
  }
  auto sequence = std::make_unique<Sequence>(id, std::move(request));
  sequence->siblings = std::move(siblings);
  impl_->scheduler.add(std::move(sequence));
  return id;
}

void Engine::check(const Request& request) const { impl_->check(request); }

void Engine::cancel(RequestId id) { impl_->scheduler.remove(id); }

bool Engine::has_unfinished() const {
  return impl_->scheduler.num_running() + impl_->scheduler.num_waiting() > 0;
}

std::vector<TokenOutput> Engine::step() {
  try {
    return impl_->run_batch();
  } catch (...) {
    impl_->scheduler.remove_all();  // half of the batch may have advanced: nothing of it can go on
    throw;
  }
}

EngineStats Engine::stats() const {
  const Scheduler& scheduler = impl_->scheduler;
  return {.num_running = scheduler.num_running(),
          .num_waiting = scheduler.num_waiting(),
          .num_preemptions = scheduler.num_preemptions(),
          .num_steps = impl_->num_steps,
          .num_batch_tokens = impl_->num_batch_tokens,
          .prefix_cache_queries = scheduler.prefix_cache_counts().queries,
          .prefix_cache_hits = scheduler.prefix_cache_counts().hits,
          .prompt_tokens = impl_->prompt_tokens,
          .generation_tokens = impl_->generation_tokens};
}

}  // namespace octet::engine
