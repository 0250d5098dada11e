// Any bytes as a tokenizer.json and, after the first NUL, a text: refused with an Error, or encoded to ids that
// the same tokenizer decodes.
#include <algorithm>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "text/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t nul = std::min(input.find('\0'), size);
  const std::string_view text = nul < size ? input.substr(nul + 1) : "Don't panic: it's 42 über-naïve  tokens\n";
  try {
    const octet::text::Tokenizer tokenizer = octet::text::Tokenizer::parse(input.substr(0, nul), "fuzz");
    const std::vector<std::int32_t> ids = tokenizer.encode(text);
    tokenizer.decode(ids, false);
    tokenizer.decode(ids, true);
  } catch (const octet::Error&) {
  }
  return 0;
}
