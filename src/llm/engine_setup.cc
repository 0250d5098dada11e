#include "llm/engine_setup.h"

#include <fstream>
#include <iterator>
#include <utility>

#include "base/error.h"
#include "files/hub_cache.h"
#include "llm/answer_grammar.h"
#include "llm/attention_math_choice.h"
#include "llm/kernel_choice.h"
#include "llm/key_offsets.h"
#include "llm/scale_calculation.h"
#include "model/kv_scale_loading.h"
#include "model/weight_quantization.h"

namespace octet::llm {

namespace {

// More threads than this is a typing error, and starting them would fail half-way.
constexpr int kMostThreads = 1024;

void require_range(int value, int least, int most, const char* option) {
  if (value >= least && value <= most) return;
  throw Error(
      ErrorCode::invalid_argument,
      "expected " + std::to_string(least) + " to " + std::to_string(most) + ", found " + std::to_string(value),
      option);
}

void check_options(const LLMOptions& options) {
  if (options.model.empty())
    throw Error(ErrorCode::invalid_argument, "expected a checkpoint directory, found an empty string", "model");
  require_range(options.max_num_seqs, 1, 65536, "max_num_seqs");
  // Every running sequence decodes in every step, so a step must have room for all of them.
  require_range(options.max_num_batched_tokens, options.max_num_seqs, 1 << 20, "max_num_batched_tokens");
}

int choose_max_model_len(const std::optional<int>& asked, const model::ModelConfig& config) {
  if (!asked) return config.max_position_embeddings;
  if (*asked < 2)
    throw Error(ErrorCode::invalid_argument,
                "expected at least 2 tokens, one of prompt and one new, found " + std::to_string(*asked),
                "max_model_len");
  if (*asked > config.max_position_embeddings)
    throw Error(ErrorCode::invalid_argument,
                std::to_string(*asked) + " tokens are more than the model's max_position_embeddings, " +
                    std::to_string(config.max_position_embeddings),
                "max_model_len");
  return *asked;
}

void check_load_strategy(const std::string& strategy) {
  if (strategy == "auto" || strategy == "lazy" || strategy == "eager") return;
  throw Error(ErrorCode::invalid_argument, "expected auto, lazy or eager, found '" + strategy + "'",
              "safetensors_load_strategy");
}

model::Quantization parse_quantization(const std::string& quantization) {
  if (quantization.empty()) return model::Quantization::none;
  if (quantization == "fp8") return model::Quantization::fp8;
  if (quantization == "int8") return model::Quantization::int8;
  throw Error(ErrorCode::invalid_argument, "expected fp8 or int8, found '" + quantization + "'",
              "quantization");
}

// Weights on huge pages are read up to a quarter faster than mapped files, whose pages are small. But a copy
// must not push the files, which other processes may map, or the cache out of memory.
bool copying_pays(std::int64_t weight_bytes) {
  std::ifstream setting("/sys/kernel/mm/transparent_hugepage/enabled");
  const std::string modes{std::istreambuf_iterator<char>(setting), {}};
  const bool granted = modes.find("[always]") != modes.npos || modes.find("[madvise]") != modes.npos;
  return granted && weight_bytes <= available_memory_bytes() / 2;
}

std::unique_ptr<kv::KvCache> make_cache(const kv::KvLayout& layout, const kv::KvDemand& demand,
                                        std::int64_t num_blocks, kv::KvScales scales) {
  std::vector<std::int32_t> group_blocks;
  for (const std::int64_t blocks : kv::KvCapacity(layout, demand).group_blocks(num_blocks))
    group_blocks.push_back(static_cast<std::int32_t>(blocks));
  return std::make_unique<kv::KvCache>(layout, group_blocks, std::move(scales));
}

// The observer that sets the scales from the first prompt, and counts what they cannot represent.
void watch_scales(const ScaleCalculation& calculation, model::Model& model, EngineSetup& setup) {
  setup.awaits_first_prompt = calculation.source == ScaleCalculation::Source::prompt;
  setup.warm_up = std::make_unique<calibrate::WarmUpObserver>(*setup.cache, calculation.strategy,
                                                              setup.awaits_first_prompt);
  model.set_observer(setup.warm_up.get());
}

}  // namespace

LoadedModel load_model(const std::string& directory, const std::string& isa, int threads,
                       int max_batched_tokens, const std::string& load_strategy, const std::string& asked) {
  require_range(threads, 0, kMostThreads, "threads");
  check_load_strategy(load_strategy);
  const model::Quantization quantization = parse_quantization(asked);
  if (quantization != model::Quantization::none && load_strategy == "eager")
    throw Error(ErrorCode::invalid_argument,
                "eager would copy weights that quantization reads once: expected auto or lazy",
                "safetensors_load_strategy");
  LoadedModel loaded;
  loaded.table = &choose_kernels(isa);
  auto checkpoint = std::make_shared<files::Checkpoint>(files::Checkpoint::open(directory));
  loaded.threads = std::make_unique<ThreadPool>(threads);
  // What will be quantised is read once, which no copy makes faster.
  if (load_strategy == "eager" || (load_strategy == "auto" && quantization == model::Quantization::none &&
                                   copying_pays(checkpoint->weight_bytes())))
    loaded.copied = checkpoint->copy_to_memory(*loaded.threads);
  loaded.checkpoint = std::move(checkpoint);
  loaded.model =
      std::make_unique<model::Model>(loaded.checkpoint, *loaded.table, *loaded.threads, max_batched_tokens);
  if (quantization == model::Quantization::none) return loaded;
  loaded.quantized = loaded.model->quantize_weights(quantization);
  if (loaded.quantized.count == 0)
    throw Error(ErrorCode::invalid_argument,
                "no linear layer of this checkpoint can be quantised to " + asked + ": its weights are already",
                "quantization");
  return loaded;
}

std::string describe_weights(const LoadedModel& loaded, const std::string& quantization) {
  std::string text = model::describe_quantized_weights(*loaded.checkpoint);
  if (const model::QuantizedLayers& made = loaded.quantized; made.count > 0)
    text += (text.empty() ? "" : "; ") + std::string("quantization ") + quantization + ": " +
            std::to_string(made.count) + " linear layers take " + std::to_string(made.bytes) +
            " bytes instead of " + std::to_string(made.before) + ", " +
            std::to_string(made.before - made.bytes) + " saved";
  return text;
}

Dtype choose_dtype(const std::string& dtype, const model::ModelConfig& config) {
  if (dtype == "bfloat16" || (dtype == "auto" && config.dtype == Dtype::bfloat16)) return Dtype::bfloat16;
  if (dtype == "float32" || dtype == "auto") return Dtype::float32;
  throw Error(ErrorCode::invalid_argument, "expected float32, bfloat16 or auto, found '" + dtype + "'",
              "dtype");
}

EngineSetup set_up_engine(const LLMOptions& asked) {
  check_options(asked);
  LLMOptions options = asked;
  options.model = files::find_model(asked.model);
  const ScaleCalculation calculation =
      read_scale_calculation(options.calculate_kv_scales, options.kv_scale_strategy);
  LoadedModel loaded = load_model(options.model, options.isa, options.threads, options.max_num_batched_tokens,
                                  options.safetensors_load_strategy, options.quantization);
  const files::Checkpoint& checkpoint = *loaded.checkpoint;
  const model::ModelConfig& config = loaded.model->config();
  const Dtype dtype = choose_dtype(options.dtype, config);
  loaded.model->set_dtype(dtype);
  text::Tokenizer tokenizer = text::Tokenizer::load(options.model);
  EngineSetup setup{.loaded = {}, .tokenizer = tokenizer, .dtype = dtype};
  if (!tokenizer.chat_template().empty())
    setup.chat_template = text::ChatTemplate::parse(tokenizer.chat_template(), tokenizer.chat_template_file());
  setup.end_tokens = read_end_tokens(checkpoint, config, tokenizer);
  setup.default_params = read_default_sampling_params(checkpoint);
  setup.max_num_batched_tokens = options.max_num_batched_tokens;
  setup.max_model_len = choose_max_model_len(options.max_model_len, config);
  loaded.model->set_max_model_len(setup.max_model_len);

  CacheChoice choice = choose_cache({options.kv_cache_dtype, options.kv_cache_dtype_k, options.kv_cache_dtype_v,
                                     options.kv_cache_dtype_skip_layers},
                                    config, model::examine_kv_scales(checkpoint, config), calculation.wanted());
  const kv::KvLayout layout = options.disable_hybrid_kv_cache_manager
                                  ? cache_layout(config, choice, options.block_size)
                                  : engine_layout(config, choice, options.block_size, setup.max_model_len);
  const kv::KvDemand demand{setup.max_model_len, options.max_num_batched_tokens};
  const kernels::AttentionMath math = choose_attention_math(options.attention_math, layout, choice);
  setup.cache_dtypes = choice.dtypes;
  setup.skip_layers = std::move(choice.skip_layers);
  const std::int64_t num_blocks =
      choose_num_blocks(layout, demand, options.max_num_seqs, options.kv_cache_memory_bytes);
  if (calculation.wanted())
    calculate_scales(calculation, *loaded.model, *loaded.threads, tokenizer, setup.max_model_len,
                     options.max_num_batched_tokens, choice);
  setup.scale_source = std::move(choice.scale_source);
  setup.scale_strategy = std::move(choice.scale_strategy);
  setup.attention_math = options.attention_math;
  setup.notices = checkpoint.notices();
  setup.notices.insert(setup.notices.end(), choice.notices.begin(), choice.notices.end());
  if (std::string notice = describe_weights(loaded, options.quantization); !notice.empty())
    setup.notices.push_back(std::move(notice));
  if (std::string notice = describe_key_offsets(config, loaded.model->weights(), layout); !notice.empty())
    setup.notices.push_back(std::move(notice));
  if (std::string notice = describe_scarce_memory(kv::KvCapacity(layout, demand).bytes(num_blocks));
      !notice.empty())
    setup.notices.push_back(std::move(notice));
  setup.cache = make_cache(layout, demand, num_blocks, std::move(choice.scales));
  setup.capacity_tokens = num_blocks * layout.block_size;
  setup.math = math;
  loaded.model->set_attention_math(math);
  if (calculation.from_tokens()) watch_scales(calculation, *loaded.model, setup);
  setup.engine = std::make_unique<engine::Engine>(
      *loaded.model, *setup.cache,
      engine::EngineOptions{.max_num_seqs = options.max_num_seqs,
                            .max_num_batched_tokens = options.max_num_batched_tokens,
                            .max_model_len = setup.max_model_len,
                            .enable_prefix_caching = options.enable_prefix_caching});
  setup.grammar_compiler = make_grammar_compiler(tokenizer, setup.end_tokens, config.vocab_size);
  setup.loaded = std::move(loaded);
  return setup;
}

}  // namespace octet::llm
