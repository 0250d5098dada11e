#include "calibrate/sample_runner.h"

#include <gtest/gtest.h>

#include <random>

#include "files/safetensors_builder.h"
#include "model/sequence_runner.h"
#include "model/tiny_checkpoint.h"

namespace octet::tests {
namespace {

using namespace calibrate;

std::vector<std::vector<std::int32_t>> samples(std::initializer_list<int> sizes) {
  std::mt19937_64 generator(3);
  std::vector<std::vector<std::int32_t>> all;
  for (const int size : sizes) {
    std::vector<std::int32_t>& ids = all.emplace_back();
    for (int i = 0; i < size; ++i) ids.push_back(static_cast<std::int32_t>(generator() % 64));
  }
  return all;
}

// What an observer of the model sees when each sample is run by itself, in one step, through another driver.
std::vector<LayerRanges> alone(const std::string& directory, const ObserverOptions& options,
                               const std::vector<std::vector<std::int32_t>>& all) {
  SequenceRunner runner(directory, {});
  const auto observer = make_observer(options, runner.config());
  runner.model().set_observer(observer.get());
  for (const std::vector<std::int32_t>& ids : all) {
    observer->begin_step(std::vector<SampleRows>{{0, static_cast<int>(ids.size()), true}});
    runner.logits(ids, static_cast<int>(ids.size()));
  }
  runner.model().set_observer(nullptr);
  return observer->ranges();
}

void expect_near(const std::vector<float>& found, const std::vector<float>& expected) {
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) EXPECT_NEAR(found[i], expected[i], 2e-4 * expected[i]);
}

TEST(SampleRunner, SamplesAttendToThemselvesAloneHoweverTheyArePacked) {
  const TempFolder folder;
  const std::string directory = write_tiny_llama(folder.file("model"));
  const auto all = samples({5, 40, 2, 17, 16, 1, 33, 90, 3, 3, 3});
  for (const ObserverKind kind : {ObserverKind::static_minmax, ObserverKind::minmax}) {
    const ObserverOptions options = {
        .kind = kind, .strategy = kv::ScaleStrategy::attn_head, .targets = {.q = true}};
    const std::vector<LayerRanges> expected = alone(directory, options, all);
    for (const int step_tokens : {8, 32, 64, 1024}) {  // cut into pieces, packed, all in one step
      SequenceRunner loaded(directory, {});
      const auto observer = make_observer(options, loaded.config());
      {
        SampleRunner runner(loaded.model(), *observer, step_tokens, 90);
        for (const std::vector<std::int32_t>& ids : all) runner.add(ids);
        runner.flush();
        runner.flush();  // nothing is left to run
        EXPECT_EQ(runner.tokens(), 213);
      }
      for (std::size_t layer = 0; layer < expected.size(); ++layer) {
        expect_near(observer->ranges()[layer].q, expected[layer].q);
        expect_near(observer->ranges()[layer].k, expected[layer].k);
        expect_near(observer->ranges()[layer].v, expected[layer].v);
      }
    }
  }
}

TEST(SampleRunner, ManyShortSamplesFitTheCache) {
  const TempFolder folder;
  SequenceRunner loaded(write_tiny_llama(folder.file("model")), {});
  const auto observer = make_observer({}, loaded.config());
  SampleRunner runner(loaded.model(), *observer, 256, 16);
  for (int i = 0; i < 300; ++i) runner.add({1, 2});  // each takes a block of its own
  runner.flush();
  EXPECT_EQ(runner.tokens(), 600);
}

}  // namespace
}  // namespace octet::tests
