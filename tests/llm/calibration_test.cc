#include <gtest/gtest.h>
#include <octet/calibration.h>
#include <octet/inspect.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <limits>

#include "files/expect_error.h"
#include "files/json_value.h"
#include "files/mapped_file.h"
#include "llm/tiny_family.h"

namespace octet::tests {
namespace {

namespace fs = std::filesystem;

class CalibrationTest : public ::testing::Test {
 protected:
  CalibrationTest() {
    options_.model = write_tiny_llm(folder_.path() / "tiny");
    options_.threads = 2;
    std::string lines;
    for (int i = 0; i < 40; ++i) {
      lines += R"({"text":"sample number )" + std::to_string(i * 7919) +
               std::string(static_cast<std::size_t>(i), 'z') + "\"}\n";
    }
    use(lines);
  }

  void use(const std::string& lines, const std::string& name = "data.jsonl") {
    options_.dataset = (folder_.path() / name).string();
    tiny::write_file(options_.dataset, lines);
  }
  std::string in(const std::string& name) const { return (folder_.path() / name).string(); }
  std::size_t entries() const {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder_.path()), {}));
  }

  ScratchFolder folder_;
  CalibrationOptions options_;
};

TEST_F(CalibrationTest, WritesACheckpointWhoseScalesAreUsed) {
  options_.strategy = "attn_head";
  options_.targets = "qkv";
  const CalibrationResult result = run_calibration(options_);
  EXPECT_EQ(result.output, in("tiny-kvattn-fp8-attn_head"));
  EXPECT_EQ(result.progress.samples, 40);
  EXPECT_EQ(result.samples_in_dataset, 40);
  EXPECT_FALSE(result.interrupted);
  ASSERT_EQ(result.layers.size(), 2u);
  EXPECT_EQ(result.layers[0].k.size(), 2u);
  EXPECT_EQ(result.layers[0].q.size(), 4u);
  EXPECT_EQ(entries(), 3u);  // the model, the dataset and the output

  const CheckpointInfo info = inspect_checkpoint(result.output);
  EXPECT_EQ(info.scale_strategy, "attn_head");
  EXPECT_EQ(info.requested_kv_cache_dtype, "fp8_e4m3");
  EXPECT_TRUE(info.scale_error.empty() && info.warnings.empty());
  LLM llm({.model = result.output, .threads = 2});
  EXPECT_EQ(llm.kv_cache_stats().scale_source, "checkpoint (4 tensors)");
  EXPECT_EQ(llm.kv_cache_stats().dtype, "fp8_e4m3");
  EXPECT_FALSE(llm.generate("ab", {.temperature = 0, .max_tokens = 4}).outputs[0].token_ids.empty());
}

// Also where the cache is told to be of the other eight-bit format than the scales were made for.
TEST(CalibratedFamilies, ScalesAreUsedByEveryFamilyAndEitherFormat) {
  ScratchFolder folder;
  for (const char* family : kTinyFamilies) {
    SCOPED_TRACE(family);
    CalibrationOptions options{.model = write_tiny_family(folder.path(), family), .dataset = "none"};
    options.method = "bound";
    options.strategy = "attn_head";
    options.threads = 1;
    const CalibrationResult result = run_calibration(options);
    const std::string tensors =
        "checkpoint (" + std::to_string(2 * result.layers.size()) + " tensors)";  // k and v
    LLM automatic({.model = result.output, .threads = 1});
    EXPECT_EQ(automatic.kv_cache_stats().dtype, "fp8_e4m3");
    EXPECT_EQ(automatic.kv_cache_stats().scale_source, tensors);
    LLM e5m2({.model = result.output, .kv_cache_dtype = "fp8_e5m2", .threads = 1});
    EXPECT_EQ(e5m2.kv_cache_stats().dtype, "fp8_e5m2");
    EXPECT_EQ(e5m2.kv_cache_stats().scale_source, tensors);
    EXPECT_TRUE(std::any_of(e5m2.notices().begin(), e5m2.notices().end(), [](const std::string& notice) {
      return notice.find("were made for fp8_e4m3; they are used for fp8_e5m2") != std::string::npos;
    }));
    for (LLM* llm : {&automatic, &e5m2})
      EXPECT_EQ(llm->generate("ab", {.temperature = 0, .ignore_eos = true, .max_tokens = 4})
                    .outputs[0]
                    .token_ids.size(),
                4u);
    LLM exact({.model = result.output, .kv_cache_dtype = "bfloat16", .threads = 1});
    EXPECT_TRUE(std::any_of(exact.notices().begin(), exact.notices().end(), [](const std::string& notice) {
      return notice.find("KV scale tensors are not needed by a bfloat16 cache") != std::string::npos;
    }));
  }
}

TEST_F(CalibrationTest, RoundsActivationsWhereToldTo) {
  const CalibrationResult exact = run_calibration(options_);
  options_.dtype = "bfloat16";
  options_.output = in("rounded");
  const CalibrationResult rounded = run_calibration(options_);
  EXPECT_EQ(exact.dtype, "float32");
  EXPECT_EQ(rounded.dtype, "bfloat16");
  bool same = true;
  for (std::size_t layer = 0; layer < exact.layers.size(); ++layer) {
    const float k = exact.layers[layer].k[0], v = exact.layers[layer].v[0];
    EXPECT_NEAR(rounded.layers[layer].k[0], k, 0.02 * k);
    EXPECT_NEAR(rounded.layers[layer].v[0], v, 0.02 * v);
    same = same && rounded.layers[layer].k[0] == k && rounded.layers[layer].v[0] == v;
  }
  EXPECT_FALSE(same);
}

TEST_F(CalibrationTest, GoesOnWhereItWasInterrupted) {
  for (const char* observer : {"static_minmax", "minmax", "mse", "percentile"}) {
    options_.observer = observer;
    options_.output = in(std::string("whole-") + observer);
    options_.resume = false;
    const CalibrationResult whole = run_calibration(options_);
    options_.output = in(std::string("parts-") + observer);
    int calls = 0;
    CalibrationResult part =
        run_calibration(options_, [&](const CalibrationProgress&) { return ++calls < 15; });
    EXPECT_TRUE(part.interrupted);
    EXPECT_EQ(part.progress.samples, 15);
    EXPECT_TRUE(fs::exists(part.state));
    EXPECT_FALSE(fs::exists(options_.output));
    options_.resume = true;
    calls = 0;
    part = run_calibration(options_, [&](const CalibrationProgress& progress) {
      if (calls++ == 0) {
        EXPECT_EQ(progress.samples, 16);
      }
      return true;
    });
    EXPECT_FALSE(part.interrupted);
    EXPECT_EQ(part.progress.tokens, whole.progress.tokens);
    EXPECT_FALSE(fs::exists(options_.output + ".resume"));
    for (std::size_t layer = 0; layer < whole.layers.size(); ++layer) {
      EXPECT_NEAR(part.layers[layer].k[0], whole.layers[layer].k[0], 1e-3 * whole.layers[layer].k[0])
          << observer;
      EXPECT_NEAR(part.layers[layer].v[0], whole.layers[layer].v[0], 1e-3 * whole.layers[layer].v[0])
          << observer;
    }
  }
}

TEST_F(CalibrationTest, AStateOfSomethingElseIsRefused) {
  run_calibration(options_, [](const CalibrationProgress&) { return false; });
  options_.resume = true;
  const auto refused = [&](const char* what, const CalibrationOptions& options) {
    expect_error(ErrorCode::invalid_argument, {".resume", what}, [&] { run_calibration(options); });
  };
  CalibrationOptions other = options_;
  other.observer = "mse";
  refused("observer", other);
  other = options_;
  other.seed = 43;  // another order of the same samples
  refused("dataset", other);
  other = options_;
  other.max_seq_length = 20;
  refused("max_seq_length", other);
  other = options_;
  other.dtype = "bfloat16";
  refused("dtype", other);
  write_tiny_llm(folder_.path() / "tiny", {.seed = 2});
  refused("model", options_);
}

TEST_F(CalibrationTest, ResumingWithNothingToResumeSaysSo) {
  options_.resume = true;
  const CalibrationResult result = run_calibration(options_);
  ASSERT_EQ(result.notices.size(), 1u);
  EXPECT_NE(result.notices[0].find("from the beginning"), std::string::npos);
}

TEST_F(CalibrationTest, SkipsSamplesWithoutTwoTokens) {
  use("{\"text\":\"\"}\n{\"input_ids\":[1]}\n{\"text\":\"enough\"}\n");
  const CalibrationResult result = run_calibration(options_);
  EXPECT_EQ(result.skipped, 2);
  EXPECT_EQ(result.progress.tokens, 6);
  EXPECT_NE(result.notices.at(0).find("2 of 3"), std::string::npos);
  use("{\"text\":\"\"}\n{\"input_ids\":[1]}\n");
  options_.output = in("none");
  expect_error(ErrorCode::invalid_file, {"data.jsonl", "two tokens"}, [&] { run_calibration(options_); });
  EXPECT_FALSE(fs::exists(in("none")));
}

TEST_F(CalibrationTest, NamesTheLineThatIsWrong) {
  use("{\"text\":\"fine\"}\n{\"content\":\"not\"}\n");
  expect_error(ErrorCode::invalid_file, {"data.jsonl: line 2", "content"}, [&] { run_calibration(options_); });
  use("{\"text\":\"fine\"}\n{\"text\":\n");
  expect_error(ErrorCode::invalid_file, {"data.jsonl: line 2", "JSON"}, [&] { run_calibration(options_); });
  use("plain \xff text\n", "data.txt");
  expect_error(ErrorCode::invalid_argument, {"data.txt: line 1"}, [&] { run_calibration(options_); });
  EXPECT_EQ(entries(), 3u);  // the model and the two datasets
}

TEST_F(CalibrationTest, ChecksOptionsBeforeItWorks) {
  const auto refused = [&](const char* option, auto change) {
    CalibrationOptions options = options_;
    change(options);
    expect_error(ErrorCode::invalid_argument, {option}, [&] { run_calibration(options); });
  };
  refused("strategy", [](auto& o) { o.strategy = "channel"; });
  refused("observer", [](auto& o) { o.observer = "absmax"; });
  refused("targets", [](auto& o) { o.targets = "k"; });
  refused("percentile", [](auto& o) { o.percentile = 0; });
  refused("percentile", [](auto& o) { o.percentile = 100.1; });
  refused("percentile", [](auto& o) { o.percentile = 99; });  // without the observer of that name
  refused("num_samples", [](auto& o) { o.num_samples = 0; });
  refused("max_seq_length", [](auto& o) { o.max_seq_length = 1; });
  refused("max_seq_length", [](auto& o) { o.max_seq_length = 257; });
  refused("dataset", [](auto& o) { o.dataset = ""; });
  refused("dtype", [](auto& o) { o.dtype = "float64"; });
  refused("model", [](auto& o) { o.model = ""; });
  refused("the checkpoint itself", [&](auto& o) { o.output = o.model; });
  fs::create_directory(in("there"));
  refused("there", [&](auto& o) { o.output = in("there"); });
}

TEST_F(CalibrationTest, TheBoundNeedsNoSamplesAndIsWiderThanWhatTheyShow) {
  for (const std::string strategy : {"tensor", "attn_head"}) {
    options_.strategy = strategy;
    options_.targets = "qkv";
    CalibrationOptions options = options_;
    options.method = "bound";
    options.dataset = "none";
    options.output = in("bound-" + strategy);
    const CalibrationResult bound = run_calibration(options);
    const CalibrationResult shown = run_calibration(options_);
    EXPECT_EQ(bound.observer, "bound");
    EXPECT_EQ(bound.progress.tokens, 0);
    ASSERT_EQ(bound.layers.size(), shown.layers.size());
    for (std::size_t layer = 0; layer < bound.layers.size(); ++layer) {
      const auto wider = [&](const std::vector<float>& wide, const std::vector<float>& narrow) {
        ASSERT_EQ(wide.size(), narrow.size());
        for (std::size_t i = 0; i < wide.size(); ++i) {
          EXPECT_GT(wide[i], narrow[i]);
          EXPECT_LT(wide[i], 20 * narrow[i]);
        }
      };
      wider(bound.layers[layer].k, shown.layers[layer].k);
      wider(bound.layers[layer].v, shown.layers[layer].v);
      wider(bound.layers[layer].q, shown.layers[layer].q);
    }
    LLM llm({.model = bound.output, .threads = 2});
    EXPECT_EQ(llm.kv_cache_stats().scale_strategy, strategy);
    EXPECT_EQ(llm.kv_cache_stats().scale_source, "checkpoint (4 tensors)");
  }
}

TEST_F(CalibrationTest, TheBoundRefusesWhatIsForSamples) {
  const auto refusal = [&](auto&& change) {
    CalibrationOptions options = options_;
    options.method = "bound";
    options.dataset = "none";
    change(options);
    return std::string(error_of([&] { run_calibration(options); }).what());
  };
  const std::string meaningless = ": has no meaning with the method bound, which looks at no samples";
  EXPECT_EQ(refusal([&](CalibrationOptions& o) { o.dataset = "chats.jsonl"; }),
            "dataset: expected none, since the method bound looks at no samples, found 'chats.jsonl'");
  EXPECT_EQ(refusal([](CalibrationOptions& o) { o.observer = "mse"; }), "observer" + meaningless);
  EXPECT_EQ(refusal([](CalibrationOptions& o) { o.num_samples = 3; }), "num_samples" + meaningless);
  EXPECT_EQ(refusal([](CalibrationOptions& o) { o.max_seq_length = 64; }), "max_seq_length" + meaningless);
  EXPECT_EQ(refusal([](CalibrationOptions& o) { o.resume = true; }), "resume" + meaningless);
  EXPECT_EQ(refusal([](CalibrationOptions& o) { o.dtype = "bfloat16"; }), "dtype" + meaningless);
  EXPECT_EQ(refusal([](CalibrationOptions& o) { o.strategy = "channel"; }),
            "strategy: expected tensor or attn_head, found 'channel'");
  EXPECT_EQ(refusal([](CalibrationOptions& o) { o.method = "guess"; }),
            "method: expected dataset or bound, found 'guess'");
  EXPECT_EQ(refusal([](CalibrationOptions& o) { o.method = "dataset"; }),
            "dataset: expected a file (none is for the method bound), found none");
  EXPECT_EQ(entries(), 2u);  // nothing was written
}

TEST_F(CalibrationTest, ALayerThatIsZeroOrNanIsNamed) {
  for (const float value : {0.0f, std::numeric_limits<float>::quiet_NaN()}) {
    // The norm's gain of layer 1: its q, k and v become zero or NaN.
    TinyOptions tiny;
    tiny.vocab_size = kTinyVocabSize;
    tiny.extra_tensors = {{"unused", {1}, {value}}};
    const std::string model = write_tiny_llm(folder_.path() / "broken", tiny);
    const std::string path = model + "/model.safetensors";
    std::string bytes = files::read_text_file(path, 1 << 24);
    const std::string name = "\"model.layers.1.self_attn.v_proj.weight\"";
    const std::size_t offsets = bytes.find("\"data_offsets\":[", bytes.find(name)) + 16;
    const std::size_t begin = std::stoul(bytes.substr(offsets));
    const std::size_t end = std::stoul(bytes.substr(bytes.find(',', offsets) + 1));
    std::uint64_t header = 0;
    std::memcpy(&header, bytes.data(), 8);
    for (std::size_t at = begin; at < end; at += 4) std::memcpy(bytes.data() + 8 + header + at, &value, 4);
    tiny::write_file(path, bytes);
    options_.model = model;
    expect_error(ErrorCode::invalid_argument, {"layer 1", "|v|", value == 0 ? "found 0" : "nan"},
                 [&] { run_calibration(options_); });
    EXPECT_FALSE(fs::exists(model + "-kvattn-fp8-tensor"));
  }
}

// llm-compressor's scales of SmolLM2-135M-Instruct for the same tokens (tests/golden/README.md).
TEST(CalibrationGolden, GivesTheReferenceToolsScales) {
  const char* chosen = std::getenv("OCTET_TEST_MODEL");
  const std::string model = chosen ? chosen : OCTET_SOURCE_DIR "/models/smollm2-135m-instruct";
  if (!fs::exists(model + "/model.safetensors"))
    GTEST_SKIP() << "no model at " << model << ": run scripts/get-model";
  const auto golden = files::JsonValue::read_file(OCTET_SOURCE_DIR "/tests/golden/calibration.json");
  const ScratchFolder folder;
  std::string lines;
  for (const auto& ids : golden.at("calibration_ids").elements())
    lines += "{\"input_ids\":" + ids.dump() + "}\n";
  tiny::write_file(folder.path() / "ids.jsonl", lines);
  const CalibrationResult result = run_calibration({.model = model,
                                                    .dataset = (folder.path() / "ids.jsonl").string(),
                                                    .output = (folder.path() / "out").string(),
                                                    .strategy = "attn_head"});
  EXPECT_EQ(result.progress.tokens, 8 * 512);
  const auto compare = [&](const char* which, std::vector<float> CalibratedLayer::*tensor) {
    const auto heads = golden.at("scales").at("attn_head").at(which).elements();
    const auto tensors = golden.at("scales").at("tensor").at(which).elements();
    ASSERT_EQ(heads.size(), result.layers.size());
    for (std::size_t layer = 0; layer < heads.size(); ++layer) {
      const std::vector<float>& found = result.layers[layer].*tensor;
      const auto expected = heads[layer].elements();
      ASSERT_EQ(found.size(), expected.size());
      for (std::size_t head = 0; head < found.size(); ++head)
        EXPECT_NEAR(found[head], expected[head].as_double(), 0.01 * expected[head].as_double())
            << which << " layer " << layer << " head " << head;
      // What the strategy tensor takes.
      const double whole = tensors[layer].elements()[0].as_double();
      EXPECT_NEAR(*std::max_element(found.begin(), found.end()), whole, 0.01 * whole)
          << which << " layer " << layer;
    }
  };
  compare("k", &CalibratedLayer::k);
  compare("v", &CalibratedLayer::v);
}

}  // namespace
}  // namespace octet::tests
