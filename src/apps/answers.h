// Writing what a generation gave: plain answers, JSON lines, and the summary.
#pragma once

#include <octet/llm.h>

#include <ostream>
#include <vector>

namespace octet::apps {

// One JSON object a prompt a line: index, prompt, prompt_token_ids, text, token_ids, finish_reason ("stop",
// "length", "abort"), stop_reason (a string or null), cumulative_logprob and logprobs (null where not asked
// for; [token] of {token_id, logprob, rank, decoded_token}), timings (seconds), kv_cache.
void write_json_answers(std::ostream& out, const std::vector<RequestOutput>& outputs, const LLM& llm);

// The whole answers in order, with headings where there are several, and the log-probabilities behind each
// where they were asked for.
void write_plain_answers(std::ostream& out, const std::vector<RequestOutput>& outputs);

// The table of log-probabilities of one answer; nothing where there are none.
void write_logprobs(std::ostream& out, const CompletionOutput& completion);

// Tokens and rates, then the cache: dtype, bytes a token, how many tokens fit, where its scales came from.
void write_summary(std::ostream& out, const std::vector<RequestOutput>& outputs, const LLM& llm);

}  // namespace octet::apps
