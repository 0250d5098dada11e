#include "evaluate/layer_fidelity.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>

#include "base/error.h"
#include "evaluate/cached_sequences.h"
#include "evaluate/stored_values.h"
#include "kernels/hadamard.h"
#include "model/step.h"
#include "numeric/fp8.h"

namespace octet::evaluate {

namespace {

// The largest magnitude that a dtype holds without clipping, before scaling.
double largest_stored(KvDtype dtype) {
  switch (dtype) {
    case KvDtype::fp8_e4m3:
      return static_cast<double>(fp8_e4m3::max);
    case KvDtype::fp8_e5m2:
      return static_cast<double>(fp8_e5m2::max);
    case KvDtype::float16:
      return static_cast<double>(float16::max);
    default:  // as wide as float32, or with a scale that follows every token
      return std::numeric_limits<double>::infinity();
  }
}

void add_errors(ErrorSums& sums, const float* before, const float* after, int count, double limit) {
  for (int i = 0; i < count; ++i) {
    const auto x = static_cast<double>(before[i]);
    const auto y = static_cast<double>(after[i]);
    sums.absmax = std::max(sums.absmax, std::abs(x));
    sums.saturated += std::abs(x) > limit ? 1 : 0;
    sums.nonzero += x != 0 ? 1 : 0;
    sums.underflowed += x != 0 && y == 0 ? 1 : 0;
    sums.signal += x * x;
    sums.error += (x - y) * (x - y);
  }
  sums.elements += count;
}

const float* head_of(const model::HeadRows& rows, int token, int head) {
  return rows.data + static_cast<std::int64_t>(token) * rows.stride +
         static_cast<std::int64_t>(head) * rows.head_dim;
}

// One subject's own step over the plan: its attention, with the workspace that this needs.
struct Trial {
  Trial(const Subject& tried, const kernels::KernelTable& table, ThreadPool& pool)
      : subject(tried), step{tried.model->config(), table, pool, workspace} {
    step.math = tried.math;
  }

  const Subject& subject;
  model::Workspace workspace;
  model::Step step;
  std::vector<float> output;  // [T, num_heads * head_dim] of the layer that runs
  std::vector<float> turned;  // [T, row of q, k and v], where the cache wants them transformed
  std::vector<LayerErrors> layers;
};

// Watches the exact run and lets every subject try each layer.
class Trials : public model::AttentionObserver {
 public:
  Trials(std::span<const Subject> subjects, const model::ModelConfig& config, const kernels::KernelTable& table,
         ThreadPool& pool)
      : config_(config), table_(table), pool_(pool) {
    const auto sums = [](int heads) { return std::vector<ErrorSums>(static_cast<std::size_t>(heads)); };
    for (const Subject& subject : subjects) {
      trials_.push_back(std::make_unique<Trial>(subject, table, pool));
      trials_.back()->layers.assign(
          static_cast<std::size_t>(config.num_layers),
          {sums(config.num_kv_heads), sums(config.num_kv_heads), sums(config.num_heads)});
    }
  }

  // Must be called before the exact model runs the step [begin, begin + tokens) of a sequence.
  void plan(int begin, int tokens, int last_position) {
    plan_.clear();
    for (int position = begin; position < begin + tokens; ++position) {
      plan_.token_ids.push_back(0);  // attention does not look at them
      plan_.positions.push_back(position);
      plan_.slot_mapping.push_back(position);         // the block table is the identity
      plan_.logits_rows.push_back(position - begin);  // for the last layer's attention of every token
    }
    plan_.query_start.push_back(tokens);
    plan_.prompt_lengths.push_back(begin + tokens);
    const int block_size = trials_.front()->subject.cache->layout().block_size;
    plan_.max_blocks = last_position / block_size + 1;
    plan_.block_tables.resize(static_cast<std::size_t>(plan_.max_blocks));
    std::iota(plan_.block_tables.begin(), plan_.block_tables.end(), 0);
    for (const auto& trial : trials_)
      trial->step.begin(plan_, *trial->subject.cache, {});  // what comes is turned
  }

  void observe_qkv(int layer, const model::HeadRows& q, const model::HeadRows& k,
                   const model::HeadRows& v) override {
    for (const auto& trial : trials_) {
      const kernels::KvView& view = trial->subject.cache->view(layer);
      const float* rows = turned_rows(*trial, view, q, k);
      pool_.run(static_cast<std::size_t>(k.num_tokens), [&](std::size_t token, int) {
        const float* key = rows + (k.data - q.data) + static_cast<std::int64_t>(token) * k.stride;
        table_.store_kv({key, head_of(v, static_cast<int>(token), 0), &view, plan_.slot_mapping[token]});
      });
      compare_stored(*trial, layer, k, v);
      trial->output.resize(static_cast<std::size_t>(q.num_tokens) *
                           static_cast<std::size_t>(config_.num_heads) *
                           static_cast<std::size_t>(config_.head_dim));
      model::attend(trial->step, layer, rows, trial->output.data());
    }
  }

  void observe_output(int layer, const model::HeadRows& exact) override {
    for (const auto& trial : trials_) {
      std::vector<ErrorSums>& sums = trial->layers[static_cast<std::size_t>(layer)].output;
      const model::HeadRows tried{trial->output.data(),
                                  static_cast<std::int64_t>(exact.num_heads) * exact.head_dim, exact.num_tokens,
                                  exact.num_heads, exact.head_dim};
      pool_.run(sums.size(), [&](std::size_t head, int) {
        const int h = static_cast<int>(head);
        for (int t = 0; t < exact.num_tokens; ++t)
          add_errors(sums[head], head_of(exact, t, h), head_of(tried, t, h), exact.head_dim,
                     std::numeric_limits<double>::infinity());
      });
    }
  }

  std::vector<std::vector<LayerErrors>> take() {
    std::vector<std::vector<LayerErrors>> all;
    for (const auto& trial : trials_) all.push_back(std::move(trial->layers));
    return all;
  }

 private:
  // The fused rows of q, k and v as this cache wants them: with a Hadamard transform, a copy whose queries and
  // keys are turned.
  const float* turned_rows(Trial& trial, const kernels::KvView& view, const model::HeadRows& q,
                           const model::HeadRows& k) {
    if (!is_hadamard(view.k_dtype)) return q.data;
    trial.turned.assign(q.data, q.data + q.num_tokens * q.stride);
    pool_.run(static_cast<std::size_t>(q.num_tokens), [&](std::size_t token, int) {
      kernels::hadamard(trial.turned.data() + static_cast<std::int64_t>(token) * q.stride,
                        q.num_heads + k.num_heads, q.head_dim);
    });
    return trial.turned.data();
  }

  void compare_stored(Trial& trial, int layer, const model::HeadRows& k, const model::HeadRows& v) {
    LayerErrors& sums = trial.layers[static_cast<std::size_t>(layer)];
    const kernels::KvView& view = trial.subject.cache->view(layer);
    pool_.run(static_cast<std::size_t>(k.num_heads), [&](std::size_t head, int) {
      const int h = static_cast<int>(head);
      const double k_limit = largest_stored(view.k_dtype) * static_cast<double>(view.k_scale[h]);
      const double v_limit = largest_stored(view.v_dtype) * static_cast<double>(view.v_scale[h]);
      StoredValues stored(table_, k.head_dim);
      std::vector<float> key(static_cast<std::size_t>(k.head_dim)), value(key.size());
      for (int t = 0; t < k.num_tokens; ++t) {
        stored.read(view, plan_.block_tables.data(), h, plan_.positions[static_cast<std::size_t>(t)],
                    key.data(), value.data());
        if (is_hadamard(view.k_dtype)) kernels::hadamard(key.data(), 1, k.head_dim);  // its own inverse
        add_errors(sums.k[head], head_of(k, t, h), key.data(), k.head_dim, k_limit);
        add_errors(sums.v[head], head_of(v, t, h), value.data(), v.head_dim, v_limit);
      }
    });
  }

  const model::ModelConfig& config_;
  const kernels::KernelTable& table_;
  ThreadPool& pool_;
  model::BatchPlan plan_;
  std::vector<std::unique_ptr<Trial>> trials_;  // steps refer to their workspaces: they must not move
};

// Lets the model run unwatched again, also where a measurement ends early.
struct Watch {
  Watch(model::Model& watched, model::AttentionObserver& observer) : model(watched) {
    model.set_observer(&observer);
  }
  ~Watch() { model.set_observer(nullptr); }
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;
  model::Model& model;
};

}  // namespace

double ErrorSums::sqnr_db() const {
  if (error == 0) return std::numeric_limits<double>::infinity();
  return 10 * std::log10(signal / error);
}

std::vector<std::vector<LayerErrors>> measure_layers(std::span<const Window> windows, const Subject& exact,
                                                     std::span<const Subject> subjects,
                                                     const kernels::KernelTable& table, ThreadPool& pool,
                                                     const Progress& progress) {
  OCTET_CHECK(!subjects.empty());
  Trials trials(subjects, exact.model->config(), table, pool);
  const Watch watch(*exact.model, trials);
  std::int64_t total = 0, done = 0;
  for (const Window& window : windows) total += static_cast<std::int64_t>(window.ids.size());
  for (const Window& window : windows) {
    CachedSequences sequence(exact);
    const std::span<const std::int32_t> ids(window.ids);
    for (std::size_t begin = 0; begin < ids.size(); begin += kMostStepTokens) {
      const std::size_t count = std::min<std::size_t>(kMostStepTokens, ids.size() - begin);
      trials.plan(static_cast<int>(begin), static_cast<int>(count), static_cast<int>(ids.size()) - 1);
      sequence.feed(ids.subspan(begin, count), Logits::none);
      done += static_cast<std::int64_t>(count);
      if (progress) progress(done, total);
    }
  }
  return trials.take();
}

}  // namespace octet::evaluate
