// The state of a calibration that was interrupted, in a file, so that it can go on where it stood.
//
// A safetensors file: the observer's arrays, and in its metadata how far it came and what it was made from.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "calibrate/scale_observer.h"

namespace octet::calibrate {

struct CalibrationState {
  std::int64_t samples = 0;  // of the dataset's order, done or skipped
  std::int64_t skipped = 0;
  std::int64_t tokens = 0;
  double seconds = 0;
};

// What the scales depend on, by name: "model", "observer", …, each as text.
using Fingerprint = std::vector<std::pair<std::string, std::string>>;

// Writes the file at once or not at all. Throws Error{io}.
void save_state(const std::string& path, const CalibrationState& state, const Fingerprint& fingerprint,
                const ScaleObserver& observer);

// Reads the file and gives `observer` what it had seen.
// Throws Error: invalid_argument where the fingerprint differs, naming what does and both values; invalid_file
// for a file that is no such state; io.
CalibrationState load_state(const std::string& path, const Fingerprint& fingerprint, ScaleObserver& observer);

}  // namespace octet::calibrate
