#include "calibrate/scale_observer.h"

#include <array>
#include <cstddef>

#include "base/error.h"
#include "calibrate/histogram_observer.h"
#include "calibrate/largest_observer.h"
#include "calibrate/moving_average_observer.h"

namespace octet::calibrate {

namespace {

constexpr std::array<std::string_view, 4> kNames = {"static_minmax", "minmax", "mse", "percentile"};

}  // namespace

ObserverKind parse_observer(const std::string& name) {
  for (std::size_t i = 0; i < kNames.size(); ++i)
    if (kNames[i] == name) return static_cast<ObserverKind>(i);
  throw Error(ErrorCode::invalid_argument,
              "expected static_minmax, minmax, mse or percentile, found '" + name + "'", "observer");
}

std::string_view observer_name(ObserverKind kind) { return kNames[static_cast<std::size_t>(kind)]; }

std::unique_ptr<ScaleObserver> make_observer(const ObserverOptions& options, const model::ModelConfig& config) {
  switch (options.kind) {
    case ObserverKind::static_minmax:
      return std::make_unique<LargestObserver>(options, config);
    case ObserverKind::minmax:
      return std::make_unique<MovingAverageObserver>(options, config);
    case ObserverKind::mse:
    case ObserverKind::percentile:
      return std::make_unique<HistogramObserver>(options, config);
  }
  OCTET_CHECK(false);
  return nullptr;
}

}  // namespace octet::calibrate
