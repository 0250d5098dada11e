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

void ToolCallParser::take_hermes(Found& found, bool ended) {
  while (true) {
    if (!inside_) {
      const std::size_t open = pending_.find(kOpen);
      const std::size_t certain = open != pending_.npos ? open
                                  : ended               ? pending_.size()
                                                        : pending_.size() - overlap(pending_, kOpen);
      // Line breaks between two calls are no text; whether a call follows is seen later.
      std::size_t given = certain;
      if (open != pending_.npos || !ended)
        while (given > 0 && kBlank.find(pending_[given - 1]) != kBlank.npos) --given;
      if (found_calls_ && trimmed(std::string_view(pending_).substr(0, given)).empty()) {
        given = open != pending_.npos || ended ? certain : 0;
      } else {
        found.content += pending_.substr(0, given);
        if (open != pending_.npos) given = certain;
      }
      pending_.erase(0, given);
      if (open == std::string::npos) return;
      pending_.erase(0, kOpen.size());
      inside_ = true;
    }
    const std::size_t close = pending_.find(kClose);
    if (close == pending_.npos && !ended) return;
    const std::string inner = pending_.substr(0, close);
    const bool closed = close != pending_.npos;
    if (!take_call(trimmed(inner), found))
      found.content += std::string(kOpen) + inner + (closed ? std::string(kClose) : "");
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

ToolCallParser::Found ToolCallParser::add(std::string_view text) {
  Found found;
  pending_ += text;
  if (format_ == ToolCallFormat::hermes) take_hermes(found, false);
  if (format_ == ToolCallFormat::llama3_json) take_llama(found, false);
  if (format_ == ToolCallFormat::none) found.content = std::exchange(pending_, {});
  return found;
}

ToolCallParser::Found ToolCallParser::finish() {
  Found found;
  if (format_ == ToolCallFormat::hermes) take_hermes(found, true);
  if (format_ == ToolCallFormat::llama3_json) take_llama(found, true);
  return found;
}

}  // namespace octet::server
