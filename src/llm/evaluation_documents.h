// From an evaluation's documents to the token sequences that it runs.
#pragma once

#include <octet/evaluation.h>

#include <cstdint>
#include <span>
#include <vector>

#include "evaluate/drift.h"
#include "evaluate/windows.h"
#include "text/tokenizer.h"

namespace octet::llm {

// The samples of options.dataset, each of at most `context` tokens; those of less than two are left out, and
// `skipped` counts them. Throws Error as Dataset and SampleEncoder; invalid_file where none is left.
std::vector<evaluate::TokenIds> read_dataset(const EvaluationOptions& options, int vocab_size, int context,
                                             std::int64_t& skipped);

// The documents as token ids, cut off after `max_tokens` in all (0 = none are). Ids are checked against
// `vocab_size`. Throws Error{invalid_argument} naming a document of fewer than two tokens or with a bad id.
std::vector<evaluate::TokenIds> encode_documents(const std::vector<Prompt>& documents,
                                                 const text::Tokenizer& tokenizer, int vocab_size,
                                                 std::int64_t max_tokens);

// The windows of all documents, at most `max_tokens` tokens of them (0 = all).
std::vector<evaluate::Window> cut_documents(std::span<const evaluate::TokenIds> documents,
                                            std::span<const std::int32_t> prefix, int context, int stride,
                                            std::int64_t max_tokens);

// At most `count` beginnings of `length` tokens, spread evenly over the documents; `prefix` stands before those
// from the middle of one. Whole documents where they are shorter.
std::vector<evaluate::TokenIds> pick_beginnings(std::span<const evaluate::TokenIds> documents,
                                                std::span<const std::int32_t> prefix, int count, int length);

}  // namespace octet::llm
