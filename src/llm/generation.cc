#include "llm/generation.h"

#include <algorithm>
#include <cstddef>
#include <deque>
#include <unordered_map>
#include <utility>

#include "base/error.h"
#include "llm/scale_calculation.h"
#include "llm/text_stream.h"

namespace octet::llm {

namespace {

void check_prompt(const EncodedPrompt& prompt, std::size_t index, int vocab_size, int max_model_len) {
  const std::string where = "prompt " + std::to_string(index);
  if (prompt.token_ids.empty())
    throw Error(ErrorCode::invalid_argument, "expected at least one token, found none", where);
  for (const std::int32_t id : prompt.token_ids) {
    if (id < 0 || id >= vocab_size)
      throw Error(
          ErrorCode::invalid_argument,
          "token id " + std::to_string(id) + " is outside the vocabulary of " + std::to_string(vocab_size),
          where);
  }
  // One place must be left for the first new token.
  if (prompt.token_ids.size() >= static_cast<std::size_t>(max_model_len))
    throw Error(ErrorCode::invalid_argument,
                std::to_string(prompt.token_ids.size()) + " tokens are too long for max_model_len " +
                    std::to_string(max_model_len) + ", which counts prompt and new tokens",
                where);
}

void check_params(const SamplingParams& params, int vocab_size) {
  params.validate();
  if (params.logprobs && *params.logprobs > vocab_size)
    throw Error(ErrorCode::invalid_argument,
                "expected at most the vocabulary's " + std::to_string(vocab_size) + ", found " +
                    std::to_string(*params.logprobs),
                "logprobs");
  for (const std::int32_t id : params.stop_token_ids) {
    if (id < 0 || id >= vocab_size)
      throw Error(
          ErrorCode::invalid_argument,
          "token id " + std::to_string(id) + " is outside the vocabulary of " + std::to_string(vocab_size),
          "stop_token_ids");
  }
}

engine::Request make_request(const EncodedPrompt& prompt, const SamplingParams& params,
                             const EndTokens& end_tokens, int max_model_len) {
  engine::Request request;
  request.prompt = prompt.token_ids;
  request.sampling.temperature = params.temperature;
  request.sampling.top_p = params.top_p;
  request.sampling.top_k = std::max(params.top_k, 0);
  request.sampling.min_p = params.min_p;
  request.sampling.presence_penalty = params.presence_penalty;
  request.sampling.frequency_penalty = params.frequency_penalty;
  request.sampling.repetition_penalty = params.repetition_penalty;
  request.sampling.seed = params.seed;
  request.sampling.logprobs = params.logprobs.value_or(-1);
  request.max_tokens = params.max_tokens.value_or(max_model_len);
  request.min_tokens = params.min_tokens;
  request.stop_token_ids = params.stop_token_ids;
  if (!params.ignore_eos)
    request.stop_token_ids.insert(request.stop_token_ids.end(), end_tokens.all.begin(), end_tokens.all.end());
  return request;
}

class Generation {
 public:
  Generation(EngineSetup& setup, const SamplingParams& params, const TextCallback& on_text,
             std::chrono::steady_clock::time_point started)
      : setup_(setup), params_(params), on_text_(on_text), started_(started) {}
  ~Generation() {  // left by an exception: nothing may stay in the engine
    for (const auto& [id, index] : running_) setup_.engine->cancel(id);
  }
  Generation(const Generation&) = delete;
  Generation& operator=(const Generation&) = delete;

  void add(EncodedPrompt prompt) {
    engine::Request request = make_request(prompt, params_, setup_.end_tokens, setup_.max_model_len);
    running_.emplace(setup_.engine->add(std::move(request)), outputs_.size());
    streams_.emplace_back(setup_.tokenizer, params_);
    RequestOutput& output = outputs_.emplace_back();
    output.request_id = std::to_string(outputs_.size() - 1);
    output.prompt = std::move(prompt.text);
    output.prompt_token_ids = std::move(prompt.token_ids);
    output.outputs.emplace_back();
  }

  void run(std::atomic<bool>& interrupted) {
    while (!running_.empty() && !stopped_) {
      const std::vector<engine::TokenOutput> tokens = setup_.engine->step();
      note_first_prompt(setup_);
      for (const engine::TokenOutput& token : tokens) accept(token);
      if (interrupted.exchange(false)) stopped_ = true;
    }
    while (!running_.empty()) {
      const auto [id, index] = *running_.begin();
      setup_.engine->cancel(id);
      streams_[index].finish();
      end(id, index, "abort", "");
    }
  }

  std::vector<RequestOutput> take_outputs() { return std::move(outputs_); }

 private:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - started_).count();
  }

  void accept(const engine::TokenOutput& token) {
    const auto found = running_.find(token.request);
    if (found == running_.end()) return;  // a stop string ended it in this very step
    if (token.finish_reason == engine::FinishReason::error)
      throw Error(ErrorCode::internal, token.error, "prompt " + std::to_string(found->second));
    const std::size_t index = found->second;
    CompletionOutput& completion = outputs_[index].outputs.front();
    if (completion.token_ids.empty()) outputs_[index].timings.first_token = seconds();
    completion.token_ids.push_back(token.token_id);
    add_logprobs(completion, token);

    TextStream& stream = streams_[index];
    const bool stopped_by_token = token.finish_reason == engine::FinishReason::stop;
    const std::string* stop_string = nullptr;
    // The token that ended the text is not part of it, unless asked for: vLLM's rule.
    if (!stopped_by_token || params_.include_stop_str_in_output) stop_string = stream.add(token.token_id);
    if (stop_string == nullptr && token.finish_reason != engine::FinishReason::none)
      stop_string = stream.finish();
    if (stopped_by_token) {
      end(token.request, index, "stop", stop_reason(token.token_id));
    } else if (stop_string != nullptr) {
      setup_.engine->cancel(token.request);
      end(token.request, index, "stop", *stop_string);
    } else if (token.finish_reason != engine::FinishReason::none) {
      OCTET_CHECK(token.finish_reason == engine::FinishReason::length);
      end(token.request, index, "length", "");
    } else {
      deliver(index);
    }
  }

  void add_logprobs(CompletionOutput& completion, const engine::TokenOutput& token) const {
    if (!params_.logprobs) return;
    std::vector<Logprob>& row = completion.logprobs.emplace_back();
    for (const engine::TokenLogprob& entry : token.logprobs)
      row.push_back({entry.token_id, entry.logprob, entry.rank, decoded_token(entry.token_id)});
    OCTET_CHECK(!row.empty());
    completion.cumulative_logprob += row.front().logprob;
  }

  // A model may have more rows than the tokenizer has tokens.
  std::string decoded_token(std::int32_t id) const {
    if (setup_.tokenizer.token_bytes(id).empty()) return {};
    return setup_.tokenizer.decode({id}, false);
  }

  std::string stop_reason(std::int32_t token_id) const {
    const bool primary = !params_.ignore_eos && setup_.end_tokens.primary == token_id;
    return primary ? std::string() : std::to_string(token_id);
  }

  void end(engine::RequestId id, std::size_t index, const char* finish_reason, std::string reason) {
    RequestOutput& output = outputs_[index];
    CompletionOutput& completion = output.outputs.front();
    completion.text = streams_[index].text();
    completion.finish_reason = finish_reason;
    completion.stop_reason = std::move(reason);
    output.finished = true;
    output.timings.finished = seconds();
    running_.erase(id);
    deliver(index);
  }

  void deliver(std::size_t index) {
    const std::string piece = streams_[index].take_new_text();
    // After a "stop" from the caller, what the others still held back is theirs in the outputs only.
    if (!on_text_ || piece.empty() || stopped_by_caller_) return;
    if (!on_text_(index, piece)) stopped_ = stopped_by_caller_ = true;
  }

  EngineSetup& setup_;
  const SamplingParams& params_;
  const TextCallback& on_text_;
  std::chrono::steady_clock::time_point started_;
  std::vector<RequestOutput> outputs_;
  std::deque<TextStream> streams_;  // [prompt]
  std::unordered_map<engine::RequestId, std::size_t> running_;
  bool stopped_ = false;
  bool stopped_by_caller_ = false;
};

}  // namespace

std::vector<RequestOutput> run_generation(EngineSetup& setup, std::vector<EncodedPrompt> prompts,
                                          const SamplingParams& params, const TextCallback& on_text,
                                          std::atomic<bool>& interrupted,
                                          std::chrono::steady_clock::time_point started) {
  const int vocab_size = setup.loaded.model->config().vocab_size;
  check_params(params, vocab_size);
  for (std::size_t i = 0; i < prompts.size(); ++i) check_prompt(prompts[i], i, vocab_size, setup.max_model_len);
  if (!prompts.empty()) expect_first_prompt(setup, prompts.front().token_ids.size());
  Generation generation(setup, params, on_text, started);
  for (EncodedPrompt& prompt : prompts) generation.add(std::move(prompt));
  generation.run(interrupted);
  return generation.take_outputs();
}

}  // namespace octet::llm
