// Answer: one of a request's completions as its tokens arrive: its text, its log-probabilities and why it
// ended.
#pragma once

#include <octet/async_llm.h>
#include <octet/llm.h>
#include <octet/sampling_params.h>

#include <string>
#include <vector>

#include "engine/request.h"
#include "llm/generation_config.h"
#include "llm/text_stream.h"
#include "text/tokenizer.h"

namespace octet::llm {

// Keeps references to all but the index. Not thread-safe.
class Answer {
 public:
  Answer(const text::Tokenizer& tokenizer, const EndTokens& end_tokens, const SamplingParams& params,
         int index);

  // Takes the next output of its sequence; nothing that comes after the end. Returns true where a stop string
  // ended it: the engine does not know.
  bool accept(const engine::TokenOutput& output);
  // Its request was ended: "abort" or "error".
  void end(const char* finish_reason);

  bool ended() const { return ended_; }
  // Whether take_update() has something.
  bool has_news() const;
  // What came since the last call.
  ChoiceUpdate take_update();

 private:
  void add_logprobs(const engine::TokenOutput& output);
  std::string stop_reason(std::int32_t token_id) const;

  const text::Tokenizer& tokenizer_;
  const EndTokens& end_tokens_;
  const SamplingParams& params_;
  TextStream stream_;
  ChoiceUpdate update_;
  bool ended_ = false;
  bool end_taken_ = false;
};

std::vector<Logprob> decoded_logprobs(const text::Tokenizer& tokenizer,
                                      const std::vector<engine::TokenLogprob>& logprobs);

// Of a whole prompt, as RequestOutput has them: an empty row, for there is nothing before the first token, then
// a row for each token behind it. Empty where the engine gave none.
std::vector<std::vector<Logprob>> decoded_prompt_logprobs(const text::Tokenizer& tokenizer,
                                                          const engine::TokenOutput& output);

// Adds what is new to what there is.
void append(ChoiceUpdate& known, ChoiceUpdate update);
void append(CompletionOutput& known, ChoiceUpdate update);

}  // namespace octet::llm
