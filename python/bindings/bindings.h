// The parts of octet._octet, one a file. Everything that computes or waits runs without the GIL; what Python
// sees as octet.LLM and the rest is built on these in python/octet.
#pragma once

#include <nanobind/nanobind.h>

namespace octet::python {

void bind_errors(nanobind::module_& m);       // octet::Error becomes the exceptions of octet.errors
void bind_options(nanobind::module_& m);      // SamplingParams, LLMOptions
void bind_outputs(nanobind::module_& m);      // RequestOutput and what it holds
void bind_engine(nanobind::module_& m);       // Engine, Request, Mailbox
void bind_arrays(nanobind::module_& m);       // logits(), cache_memory() over an Engine
void bind_calibration(nanobind::module_& m);  // CalibrationOptions, calibrate()
void bind_evaluation(nanobind::module_& m);   // EvaluationOptions, evaluate()
void bind_checkpoint(nanobind::module_& m);   // inspect(), find_model()
void bind_fp8(nanobind::module_& m);          // quantize_fp8(), dequantize_fp8()

}  // namespace octet::python
