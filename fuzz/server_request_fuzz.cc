// Any bytes as the body of a request, or as an answer in which tool calls are looked for; the first byte says
// which. Bodies are read or refused with an ApiError; of an answer no text is lost where no call was found.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "server/api_error.h"
#include "server/chat_request.h"
#include "server/completion_request.h"

namespace {

using namespace octet::server;

void find_calls(ToolCallFormat format, std::string_view answer, std::size_t step) {
  ToolCallParser parser(format);
  std::string content;
  for (std::size_t i = 0; i < answer.size(); i += step) content += parser.add(answer.substr(i, step)).content;
  content += parser.finish().content;
  const bool blank = answer.find_first_not_of(" \t\r\n") == answer.npos;
  if (!parser.found_calls() && !blank && content != answer) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  const ToolCallOptions tools = {true, ToolCallFormat::hermes};
  try {
    switch (data[0] % 8) {
      case 0:
      case 1:
        parse_chat_request(input, {}, tools);
        break;
      case 2:
        parse_completion_request(input, {});
        break;
      case 3:
        parse_tokenize_request(input);
        break;
      case 4:
        parse_detokenize_request(input);
        break;
      case 5:
      case 6:
        find_calls(ToolCallFormat::hermes, input, data[0] / 8 + 1);
        break;
      default:
        find_calls(ToolCallFormat::llama3_json, input, data[0] / 8 + 1);
    }
  } catch (const ApiError& error) {
    error_json(error);
  }
  return 0;
}
