#include "llm/utf8.h"

#include "base/error.h"
#include "text/utf8.h"

namespace octet::llm {

void require_utf8(std::string_view text, const std::string& what) {
  if (const auto offset = text::find_invalid_utf8(text))
    throw Error(ErrorCode::invalid_argument,
                "expected UTF-8 text, found an invalid sequence at byte " + std::to_string(*offset), what);
}

}  // namespace octet::llm
