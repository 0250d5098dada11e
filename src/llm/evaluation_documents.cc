#include "llm/evaluation_documents.h"

#include <algorithm>
#include <string>

#include "base/error.h"
#include "llm/dataset.h"
#include "llm/sample_encoder.h"

namespace octet::llm {

using evaluate::TokenIds;

namespace {

void require_document(const TokenIds& ids, int vocab_size, const std::string& name) {
  if (ids.size() < 2)
    throw Error(
        ErrorCode::invalid_argument,
        "expected at least 2 tokens, one to read and one to predict, found " + std::to_string(ids.size()),
        name);
  for (const std::int32_t id : ids)
    if (id < 0 || id >= vocab_size)
      throw Error(
          ErrorCode::invalid_argument,
          "token id " + std::to_string(id) + " is outside the vocabulary of " + std::to_string(vocab_size),
          name);
}

}  // namespace

std::vector<TokenIds> read_dataset(const EvaluationOptions& options, int vocab_size, int context,
                                   std::int64_t& skipped) {
  const Dataset dataset = Dataset::open({.file = options.dataset,
                                         .num_samples = options.dataset_samples,
                                         .seed = options.dataset_seed,
                                         .shuffle = true,
                                         .text_bytes = 4 * std::int64_t{context}});
  SampleEncoder encoder(options.model, vocab_size, context);
  std::vector<TokenIds> samples;
  std::int64_t tokens = 0;
  for (std::size_t i = 0; i < dataset.size() && (options.max_tokens == 0 || tokens < options.max_tokens); ++i) {
    TokenIds ids = dataset.is_json() ? encoder.encode_line(dataset.text(i), dataset.where(i))
                                     : encoder.encode_text(dataset.text(i), dataset.where(i));
    if (ids.size() < 2) {
      ++skipped;
      continue;
    }
    tokens += static_cast<std::int64_t>(ids.size());
    samples.push_back(std::move(ids));
  }
  if (samples.empty())
    throw Error(ErrorCode::invalid_file,
                "no sample of at least two tokens, of " + std::to_string(dataset.size()), options.dataset);
  return samples;
}

std::vector<TokenIds> encode_documents(const std::vector<Prompt>& documents, const text::Tokenizer& tokenizer,
                                       int vocab_size, std::int64_t max_tokens) {
  std::vector<TokenIds> encoded;
  std::int64_t left = max_tokens;
  for (std::size_t i = 0; i < documents.size() && (max_tokens == 0 || left >= 2); ++i) {
    TokenIds ids = documents[i].token_ids ? *documents[i].token_ids : tokenizer.encode(documents[i].text);
    require_document(ids, vocab_size, "document " + std::to_string(i));
    if (max_tokens > 0 && static_cast<std::int64_t>(ids.size()) > left)
      ids.resize(static_cast<std::size_t>(left));
    left -= static_cast<std::int64_t>(ids.size());
    encoded.push_back(std::move(ids));
  }
  return encoded;
}

std::vector<evaluate::Window> cut_documents(std::span<const TokenIds> documents,
                                            std::span<const std::int32_t> prefix, int context, int stride,
                                            std::int64_t max_tokens) {
  std::vector<evaluate::Window> windows;
  std::int64_t left = max_tokens;
  for (const TokenIds& document : documents) {
    for (evaluate::Window& window : evaluate::cut_windows(document, prefix, context, stride)) {
      if (max_tokens > 0 && left <= 0) return windows;
      if (max_tokens > 0 && static_cast<std::int64_t>(window.ids.size()) > left) {
        window.ids.resize(static_cast<std::size_t>(left));
        window.targets.resize(window.ids.size());
        window.first_scored = std::min(window.first_scored, static_cast<int>(window.ids.size()));
      }
      left -= static_cast<std::int64_t>(window.ids.size());
      windows.push_back(std::move(window));
    }
  }
  return windows;
}

std::vector<TokenIds> pick_beginnings(std::span<const TokenIds> documents, std::span<const std::int32_t> prefix,
                                      int count, int length) {
  struct Place {
    const TokenIds* document;
    std::size_t begin;
  };
  const auto wanted = static_cast<std::size_t>(length);
  std::vector<Place> places;  // beginnings that do not overlap
  for (const TokenIds& document : documents)
    for (std::size_t begin = 0; begin == 0 || begin + wanted <= document.size(); begin += wanted)
      places.push_back({&document, begin});
  std::vector<TokenIds> beginnings;
  const std::size_t picks = std::min(static_cast<std::size_t>(count), places.size());
  for (std::size_t i = 0; i < picks; ++i) {
    const Place& place = places[i * places.size() / picks];
    const std::size_t end = std::min(place.begin + wanted, place.document->size());
    TokenIds ids;
    if (place.begin > 0) ids.assign(prefix.begin(), prefix.end());
    ids.insert(ids.end(), place.document->begin() + static_cast<std::ptrdiff_t>(place.begin),
               place.document->begin() + static_cast<std::ptrdiff_t>(end));
    beginnings.push_back(std::move(ids));
  }
  return beginnings;
}

}  // namespace octet::llm
