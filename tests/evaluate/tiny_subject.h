// A tiny random model with caches of several dtypes, for the tests of this room.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "evaluate/subject.h"
#include "files/checkpoint.h"
#include "kernels/dispatch.h"
#include "model/tiny_checkpoint.h"

namespace octet::tests {

class TinyModel {
 public:
  explicit TinyModel(const std::string& isa = "", const TinyOptions& options = {})
      : table(*kernels::find_table(isa)), pool(2) {
    const auto folder = std::filesystem::temp_directory_path() / ("octet-evaluate-" + std::to_string(getpid()));
    directory = write_tiny_llama(folder, options);
    const auto checkpoint = std::make_shared<const files::Checkpoint>(files::Checkpoint::open(directory));
    model = std::make_unique<model::Model>(checkpoint, table, pool, evaluate::kMostStepTokens);
  }
  ~TinyModel() {
    std::error_code ignored;
    std::filesystem::remove_all(directory, ignored);
  }
  TinyModel(const TinyModel&) = delete;
  TinyModel& operator=(const TinyModel&) = delete;

  // A subject whose cache holds `tokens`, with one scale for all of it.
  evaluate::Subject subject(KvDtype dtype, int tokens = 256, float scale = 1.0f) {
    return subject_of(dtype, dtype, tokens, scale);
  }
  // Keys transformed; values have nothing to be transformed for.
  evaluate::Subject hadamard_subject() {
    return subject_of(KvDtype::int8_hadamard_per_token_head, KvDtype::int8_per_token_head, 256, 1.0f);
  }

  std::vector<std::int32_t> text(int tokens, std::uint64_t seed = 1) const {
    std::mt19937_64 generator(seed);
    std::vector<std::int32_t> ids;
    for (int i = 0; i < tokens; ++i)
      ids.push_back(
          static_cast<std::int32_t>(generator() % static_cast<std::uint64_t>(model->config().vocab_size)));
    return ids;
  }

  std::string directory;
  const kernels::KernelTable& table;
  ThreadPool pool;
  std::unique_ptr<model::Model> model;

 private:
  evaluate::Subject subject_of(KvDtype k, KvDtype v, int tokens, float scale) {
    const model::ModelConfig& c = model->config();
    kv::KvScales scales = kv::KvScales::ones(c.num_layers, c.num_kv_heads);
    for (kv::LayerScales& layer : scales.layers)
      for (std::vector<float>* values : {&layer.k, &layer.v}) values->assign(values->size(), scale);
    const kv::KvLayout layout(c.num_layers, c.num_kv_heads, c.head_dim, 16, k, v);
    caches_.push_back(
        std::make_unique<kv::KvCache>(layout, static_cast<std::int32_t>(layout.blocks_for(tokens)), scales));
    return {std::string(dtype_name(k)), model.get(), caches_.back().get()};
  }

  std::vector<std::unique_ptr<kv::KvCache>> caches_;
};

}  // namespace octet::tests
