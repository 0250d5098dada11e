#include <nanobind/stl/map.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>
#include <octet/llm.h>
#include <octet/sampling_params.h>

#include "bindings.h"

namespace octet::python {

namespace nb = nanobind;

void bind_options(nb::module_& m) {
  nb::class_<StructuredOutputsParams>(m, "StructuredOutputsParams")
      .def(nb::init<>())
      .def_rw("json", &StructuredOutputsParams::json, nb::arg().none())
      .def_rw("regex", &StructuredOutputsParams::regex, nb::arg().none())
      .def_rw("choice", &StructuredOutputsParams::choice, nb::arg().none())
      .def_rw("json_object", &StructuredOutputsParams::json_object);

  nb::class_<SamplingParams>(m, "SamplingParams")
      .def(nb::init<>())
      .def_rw("n", &SamplingParams::n)
      .def_rw("presence_penalty", &SamplingParams::presence_penalty)
      .def_rw("frequency_penalty", &SamplingParams::frequency_penalty)
      .def_rw("repetition_penalty", &SamplingParams::repetition_penalty)
      .def_rw("temperature", &SamplingParams::temperature)
      .def_rw("top_p", &SamplingParams::top_p)
      .def_rw("top_k", &SamplingParams::top_k)
      .def_rw("min_p", &SamplingParams::min_p)
      .def_rw("seed", &SamplingParams::seed, nb::arg().none())
      .def_rw("stop", &SamplingParams::stop)
      .def_rw("stop_token_ids", &SamplingParams::stop_token_ids)
      .def_rw("include_stop_str_in_output", &SamplingParams::include_stop_str_in_output)
      .def_rw("ignore_eos", &SamplingParams::ignore_eos)
      .def_rw("max_tokens", &SamplingParams::max_tokens, nb::arg().none())
      .def_rw("min_tokens", &SamplingParams::min_tokens)
      .def_rw("logprobs", &SamplingParams::logprobs, nb::arg().none())
      .def_rw("prompt_logprobs", &SamplingParams::prompt_logprobs, nb::arg().none())
      .def_rw("logit_bias", &SamplingParams::logit_bias)
      .def_rw("skip_special_tokens", &SamplingParams::skip_special_tokens)
      .def_rw("structured_outputs", &SamplingParams::structured_outputs, nb::arg().none())
      .def("validate", &SamplingParams::validate);

  nb::class_<LLMOptions>(m, "LLMOptions")
      .def(nb::init<>())
      .def_rw("model", &LLMOptions::model)
      .def_rw("dtype", &LLMOptions::dtype)
      .def_rw("kv_cache_dtype", &LLMOptions::kv_cache_dtype)
      .def_rw("kv_cache_dtype_k", &LLMOptions::kv_cache_dtype_k)
      .def_rw("kv_cache_dtype_v", &LLMOptions::kv_cache_dtype_v)
      .def_rw("kv_cache_dtype_skip_layers", &LLMOptions::kv_cache_dtype_skip_layers)
      .def_prop_rw(
          "calculate_kv_scales", [](const LLMOptions& options) { return options.calculate_kv_scales.from; },
          [](LLMOptions& options, const std::string& from) { options.calculate_kv_scales = from; })
      .def_rw("kv_scale_strategy", &LLMOptions::kv_scale_strategy)
      .def_rw("attention_math", &LLMOptions::attention_math)
      .def_rw("max_model_len", &LLMOptions::max_model_len, nb::arg().none())
      .def_rw("block_size", &LLMOptions::block_size)
      .def_rw("kv_cache_memory_bytes", &LLMOptions::kv_cache_memory_bytes)
      .def_rw("max_num_seqs", &LLMOptions::max_num_seqs)
      .def_rw("max_num_batched_tokens", &LLMOptions::max_num_batched_tokens)
      .def_rw("safetensors_load_strategy", &LLMOptions::safetensors_load_strategy)
      .def_rw("quantization", &LLMOptions::quantization)
      .def_rw("enable_prefix_caching", &LLMOptions::enable_prefix_caching)
      .def_rw("disable_hybrid_kv_cache_manager", &LLMOptions::disable_hybrid_kv_cache_manager)
      .def_rw("threads", &LLMOptions::threads)
      .def_rw("isa", &LLMOptions::isa);
}

}  // namespace octet::python
