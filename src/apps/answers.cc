#include "apps/answers.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>

namespace octet::apps {

namespace {

using Json = nlohmann::ordered_json;

std::string format(const char* pattern, double value) {
  char text[64];
  std::snprintf(text, sizeof text, pattern, value);
  return text;
}

// As a JSON string literal, so that newlines and quotes show.
std::string string_literal(const std::string& text) {
  return Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
}

Json logprobs_json(const CompletionOutput& completion) {
  Json rows = Json::array();
  for (const std::vector<Logprob>& entries : completion.logprobs) {
    Json row = Json::array();
    for (const Logprob& entry : entries)
      row.push_back({{"token_id", entry.token_id},
                     {"logprob", entry.logprob},
                     {"rank", entry.rank},
                     {"decoded_token", entry.decoded_token}});
    rows.push_back(std::move(row));
  }
  return rows;
}

// The beginning of a prompt, on one line, cut where a character begins.
std::string heading_text(const RequestOutput& output) {
  if (output.prompt.empty()) return std::to_string(output.prompt_token_ids.size()) + " token ids";
  constexpr std::size_t kMost = 60;
  std::string text = output.prompt;
  if (text.size() > kMost) {
    std::size_t size = kMost;
    while (size > 0 && (static_cast<unsigned char>(text[size]) & 0xC0u) == 0x80u) --size;
    text.resize(size);
    text += "…";
  }
  return string_literal(text);
}

struct Totals {
  std::size_t prompt_tokens = 0;
  std::size_t new_tokens = 0;
  double prefill_rate = 0;  // tokens a second
  double decode_rate = 0;
};

// Prefill lasts until the last first token, decoding from the first first token to the end: exact for one
// prompt; with several, the two overlap and each is a lower bound.
Totals add_up(const std::vector<RequestOutput>& outputs) {
  Totals totals;
  std::size_t later_tokens = 0;
  double first_start = 0, last_start = 0, end = 0;
  for (const RequestOutput& output : outputs) {
    const std::size_t tokens = output.outputs.front().token_ids.size();
    totals.prompt_tokens += output.prompt_token_ids.size();
    totals.new_tokens += tokens;
    if (tokens == 0) continue;  // interrupted before its first token
    later_tokens += tokens - 1;
    const double start = output.timings.first_token;
    first_start = first_start == 0 ? start : std::min(first_start, start);
    last_start = std::max(last_start, start);
    end = std::max(end, output.timings.finished);
  }
  if (last_start > 0) totals.prefill_rate = static_cast<double>(totals.prompt_tokens) / last_start;
  if (end > first_start) totals.decode_rate = static_cast<double>(later_tokens) / (end - first_start);
  return totals;
}

}  // namespace

void write_json_answers(std::ostream& out, const std::vector<RequestOutput>& outputs, const LLM& llm) {
  const KvCacheStats cache = llm.kv_cache_stats();
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const RequestOutput& output = outputs[i];
    const CompletionOutput& completion = output.outputs.front();
    Json line;
    line["index"] = i;
    line["prompt"] = output.prompt;
    line["prompt_token_ids"] = output.prompt_token_ids;
    line["text"] = completion.text;
    line["token_ids"] = completion.token_ids;
    line["finish_reason"] = completion.finish_reason;
    line["stop_reason"] = completion.stop_reason.empty() ? Json(nullptr) : Json(completion.stop_reason);
    const bool with_logprobs = !completion.logprobs.empty();
    line["cumulative_logprob"] = with_logprobs ? Json(completion.cumulative_logprob) : Json(nullptr);
    line["logprobs"] = with_logprobs ? logprobs_json(completion) : Json(nullptr);
    line["timings"] = {{"first_token", output.timings.first_token}, {"finished", output.timings.finished}};
    line["kv_cache"] = {{"dtype", cache.dtype},
                        {"k_dtype", cache.k_dtype},
                        {"v_dtype", cache.v_dtype},
                        {"skip_layers", cache.skip_layers},
                        {"bytes_per_token", cache.bytes_per_token},
                        {"capacity_tokens", cache.capacity_tokens},
                        {"scale_source", cache.scale_source},
                        {"scale_strategy", cache.scale_strategy},
                        {"attention_math", cache.attention_math}};
    if (cache.saturated_values) {
      line["kv_cache"]["stored_values"] = *cache.stored_values;
      line["kv_cache"]["saturated_values"] = *cache.saturated_values;
    }
    out << line.dump(-1, ' ', false, Json::error_handler_t::replace) << "\n";
  }
}

void write_plain_answers(std::ostream& out, const std::vector<RequestOutput>& outputs) {
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    if (outputs.size() > 1)
      out << (i > 0 ? "\n" : "") << "=== " << i + 1 << " of " << outputs.size() << ": "
          << heading_text(outputs[i]) << "\n";
    out << outputs[i].outputs.front().text << "\n";
    write_logprobs(out, outputs[i].outputs.front());
  }
}

void write_logprobs(std::ostream& out, const CompletionOutput& completion) {
  if (completion.logprobs.empty()) return;
  out << "\n  logprob    rank  token, then the likeliest\n";
  for (const std::vector<Logprob>& entries : completion.logprobs) {
    const std::string rank = std::to_string(entries.front().rank);
    out << format("  %8.4f", entries.front().logprob) << std::string(rank.size() < 7 ? 7 - rank.size() : 1, ' ')
        << rank << "  " << string_literal(entries.front().decoded_token);
    for (std::size_t i = 1; i < entries.size(); ++i)
      out << (i == 1 ? "  | " : ", ") << string_literal(entries[i].decoded_token)
          << format(" %.4f", entries[i].logprob);
    out << "\n";
  }
  out << "  " << format("%.4f", completion.cumulative_logprob) << " in all\n";
}

void write_summary(std::ostream& out, const std::vector<RequestOutput>& outputs, const LLM& llm) {
  const Totals totals = add_up(outputs);
  const KvCacheStats cache = llm.kv_cache_stats();
  out << "octet: " << totals.prompt_tokens << " prompt tokens, " << totals.new_tokens << " generated; prefill "
      << format("%.1f", totals.prefill_rate) << " tokens/s, decode " << format("%.1f", totals.decode_rate)
      << " tokens/s (" << llm.isa() << ", " << llm.threads() << " threads); KV cache " << cache.dtype << ", "
      << cache.bytes_per_token << " bytes/token, " << cache.capacity_tokens << " tokens fit in "
      << cache.total_bytes << " bytes; scales: " << cache.scale_source;
  if (cache.saturated_values)
    out << "; " << *cache.saturated_values << " of " << *cache.stored_values << " values saturated";
  out << "\n";
}

}  // namespace octet::apps
