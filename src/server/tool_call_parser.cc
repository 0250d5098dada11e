#include "server/tool_call_parser.h"

#include <algorithm>

#include "server/api_error.h"
#include "server/json_fields.h"

namespace octet::server {

namespace {

constexpr std::string_view kOpen = "<tool_call>";
constexpr std::string_view kClose = "</tool_call>";
constexpr std::string_view kPythonTag = "<|python_tag|>";
constexpr std::string_view kBlank = " \t\r\n";

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(kBlank);
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

// The length of the longest end of `text` that `tag` may begin with.
std::size_t overlap(std::string_view text, std::string_view tag) {
  std::size_t length = std::min(text.size(), tag.size() - 1);
  while (length > 0 && !tag.starts_with(text.substr(text.size() - length))) --length;
  return length;
}

// Where the JSON object at the start of `text` ends; npos where it goes on.
std::size_t object_end(std::string_view text) {
  int depth = 0;
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c == '\\')
        ++i;
      else if (c == '"')
        quoted = false;
    } else if (c == '"') {
      quoted = true;
    } else if (c == '{') {
      ++depth;
    } else if (c == '}' && --depth == 0) {
      return i + 1;
    }
  }
  return text.npos;
}

}  // namespace

std::optional<ToolCallFormat> tool_call_format(std::string_view name) {
  if (name == "hermes") return ToolCallFormat::hermes;
  if (name == "llama3_json") return ToolCallFormat::llama3_json;
  return std::nullopt;
}

bool ToolCallParser::take_call(std::string_view json, Found& found) {
  Json call;
  try {
    call = parse_json(json);
  } catch (const ApiError&) {
    return false;
  }
  if (!call.is_object() || !call.contains("name") || !call["name"].is_string()) return false;
  const auto arguments = call.contains("arguments")    ? call["arguments"]
                         : call.contains("parameters") ? call["parameters"]
                                                       : Json::object();
  if (!arguments.is_object()) return false;
  found.calls.push_back({call["name"].get<std::string>(), arguments.dump()});
  found_calls_ = true;
  return true;
}

// Text in front of a call, or of where one may begin. Blanks at its end are held back: they are no text where a
// call follows, and nor are those between two calls.
void ToolCallParser::take_text(std::size_t size, bool call_follows, bool ended, Found& found) {
  const std::string_view text = std::string_view(pending_).substr(0, size);
  const std::size_t last = text.find_last_not_of(kBlank);
  const std::size_t solid = last == text.npos ? 0 : last + 1;
  if (ended && !call_follows && !(found_calls_ && solid == 0))
    found.content += text;
  else
    found.content += text.substr(0, solid);
  if (call_follows) blanks_ = text.substr(solid);
  pending_.erase(0, ended || call_follows ? size : solid);
}

void ToolCallParser::take_hermes(Found& found, bool ended) {
  while (true) {
    if (!inside_) {
      const std::size_t open = pending_.find(kOpen);
      inside_ = open != pending_.npos;
      const std::size_t unfinished_tag = ended ? 0 : overlap(pending_, kOpen);
      take_text(inside_ ? open : pending_.size() - unfinished_tag, inside_, ended, found);
      if (!inside_) return;
      pending_.erase(0, kOpen.size());
    }
    const std::size_t close = pending_.find(kClose);
    if (close == pending_.npos && !ended) return;
    const std::string inner = pending_.substr(0, close);
    const bool closed = close != pending_.npos;
    if (!take_call(trimmed(inner), found))
      found.content += blanks_ + std::string(kOpen) + inner + (closed ? std::string(kClose) : "");
    pending_.erase(0, closed ? close + kClose.size() : pending_.size());
    inside_ = false;
    if (!closed) return;
  }
}

void ToolCallParser::take_llama(Found& found, bool ended) {
  while (!plain_) {
    const std::string_view rest = trimmed(pending_);
    std::string_view json = rest;
    if (json.starts_with(kPythonTag)) json = trimmed(json.substr(kPythonTag.size()));
    if (found_calls_ && json.starts_with(';')) json = trimmed(json.substr(1));
    if (json.empty() || (!ended && kPythonTag.starts_with(json))) {
      if (ended && !found_calls_ && !rest.empty()) found.content += pending_;  // a tag and no call behind it
      if (ended) pending_.clear();
      return;
    }
    const std::size_t end = json.front() == '{' ? object_end(json) : 0;
    if (end == json.npos && !ended) return;
    if (end == 0 || end == json.npos || !take_call(json.substr(0, end), found)) {
      plain_ = true;
    } else {
      pending_ = std::string(json.substr(end));
    }
  }
  found.content += pending_;
  pending_.clear();
}

// Calls as they become complete; what is between them is a bracket or a comma.
void ToolCallParser::take_array(Found& found) {
  while (true) {
    const std::size_t begin = pending_.find('{');
    const std::size_t size =
        begin == pending_.npos ? pending_.npos : object_end(std::string_view(pending_).substr(begin));
    if (size == pending_.npos || !take_call(std::string_view(pending_).substr(begin, size), found)) return;
    pending_.erase(0, begin + size);
  }
}

ToolCallParser::Found ToolCallParser::add(std::string_view text) {
  Found found;
  pending_ += text;
  if (format_ == ToolCallFormat::hermes) take_hermes(found, false);
  if (format_ == ToolCallFormat::llama3_json) take_llama(found, false);
  if (format_ == ToolCallFormat::array) take_array(found);
  if (format_ == ToolCallFormat::none) found.content = std::exchange(pending_, {});
  return found;
}

ToolCallParser::Found ToolCallParser::finish() {
  Found found;
  if (format_ == ToolCallFormat::hermes) take_hermes(found, true);
  if (format_ == ToolCallFormat::llama3_json) take_llama(found, true);
  if (format_ == ToolCallFormat::arguments) found.calls.push_back({function_, std::exchange(pending_, {})});
  return found;
}

}  // namespace octet::server
