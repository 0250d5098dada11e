// The JSON of answers, as one body or as the events of a stream.
//
// An Answer is told what is new of each of a request's prompts and says it in the shape of its API. It is used
// in one of two ways: chunks() for each update, or add() for each and whole() at the end.
#pragma once

#include <octet/async_llm.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "server/chat_request.h"
#include "server/completion_request.h"
#include "server/json_fields.h"

namespace octet::server {

struct AnswerIdentity {
  std::string id;            // chatcmpl-…, cmpl-…
  std::string model;         // as it is served
  std::int64_t created = 0;  // seconds since 1970
};

class Answer {
 public:
  virtual ~Answer() = default;

  // Events that carry the update, "data: …\n\n" each. Text that may be a tool call is held back.
  virtual std::string chunks(std::size_t prompt, const GenerationUpdate& update) = 0;
  virtual void add(std::size_t prompt, const GenerationUpdate& update) = 0;
  // The body of everything that was added.
  virtual std::string whole(const TokenUsage& usage) = 0;
  // The last event of stream_options.include_usage.
  virtual std::string usage_chunk(const TokenUsage& usage) = 0;
};

std::unique_ptr<Answer> chat_answer(AnswerIdentity identity, const ChatRequest& request);
// A prompt that is repeated in front of its answers.
struct Echo {
  std::string text;
  std::string first_token;  // alone, where log-probabilities are asked for
};
// `echo` has one for each prompt where prompts are repeated, else it is empty.
std::unique_ptr<Answer> completion_answer(AnswerIdentity identity, const CompletionRequest& request,
                                          std::vector<Echo> echo);

// Parts of both.
std::string event(const Json& payload);  // data: …, and an empty line
std::string to_text(const Json& json);   // what is no UTF-8 becomes U+FFFD
Json usage_json(const TokenUsage& usage);
Json stop_reason_json(const std::string& reason, const SamplingParams& params);

}  // namespace octet::server
