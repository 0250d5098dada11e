// Everything that stands behind one LLM, loaded and wired together.
#pragma once

#include <octet/llm.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "calibrate/warm_up.h"
#include "engine/engine.h"
#include "files/checkpoint.h"
#include "grammar/grammar_compiler.h"
#include "kernels/kernel_table.h"
#include "kv/kv_cache.h"
#include "llm/cache_choice.h"
#include "llm/generation_config.h"
#include "model/forward.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace octet::llm {

// A checkpoint with its weights ready to run; no cache yet. The order of the members is the order in which
// they depend on each other.
struct LoadedModel {
  std::shared_ptr<const files::Checkpoint> checkpoint;
  const kernels::KernelTable* table = nullptr;
  std::unique_ptr<ThreadPool> threads;
  std::unique_ptr<model::Model> model;
  model::QuantizedLayers quantized = {};  // where weights were quantised while loading
  bool copied = false;  // the weights stand in memory of this process, not in mappings of the files
};

// Opens `directory` and builds the model; `load_strategy` and `quantization` as LLMOptions has them.
// Throws Error as LLM's constructor does.
LoadedModel load_model(const std::string& directory, const std::string& isa, int threads,
                       int max_batched_tokens, const std::string& load_strategy,
                       const std::string& quantization = {});

// One line about the weights where they are quantised, in the checkpoint or while loading; else empty.
std::string describe_weights(const LoadedModel& loaded, const std::string& quantization);

// LLMOptions::dtype for this model: float32 or bfloat16. Throws Error{invalid_argument} for anything but
// float32, bfloat16 and auto.
Dtype choose_dtype(const std::string& dtype, const model::ModelConfig& config);

// What LLM::Impl holds.
struct EngineSetup {
  LoadedModel loaded;
  text::Tokenizer tokenizer;
  std::optional<text::ChatTemplate> chat_template = {};
  EndTokens end_tokens = {};
  SamplingParams default_params = {};
  kv::LayerDtypes cache_dtypes = {};  // but in skip_layers
  std::vector<int> skip_layers = {};
  std::string scale_source = {};
  std::string scale_strategy = {};
  std::string attention_math = {};
  kernels::AttentionMath math = kernels::AttentionMath::fp32;  // the same
  Dtype dtype = Dtype::float32;                                // of activations
  std::vector<std::string> notices = {};
  int max_model_len = 0;
  int max_num_batched_tokens = 0;
  std::unique_ptr<kv::KvCache> cache = {};
  std::int64_t capacity_tokens = 0;                         // of the cache: kv/kv_capacity.h
  std::unique_ptr<calibrate::WarmUpObserver> warm_up = {};  // where scales are calculated from tokens
  bool awaits_first_prompt = false;                         // they are not calculated yet
  std::unique_ptr<engine::Engine> engine = {};
  std::unique_ptr<grammar::GrammarCompiler> grammar_compiler = {};
};

// Checks `options` and loads all of it. Throws Error as LLM's constructor does.
EngineSetup set_up_engine(const LLMOptions& options);

}  // namespace octet::llm
