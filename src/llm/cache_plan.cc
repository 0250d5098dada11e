#include <octet/cache_plan.h>
#include <octet/llm.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/error.h"
#include "files/checkpoint.h"
#include "files/hub_cache.h"
#include "llm/cache_choice.h"
#include "llm/evaluation_config.h"
#include "llm/plan_arguments.h"
#include "llm/scale_calculation.h"
#include "model/config.h"
#include "model/kv_scale_loading.h"

namespace octet {

namespace {

// Configurations that run side by side: more would need less of the baseline, but every one has a cache.
constexpr std::size_t kSideBySide = 8;

struct Stopped {};  // thrown where the callback ends the measurement

std::string list_layers(const std::vector<int>& layers) {
  std::string text;
  for (const int layer : layers) text += (text.empty() ? "" : ",") + std::to_string(layer);
  return text;
}

// Adds to the layers that a configuration skips already.
std::string with_skipped(const std::string& config, const std::vector<int>& layers) {
  return layers.empty() ? config : config + "+skip=" + list_layers(layers);
}

class Planner {
 public:
  Planner(const CachePlanOptions& options, const EvaluationCallback& callback, CachePlan& plan)
      : options_(options), callback_(callback), plan_(plan) {}

  void run() {
    choose_budget();
    measure_candidates();
    choose();
    describe_arguments();
    plan_.complete = true;
  }

 private:
  EvaluationOptions evaluation(std::int64_t max_tokens) const {
    EvaluationOptions options;
    options.model = options_.model;
    options.documents = options_.documents;
    options.dataset = options_.dataset;
    options.context = options_.context;
    options.max_tokens = max_tokens;
    options.layer_tokens = 0;
    options.drift_prompts = 0;
    options.block_size = options_.block_size;
    options.threads = options_.threads;
    options.isa = options_.isa;
    return options;
  }

  // The baseline and `configs`, a few at a time; the baseline is kept in plan_.
  std::vector<MeasuredCache> measure(const std::vector<std::string>& configs, std::int64_t max_tokens,
                                     const char* name) {
    std::vector<MeasuredCache> measured;
    const auto parts = static_cast<std::int64_t>((configs.size() + kSideBySide - 1) / kSideBySide);
    for (std::int64_t part = 0; part < parts; ++part) {
      const auto begin = configs.begin() + part * static_cast<std::int64_t>(kSideBySide);
      const auto end = configs.end() - begin > static_cast<std::int64_t>(kSideBySide)
                           ? begin + static_cast<std::int64_t>(kSideBySide)
                           : configs.end();
      EvaluationOptions options = evaluation(max_tokens);
      options.configs.assign(begin, end);
      const EvaluationResult result = run_evaluation(options, [&](const EvaluationProgress& progress) {
        return !callback_ || callback_({name, part * progress.total + progress.done, parts * progress.total});
      });
      if (!result.complete) throw Stopped{};
      plan_.baseline = describe(result.configs.front());
      for (auto config = begin; config != end; ++config)
        for (const ConfigFigures& figures : result.configs)
          if (figures.name == *config) measured.push_back(describe(figures));
    }
    return measured;
  }

  MeasuredCache describe(const ConfigFigures& figures) const {
    MeasuredCache cache;
    cache.config = figures.name;
    cache.dtype = figures.dtype;
    cache.scale_source = figures.scale_source;
    cache.scale_strategy = figures.scale_strategy;
    cache.bytes_per_token = figures.bytes_per_token;
    cache.tokens = tokens_that_fit(layout_of(figures.name));
    cache.fits = cache.tokens >= plan_.target_tokens;
    cache.mean_kl = figures.likelihood->kl.mean;
    cache.p99_kl = figures.likelihood->kl.p99;
    cache.top1_agreement = figures.likelihood->top1_agreement;
    cache.perplexity = figures.likelihood->perplexity;
    return cache;
  }

  void choose_budget() {
    const auto refuse = [](const char* option, const std::string& message) {
      throw Error(ErrorCode::invalid_argument, message, option);
    };
    if (options_.kv_budget < 0 || options_.target_tokens < 0)
      refuse("kv_budget and target_tokens", "expected positive numbers");
    if (options_.kv_budget == 0 && options_.target_tokens == 0)
      refuse("kv_budget and target_tokens", "expected at least one of them, found neither");
    if (options_.documents.empty() && options_.dataset.empty())
      refuse("documents", "expected a text or a dataset to measure with, found neither");
    if (options_.layer_tokens < 2) refuse("layer_tokens", "expected at least 2");
    const files::Checkpoint checkpoint = files::Checkpoint::open(options_.model);
    const model::ModelConfig config = model::read_model_config(checkpoint.config());
    num_layers_ = config.num_layers;
    longest_ = config.max_position_embeddings;
    plan_.model = options_.model;
    plan_.kv_budget = options_.kv_budget > 0 ? options_.kv_budget : llm::available_memory_bytes() / 4;
    plan_.target_tokens = options_.target_tokens > 0 ? options_.target_tokens : config.max_position_embeddings;
  }

  std::vector<std::string> candidates() const {
    std::vector<std::string> configs = options_.configs;
    if (configs.empty()) {
      for (const std::string& name : kv_cache_dtype_names())
        if (name != "auto" && name != "fp8" && name != "float16" && name != "bfloat16") configs.push_back(name);
      // Values are content with FP8: keys with more, at bytes between those of the caches above.
      for (const char* keys : {"int8_per_token_head", "int8_hadamard_per_token_head", "float16"})
        configs.push_back(std::string("fp8_e4m3+k=") + keys);
    }
    if (!options_.for_vllm) return configs;
    const auto why_not = [&](const std::string& config) {
      return llm::why_not_vllm(llm::parse_evaluation_config(config, options_.model, "configs"));
    };
    for (const std::string& config : options_.configs)
      if (const std::string reason = why_not(config); !reason.empty())
        throw Error(ErrorCode::invalid_argument,
                    "expected caches that vLLM has, as for_vllm asks, found '" + config + "': " + reason,
                    "configs");
    std::erase_if(configs, [&](const std::string& config) { return !why_not(config).empty(); });
    return configs;
  }

  // A configuration's cache as an engine lays it out, known before anything is measured.
  kv::KvLayout layout_of(const std::string& text) const {
    const llm::EvaluationConfig config = llm::parse_evaluation_config(text, options_.model, "configs");
    const files::Checkpoint checkpoint = files::Checkpoint::open(config.directory);
    const model::ModelConfig model_config = model::read_model_config(checkpoint.config());
    const llm::ScaleCalculation calculation =
        llm::read_scale_calculation(config.calculate_kv_scales, config.kv_scale_strategy);
    const llm::CacheChoice choice = llm::choose_cache(
        config.cache, model_config, model::examine_kv_scales(checkpoint, model_config), calculation.wanted());
    return llm::engine_layout(model_config, choice, options_.block_size, longest_);
  }

  // Of sequences of max_position_embeddings.
  std::int64_t tokens_that_fit(const kv::KvLayout& layout) const {
    const kv::KvCapacity capacity(layout, {longest_, LLMOptions().max_num_batched_tokens});
    return capacity.blocks_that_fit(plan_.kv_budget) * layout.block_size;
  }

  void measure_candidates() {
    const std::vector<std::string> configs = candidates();
    std::string least;
    std::int64_t least_bytes = 0, most_tokens = 0;
    for (const std::string& config : configs) {
      const kv::KvLayout layout = layout_of(config);
      const std::int64_t tokens = tokens_that_fit(layout), bytes = layout.bytes_per_token();
      // Where windows are kept wide, more fit than bytes a token say.
      if (!least.empty() && (tokens < most_tokens || (tokens == most_tokens && bytes >= least_bytes))) continue;
      least = config;
      least_bytes = bytes;
      most_tokens = tokens;
    }
    if (most_tokens < plan_.target_tokens)
      throw Error(ErrorCode::out_of_memory,
                  std::to_string(plan_.target_tokens) + " tokens do not fit " +
                      std::to_string(plan_.kv_budget) + " bytes: the smallest cache, " + least + ", takes " +
                      std::to_string(least_bytes) + " bytes a token, so " + std::to_string(most_tokens) +
                      " tokens fit",
                  "kv_budget");
    plan_.candidates = measure(configs, options_.max_tokens, "candidates");
  }

  // The 16-bit cache where it fits; else the best candidate that does, with the layers that lose most left in
  // 16 bits, as long as that measures better.
  void choose() {
    if (plan_.baseline.fits) {
      plan_.chosen = plan_.baseline;
      return;
    }
    const MeasuredCache* best = nullptr;
    for (const MeasuredCache& candidate : plan_.candidates)
      if (candidate.fits && (best == nullptr || candidate.mean_kl < best->mean_kl)) best = &candidate;
    OCTET_CHECK(best != nullptr);
    plan_.chosen = *best;
    std::vector<int> layers(static_cast<std::size_t>(num_layers_));
    std::iota(layers.begin(), layers.end(), 0);
    if (layers_with_room(best->config, layers).empty()) return;
    const std::vector<int> skipped = layers_with_room(best->config, rank_layers(best->config));
    const MeasuredCache tried =
        measure({with_skipped(best->config, skipped)}, options_.max_tokens, "plan").front();
    OCTET_CHECK(tried.fits);
    if (tried.mean_kl >= best->mean_kl) return;
    plan_.chosen = tried;
    plan_.skip_layers = std::move(skipped);
  }

  // Those of `order`, first come first served, that can be in 16 bits with the target still fitting; rising.
  // All of them cannot.
  std::vector<int> layers_with_room(const std::string& config, const std::vector<int>& order) const {
    kv::KvLayout layout = layout_of(config);
    const kv::KvLayout wide = layout_of(plan_.baseline.config);
    std::vector<int> skipped;
    for (const int layer : order) {
      const auto index = static_cast<std::size_t>(layer);
      const kv::LayerDtypes before = std::exchange(layout.layers[index], wide.layers[index]);
      if (tokens_that_fit(layout) >= plan_.target_tokens && layout.layers[index] != before)
        skipped.push_back(layer);
      else
        layout.layers[index] = before;
    }
    std::sort(skipped.begin(), skipped.end());
    return skipped;
  }

  // The layers by how much is lost where that one alone is stored as in `config`, most first.
  std::vector<int> rank_layers(const std::string& config) {
    std::vector<int> layers(static_cast<std::size_t>(num_layers_));
    std::iota(layers.begin(), layers.end(), 0);
    std::vector<std::string> alone;
    for (const int layer : layers) {
      std::vector<int> others = layers;
      others.erase(others.begin() + layer);
      alone.push_back(with_skipped(config, others));
    }
    const MeasuredCache baseline = plan_.baseline;
    for (const MeasuredCache& cache : measure(alone, options_.layer_tokens, "layers"))
      plan_.layer_kl.push_back(cache.mean_kl);
    plan_.baseline = baseline;  // that of the whole text
    plan_.base = config;
    std::stable_sort(layers.begin(), layers.end(), [&](int a, int b) {
      return plan_.layer_kl[static_cast<std::size_t>(a)] > plan_.layer_kl[static_cast<std::size_t>(b)];
    });
    return layers;
  }

  void describe_arguments() {
    const llm::EvaluationConfig config =
        llm::parse_evaluation_config(plan_.chosen.config, options_.model, "configs");
    // A pool that cannot hold one sequence of the longest length is refused, here and by vLLM.
    const std::int64_t max_model_len = plan_.chosen.tokens < longest_ ? plan_.chosen.tokens : 0;
    const llm::PlannedSize size{plan_.kv_budget, max_model_len, options_.block_size};
    plan_.octet_arguments = llm::octet_arguments(config, size);
    plan_.vllm_note = llm::why_not_vllm(config);
    if (plan_.vllm_note.empty()) plan_.vllm_arguments = llm::vllm_arguments(config, size);
  }

  const CachePlanOptions& options_;
  const EvaluationCallback& callback_;
  CachePlan& plan_;
  int num_layers_ = 0;
  int longest_ = 0;  // max_position_embeddings
};

}  // namespace

CachePlan plan_cache(const CachePlanOptions& asked, const EvaluationCallback& on_progress) {
  CachePlanOptions options = asked;
  options.model = files::find_model(asked.model);
  CachePlan plan;
  try {
    Planner(options, on_progress, plan).run();
  } catch (const Stopped&) {
    // plan.complete says so.
  }
  return plan;
}

}  // namespace octet
