#include "files/printable.h"

namespace octet::files {

namespace {

// Bytes of the UTF-8 sequence that starts `text`, or 0 where it is not well-formed (loosely: overlong and
// surrogate forms pass, since they only have to be harmless here).
std::size_t sequence_length(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text[0]);
  const std::size_t length = lead < 0x80   ? 1
                             : lead < 0xc2 ? 0
                             : lead < 0xe0 ? 2
                             : lead < 0xf0 ? 3
                             : lead < 0xf5 ? 4
                                           : 0;
  if (length > text.size()) return 0;
  for (std::size_t i = 1; i < length; ++i)
    if ((static_cast<unsigned char>(text[i]) & 0xc0u) != 0x80u) return 0;
  return length;
}

}  // namespace

std::string printable(std::string_view text, std::size_t limit) {
  std::string result;
  while (!text.empty()) {
    const std::size_t length = sequence_length(text);
    if (result.size() + (length ? length : 1) > limit) return result + "…";
    const auto lead = static_cast<unsigned char>(text[0]);
    if (length == 0 || lead < 0x20 || lead == 0x7f) {
      result += '?';
      text.remove_prefix(1);
      continue;
    }
    result.append(text, 0, length);
    text.remove_prefix(length);
  }
  return result;
}

}  // namespace octet::files
