#include "llm/evaluation_setup.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "llm/attention_math_choice.h"
#include "llm/evaluation_documents.h"
#include "llm/haystack.h"
#include "llm/key_offsets.h"
#include "model/kv_scale_loading.h"

namespace octet::llm {

namespace {

constexpr int kDefaultContext = 2048;

void require(bool allowed, const char* option, const std::string& expected, const std::string& found) {
  if (!allowed) throw Error(ErrorCode::invalid_argument, "expected " + expected + ", found " + found, option);
}

void require_range(std::int64_t value, std::int64_t least, std::int64_t most, const char* option) {
  require(value >= least && value <= most, option, std::to_string(least) + " to " + std::to_string(most),
          std::to_string(value));
}

void check_options(const EvaluationOptions& options) {
  require(!options.configs.empty(), "configs", "at least one configuration", "none");
  require(!options.documents.empty() || !options.dataset.empty() || !options.needle_lengths.empty(),
          "documents", "a text, a dataset or needle lengths", "none");
  require_range(options.dataset_samples, 1, 1 << 24, "dataset_samples");
  require_range(options.max_tokens, 0, std::int64_t{1} << 40, "max_tokens");
  require(options.max_tokens != 1, "max_tokens", "0 (all) or at least 2", "1");
  require_range(options.layer_tokens, 0, 1 << 24, "layer_tokens");
  require_range(options.drift_prompts, 0, 64, "drift_prompts");
  require_range(options.drift_prompt_tokens, 1, 1 << 24, "drift_prompt_tokens");
  require_range(options.drift_tokens, 1, 1 << 24, "drift_tokens");
  require_range(options.needle_samples, 1, 1000, "needle_samples");
  require(options.needle_lengths.empty() || !options.needle_depths.empty(), "needle_depths",
          "at least one depth", "none");
  for (const int depth : options.needle_depths) require_range(depth, 0, 100, "needle_depths");
  for (std::size_t i = 0; i < options.configs.size(); ++i)
    for (std::size_t j = 0; j < i; ++j)
      require(options.configs[i] != options.configs[j], "configs", "different configurations",
              "'" + options.configs[i] + "' twice");
}

// Directories that are to be compared must hold one model: only scales and configs may differ.
void require_same_model(const model::ModelConfig& first, const model::ModelConfig& other,
                        const std::string& directory) {
  const auto same = [&](const char* field, int expected, int found) {
    if (expected != found)
      throw Error(ErrorCode::invalid_file,
                  std::string("holds another model: expected ") + field + " " + std::to_string(expected) +
                      ", found " + std::to_string(found),
                  directory);
  };
  same("vocab_size", first.vocab_size, other.vocab_size);
  same("num_hidden_layers", first.num_layers, other.num_layers);
  same("hidden_size", first.hidden_size, other.hidden_size);
  same("num_attention_heads", first.num_heads, other.num_heads);
  same("num_key_value_heads", first.num_kv_heads, other.num_kv_heads);
  same("head_dim", first.head_dim, other.head_dim);
}

void load(EvaluationSetup& setup, const EvaluationOptions& options, const std::string& directory,
          const std::string& quantization) {
  for (const EvaluationModel& model : setup.models)
    if (model.directory == directory && model.quantization == quantization) return;
  LoadedModel loaded =
      load_model(directory, options.isa, options.threads, evaluate::kMostStepTokens, "auto", quantization);
  if (!setup.models.empty())
    require_same_model(setup.own_model().model->config(), loaded.model->config(), directory);
  setup.models.push_back({directory, quantization, std::move(loaded)});
}

// The baseline's configuration: that of the options, or a cache of at least 16 bits.
EvaluationConfig choose_baseline(const EvaluationOptions& options, const model::ModelConfig& config,
                                 const model::KvScaleReport& report) {
  if (!options.baseline.empty()) return parse_evaluation_config(options.baseline, options.model, "baseline");
  const bool automatic = !is_fp8(choose_cache({}, config, report).dtypes.k);
  return parse_evaluation_config(automatic ? "auto" : "float16", options.model, "baseline");
}

void choose_candidates(EvaluationSetup& setup, const EvaluationOptions& options) {
  std::vector<EvaluationConfig> configs;
  for (const std::string& text : options.configs)
    configs.push_back(parse_evaluation_config(text, options.model, "configs"));
  load(setup, options, options.model, {});
  const LoadedModel& own = setup.own_model();
  const EvaluationConfig baseline = choose_baseline(
      options, own.model->config(), model::examine_kv_scales(*own.checkpoint, own.model->config()));
  std::erase_if(configs, [&](const EvaluationConfig& config) { return config.name == baseline.name; });
  configs.insert(configs.begin(), baseline);
  for (EvaluationConfig& config : configs) {
    load(setup, options, config.directory, config.quantization);
    const LoadedModel& loaded = setup.model_of(config);
    const model::ModelConfig& model_config = loaded.model->config();
    const ScaleCalculation calculation =
        read_scale_calculation(config.calculate_kv_scales, config.kv_scale_strategy);
    CacheChoice choice =
        choose_cache(config.cache, model_config, model::examine_kv_scales(*loaded.checkpoint, model_config),
                     calculation.wanted());
    const kv::KvLayout layout = cache_layout(model_config, choice, options.block_size);
    const kernels::AttentionMath math = choose_attention_math(config.attention_math, layout, choice);
    if (std::string notice = describe_key_offsets(model_config, loaded.model->weights(), layout);
        !notice.empty())
      choice.notices.push_back(std::move(notice));
    const std::vector<std::string>& of_file = loaded.checkpoint->notices();
    choice.notices.insert(choice.notices.end(), of_file.begin(), of_file.end());
    if (!config.quantization.empty()) choice.notices.push_back(describe_weights(loaded, config.quantization));
    const Dtype dtype = choose_dtype(config.dtype, model_config);
    setup.candidates.push_back({std::move(config), calculation, std::move(choice), math, dtype, nullptr});
  }
}

void make_needles(EvaluationSetup& setup, const EvaluationOptions& options, int longest) {
  for (const int length : options.needle_lengths) {
    require_range(length, 1, longest, "needle_lengths");
    for (const int depth : options.needle_depths)
      for (int sample = 0; sample < options.needle_samples; ++sample)
        // The same haystacks and keys at every depth, so that only the depth differs.
        setup.needles.push_back({length, depth,
                                 make_needle(setup.tokenizer, length, depth,
                                             options.needle_seed + static_cast<std::uint64_t>(sample))});
  }
}

void leave_out_beginnings(std::vector<evaluate::Window>& windows, int min_context) {
  int longest = 0;  // tokens before a position that predicts one
  for (evaluate::Window& window : windows) {
    const int size = static_cast<int>(window.ids.size());
    longest = std::max(longest, window.targets.back() == evaluate::kNoTarget ? size - 2 : size - 1);
    window.first_scored = std::min(std::max(window.first_scored, min_context), size);
  }
  if (!windows.empty()) require_range(min_context, 0, longest, "min_context");
}

void prepare_documents(EvaluationSetup& setup, const EvaluationOptions& options,
                       const model::ModelConfig& config) {
  const int longest = config.max_position_embeddings;
  setup.context = options.context == 0 ? std::min(kDefaultContext, longest) : options.context;
  require_range(setup.context, 2, longest, "context");
  setup.stride = options.stride == 0 ? setup.context : options.stride;
  const evaluate::TokenIds prefix = setup.tokenizer.encode("");
  require_range(setup.stride, static_cast<std::int64_t>(prefix.size()) + 1, setup.context, "stride");
  std::vector<Prompt> documents = options.documents;
  if (!options.dataset.empty())
    for (evaluate::TokenIds& ids :
         read_dataset(options, config.vocab_size, setup.context, setup.skipped_samples))
      documents.emplace_back(std::move(ids));
  setup.documents = encode_documents(documents, setup.tokenizer, config.vocab_size, options.max_tokens);
  setup.windows = cut_documents(setup.documents, prefix, setup.context, setup.stride, 0);
  leave_out_beginnings(setup.windows, options.min_context);
  if (options.layer_tokens > 0)
    setup.layer_windows =
        cut_documents(setup.documents, prefix, setup.context, setup.context, options.layer_tokens);
  if (options.drift_prompts == 0 || setup.documents.empty()) return;
  require_range(static_cast<std::int64_t>(prefix.size()) + options.drift_prompt_tokens + options.drift_tokens,
                1, longest, "drift_prompt_tokens and drift_tokens together");
  setup.drift_prompts =
      pick_beginnings(setup.documents, prefix, options.drift_prompts, options.drift_prompt_tokens);
}

// Blocks that the longest measurement needs.
std::int64_t needed_blocks(const EvaluationSetup& setup, const EvaluationOptions& options,
                           const kv::KvLayout& layout) {
  std::size_t longest = 1;
  for (const evaluate::Window& window : setup.windows) longest = std::max(longest, window.ids.size());
  for (const NeedleCase& needle : setup.needles)
    longest = std::max(longest, needle.prompt.prompt.size() + needle.prompt.answer.size());
  std::size_t prompt = 0;
  for (const evaluate::TokenIds& ids : setup.drift_prompts) prompt = std::max(prompt, ids.size());
  const std::int64_t drift = layout.blocks_for(static_cast<std::int64_t>(prompt) + options.drift_tokens) *
                             static_cast<std::int64_t>(setup.drift_prompts.size());
  return std::max(layout.blocks_for(static_cast<std::int64_t>(longest)), drift);
}

// What stands for the first prompt where that is to set scales: the beginning of what is measured, one step
// long.
std::span<const std::int32_t> first_prompt(const EvaluationSetup& setup) {
  const evaluate::TokenIds& ids =
      setup.windows.empty() ? setup.needles.front().prompt.prompt : setup.windows.front().ids;
  return {ids.data(), std::min(ids.size(), static_cast<std::size_t>(evaluate::kMostStepTokens))};
}

void make_caches(EvaluationSetup& setup, const EvaluationOptions& options, const model::ModelConfig& config) {
  const auto make = [&](const kv::KvLayout& layout, kv::KvScales scales) {
    const auto blocks = static_cast<std::int32_t>(needed_blocks(setup, options, layout));
    return std::make_unique<kv::KvCache>(layout, blocks, std::move(scales));
  };
  for (EvaluationCandidate& candidate : setup.candidates) {
    LoadedModel& loaded = setup.model_of(candidate.config);
    if (candidate.calculation.wanted())
      calculate_scales(candidate.calculation, *loaded.model, *loaded.threads, setup.tokenizer,
                       config.max_position_embeddings, evaluate::kMostStepTokens, candidate.choice);
    candidate.cache = make(cache_layout(config, candidate.choice, options.block_size), candidate.choice.scales);
    if (candidate.calculation.source == ScaleCalculation::Source::prompt)
      calculate_scales_from_prompt(candidate.calculation, *loaded.model, first_prompt(setup), *candidate.cache,
                                   candidate.choice);
  }
  if (setup.layer_windows.empty()) return;
  setup.exact_cache = make({config.num_layers, config.num_kv_heads, config.head_dim, options.block_size,
                            KvDtype::float32, KvDtype::float32},
                           kv::KvScales::ones(config.num_layers, config.num_kv_heads));
}

}  // namespace

LoadedModel& EvaluationSetup::model_of(const EvaluationConfig& config) {
  for (EvaluationModel& model : models)
    if (model.directory == config.directory && model.quantization == config.quantization) return model.loaded;
  OCTET_CHECK(false);
  return own_model();
}

std::vector<evaluate::Subject> EvaluationSetup::subjects() {
  std::vector<evaluate::Subject> all;
  for (EvaluationCandidate& candidate : candidates)
    all.push_back({candidate.config.name, model_of(candidate.config).model.get(), candidate.cache.get(),
                   candidate.math, candidate.dtype});
  return all;
}

EvaluationSetup set_up_evaluation(const EvaluationOptions& options) {
  check_options(options);
  EvaluationSetup setup{.models = {}, .tokenizer = text::Tokenizer::load(options.model)};
  choose_candidates(setup, options);
  const LoadedModel& own = setup.own_model();
  const model::ModelConfig& config = own.model->config();
  setup.end_tokens = read_end_tokens(*own.checkpoint, config, setup.tokenizer);
  prepare_documents(setup, options, config);
  make_needles(setup, options, config.max_position_embeddings);
  make_caches(setup, options, config);
  return setup;
}

}  // namespace octet::llm
