#include "llm/generation.h"

#include <algorithm>
#include <cstddef>
#include <deque>
#include <memory>
#include <unordered_map>
#include <utility>

#include "base/error.h"
#include "llm/answer.h"
#include "llm/answer_grammar.h"
#include "llm/request_preparation.h"
#include "llm/scale_calculation.h"

namespace octet::llm {

namespace {

class Generation {
 public:
  Generation(EngineSetup& setup, const SamplingParams& params, const TextCallback& on_text,
             std::chrono::steady_clock::time_point started)
      : setup_(setup),
        params_(params),
        grammar_(answer_grammar(*setup.grammar_compiler, params)),
        on_text_(on_text),
        started_(started) {}
  ~Generation() {  // left by an exception: nothing may stay in the engine
    for (const auto& [id, place] : running_) setup_.engine->cancel(id);
  }
  Generation(const Generation&) = delete;
  Generation& operator=(const Generation&) = delete;

  void add(EncodedPrompt prompt) {
    const auto index = outputs_.size();
    const engine::RequestId first =
        setup_.engine->add(make_request(prompt.token_ids, params_, setup_, grammar_));
    RequestOutput& output = outputs_.emplace_back();
    output.request_id = std::to_string(index);
    output.prompt = std::move(prompt.text);
    output.prompt_token_ids = std::move(prompt.token_ids);
    for (int choice = 0; choice < params_.n; ++choice) {
      running_.emplace(first + choice, Place{index, answers_.size()});
      answers_.emplace_back(setup_.tokenizer, setup_.end_tokens, params_, choice);
      output.outputs.emplace_back().index = choice;
    }
  }

  // One step, unless there is nothing to do.
  void step(std::atomic<bool>& interrupted) {
    if (running_.empty() || stopped_) return;
    const std::vector<engine::TokenOutput> tokens = setup_.engine->step();
    note_first_prompt(setup_);
    for (const engine::TokenOutput& token : tokens) accept(token);
    if (interrupted.exchange(false)) stopped_ = true;
  }

  void run(std::atomic<bool>& interrupted) {
    while (!running_.empty() && !stopped_) step(interrupted);
    while (!running_.empty()) {
      const auto [id, place] = *running_.begin();
      setup_.engine->cancel(id);
      answers_[place.answer].end("abort");
      deliver(id, place);
    }
  }

  std::vector<RequestOutput> take_outputs() { return std::move(outputs_); }

 private:
  struct Place {
    std::size_t prompt;
    std::size_t answer;
  };

  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - started_).count();
  }

  void accept(const engine::TokenOutput& token) {
    const auto found = running_.find(token.request);
    if (found == running_.end()) return;
    const Place place = found->second;
    if (token.finish_reason == engine::FinishReason::error)
      throw Error(ErrorCode::internal, token.error, "prompt " + std::to_string(place.prompt));
    RequestOutput& output = outputs_[place.prompt];
    if (output.timings.first_token == 0) output.timings.first_token = seconds();
    if (!token.prompt_logprobs.empty())
      output.prompt_logprobs = decoded_prompt_logprobs(setup_.tokenizer, token);
    if (answers_[place.answer].accept(token)) setup_.engine->cancel(token.request);
    deliver(token.request, place);
  }

  void deliver(engine::RequestId id, const Place& place) {
    Answer& answer = answers_[place.answer];
    RequestOutput& output = outputs_[place.prompt];
    ChoiceUpdate update = answer.take_update();
    const std::string piece = update.text;
    const auto choice = static_cast<std::size_t>(update.index);
    append(output.outputs[choice], std::move(update));
    if (answer.ended()) {
      running_.erase(id);
      const auto ended = [](const CompletionOutput& each) { return !each.finish_reason.empty(); };
      output.finished = std::all_of(output.outputs.begin(), output.outputs.end(), ended);
      output.timings.finished = seconds();
    }
    // After a "stop" from the caller, what the others still held back is theirs in the outputs only. Text of
    // several answers at once would be a jumble: the first one is told.
    if (!on_text_ || piece.empty() || stopped_by_caller_ || choice > 0) return;
    if (!on_text_(place.prompt, piece)) stopped_ = stopped_by_caller_ = true;
  }

  EngineSetup& setup_;
  const SamplingParams& params_;
  const std::shared_ptr<const engine::TokenGrammar> grammar_;
  const TextCallback& on_text_;
  std::chrono::steady_clock::time_point started_;
  std::vector<RequestOutput> outputs_;
  std::deque<Answer> answers_;  // [prompt * n + choice]
  std::unordered_map<engine::RequestId, Place> running_;
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
  for (std::size_t i = 0; i < prompts.size(); ++i)
    check_prompt(prompts[i].token_ids, "prompt " + std::to_string(i), vocab_size, setup.max_model_len);
  if (!prompts.empty()) expect_first_prompt(setup, prompts.front().token_ids.size(), params);
  Generation generation(setup, params, on_text, started);
  for (EncodedPrompt& prompt : prompts) {
    generation.add(std::move(prompt));
    if (setup.awaits_first_prompt) generation.step(interrupted);  // alone: it decides the scales
  }
  generation.run(interrupted);
  return generation.take_outputs();
}

}  // namespace octet::llm
