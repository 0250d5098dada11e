// Any bytes as a tokenizer.model and, after the last NUL, a text: refused with an Error, or pieces of which
// both kinds of model take the text apart.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "text/bpe.h"
#include "text/sentencepiece_model.h"
#include "text/unigram.h"
#include "text/utf8.h"

namespace {

void encode(const octet::text::TokenModel& model, std::string_view text) {
  std::vector<std::int32_t> ids;
  try {
    model.encode(text, ids);
  } catch (const octet::Error&) {
  }
  for (const std::int32_t id : ids) {
    if (model.token(id) == nullptr) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace octet::text;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t nul = std::min(input.rfind('\0'), size);
  std::string_view text = nul < size ? input.substr(nul + 1) : std::string_view();
  if (find_invalid_utf8(text)) text = "▁Don't▁panic 42 ü\n";
  try {
    const SentencePieceModel model = parse_sentencepiece_model(input.substr(0, nul), "fuzz");
    encode(*Bpe::of_pieces(model.pieces, "fuzz"), text);
    encode(*Unigram::of_pieces(model.pieces, model.byte_fallback, "fuzz"), text);
  } catch (const octet::Error&) {
  }
  return 0;
}
