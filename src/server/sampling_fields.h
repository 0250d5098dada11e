// The fields about sampling that chat and text completions share: OpenAI's, and vLLM's beyond them.
#pragma once

#include <octet/sampling_params.h>

#include <string>

#include "server/json_fields.h"

namespace octet::server {

// What both kinds of request ask for beside the prompt and the parameters.
struct AnswerOptions {
  std::string model;  // empty = whichever there is
  bool stream = false;
  bool include_usage = false;     // stream_options: a last chunk with the usage
  bool continuous_usage = false;  // stream_options.continuous_usage_stats: the usage in every chunk
  bool tokens_as_ids = false;     // return_tokens_as_token_ids: "token_id:17" in place of texts
  std::string form_field;         // where the request says what form its answers have; empty = nowhere
};

// Throws ApiError 400 naming the field: wrong types, and what would change the answer but is not there, such as
// beam search.
AnswerOptions read_answer_options(const Fields& fields);

// The fields over `params`, which are the checkpoint's own. max_tokens and logprobs, which the two kinds of
// request spell differently, are left alone. Sets answer.form_field. Ranges are the engine's to check.
SamplingParams read_sampling_params(const Fields& fields, SamplingParams params, AnswerOptions& answer);

}  // namespace octet::server
