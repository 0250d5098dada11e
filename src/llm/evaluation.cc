#include <octet/evaluation.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "evaluate/layer_fidelity.h"
#include "evaluate/likelihood.h"
#include "evaluate/summary.h"
#include "files/hub_cache.h"
#include "llm/evaluation_setup.h"

namespace octet {

namespace {

constexpr int kPositionBuckets = 64;

struct Ended {};  // thrown by the progress of a measurement that the callback ends

evaluate::Progress progress_of(const EvaluationCallback& callback, const char* measurement) {
  if (!callback) return nullptr;
  return [&callback, measurement](std::int64_t done, std::int64_t total) {
    if (!callback({measurement, done, total})) throw Ended{};
  };
}

LikelihoodFigures likelihood_figures(const evaluate::LikelihoodScores& scores, std::size_t subject) {
  const std::vector<evaluate::RowScore>& rows = scores.subjects[subject];
  const evaluate::ScoreSummary summary = evaluate::summarize(rows);
  LikelihoodFigures figures;
  figures.positions = summary.positions;
  figures.predictions = summary.predictions;
  figures.mean_nll = summary.mean_nll;
  figures.perplexity = std::exp(summary.mean_nll);
  figures.kl = {summary.kl.mean, summary.kl.standard_error, summary.kl.median, summary.kl.p99,
                summary.kl.largest};
  figures.top1_agreement = summary.same_top;
  for (const evaluate::PositionBucket& bucket : evaluate::by_position(scores.positions, rows, kPositionBuckets))
    figures.by_position.push_back({bucket.begin, bucket.end, bucket.count, bucket.mean_kl});
  return figures;
}

HeadFigures head_figures(const evaluate::ErrorSums& sums, float scale) {
  const auto share = [](std::int64_t part, std::int64_t whole) {
    return whole == 0 ? 0.0 : static_cast<double>(part) / static_cast<double>(whole);
  };
  return {sums.absmax, static_cast<double>(scale), share(sums.saturated, sums.elements),
          share(sums.underflowed, sums.nonzero), sums.sqnr_db()};
}

std::vector<LayerFigures> layer_figures(const std::vector<evaluate::LayerErrors>& layers,
                                        const kv::KvCache& cache) {
  std::vector<LayerFigures> figures;
  for (std::size_t layer = 0; layer < layers.size(); ++layer) {
    const kernels::KvView& view = cache.view(static_cast<int>(layer));
    LayerFigures& row = figures.emplace_back();
    row.k_dtype = dtype_name(view.k_dtype);
    row.v_dtype = dtype_name(view.v_dtype);
    for (std::size_t head = 0; head < layers[layer].k.size(); ++head) {
      row.k.push_back(head_figures(layers[layer].k[head], view.k_scale[head]));
      row.v.push_back(head_figures(layers[layer].v[head], view.v_scale[head]));
    }
    for (const evaluate::ErrorSums& sums : layers[layer].output) row.output_sqnr_db.push_back(sums.sqnr_db());
  }
  return figures;
}

DriftFigures drift_figures(const std::vector<evaluate::TokenIds>& baseline,
                           const std::vector<evaluate::TokenIds>& texts, const text::Tokenizer& tokenizer) {
  DriftFigures figures;
  std::vector<double> differences;
  std::size_t tokens = 0, common = 0;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const evaluate::Drift drift = evaluate::compare_continuations(baseline[i], texts[i]);
    differences.push_back(drift.first_difference);
    tokens += baseline[i].size();
    common += static_cast<std::size_t>(drift.in_common);
    figures.identical += baseline[i] == texts[i] ? 1 : 0;
    figures.texts.push_back({static_cast<int>(baseline[i].size()), drift.first_difference, drift.in_common,
                             tokenizer.decode(baseline[i], false), tokenizer.decode(texts[i], false)});
  }
  const evaluate::Spread spread = evaluate::spread_of(std::move(differences));
  figures.mean_first_difference = spread.mean;
  figures.median_first_difference = spread.median;
  figures.in_common = static_cast<double>(common) / static_cast<double>(tokens);
  return figures;
}

// The measurements, one after the other; each fills its part of `result`.
class Evaluation {
 public:
  Evaluation(llm::EvaluationSetup& setup, const EvaluationOptions& options, const EvaluationCallback& callback,
             EvaluationResult& result)
      : setup_(setup),
        options_(options),
        callback_(callback),
        result_(result),
        subjects_(setup.subjects()),
        own_(setup.own_model()) {}

  void run() {
    measure_likelihood();
    measure_layers();
    measure_drift();
    measure_needles();
  }

 private:
  void measure_likelihood() {
    if (setup_.windows.empty()) return;
    const evaluate::LikelihoodScores scores =
        evaluate::score_windows(setup_.windows, subjects_, *own_.threads, progress_of(callback_, "likelihood"));
    for (std::size_t s = 0; s < subjects_.size(); ++s)
      result_.configs[s].likelihood = likelihood_figures(scores, s);
  }

  void measure_layers() {
    if (setup_.layer_windows.empty()) return;
    const evaluate::Subject exact{"float32", own_.model.get(), setup_.exact_cache.get()};
    const auto layers = evaluate::measure_layers(setup_.layer_windows, exact, subjects_, *own_.table,
                                                 *own_.threads, progress_of(callback_, "layers"));
    for (const evaluate::Window& window : setup_.layer_windows)
      result_.layer_tokens += static_cast<std::int64_t>(window.ids.size());
    for (std::size_t s = 0; s < subjects_.size(); ++s)
      result_.configs[s].layers = layer_figures(layers[s], *subjects_[s].cache);
  }

  void measure_drift() {
    if (setup_.drift_prompts.empty()) return;
    const evaluate::Progress report = progress_of(callback_, "drift");
    std::vector<evaluate::TokenIds> baseline;
    for (std::size_t s = 0; s < subjects_.size(); ++s) {
      const evaluate::Progress part = [&](std::int64_t done, std::int64_t total) {
        if (report)
          report(static_cast<std::int64_t>(s) * total + done,
                 static_cast<std::int64_t>(subjects_.size()) * total);
      };
      std::vector<evaluate::TokenIds> texts = evaluate::continue_greedily(
          subjects_[s], setup_.drift_prompts, options_.drift_tokens, setup_.end_tokens.all, part);
      if (s == 0) baseline = texts;
      result_.configs[s].drift = drift_figures(baseline, texts, setup_.tokenizer);
    }
  }

  void measure_needles() {
    const evaluate::Progress report = progress_of(callback_, "needles");
    const auto samples = static_cast<std::size_t>(options_.needle_samples);
    std::int64_t done = 0, total = 0;
    for (const llm::NeedleCase& needle : setup_.needles)
      total += static_cast<std::int64_t>(needle.prompt.prompt.size() * subjects_.size());
    if (!setup_.needles.empty()) result_.needle_samples = options_.needle_samples;
    for (std::size_t i = 0; i < setup_.needles.size(); ++i) {
      const llm::NeedleCase& needle = setup_.needles[i];
      for (std::size_t s = 0; s < subjects_.size(); ++s) {
        const evaluate::NeedleScore score = evaluate::score_needle(subjects_[s], needle.prompt);
        std::vector<NeedleFigures>& cells = result_.configs[s].needles;
        if (i % samples == 0) cells.push_back({needle.length, needle.depth, 0, 0});
        cells.back().logprob += score.logprob / static_cast<double>(samples);
        cells.back().found += (score.found ? 1.0 : 0.0) / static_cast<double>(samples);
        done += static_cast<std::int64_t>(needle.prompt.prompt.size());
        if (report) report(done, total);
      }
    }
  }

  llm::EvaluationSetup& setup_;
  const EvaluationOptions& options_;
  const EvaluationCallback& callback_;
  EvaluationResult& result_;
  std::vector<evaluate::Subject> subjects_;
  llm::LoadedModel& own_;
};

EvaluationResult describe(llm::EvaluationSetup& setup, const EvaluationOptions& options) {
  const llm::LoadedModel& own = setup.own_model();
  const model::ModelConfig& config = own.model->config();
  EvaluationResult result;
  result.model = options.model;
  result.isa = own.table->isa;
  result.threads = own.threads->num_threads();
  result.context = setup.context;
  result.stride = setup.stride;
  result.min_context = options.min_context;
  result.num_layers = config.num_layers;
  result.num_heads = config.num_heads;
  result.num_kv_heads = config.num_kv_heads;
  result.documents = static_cast<std::int64_t>(setup.documents.size());
  for (const evaluate::TokenIds& document : setup.documents)
    result.tokens += static_cast<std::int64_t>(document.size());
  if (setup.skipped_samples > 0)
    result.notices.push_back(std::to_string(setup.skipped_samples) +
                             " samples of the dataset have fewer than two tokens and were left out");
  for (const llm::EvaluationCandidate& candidate : setup.candidates) {
    ConfigFigures& figures = result.configs.emplace_back();
    figures.name = candidate.config.name;
    figures.directory = candidate.config.directory;
    figures.dtype = candidate.cache->layout().describe_dtypes();
    figures.bytes_per_token = candidate.cache->layout().bytes_per_token();
    figures.scale_source = candidate.choice.scale_source;
    figures.scale_strategy = candidate.choice.scale_strategy;
    for (const std::string& notice : candidate.choice.notices)
      result.notices.push_back(candidate.config.name + ": " + notice);
  }
  return result;
}

}  // namespace

EvaluationResult run_evaluation(const EvaluationOptions& asked, const EvaluationCallback& on_progress) {
  EvaluationOptions options = asked;
  options.model = files::find_model(asked.model);
  llm::EvaluationSetup setup = llm::set_up_evaluation(options);
  EvaluationResult result = describe(setup, options);
  try {
    Evaluation(setup, options, on_progress, result).run();
    result.complete = true;
  } catch (const Ended&) {
    // What was measured stands in the result.
  }
  return result;
}

}  // namespace octet
