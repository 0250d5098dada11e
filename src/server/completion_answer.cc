// Answers of /v1/completions: choice i of prompt p has the index p * n + i.
#include <utility>

#include "server/answer.h"
#include "server/logprobs_json.h"

namespace octet::server {

namespace {

struct CompletionPrompt {
  Echo echo;
  std::vector<std::vector<Logprob>> logprobs;
};

struct CompletionChoice {
  CompletionLogprobs logprobs;
  bool begun = false;  // the echo was said
  std::string text;
  Json all_logprobs;
  std::string finish_reason;
  Json stop_reason;
};

void append_logprobs(Json& all, Json&& more) {
  if (all.is_null()) {
    all = std::move(more);
    return;
  }
  for (auto& [key, values] : more.items())
    for (Json& value : values) all[key].push_back(std::move(value));
}

class CompletionAnswer final : public Answer {
 public:
  CompletionAnswer(AnswerIdentity identity, const CompletionRequest& request, std::vector<Echo> echo)
      : identity_(std::move(identity)), options_(request.answer), params_(request.params) {
    echoes_ = request.echo;
    prompt_only_ = request.prompt_only;
    shows_prompt_logprobs_ = request.prompt_logprobs;
    prompts_.resize(request.prompts.size());
    for (std::size_t p = 0; p < echo.size(); ++p) prompts_[p].echo = std::move(echo[p]);
    const std::size_t answers = prompts_.size() * static_cast<std::size_t>(params_.n);
    choices_.resize(answers, {CompletionLogprobs(options_.tokens_as_ids), false, {}, {}, {}, {}});
  }

  std::string chunks(std::size_t prompt, const GenerationUpdate& given) override {
    std::string events;
    const GenerationUpdate ends = prompt_only_ ? without_tokens(given) : GenerationUpdate();
    const GenerationUpdate& update = prompt_only_ ? ends : given;
    if (!update.prompt_logprobs.empty()) prompts_.at(prompt).logprobs = update.prompt_logprobs;
    for (const ChoiceUpdate& news : update.choices) {
      const std::size_t index = index_of(prompt, news);
      CompletionChoice& choice = choices_.at(index);
      Json payload = head();
      const std::string echo = choice.begun ? "" : prompts_[prompt].echo.text;
      payload["choices"].push_back(choice_json(index, echo + news.text, logprobs(prompt, choice, news),
                                               news.finish_reason,
                                               stop_reason_json(news.stop_reason, params_)));
      if (options_.continuous_usage)
        payload["usage"] = usage_json(update.usage);
      else if (options_.include_usage)
        payload["usage"] = nullptr;
      events += event(payload);
    }
    return events;
  }

  void add(std::size_t prompt, const GenerationUpdate& given) override {
    const GenerationUpdate ends = prompt_only_ ? without_tokens(given) : GenerationUpdate();
    const GenerationUpdate& update = prompt_only_ ? ends : given;
    if (!update.prompt_logprobs.empty()) prompts_.at(prompt).logprobs = update.prompt_logprobs;
    for (const ChoiceUpdate& news : update.choices) {
      CompletionChoice& choice = choices_.at(index_of(prompt, news));
      choice.text += news.text;
      if (Json more = logprobs(prompt, choice, news); !more.is_null())
        append_logprobs(choice.all_logprobs, std::move(more));
      if (news.finish_reason.empty()) continue;
      choice.finish_reason = news.finish_reason;
      choice.stop_reason = stop_reason_json(news.stop_reason, params_);
    }
  }

  std::string whole(const TokenUsage& usage) override {
    Json body = head();
    for (std::size_t i = 0; i < choices_.size(); ++i) {
      CompletionChoice& choice = choices_[i];
      const CompletionPrompt& prompt = prompts_[i / static_cast<std::size_t>(params_.n)];
      body["choices"].push_back(choice_json(i, prompt.echo.text + choice.text, std::move(choice.all_logprobs),
                                            choice.finish_reason, std::move(choice.stop_reason)));
      if (shows_prompt_logprobs_) body["choices"].back()["prompt_logprobs"] = prompt_logprobs(prompt.logprobs);
    }
    body["usage"] = usage_json(said(usage));
    return to_text(body);
  }

  std::string usage_chunk(const TokenUsage& usage) override {
    Json body = head();
    body["usage"] = usage_json(said(usage));
    return event(body);
  }

 private:
  TokenUsage said(TokenUsage usage) const {
    if (prompt_only_) usage.completion_tokens = 0;
    return usage;
  }
  // Whether the token that is not said ended the answer is not said either; that the answer failed is.
  GenerationUpdate without_tokens(GenerationUpdate update) const {
    for (ChoiceUpdate& choice : update.choices)
      choice = {choice.index, {}, {}, {}, choice.finish_reason == "stop" ? "length" : choice.finish_reason, {}};
    update.usage = said(update.usage);
    return update;
  }

  std::size_t index_of(std::size_t prompt, const ChoiceUpdate& news) const {
    return prompt * static_cast<std::size_t>(params_.n) + static_cast<std::size_t>(news.index);
  }

  // What is said for the first time of a choice: its prompt, where that is repeated, and this update's tokens.
  Json logprobs(std::size_t prompt, CompletionChoice& choice, const ChoiceUpdate& news) {
    const bool first = !std::exchange(choice.begun, true);
    if (!params_.logprobs) return nullptr;
    const CompletionPrompt& asked = prompts_[prompt];
    Json all;
    if (first && echoes_) all = choice.logprobs.prompt(asked.echo.first_token, asked.logprobs);
    if (!news.logprobs.empty()) append_logprobs(all, choice.logprobs.steps(news.logprobs));
    return all;
  }

  static Json choice_json(std::size_t index, std::string text, Json logprobs, const std::string& finish_reason,
                          Json stop_reason) {
    return {{"index", index},
            {"text", std::move(text)},
            {"logprobs", std::move(logprobs)},
            {"finish_reason", finish_reason.empty() ? Json() : Json(finish_reason)},
            {"stop_reason", std::move(stop_reason)}};
  }

  Json head() const {
    return {{"id", identity_.id},
            {"object", "text_completion"},
            {"created", identity_.created},
            {"model", identity_.model},
            {"choices", Json::array()}};
  }

  AnswerIdentity identity_;
  AnswerOptions options_;
  SamplingParams params_;
  bool echoes_ = false;
  bool prompt_only_ = false;
  bool shows_prompt_logprobs_ = false;
  std::vector<CompletionPrompt> prompts_;
  std::vector<CompletionChoice> choices_;
};

}  // namespace

std::unique_ptr<Answer> completion_answer(AnswerIdentity identity, const CompletionRequest& request,
                                          std::vector<Echo> echo) {
  return std::make_unique<CompletionAnswer>(std::move(identity), request, std::move(echo));
}

}  // namespace octet::server
