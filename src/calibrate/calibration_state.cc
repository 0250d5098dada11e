#include "calibrate/calibration_state.h"

#include <charconv>
#include <map>
#include <system_error>

#include "base/error.h"
#include "files/file_output.h"
#include "files/mapped_file.h"
#include "files/safetensors.h"

namespace octet::calibrate {

namespace {

constexpr const char* kFormat = "octet calibration state 1";

using Metadata = std::map<std::string, std::string>;

[[noreturn]] void refuse(const std::string& path, const std::string& message) {
  throw Error(ErrorCode::invalid_file, message, path);
}

template <typename Number>
Number number(const Metadata& metadata, const std::string& key, const std::string& path) {
  const auto found = metadata.find(key);
  if (found == metadata.end()) refuse(path, "no calibration state: " + key + " is missing");
  const std::string& text = found->second;
  Number value{};
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || rest != text.data() + text.size() || !(value >= 0))
    refuse(path, key + ": expected a number, found '" + text + "'");
  return value;
}

}  // namespace

void save_state(const std::string& path, const CalibrationState& state, const Fingerprint& fingerprint,
                const ScaleObserver& observer) {
  std::vector<std::pair<std::string, std::string>> metadata = {{"format", kFormat},
                                                               {"samples", std::to_string(state.samples)},
                                                               {"skipped", std::to_string(state.skipped)},
                                                               {"tokens", std::to_string(state.tokens)},
                                                               {"seconds", std::to_string(state.seconds)}};
  for (const auto& [name, value] : fingerprint) metadata.emplace_back("made from " + name, value);
  files::replace_file(path, files::safetensors_bytes(observer.state(), metadata));
}

CalibrationState load_state(const std::string& path, const Fingerprint& fingerprint, ScaleObserver& observer) {
  const files::MappedFile file(path);
  const files::Safetensors read = files::read_safetensors(file.bytes(), path);
  const Metadata metadata(read.metadata.begin(), read.metadata.end());
  const auto format = metadata.find("format");
  if (format == metadata.end() || format->second != kFormat)
    refuse(path, "is no calibration state of this version");
  for (const auto& [name, value] : fingerprint) {
    const auto found = metadata.find("made from " + name);
    const std::string old = found == metadata.end() ? "unknown" : found->second;
    if (old != value)
      throw Error(ErrorCode::invalid_argument,
                  "cannot go on: the interrupted calibration had another " + name + " (" + old + ", now " +
                      value + "); without --resume it starts anew",
                  path);
  }
  const CalibrationState state = {
      number<std::int64_t>(metadata, "samples", path), number<std::int64_t>(metadata, "skipped", path),
      number<std::int64_t>(metadata, "tokens", path), number<double>(metadata, "seconds", path)};
  if (state.skipped > state.samples)
    refuse(path, "skipped: expected at most the samples, " + std::to_string(state.samples) + ", found " +
                     std::to_string(state.skipped));
  observer.restore(read.tensors);
  return state;
}

}  // namespace octet::calibrate
