// Finds the tool calls in an answer while it is being written.
//
// hermes (Qwen 2.5 and 3, Hermes): <tool_call>{"name": …, "arguments": {…}}</tool_call>, anywhere in the
// answer. llama3_json (Llama 3.1 and 3.2): the whole answer is {"name": …, "parameters": {…}}, or several with
// ';' between them, behind an optional <|python_tag|>. What looks like a call but is none, being no JSON of
// that shape, is given out as the text that it is.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace octet::server {

// The last two are what structured output makes of a tool_choice: an array of calls, or the arguments of one
// alone.
enum class ToolCallFormat { none, hermes, llama3_json, array, arguments };

// vLLM's names: "hermes", "llama3_json"; nothing for another.
std::optional<ToolCallFormat> tool_call_format(std::string_view name);

// How tool calls are found in answers, as the server was told.
struct ToolCallOptions {
  bool enabled = false;  // --enable-auto-tool-choice
  ToolCallFormat format = ToolCallFormat::none;
};

struct ToolCall {
  std::string name;
  std::string arguments;  // a JSON object, as text
};

class ToolCallParser {
 public:
  // `function`: whose arguments they are.
  explicit ToolCallParser(ToolCallFormat format, std::string function = {})
      : format_(format), function_(std::move(function)) {}

  struct Found {
    std::string content;
    std::vector<ToolCall> calls;
  };
  // What is certain after these characters more: text that begins no call, and calls that are complete.
  Found add(std::string_view text);
  // The rest, once the answer has ended.
  Found finish();

  bool found_calls() const { return found_calls_; }

 private:
  void take_text(std::size_t size, bool call_follows, bool ended, Found& found);
  void take_hermes(Found& found, bool ended);
  void take_llama(Found& found, bool ended);
  void take_array(Found& found);
  bool take_call(std::string_view json, Found& found);

  ToolCallFormat format_;
  std::string function_;
  std::string pending_;  // not given out yet
  std::string blanks_;   // hermes: in front of the call that pending_ may be
  bool inside_ = false;  // hermes: pending_ begins behind <tool_call>; llama: it begins a call
  bool plain_ = false;   // llama: the answer is text
  bool found_calls_ = false;
};

}  // namespace octet::server
