#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>
#include <octet/evaluation.h>

#include <utility>

#include "bindings.h"
#include "interruptible.h"

namespace octet::python {

namespace nb = nanobind;
using nb::literals::operator""_a;

namespace {

nb::object likelihood_dict(const LikelihoodFigures& figures) {
  nb::list by_position;
  for (const PositionFigures& p : figures.by_position) {
    nb::dict d;
    d["begin"] = p.begin;
    d["end"] = p.end;
    d["count"] = p.count;
    d["mean_kl"] = p.mean_kl;
    by_position.append(d);
  }
  nb::dict d;
  d["positions"] = figures.positions;
  d["mean_nll"] = figures.mean_nll;
  d["perplexity"] = figures.perplexity;
  d["mean_kl"] = figures.kl.mean;
  d["kl_standard_error"] = figures.kl.standard_error;
  d["median_kl"] = figures.kl.median;
  d["p99_kl"] = figures.kl.p99;
  d["largest_kl"] = figures.kl.largest;
  d["top1_agreement"] = figures.top1_agreement;
  d["by_position"] = by_position;
  return d;
}

nb::object drift_dict(const DriftFigures& figures) {
  nb::list texts;
  for (const DriftText& text : figures.texts) {
    nb::dict d;
    d["baseline_tokens"] = text.baseline_tokens;
    d["first_difference"] = text.first_difference;
    d["in_common"] = text.in_common;
    d["baseline_text"] = text.baseline_text;
    d["text"] = text.text;
    texts.append(d);
  }
  nb::dict d;
  d["mean_first_difference"] = figures.mean_first_difference;
  d["median_first_difference"] = figures.median_first_difference;
  d["in_common"] = figures.in_common;
  d["identical"] = figures.identical;
  d["texts"] = texts;
  return d;
}

// A row for each layer, tensor and head, as a table has it.
void add_heads(nb::list& rows, int layer, const char* tensor, const std::string& dtype,
               const std::vector<HeadFigures>& heads) {
  for (std::size_t head = 0; head < heads.size(); ++head) {
    nb::dict d;
    d["layer"] = layer;
    d["tensor"] = tensor;
    d["head"] = head;
    d["dtype"] = dtype;
    d["absmax"] = heads[head].absmax;
    d["scale"] = heads[head].scale;
    d["saturation"] = heads[head].saturation;
    d["underflow"] = heads[head].underflow;
    d["sqnr_db"] = heads[head].sqnr_db;
    rows.append(d);
  }
}

nb::list layer_rows(const std::vector<LayerFigures>& layers) {
  nb::list rows;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const int layer = static_cast<int>(i);
    add_heads(rows, layer, "k", layers[i].k_dtype, layers[i].k);
    add_heads(rows, layer, "v", layers[i].v_dtype, layers[i].v);
    for (std::size_t head = 0; head < layers[i].output_sqnr_db.size(); ++head) {
      nb::dict d;
      d["layer"] = layer;
      d["tensor"] = "attention output";
      d["head"] = head;
      d["sqnr_db"] = layers[i].output_sqnr_db[head];
      rows.append(d);
    }
  }
  return rows;
}

nb::list needle_rows(const std::vector<NeedleFigures>& needles) {
  nb::list rows;
  for (const NeedleFigures& needle : needles) {
    nb::dict d;
    d["length"] = needle.length;
    d["depth"] = needle.depth;
    d["logprob"] = needle.logprob;
    d["found"] = needle.found;
    rows.append(d);
  }
  return rows;
}

nb::list as_rows(const EvaluationResult& result) {
  nb::list rows;
  for (const ConfigFigures& config : result.configs) {
    nb::dict d;
    d["config"] = config.name;
    d["directory"] = config.directory;
    d["dtype"] = config.dtype;
    d["bytes_per_token"] = config.bytes_per_token;
    d["scale_source"] = config.scale_source;
    d["scale_strategy"] = config.scale_strategy;
    d["likelihood"] = config.likelihood ? likelihood_dict(*config.likelihood) : nb::object(nb::none());
    d["drift"] = config.drift ? drift_dict(*config.drift) : nb::object(nb::none());
    d["layers"] = layer_rows(config.layers);
    d["needles"] = needle_rows(config.needles);
    rows.append(d);
  }
  return rows;
}

nb::tuple evaluate(const EvaluationOptions& options, nb::object on_progress) {
  Interruptible run(std::move(on_progress));
  EvaluationResult result;
  {
    const nb::gil_scoped_release released;
    result = run_evaluation(options, [&](const EvaluationProgress& progress) {
      return run.step([&] { return nb::make_tuple(progress.measurement, progress.done, progress.total); });
    });
  }
  run.rethrow();
  return nb::make_tuple(as_rows(result), nb::cast(result.notices));
}

}  // namespace

void bind_evaluation(nb::module_& m) {
  nb::class_<EvaluationOptions>(m, "EvaluationOptions")
      .def(nb::init<>())
      .def_rw("model", &EvaluationOptions::model)
      .def_rw("configs", &EvaluationOptions::configs)
      .def_rw("baseline", &EvaluationOptions::baseline)
      .def("add_text",
           [](EvaluationOptions& o, std::string text) { o.documents.emplace_back(std::move(text)); })
      .def("add_token_ids", [](EvaluationOptions& o,
                               std::vector<std::int32_t> ids) { o.documents.emplace_back(std::move(ids)); })
      .def_rw("dataset", &EvaluationOptions::dataset)
      .def_rw("dataset_samples", &EvaluationOptions::dataset_samples)
      .def_rw("dataset_seed", &EvaluationOptions::dataset_seed)
      .def_rw("context", &EvaluationOptions::context)
      .def_rw("stride", &EvaluationOptions::stride)
      .def_rw("min_context", &EvaluationOptions::min_context)
      .def_rw("max_tokens", &EvaluationOptions::max_tokens)
      .def_rw("layer_tokens", &EvaluationOptions::layer_tokens)
      .def_rw("drift_prompts", &EvaluationOptions::drift_prompts)
      .def_rw("drift_prompt_tokens", &EvaluationOptions::drift_prompt_tokens)
      .def_rw("drift_tokens", &EvaluationOptions::drift_tokens)
      .def_rw("needle_lengths", &EvaluationOptions::needle_lengths)
      .def_rw("needle_depths", &EvaluationOptions::needle_depths)
      .def_rw("needle_samples", &EvaluationOptions::needle_samples)
      .def_rw("needle_seed", &EvaluationOptions::needle_seed)
      .def_rw("block_size", &EvaluationOptions::block_size)
      .def_rw("threads", &EvaluationOptions::threads)
      .def_rw("isa", &EvaluationOptions::isa);
  m.def("evaluate", evaluate, "options"_a, "on_progress"_a.none());
}

}  // namespace octet::python
