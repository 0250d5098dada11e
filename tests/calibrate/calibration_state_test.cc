#include "calibrate/calibration_state.h"

#include <filesystem>

#include "files/expect_error.h"
#include "files/file_output.h"
#include "files/safetensors_builder.h"

namespace octet::tests {
namespace {

using namespace calibrate;

model::ModelConfig config() {
  model::ModelConfig c;
  c.num_layers = 1;
  c.num_heads = c.num_kv_heads = 2;
  c.head_dim = 4;
  return c;
}

TEST(CalibrationState, ComesBackAsItWas) {
  const TempFolder folder;
  const std::string path = folder.file("state");
  const auto observer = make_observer({}, config());
  const std::vector<float> values = {1, 2, 3, 4, 5, 6, 7, 8};
  const model::HeadRows rows = {values.data(), 8, 1, 2, 4};
  observer->observe_qkv(0, rows, rows, rows);
  save_state(path, {7, 2, 1234567890123, 1.5}, {{"seed", "42"}, {"observer", "static_minmax"}}, *observer);

  const auto other = make_observer({}, config());
  const CalibrationState state = load_state(path, {{"observer", "static_minmax"}, {"seed", "42"}}, *other);
  EXPECT_EQ(state.samples, 7);
  EXPECT_EQ(state.skipped, 2);
  EXPECT_EQ(state.tokens, 1234567890123);
  EXPECT_EQ(state.seconds, 1.5);
  EXPECT_EQ(other->ranges()[0].k, (std::vector<float>{4, 8}));
}

TEST(CalibrationState, SaysWhatDiffers) {
  const TempFolder folder;
  const std::string path = folder.file("state");
  const auto observer = make_observer({}, config());
  save_state(path, {}, {{"seed", "42"}}, *observer);
  expect_error(ErrorCode::invalid_argument, {path, "seed", "42", "43", "--resume"}, [&] {
    load_state(path, {{"seed", "43"}}, *observer);
  });
  expect_error(ErrorCode::invalid_argument, {"dataset", "unknown"}, [&] {
    load_state(path, {{"seed", "42"}, {"dataset", "x"}}, *observer);
  });
  files::write_file(path, std::string_view("not a state"));
  expect_error(ErrorCode::invalid_file, {path}, [&] { load_state(path, {}, *observer); });
  files::write_file(path, files::safetensors_bytes({}, {{"format", "pt"}}));
  expect_error(ErrorCode::invalid_file, {path, "no calibration state"},
               [&] { load_state(path, {}, *observer); });
}

}  // namespace
}  // namespace octet::tests
