// Answers of /v1/chat/completions.
#include <utility>

#include "server/answer.h"
#include "server/logprobs_json.h"
#include "server/random_id.h"

namespace octet::server {

namespace {

struct ChatChoice {
  ChatChoice(ToolCallFormat format, const std::string& function) : parser(format, function) {}

  ToolCallParser parser;
  bool begun = false;  // the role was said
  std::string content;
  Json tool_calls = Json::array();
  int num_tool_calls = 0;
  Json logprobs = Json::array();
  std::string finish_reason;
  Json stop_reason;
};

class ChatAnswer final : public Answer {
 public:
  ChatAnswer(AnswerIdentity identity, const ChatRequest& request, ToolCallFormat format)
      : identity_(std::move(identity)),
        options_(request.answer),
        params_(request.params),
        logprobs_(request.logprobs),
        top_logprobs_(request.top_logprobs),
        parallel_tool_calls_(request.parallel_tool_calls) {
    for (int i = 0; i < params_.n; ++i) choices_.emplace_back(format, request.tool_function);
  }

  std::string chunks(std::size_t, const GenerationUpdate& update) override {
    std::string events;
    for (const ChoiceUpdate& news : update.choices) {
      ChatChoice& choice = choices_.at(static_cast<std::size_t>(news.index));
      Json delta = read(choice, news);
      const bool ended = !news.finish_reason.empty();
      if (!std::exchange(choice.begun, true)) events += event(chunk(news.index, role_delta(), update));
      if (delta.empty() && news.logprobs.empty() && !ended) continue;  // held back
      Json payload = chunk(news.index, std::move(delta), update);
      Json& said = payload["choices"][0];
      if (logprobs_ && !news.logprobs.empty())
        said["logprobs"] = {{"content", chat_logprobs(news.logprobs, top_logprobs_, options_.tokens_as_ids)}};
      if (ended) {
        said["finish_reason"] = choice.finish_reason;
        said["stop_reason"] = choice.stop_reason;
      }
      events += event(payload);
    }
    return events;
  }

  void add(std::size_t, const GenerationUpdate& update) override {
    if (!update.prompt_logprobs.empty()) prompt_logprobs_ = prompt_logprobs(update.prompt_logprobs);
    for (const ChoiceUpdate& news : update.choices) {
      ChatChoice& choice = choices_.at(static_cast<std::size_t>(news.index));
      Json delta = read(choice, news);
      if (delta.contains("content")) choice.content += delta["content"].get_ref<const std::string&>();
      if (delta.contains("tool_calls"))
        for (Json& call : delta["tool_calls"]) {
          call.erase("index");
          choice.tool_calls.push_back(std::move(call));
        }
      if (logprobs_)
        for (Json& token : chat_logprobs(news.logprobs, top_logprobs_, options_.tokens_as_ids))
          choice.logprobs.push_back(std::move(token));
    }
  }

  std::string whole(const TokenUsage& usage) override {
    Json body = head("chat.completion");
    for (std::size_t i = 0; i < choices_.size(); ++i) {
      ChatChoice& choice = choices_[i];
      Json message = {{"role", "assistant"}, {"content", choice.content}, {"refusal", nullptr}};
      if (!choice.tool_calls.empty()) {
        if (choice.content.empty()) message["content"] = nullptr;
        message["tool_calls"] = std::move(choice.tool_calls);
      }
      body["choices"].push_back(
          {{"index", i},
           {"message", std::move(message)},
           {"logprobs", logprobs_ ? Json{{"content", std::move(choice.logprobs)}} : Json()},
           {"finish_reason", choice.finish_reason},
           {"stop_reason", choice.stop_reason}});
    }
    body["usage"] = usage_json(usage);
    if (params_.prompt_logprobs) body["prompt_logprobs"] = std::move(prompt_logprobs_);
    return to_text(body);
  }

  std::string usage_chunk(const TokenUsage& usage) override {
    Json body = head("chat.completion.chunk");
    body["usage"] = usage_json(usage);
    return event(body);
  }

 private:
  static Json role_delta() { return {{"role", "assistant"}, {"content", ""}}; }

  // The delta of an update, empty where all of it is held back; notes the end.
  Json read(ChatChoice& choice, const ChoiceUpdate& news) {
    ToolCallParser::Found found = choice.parser.add(news.text);
    const bool ended = !news.finish_reason.empty();
    if (ended) {
      ToolCallParser::Found rest = choice.parser.finish();
      found.content += rest.content;
      for (ToolCall& call : rest.calls) found.calls.push_back(std::move(call));
      choice.finish_reason =
          news.finish_reason == "stop" && choice.parser.found_calls() ? "tool_calls" : news.finish_reason;
      choice.stop_reason = stop_reason_json(news.stop_reason, params_);
    }
    Json delta = Json::object();
    if (!found.content.empty()) delta["content"] = std::move(found.content);
    for (ToolCall& call : found.calls) {
      if (!parallel_tool_calls_ && choice.num_tool_calls > 0) break;
      delta["tool_calls"].push_back(
          {{"index", choice.num_tool_calls++},
           {"id", "call_" + random_id()},
           {"type", "function"},
           {"function", {{"name", std::move(call.name)}, {"arguments", std::move(call.arguments)}}}});
    }
    return delta;
  }

  Json head(const char* object) const {
    return {{"id", identity_.id},
            {"object", object},
            {"created", identity_.created},
            {"model", identity_.model},
            {"choices", Json::array()}};
  }

  Json chunk(int index, Json delta, const GenerationUpdate& update) const {
    Json body = head("chat.completion.chunk");
    body["choices"].push_back(
        {{"index", index}, {"delta", std::move(delta)}, {"logprobs", nullptr}, {"finish_reason", nullptr}});
    if (options_.continuous_usage)
      body["usage"] = usage_json(update.usage);
    else if (options_.include_usage)
      body["usage"] = nullptr;
    return body;
  }

  AnswerIdentity identity_;
  AnswerOptions options_;
  SamplingParams params_;
  bool logprobs_;
  int top_logprobs_;
  bool parallel_tool_calls_;
  std::vector<ChatChoice> choices_;
  Json prompt_logprobs_;
};

}  // namespace

std::unique_ptr<Answer> chat_answer(AnswerIdentity identity, const ChatRequest& request) {
  return std::make_unique<ChatAnswer>(std::move(identity), request, request.tool_calls);
}

}  // namespace octet::server
