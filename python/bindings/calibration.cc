#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>
#include <octet/calibration.h>

#include "bindings.h"
#include "interruptible.h"

namespace octet::python {

namespace nb = nanobind;
using nb::literals::operator""_a;

namespace {

nb::dict as_dict(const CalibrationResult& result) {
  nb::list layers;
  for (const CalibratedLayer& layer : result.layers) {
    nb::dict d;
    d["k"] = nb::cast(layer.k);
    d["v"] = nb::cast(layer.v);
    d["q"] = nb::cast(layer.q);
    layers.append(d);
  }
  nb::dict d;
  d["output"] = result.output;
  d["samples"] = result.progress.samples;
  d["skipped"] = result.skipped;
  d["samples_in_dataset"] = result.samples_in_dataset;
  d["tokens"] = result.progress.tokens;
  d["seconds"] = result.progress.seconds;
  d["strategy"] = result.strategy;
  d["observer"] = result.observer;
  d["layers"] = layers;
  d["notices"] = nb::cast(result.notices);
  d["isa"] = result.isa;
  d["threads"] = result.threads;
  return d;
}

nb::dict calibrate(const CalibrationOptions& options, nb::object on_progress) {
  Interruptible run(std::move(on_progress));
  CalibrationResult result;
  {
    const nb::gil_scoped_release released;
    result = run_calibration(options, [&](const CalibrationProgress& progress) {
      return run.step(
          [&] { return nb::make_tuple(progress.samples, progress.total_samples, progress.tokens); });
    });
  }
  run.rethrow();
  return as_dict(result);
}

}  // namespace

void bind_calibration(nb::module_& m) {
  nb::class_<CalibrationOptions>(m, "CalibrationOptions")
      .def(nb::init<>())
      .def_rw("model", &CalibrationOptions::model)
      .def_rw("dataset", &CalibrationOptions::dataset)
      .def_rw("method", &CalibrationOptions::method)
      .def_rw("output", &CalibrationOptions::output)
      .def_rw("strategy", &CalibrationOptions::strategy)
      .def_rw("observer", &CalibrationOptions::observer)
      .def_rw("percentile", &CalibrationOptions::percentile)
      .def_rw("targets", &CalibrationOptions::targets)
      .def_rw("dtype", &CalibrationOptions::dtype)
      .def_rw("num_samples", &CalibrationOptions::num_samples)
      .def_rw("max_seq_length", &CalibrationOptions::max_seq_length, nb::arg().none())
      .def_rw("seed", &CalibrationOptions::seed)
      .def_rw("shuffle", &CalibrationOptions::shuffle)
      .def_rw("scales_only", &CalibrationOptions::scales_only)
      .def_rw("force", &CalibrationOptions::force)
      .def_rw("resume", &CalibrationOptions::resume)
      .def_rw("threads", &CalibrationOptions::threads)
      .def_rw("isa", &CalibrationOptions::isa);
  m.def("calibrate", calibrate, "options"_a, "on_progress"_a.none());
}

}  // namespace octet::python
