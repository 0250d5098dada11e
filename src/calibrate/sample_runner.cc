#include "calibrate/sample_runner.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/error.h"

namespace octet::calibrate {

namespace {

constexpr int kBlockSize = 16;

kv::KvLayout layout(const model::ModelConfig& config) {
  return {config.num_layers, config.num_kv_heads, config.head_dim,
          kBlockSize,        KvDtype::float32,    KvDtype::float32};
}

std::int32_t blocks_for(std::int64_t tokens) {
  return static_cast<std::int32_t>((tokens + kBlockSize - 1) / kBlockSize);
}

}  // namespace

SampleRunner::SampleRunner(model::Model& model, ScaleObserver& observer, int step_tokens, int max_sample_tokens)
    : model_(model),
      observer_(observer),
      step_tokens_(step_tokens),
      // Half as many again: samples end in the middle of a block.
      cache_(layout(model.config()), blocks_for(std::max(step_tokens + step_tokens / 2, max_sample_tokens)),
             kv::KvScales::ones(model.config().num_layers, model.config().num_kv_heads)) {
  model_.set_observer(&observer_);
}

SampleRunner::~SampleRunner() { model_.set_observer(nullptr); }

void SampleRunner::add(std::vector<std::int32_t> ids) {
  const auto tokens = static_cast<std::int64_t>(ids.size());
  const std::int32_t blocks = blocks_for(tokens);
  OCTET_CHECK(tokens > 0 && blocks <= cache_.pool().num_blocks());
  if (waiting_tokens_ + tokens > step_tokens_ || waiting_blocks_ + blocks > cache_.pool().num_blocks()) flush();
  waiting_tokens_ += tokens;
  waiting_blocks_ += blocks;
  waiting_.push_back(std::move(ids));
  if (waiting_tokens_ >= step_tokens_) flush();
}

void SampleRunner::flush() {
  next_block_ = 0;
  for (const std::vector<std::int32_t>& ids : waiting_) {
    tables_.emplace_back(static_cast<std::size_t>(blocks_for(static_cast<std::int64_t>(ids.size()))));
    std::iota(tables_.back().begin(), tables_.back().end(), next_block_);
    next_block_ += static_cast<std::int32_t>(tables_.back().size());
    // A sample that is longer than a step waits alone, so its pieces never share a step with others.
    const int size = static_cast<int>(ids.size());
    for (int begin = 0; begin < size; begin += step_tokens_) {
      const int end = std::min(size, begin + step_tokens_);
      append(ids, begin, end);
      if (end < size) {
        const std::vector<std::int32_t> table = tables_.back();
        run();
        tables_.push_back(table);
      }
    }
  }
  if (!rows_.empty()) run();
  waiting_.clear();
  waiting_tokens_ = waiting_blocks_ = 0;
}

// Tokens [begin, end) of the sample whose block table is the last.
void SampleRunner::append(const std::vector<std::int32_t>& ids, int begin, int end) {
  const std::vector<std::int32_t>& table = tables_.back();
  if (rows_.empty()) plan_.clear();
  rows_.push_back({plan_.num_tokens(), plan_.num_tokens() + end - begin, end == static_cast<int>(ids.size())});
  for (int position = begin; position < end; ++position) {
    plan_.token_ids.push_back(ids[static_cast<std::size_t>(position)]);
    plan_.positions.push_back(position);
    plan_.slot_mapping.push_back(
        static_cast<std::int64_t>(table[static_cast<std::size_t>(position / kBlockSize)]) * kBlockSize +
        position % kBlockSize);
  }
  plan_.query_start.push_back(plan_.num_tokens());
  plan_.prompt_lengths.push_back(static_cast<std::int32_t>(ids.size()));
}

void SampleRunner::run() {
  for (const std::vector<std::int32_t>& table : tables_)
    plan_.max_blocks = std::max(plan_.max_blocks, static_cast<std::int32_t>(table.size()));
  for (std::vector<std::int32_t>& table : tables_) {
    table.resize(static_cast<std::size_t>(plan_.max_blocks), 0);
    plan_.block_tables.insert(plan_.block_tables.end(), table.begin(), table.end());
  }
  observer_.begin_step(rows_);
  model_.forward(plan_, cache_);
  tokens_ += plan_.num_tokens();
  rows_.clear();
  tables_.clear();
}

}  // namespace octet::calibrate
