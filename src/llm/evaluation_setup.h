// What an evaluation runs on: the documents as tokens, the models, and a cache for every configuration.
#pragma once

#include <octet/evaluation.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "evaluate/drift.h"
#include "evaluate/retrieval.h"
#include "evaluate/subject.h"
#include "evaluate/windows.h"
#include "kv/kv_cache.h"
#include "llm/cache_choice.h"
#include "llm/engine_setup.h"
#include "llm/evaluation_config.h"
#include "llm/scale_calculation.h"
#include "text/tokenizer.h"

namespace octet::llm {

// One configuration, ready to run.
struct EvaluationCandidate {
  EvaluationConfig config;
  ScaleCalculation calculation;
  CacheChoice choice;
  kernels::AttentionMath math;
  Dtype dtype;  // of activations
  std::unique_ptr<kv::KvCache> cache;
};

// A checkpoint's weights, as they are or as LLMOptions::quantization makes them.
struct EvaluationModel {
  std::string directory;
  std::string quantization;
  LoadedModel loaded;
};

struct NeedleCase {
  int length;
  int depth;
  evaluate::NeedlePrompt prompt;
};

struct EvaluationSetup {
  // That of the options comes first. Each is loaded once; all share the threads of the first.
  std::vector<EvaluationModel> models = {};
  text::Tokenizer tokenizer;
  EndTokens end_tokens = {};
  int context = 0;
  int stride = 0;
  std::int64_t skipped_samples = 0;  // of the dataset: too short
  std::vector<evaluate::TokenIds> documents = {};
  std::vector<evaluate::Window> windows = {};        // of the documents
  std::vector<evaluate::Window> layer_windows = {};  // of their beginning
  std::vector<evaluate::TokenIds> drift_prompts = {};
  std::vector<NeedleCase> needles = {};              // length by length, depth by depth, sample by sample
  std::vector<EvaluationCandidate> candidates = {};  // the baseline first
  std::unique_ptr<kv::KvCache> exact_cache = {};     // float32; null without layer_windows

  LoadedModel& own_model() { return models.front().loaded; }
  LoadedModel& model_of(const EvaluationConfig& config);
  std::vector<evaluate::Subject> subjects();  // of the candidates
};

// Checks `options` and loads all of it. Throws Error as run_evaluation.
EvaluationSetup set_up_evaluation(const EvaluationOptions& options);

}  // namespace octet::llm
