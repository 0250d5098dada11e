#include "apps/bench_comparison.h"

#include <utility>

#include "apps/interruption.h"

namespace octet::apps {

namespace {

// The same figure of every round.
struct Samples {
  std::vector<double> prefill;
  std::vector<double> decode;

  void add(double prefill_rate, double decode_rate) {
    if (prefill_rate > 0) prefill.push_back(prefill_rate);
    if (decode_rate > 0) decode.push_back(decode_rate);
  }
};

double median_ratio(const std::vector<double>& ours, const std::vector<double>& theirs) {
  if (ours.empty() || ours.size() != theirs.size()) return 0;
  std::vector<double> ratios;
  for (std::size_t i = 0; i < ours.size(); ++i) ratios.push_back(ours[i] / theirs[i]);
  return summarize_rates(std::move(ratios)).median;
}

// One depth: rows and peers as they will stand in the comparison, with a figure for each round.
struct Depth {
  std::vector<BenchRow> rows;
  std::vector<Samples> row_samples;
  std::vector<PeerRow> peers;
  std::vector<Samples> peer_samples;
};

void add_round(Depth& depth, const BenchResult& round) {
  depth.row_samples.resize(round.rows.size());
  depth.rows = round.rows;
  for (std::size_t i = 0; i < round.rows.size(); ++i)
    depth.row_samples[i].add(round.rows[i].prefill.median, round.rows[i].decode.median);
}

void finish(Depth depth, Comparison& comparison) {
  const std::size_t first_row = comparison.octet.rows.size(), first_peer = comparison.peers.size();
  for (std::size_t i = 0; i < depth.rows.size(); ++i) {
    BenchRow& row = depth.rows[i];
    row.prefill = summarize_rates(depth.row_samples[i].prefill);
    row.decode = summarize_rates(depth.row_samples[i].decode);
    row.decode_bandwidth = static_cast<double>(row.decode_bytes) * row.decode.median / row.batch;
    for (std::size_t p = 0; p < depth.peers.size(); ++p)
      if (depth.peers[p].batch == row.batch)
        comparison.ratios.push_back({first_row + i, first_peer + p,
                                     median_ratio(depth.row_samples[i].prefill, depth.peer_samples[p].prefill),
                                     median_ratio(depth.row_samples[i].decode, depth.peer_samples[p].decode)});
    comparison.octet.rows.push_back(std::move(row));
  }
  for (std::size_t p = 0; p < depth.peers.size(); ++p) {
    depth.peers[p].prefill = summarize_rates(depth.peer_samples[p].prefill);
    depth.peers[p].decode = summarize_rates(depth.peer_samples[p].decode);
    comparison.peers.push_back(std::move(depth.peers[p]));
  }
}

}  // namespace

Comparison compare(const BenchOptions& options, const LlamaCpp& peers,
                   const std::function<bool(const Comparison&)>& on_depth) {
  Comparison comparison;
  std::vector<double> bandwidths;
  bool stopped = false;
  const auto goes_on = [&] { return !stopped && !interrupted(); };
  BenchOptions once = options;
  once.runs = 1;
  for (const int depth_tokens : options.depths) {
    once.depths = {depth_tokens};
    Depth depth;
    for (const int batch : options.batches)
      for (const std::string& cache : peers.cache_types())
        depth.peers.push_back({peers.program(batch), cache, depth_tokens, batch, {}, {}});
    depth.peer_samples.resize(depth.peers.size());
    for (int round = 0; round < options.runs; ++round) {
      const BenchResult result = run_benchmark(once, [&](const BenchResult& so_far) {
        if (bandwidths.empty() && so_far.rows.empty()) {
          comparison.octet = so_far;
          stopped = !on_depth(comparison);
        }
        return goes_on();
      });
      if (!goes_on()) return comparison;
      once.start = false;
      bandwidths.push_back(result.read_bandwidth);
      add_round(depth, result);
      for (std::size_t p = 0; p < depth.peers.size(); ++p) {
        const PeerRow& peer = depth.peers[p];
        const PeerRate rate = peers.measure(options, peer.cache_type, peer.depth, peer.batch, result.threads);
        depth.peer_samples[p].add(rate.prefill, rate.decode);
      }
    }
    finish(std::move(depth), comparison);
    comparison.octet.read_bandwidth = summarize_rates(bandwidths).median;
    if (!on_depth(comparison)) break;
  }
  return comparison;
}

}  // namespace octet::apps
