// Any bytes as the state of an interrupted calibration: refused with an Error that leaves the observer usable,
// or taken up, and then saved and taken up again without a difference.
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "calibrate/calibration_state.h"
#include "calibrate/magnitude_histogram.h"
#include "calibrate/observer_state.h"
#include "calibrate/scale_observer.h"
#include "files/file_output.h"
#include "files/safetensors_writer.h"

namespace {

using namespace octet;
using namespace octet::calibrate;

constexpr std::size_t kHeads = 2;  // one of keys and one of values

const Fingerprint kFingerprint = {{"model", "m"}};

std::unique_ptr<ScaleObserver> observer(ObserverKind kind) {
  model::ModelConfig config;
  config.num_layers = config.num_heads = config.num_kv_heads = 1;
  config.head_dim = 2;
  return make_observer({.kind = kind, .strategy = kv::ScaleStrategy::attn_head}, config);
}

// A state whose histograms are `bytes` spread out: a whole one is larger than a fuzzer's inputs, and mostly
// zeros.
std::vector<std::byte> histogram_state(std::span<const std::uint8_t> bytes) {
  std::vector<float> largest(kHeads);
  std::vector<std::uint64_t> counts(kHeads * kBins);
  const std::size_t head_bytes = std::min(bytes.size(), kHeads * sizeof(float));
  std::memcpy(largest.data(), bytes.data(), head_bytes);
  struct Count {
    std::uint64_t count;
    std::uint16_t bin;
  } entry;
  constexpr std::size_t kEntry = sizeof entry.count + sizeof entry.bin;
  for (std::size_t at = head_bytes; at + kEntry <= bytes.size(); at += kEntry) {
    std::memcpy(&entry.count, &bytes[at], sizeof entry.count);
    std::memcpy(&entry.bin, &bytes[at + sizeof entry.count], sizeof entry.bin);
    counts[entry.bin % counts.size()] = entry.count;
  }
  std::vector<files::OwnedTensor> tensors;
  tensors.push_back(state_tensor("largest", std::span<const float>(largest)));
  tensors.push_back(state_tensor("counts", std::span<const std::uint64_t>(counts)));
  return files::safetensors_bytes(std::move(tensors), {{"format", "octet calibration state 1"},
                                                       {"samples", "3"},
                                                       {"skipped", "1"},
                                                       {"tokens", "9"},
                                                       {"seconds", "1.5"},
                                                       {"made from model", "m"}});
}

}  // namespace

// The first byte chooses the observer.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::string path =
      (std::filesystem::temp_directory_path() / ("octet-state-fuzz-" + std::to_string(getpid()))).string();
  if (size == 0) return 0;
  const auto kind = static_cast<ObserverKind>(data[0] % 4);
  const auto first = observer(kind);
  const std::span<const std::uint8_t> bytes(data + 1, size - 1);
  if (kind == ObserverKind::mse || kind == ObserverKind::percentile)
    files::write_file(path, histogram_state(bytes));
  else
    files::write_file(path, std::as_bytes(bytes));
  try {
    const CalibrationState state = load_state(path, kFingerprint, *first);
    first->ranges();  // whatever it has seen
    if (state.samples < 0 || state.skipped < 0 || state.skipped > state.samples || state.tokens < 0)
      std::abort();
    save_state(path, state, kFingerprint, *first);
    const auto second = observer(kind);
    const CalibrationState again = load_state(path, kFingerprint, *second);
    if (again.samples != state.samples || again.skipped != state.skipped || again.tokens != state.tokens)
      std::abort();
    const auto before = first->state(), after = second->state();
    for (std::size_t i = 0; i < before.size(); ++i)
      if (before[i].data != after[i].data) std::abort();
  } catch (const Error&) {
    first->ranges();
  }
  unlink(path.c_str());
  return 0;
}
