#include "server/logprobs_json.h"

#include <algorithm>
#include <cmath>

namespace octet::server {

namespace {

std::string spelling(const Logprob& token, bool as_id) {
  return as_id ? "token_id:" + std::to_string(token.token_id) : token.decoded_token;
}

// JSON has no infinity; OpenAI's documentation has this for what is very unlikely.
double finite(float logprob) { return std::isfinite(logprob) ? logprob : -9999.0; }

Json chat_token(const Logprob& token, bool as_id) {
  Json bytes = Json::array();
  for (const char c : token.token_bytes) bytes.push_back(static_cast<unsigned char>(c));
  return {{"token", spelling(token, as_id)}, {"logprob", finite(token.logprob)}, {"bytes", std::move(bytes)}};
}

// The chosen one stands first and may be less likely than all others.
std::vector<const Logprob*> by_rank(const std::vector<Logprob>& step) {
  std::vector<const Logprob*> ranked;
  for (const Logprob& token : step) ranked.push_back(&token);
  std::sort(ranked.begin(), ranked.end(), [](const Logprob* a, const Logprob* b) { return a->rank < b->rank; });
  return ranked;
}

}  // namespace

Json chat_logprobs(const std::vector<std::vector<Logprob>>& steps, int top, bool tokens_as_ids) {
  Json content = Json::array();
  for (const std::vector<Logprob>& step : steps) {
    if (step.empty()) continue;
    Json token = chat_token(step.front(), tokens_as_ids);
    Json likeliest = Json::array();
    for (const Logprob* other : by_rank(step))
      if (other->rank <= top) likeliest.push_back(chat_token(*other, tokens_as_ids));
    token["top_logprobs"] = std::move(likeliest);
    content.push_back(std::move(token));
  }
  return content;
}

Json CompletionLogprobs::steps(const std::vector<std::vector<Logprob>>& steps) {
  Json tokens = Json::array(), logprobs = Json::array(), top = Json::array(), offsets = Json::array();
  for (const std::vector<Logprob>& step : steps) {
    if (step.empty()) continue;
    tokens.push_back(spelling(step.front(), tokens_as_ids_));
    logprobs.push_back(finite(step.front().logprob));
    Json likeliest = Json::object();
    for (const Logprob* other : by_rank(step))
      likeliest[spelling(*other, tokens_as_ids_)] = finite(other->logprob);
    top.push_back(std::move(likeliest));
    offsets.push_back(offset_);
    offset_ += count_characters(step.front().decoded_token);
  }
  return {{"text_offset", std::move(offsets)},
          {"token_logprobs", std::move(logprobs)},
          {"tokens", std::move(tokens)},
          {"top_logprobs", std::move(top)}};
}

Json CompletionLogprobs::prompt(const std::string& first_token,
                                const std::vector<std::vector<Logprob>>& tokens) {
  const std::size_t begin = offset_;
  offset_ += count_characters(first_token);
  Json all = steps(tokens);  // passes over the first
  all["text_offset"].insert(all["text_offset"].begin(), begin);
  all["token_logprobs"].insert(all["token_logprobs"].begin(), nullptr);
  all["tokens"].insert(all["tokens"].begin(), first_token);
  all["top_logprobs"].insert(all["top_logprobs"].begin(), nullptr);
  return all;
}

Json prompt_logprobs(const std::vector<std::vector<Logprob>>& tokens) {
  Json all = Json::array();
  for (const std::vector<Logprob>& step : tokens) {
    if (step.empty()) {  // the first token
      all.push_back(nullptr);
      continue;
    }
    Json one = Json::object();
    for (const Logprob& token : step)
      one[std::to_string(token.token_id)] = {
          {"logprob", finite(token.logprob)}, {"rank", token.rank}, {"decoded_token", token.decoded_token}};
    all.push_back(std::move(one));
  }
  return all;
}

std::size_t count_characters(const std::string& utf8) {
  return static_cast<std::size_t>(std::count_if(
      utf8.begin(), utf8.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

}  // namespace octet::server
