// Any bytes as a chat template and, after the first NUL, its variables as JSON: refused with an Error, or rendered.
#include <algorithm>
#include <cstdint>
#include <string_view>

#include "base/error.h"
#include "text/chat_template.h"

namespace {

constexpr std::string_view kVariables = R"({
  "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why? äß 🙂"},
               {"role": "assistant", "content": null, "tool_calls": [{"function": {"name": "f", "arguments": {}}}]}],
  "tools": [{"type": "function", "function": {"name": "f", "parameters": {"x": 1.5}}}],
  "add_generation_prompt": true, "bos_token": "<s>", "eos_token": "</s>"})";

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t nul = std::min(input.find('\0'), size);
  const std::string_view variables = nul < size ? input.substr(nul + 1) : kVariables;
  try {
    octet::text::ChatTemplate::parse(input.substr(0, nul), "fuzz").render(variables);
  } catch (const octet::Error&) {
  }
  return 0;
}
