// Request: one submitted request and all of its answer so far. One thread reads it at a time; cancel() may come
// from any.
#pragma once

#include <octet/async_llm.h>

#include <optional>
#include <utility>

namespace octet::python {

class Request {
 public:
  explicit Request(GenerationStream stream) : stream_(std::move(stream)) {
    output_.prompt_token_ids = stream_.prompt_token_ids();
  }

  // Takes what is new without waiting; false where nothing is. Throws the Error that ended the request.
  bool advance();
  void cancel() noexcept { stream_.cancel(); }

  const RequestOutput& output() const { return output_; }
  const TokenUsage& usage() const { return usage_; }

 private:
  void add(ChoiceUpdate choice);

  GenerationStream stream_;
  RequestOutput output_;
  TokenUsage usage_;
};

}  // namespace octet::python
