#include "apps/evaluation_table.h"

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

namespace octet::apps {

namespace {

std::string text(const char* pattern, auto... values) {
  char buffer[128];
  std::snprintf(buffer, sizeof buffer, pattern, values...);
  return buffer;
}

// Columns as wide as what stands in them; the first is aligned to the left, the others to the right.
class Table {
 public:
  explicit Table(std::vector<std::string> header) : rows_{std::move(header)} {}
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }

  void write(std::ostream& out) const {
    std::vector<std::size_t> widths(rows_.front().size(), 0);
    for (const auto& row : rows_)
      for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
    for (const auto& row : rows_) {
      std::string line = row[0] + std::string(widths[0] - row[0].size(), ' ');
      for (std::size_t i = 1; i < row.size(); ++i)
        line += std::string(2 + widths[i] - row[i].size(), ' ') + row[i];
      out << line << "\n";
    }
  }

 private:
  std::vector<std::vector<std::string>> rows_;
};

std::string percent(double share, int digits) { return text("%.*f%%", digits, 100 * share); }

std::string decibels(double value) { return value > 999 ? "exact" : text("%.1f", value); }

void write_likelihood(std::ostream& out, const EvaluationResult& result) {
  const bool drift = result.configs.front().drift.has_value();
  std::vector<std::string> header = {"cache",   "B/token", "mean NLL", "perplexity",
                                     "mean KL", "+-s.e.",  "99% KL",   "same top"};
  if (drift) header.insert(header.end(), {"parts after", "in common", "identical"});
  Table table(std::move(header));
  for (const ConfigFigures& config : result.configs) {
    const LikelihoodFigures& figures = *config.likelihood;
    std::vector<std::string> row = {config.name,
                                    text("%lld", static_cast<long long>(config.bytes_per_token)),
                                    text("%.5f", figures.mean_nll),
                                    text("%.4f", figures.perplexity),
                                    text("%.6f", figures.kl.mean),
                                    text("%.6f", figures.kl.standard_error),
                                    text("%.5f", figures.kl.p99),
                                    percent(figures.top1_agreement, 2)};
    if (drift) {
      row.push_back(text("%.1f", config.drift->mean_first_difference));
      row.push_back(percent(config.drift->in_common, 1));
      row.push_back(text("%d of %zu", config.drift->identical, config.drift->texts.size()));
    }
    table.add(std::move(row));
  }
  table.write(out);
  out << "KL in nats to " << result.configs.front().name << "; same top: the likeliest token is the same";
  if (drift) out << "; greedy texts part after so many tokens, on average";
  out << "\n";
}

struct Worst {
  double value = 1e9;
  std::size_t layer = 0, head = 0;
  void see(double seen, std::size_t l, std::size_t h) {
    if (seen < value) *this = {seen, l, h};
  }
  std::string text_of() const { return value > 999 ? "exact" : text("%.1f (%zu.%zu)", value, layer, head); }
};

void write_layer_summary(std::ostream& out, const EvaluationResult& result) {
  Table table({"cache", "k SQNR dB, worst", "v SQNR dB, worst", "attention out, worst", "saturated k", "v",
               "underflowed k", "v"});
  for (const ConfigFigures& config : result.configs) {
    Worst k, v, output;
    double sums[4] = {};  // shares of saturated k, v, underflowed k, v
    double heads = 0;
    for (std::size_t l = 0; l < config.layers.size(); ++l) {
      const LayerFigures& layer = config.layers[l];
      for (std::size_t h = 0; h < layer.k.size(); ++h) {
        k.see(layer.k[h].sqnr_db, l, h);
        v.see(layer.v[h].sqnr_db, l, h);
        sums[0] += layer.k[h].saturation;
        sums[1] += layer.v[h].saturation;
        sums[2] += layer.k[h].underflow;
        sums[3] += layer.v[h].underflow;
        ++heads;
      }
      for (std::size_t h = 0; h < layer.output_sqnr_db.size(); ++h) output.see(layer.output_sqnr_db[h], l, h);
    }
    table.add({config.name, k.text_of(), v.text_of(), output.text_of(), percent(sums[0] / heads, 4),
               percent(sums[1] / heads, 4), percent(sums[2] / heads, 3), percent(sums[3] / heads, 3)});
  }
  out << "\nlayers, over " << result.layer_tokens << " tokens; the worst as (layer.head)\n";
  table.write(out);
}

void write_every_head(std::ostream& out, const ConfigFigures& config) {
  Table table({"layer.head", "k absmax", "scale", "saturated", "underflow", "SQNR dB", "v absmax", "scale",
               "saturated", "underflow", "SQNR dB", "attention out, dB"});
  for (std::size_t l = 0; l < config.layers.size(); ++l) {
    const LayerFigures& layer = config.layers[l];
    const std::size_t group = layer.output_sqnr_db.size() / layer.k.size();
    for (std::size_t h = 0; h < layer.k.size(); ++h) {
      std::vector<std::string> row = {text("%zu.%zu", l, h)};
      for (const HeadFigures* head : {&layer.k[h], &layer.v[h]})
        row.insert(row.end(),
                   {text("%.4g", head->absmax), text("%.4g", head->scale), percent(head->saturation, 4),
                    percent(head->underflow, 3), decibels(head->sqnr_db)});
      std::string outputs;  // of the query heads that read this KV head
      for (std::size_t q = h * group; q < (h + 1) * group; ++q)
        outputs += (outputs.empty() ? "" : " ") + decibels(layer.output_sqnr_db[q]);
      row.push_back(outputs);
      table.add(std::move(row));
    }
  }
  out << "\n" << config.name << ", every layer and KV head\n";
  table.write(out);
}

void write_needles(std::ostream& out, const EvaluationResult& result) {
  std::vector<std::string> header = {"cache", "length"};
  const std::vector<NeedleFigures>& first = result.configs.front().needles;
  for (const NeedleFigures& cell : first)
    if (cell.length == first.front().length) header.push_back(text("%d%%", cell.depth));
  const std::size_t depths = header.size() - 2;
  Table table(std::move(header));
  for (std::size_t begin = 0; begin < first.size(); begin += depths)
    for (const ConfigFigures& config : result.configs) {
      std::vector<std::string> row = {config.name, text("%d", first[begin].length)};
      for (std::size_t i = begin; i < std::min(begin + depths, config.needles.size()); ++i)
        row.push_back(text("%.2f ", config.needles[i].logprob) +
                      (result.needle_samples == 1 ? (config.needles[i].found == 1 ? "yes" : " no")
                                                  : percent(config.needles[i].found, 0)));
      table.add(std::move(row));
    }
  out << "\npass key by length and depth: log-probability of the answer, and whether greedy decoding gives "
         "it\n";
  table.write(out);
}

}  // namespace

void write_evaluation(std::ostream& out, const EvaluationResult& result, bool every_head) {
  out << result.model << ", " << result.isa << ", " << result.threads << " threads";
  if (result.tokens > 0) {
    out << "; " << result.tokens << " tokens";
    if (result.documents > 1) out << " of " << result.documents << " documents";
    out << " in windows of " << result.context;
    if (result.stride < result.context) out << ", every " << result.stride;
    if (result.min_context > 0) out << ", scored after " << result.min_context;
  }
  out << "\n\n";
  if (result.configs.front().likelihood) write_likelihood(out, result);
  if (!result.configs.front().layers.empty()) {
    write_layer_summary(out, result);
    if (every_head)
      for (const ConfigFigures& config : result.configs) write_every_head(out, config);
  }
  if (!result.configs.front().needles.empty()) write_needles(out, result);
}

}  // namespace octet::apps
