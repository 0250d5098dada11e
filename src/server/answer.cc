#include "server/answer.h"

#include <algorithm>
#include <charconv>

namespace octet::server {

std::string to_text(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

std::string event(const Json& payload) { return "data: " + to_text(payload) + "\n\n"; }

Json usage_json(const TokenUsage& usage) {
  return {{"prompt_tokens", usage.prompt_tokens},
          {"completion_tokens", usage.completion_tokens},
          {"total_tokens", usage.prompt_tokens + usage.completion_tokens},
          {"prompt_tokens_details", {{"cached_tokens", usage.cached_tokens}}}};
}

// vLLM's: the stop string, the stop token's id as a number, or null.
Json stop_reason_json(const std::string& reason, const SamplingParams& params) {
  if (reason.empty()) return nullptr;
  if (std::find(params.stop.begin(), params.stop.end(), reason) != params.stop.end()) return reason;
  int id = 0;
  const auto [rest, error] = std::from_chars(reason.data(), reason.data() + reason.size(), id);
  if (error == std::errc() && rest == reason.data() + reason.size()) return id;
  return reason;
}

}  // namespace octet::server
