#include "llm/answer.h"

#include <iterator>
#include <utility>
#include <vector>

#include "base/error.h"

namespace octet::llm {

namespace {

// A model may have more rows than the tokenizer has tokens.
std::string decoded_token(const text::Tokenizer& tokenizer, std::int32_t id) {
  return tokenizer.token_bytes(id).empty() ? std::string() : tokenizer.decode({id}, false);
}

template <typename T>
void move_to_end(std::vector<T>& known, std::vector<T> more) {
  known.insert(known.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
}

}  // namespace

Answer::Answer(const text::Tokenizer& tokenizer, const EndTokens& end_tokens, const SamplingParams& params,
               int index)
    : tokenizer_(tokenizer), end_tokens_(end_tokens), params_(params), stream_(tokenizer, params) {
  update_.index = index;
}

bool Answer::accept(const engine::TokenOutput& output) {
  if (ended_) return false;  // a stop string ended it in this very step
  if (output.finish_reason == engine::FinishReason::error) {
    end("error");
    return false;
  }
  update_.token_ids.push_back(output.token_id);
  add_logprobs(output);
  const bool stopped_by_token = output.finish_reason == engine::FinishReason::stop;
  const std::string* stop_string = nullptr;
  // The token that ended the text is not part of it, unless asked for: vLLM's rule.
  if (!stopped_by_token || params_.include_stop_str_in_output) stop_string = stream_.add(output.token_id);
  if (stop_string == nullptr && output.finish_reason != engine::FinishReason::none)
    stop_string = stream_.finish();
  if (stopped_by_token) {
    update_.stop_reason = stop_reason(output.token_id);
    end("stop");
  } else if (stop_string != nullptr) {
    update_.stop_reason = *stop_string;
    end("stop");
    return output.finish_reason == engine::FinishReason::none;
  } else if (output.finish_reason != engine::FinishReason::none) {
    OCTET_CHECK(output.finish_reason == engine::FinishReason::length);
    end("length");
  }
  return false;
}

void Answer::end(const char* finish_reason) {
  if (ended_) return;
  stream_.finish();
  update_.finish_reason = finish_reason;
  ended_ = true;
}

bool Answer::has_news() const { return !update_.token_ids.empty() || (ended_ && !end_taken_); }

ChoiceUpdate Answer::take_update() {
  update_.text = stream_.take_new_text();
  end_taken_ = ended_;
  ChoiceUpdate taken = std::move(update_);
  update_ = {};
  update_.index = taken.index;
  return taken;
}

void Answer::add_logprobs(const engine::TokenOutput& output) {
  if (!params_.logprobs) return;
  OCTET_CHECK(!output.logprobs.empty());
  update_.logprobs.push_back(decoded_logprobs(tokenizer_, output.logprobs));
}

std::string Answer::stop_reason(std::int32_t token_id) const {
  const bool primary = !params_.ignore_eos && end_tokens_.primary == token_id;
  return primary ? std::string() : std::to_string(token_id);
}

std::vector<Logprob> decoded_logprobs(const text::Tokenizer& tokenizer,
                                      const std::vector<engine::TokenLogprob>& logprobs) {
  std::vector<Logprob> row;
  for (const engine::TokenLogprob& entry : logprobs)
    row.push_back({entry.token_id, entry.logprob, entry.rank, decoded_token(tokenizer, entry.token_id),
                   tokenizer.token_bytes(entry.token_id)});
  return row;
}

std::vector<std::vector<Logprob>> decoded_prompt_logprobs(const text::Tokenizer& tokenizer,
                                                          const engine::TokenOutput& output) {
  std::vector<std::vector<Logprob>> rows;
  if (output.prompt_logprobs.empty()) return rows;
  rows.emplace_back();
  for (const std::vector<engine::TokenLogprob>& row : output.prompt_logprobs)
    rows.push_back(decoded_logprobs(tokenizer, row));
  return rows;
}

void append(ChoiceUpdate& known, ChoiceUpdate update) {
  OCTET_CHECK(known.index == update.index && known.finish_reason.empty());
  known.text += update.text;
  move_to_end(known.token_ids, std::move(update.token_ids));
  move_to_end(known.logprobs, std::move(update.logprobs));
  known.finish_reason = std::move(update.finish_reason);
  known.stop_reason = std::move(update.stop_reason);
}

void append(CompletionOutput& known, ChoiceUpdate update) {
  known.text += update.text;
  for (const std::vector<Logprob>& row : update.logprobs) known.cumulative_logprob += row.front().logprob;
  move_to_end(known.token_ids, std::move(update.token_ids));
  move_to_end(known.logprobs, std::move(update.logprobs));
  if (update.finish_reason.empty()) return;
  known.finish_reason = std::move(update.finish_reason);
  known.stop_reason = std::move(update.stop_reason);
}

}  // namespace octet::llm
