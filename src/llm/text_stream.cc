#include "llm/text_stream.h"

#include <algorithm>
#include <string_view>

namespace octet::llm {

TextStream::TextStream(const text::Tokenizer& tokenizer, const SamplingParams& params)
    : detokenizer_(tokenizer, params.skip_special_tokens), params_(params) {}

const std::string* TextStream::add(std::int32_t id) {
  const std::size_t old_size = text_.size();
  text_ += detokenizer_.add(id);
  if (++num_tokens_ <= params_.min_tokens) return nullptr;
  return cut_at_stop_string(old_size);
}

const std::string* TextStream::finish() {
  if (complete_) return nullptr;
  const std::size_t old_size = text_.size();
  text_ += detokenizer_.finish();
  complete_ = true;
  return num_tokens_ > params_.min_tokens ? cut_at_stop_string(old_size) : nullptr;
}

// Looks for stop strings that end behind `old_size`: whatever ended before was looked at already, or came
// with the first min_tokens tokens.
const std::string* TextStream::cut_at_stop_string(std::size_t old_size) {
  const std::string* first = nullptr;
  std::size_t first_begin = std::string::npos;
  for (const std::string& stop : params_.stop) {
    const std::size_t search_from = old_size >= stop.size() ? old_size - stop.size() + 1 : 0;
    const std::size_t begin = text_.find(stop, search_from);
    if (begin < first_begin) {
      first = &stop;
      first_begin = begin;
    }
  }
  if (first == nullptr) return nullptr;
  text_.resize(first_begin + (params_.include_stop_str_in_output ? first->size() : 0));
  complete_ = true;
  return first;
}

// The length of the longest end of the text that is the beginning of a stop string. Both are UTF-8, so it
// never splits a character.
std::size_t TextStream::held_back() const {
  if (complete_) return 0;
  const std::string_view all = text_;
  std::size_t longest = 0;
  for (const std::string& stop : params_.stop) {
    for (std::size_t length = std::min(stop.size() - 1, all.size() - taken_); length > longest; --length) {
      if (all.substr(all.size() - length) == std::string_view(stop).substr(0, length)) {
        longest = length;
        break;
      }
    }
  }
  return longest;
}

std::string TextStream::take_new_text() {
  const std::size_t certain = text_.size() - held_back();
  std::string piece = text_.substr(taken_, certain - taken_);
  taken_ = certain;
  return piece;
}

}  // namespace octet::llm
