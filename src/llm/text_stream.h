// TextStream: the text of one sequence as its tokens arrive, cut at stop strings, never shown too early.
#pragma once

#include <octet/sampling_params.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "text/detokenizer.h"
#include "text/tokenizer.h"

namespace octet::llm {

// Text that may still turn out to be the start of a stop string is held back, so that the pieces from
// take_new_text() always concatenate to text(). Keeps a reference to `params`. Not thread-safe.
class TextStream {
 public:
  TextStream(const text::Tokenizer& tokenizer, const SamplingParams& params);

  // Adds one token. Returns the stop string that its text completed (text() then ends before it, or behind
  // it with include_stop_str_in_output), else null. Where one token completes several, the one that begins
  // first counts. Tokens up to min_tokens do not complete stop strings, as in vLLM.
  const std::string* add(std::int32_t id);

  // The sequence ended otherwise: releases what was held back; an incomplete character becomes U+FFFD.
  // Returns the stop string that this completed, if any, as add() does.
  const std::string* finish();

  // The text that became certain since the last call.
  std::string take_new_text();
  const std::string& text() const { return text_; }

 private:
  const std::string* cut_at_stop_string(std::size_t old_size);
  std::size_t held_back() const;

  text::Detokenizer detokenizer_;
  const SamplingParams& params_;
  std::string text_;
  std::size_t taken_ = 0;  // bytes of text_ already handed out
  int num_tokens_ = 0;
  bool complete_ = false;  // nothing more will come
};

}  // namespace octet::llm
