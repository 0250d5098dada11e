#include "apps/bench_report.h"

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <ostream>

namespace octet::apps {

namespace {

using Json = nlohmann::ordered_json;

std::string line(const char* pattern, auto... values) {
  char text[256];
  std::snprintf(text, sizeof text, pattern, values...);
  return text;
}

std::string rate_text(const BenchRate& rate) {
  if (rate.median == 0) return "-";
  return line("%.1f (%.1f-%.1f)", rate.median, rate.least, rate.most);
}

// Of the first column: the longest name, and some space.
int name_width(const BenchOptions& options) {
  std::size_t width = 10;
  for (const std::string& name : options.kv_cache_dtypes) width = std::max(width, name.size());
  return static_cast<int>(width);
}

void write_bench_summary(std::ostream& out, const BenchOptions& options, const BenchResult& result) {
  out << options.model << ", " << result.isa << ", " << result.threads << " threads, " << result.dtype
      << " activations"
      << (options.attention_math == "fp32" ? "" : ", attention math " + options.attention_math)
      << "; prefill of " << options.prefill_tokens << " and decode of " << options.decode_tokens
      << " tokens, median (range) of " << options.runs << " runs\n"
      << line("memory is read at %.1f GB/s; one step of decoding reads %.1f MB of %s weights, and the cache\n",
              result.read_bandwidth / 1e9, static_cast<double>(result.weight_bytes) / 1e6,
              result.load_strategy == "eager" ? "copied" : "mapped");
  if (result.expert_bytes > 0)
    out << line("of %.1f MB of experts, those count that the tokens of a step choose, if all are as likely\n",
                static_cast<double>(result.expert_bytes) / 1e6);
  if (result.start.load_seconds.median > 0)
    out << line("loaded after %.3f s (%.3f-%.3f), first token after %.3f s (%.3f-%.3f)\n",
                result.start.load_seconds.median, result.start.load_seconds.least,
                result.start.load_seconds.most, result.start.first_token_seconds.median,
                result.start.first_token_seconds.least, result.start.first_token_seconds.most);
  out << "\n";
}

// "(peak memory 372.0 MB: 269.0 of weights, 87.2 of cache and 4.4% of both)", below the last row of a cache.
std::string memory_text(const BenchResult& result, const BenchRow& row) {
  if (row.peak_memory_bytes == 0) return "";
  const double weights = static_cast<double>(result.checkpoint_bytes);
  const double cache = static_cast<double>(row.cache_bytes), peak = static_cast<double>(row.peak_memory_bytes);
  return line("(peak memory %.1f MB: %.1f of weights, %.1f of cache and %.1f%% of both)\n", peak / 1e6,
              weights / 1e6, cache / 1e6, 100 * (peak / (weights + cache) - 1));
}

Json rate_json(const BenchRate& rate) {
  if (rate.median == 0) return nullptr;
  return {{"median", rate.median}, {"least", rate.least}, {"most", rate.most}};
}

Json rows_json(const BenchResult& result) {
  Json rows = Json::array();
  for (const BenchRow& row : result.rows)
    rows.push_back({{"kv_cache_dtype", row.kv_cache_dtype},
                    {"dtype", row.dtype},
                    {"bytes_per_token", row.bytes_per_token},
                    {"depth", row.depth},
                    {"batch", row.batch},
                    {"prefill_tokens_per_second", rate_json(row.prefill)},
                    {"decode_tokens_per_second", rate_json(row.decode)},
                    {"decode_bytes", row.decode_bytes},
                    {"decode_bytes_per_second", row.decode_bandwidth},
                    {"cache_bytes", row.cache_bytes},
                    {"peak_memory_bytes", row.peak_memory_bytes > 0 ? Json(row.peak_memory_bytes) : Json()}});
  return rows;
}

Json result_json(const BenchOptions& options, const BenchResult& result) {
  return {{"model", options.model},
          {"isa", result.isa},
          {"dtype", result.dtype},
          {"attention_math", options.attention_math},
          {"load_strategy", result.load_strategy},
          {"threads", result.threads},
          {"prefill_tokens", options.prefill_tokens},
          {"decode_tokens", options.decode_tokens},
          {"mixed_lengths", options.mixed_lengths},
          {"runs", options.runs},
          {"load_seconds", rate_json(result.start.load_seconds)},
          {"first_token_seconds", rate_json(result.start.first_token_seconds)},
          {"checkpoint_bytes", result.checkpoint_bytes},
          {"weight_bytes", result.weight_bytes},
          {"expert_bytes", result.expert_bytes},
          {"read_bytes_per_second", result.read_bandwidth},
          {"rows", rows_json(result)}};
}

Json peers_json(const Comparison& comparison) {
  Json peers = Json::array();
  for (const PeerRow& peer : comparison.peers)
    peers.push_back({{"program", peer.program},
                     {"kv_cache_dtype", peer.cache_type},
                     {"depth", peer.depth},
                     {"batch", peer.batch},
                     {"prefill_tokens_per_second", rate_json(peer.prefill)},
                     {"decode_tokens_per_second", rate_json(peer.decode)}});
  return peers;
}

Json ratio_number(double ratio) { return ratio > 0 ? Json(ratio) : Json(nullptr); }

Json ratios_json(const Comparison& comparison) {
  Json ratios = Json::array();
  for (const RateRatio& ratio : comparison.ratios) {
    const BenchRow& row = comparison.octet.rows[ratio.row];
    const PeerRow& peer = comparison.peers[ratio.peer];
    ratios.push_back({{"kv_cache_dtype", row.kv_cache_dtype},
                      {"depth", row.depth},
                      {"batch", row.batch},
                      {"program", peer.program},
                      {"peer_kv_cache_dtype", peer.cache_type},
                      {"prefill", ratio_number(ratio.prefill)},
                      {"decode", ratio_number(ratio.decode)}});
  }
  return ratios;
}

std::string dump(const Json& json) { return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n"; }

// Octet's rate over that of the peer which is fastest in the same cell; 0 where there is none.
double best_ratio(const Comparison& comparison, std::size_t row, BenchRate PeerRow::*rate,
                  double RateRatio::*value) {
  double ratio = 0, best = 0;
  for (const RateRatio& candidate : comparison.ratios) {
    const double peer = (comparison.peers[candidate.peer].*rate).median;
    if (candidate.row != row || peer <= best) continue;
    best = peer;
    ratio = candidate.*value;
  }
  return ratio;
}

std::string ratio_text(double ratio) { return ratio > 0 ? line("%.2f", ratio) : "-"; }

}  // namespace

void write_bench_header(std::ostream& out, const BenchOptions& options, const BenchResult& result) {
  write_bench_summary(out, options, result);
  out << line("%-*s %9s %7s %5s  %-24s %-24s %s\n", name_width(options), "kv cache", "B/token", "depth",
              "batch", "prefill tokens/s", "decode tokens/s", "decode GB/s (of read)")
      << std::flush;
}

void write_bench_row(std::ostream& out, const BenchOptions& options, const BenchResult& result) {
  const BenchRow& row = result.rows.back();
  if (row.depth == options.depths.front() && row.batch == options.batches.front() &&
      row.dtype != row.kv_cache_dtype)
    out << "(" << row.kv_cache_dtype << ": " << row.dtype << ")\n";
  out << line("%-*s %9lld %7d %5d  %-24s %-24s ", name_width(options), row.kv_cache_dtype.c_str(),
              static_cast<long long>(row.bytes_per_token), row.depth, row.batch, rate_text(row.prefill).c_str(),
              rate_text(row.decode).c_str());
  if (row.decode_bandwidth > 0)
    out << line("%.1f (%.0f%%)", row.decode_bandwidth / 1e9,
                100 * row.decode_bandwidth / result.read_bandwidth);
  out << "\n";
  if (row.depth == options.depths.back() && row.batch == options.batches.back())
    out << memory_text(result, row);
  out << std::flush;
}

void write_comparison_header(std::ostream& out, const BenchOptions& options, const BenchResult& result) {
  write_bench_summary(out, options, result);
  out << line("%-34s %7s %5s  %-24s %-24s %9s %9s\n", "kv cache", "depth", "batch", "prefill tokens/s",
              "decode tokens/s", "prefill x", "decode x")
      << std::flush;
}

void write_compared_depth(std::ostream& out, const Comparison& comparison) {
  const int depth = comparison.octet.rows.back().depth;
  const auto cells = [&](const std::string& name, const auto& row) {
    return line("%-34s %7d %5d  %-24s %s", name.c_str(), depth, row.batch, rate_text(row.prefill).c_str(),
                rate_text(row.decode).c_str());
  };
  for (std::size_t i = 0; i < comparison.octet.rows.size(); ++i) {
    const BenchRow& row = comparison.octet.rows[i];
    if (row.depth != depth) continue;
    out << line("%-99s %9s %9s\n", cells("octet " + row.dtype, row).c_str(),
                ratio_text(best_ratio(comparison, i, &PeerRow::prefill, &RateRatio::prefill)).c_str(),
                ratio_text(best_ratio(comparison, i, &PeerRow::decode, &RateRatio::decode)).c_str());
  }
  for (const PeerRow& peer : comparison.peers)
    if (peer.depth == depth) out << cells(peer.program + " " + peer.cache_type, peer) << "\n";
  out << std::flush;
}

std::string bench_json(const BenchOptions& options, const BenchResult& result) {
  return dump(result_json(options, result));
}

std::string comparison_json(const BenchOptions& options, const LlamaCppFlags& flags,
                            const Comparison& comparison) {
  Json document = result_json(options, comparison.octet);
  document["gguf"] = flags.gguf;
  document["peers"] = peers_json(comparison);
  document["ratios"] = ratios_json(comparison);
  return dump(document);
}

}  // namespace octet::apps
