#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>
#include <octet/async_llm.h>
#include <octet/llm.h>

#include <algorithm>
#include <cstddef>
#include <vector>

#include "bindings.h"

namespace octet::python {

namespace nb = nanobind;
using nb::literals::operator""_a;

void bind_outputs(nb::module_& m) {
  nb::class_<Logprob>(m, "Logprob")
      .def_ro("token_id", &Logprob::token_id)
      .def_ro("logprob", &Logprob::logprob)
      .def_ro("rank", &Logprob::rank)
      .def_ro("decoded_token", &Logprob::decoded_token);
  nb::class_<CompletionOutput>(m, "CompletionOutput")
      .def_ro("index", &CompletionOutput::index)
      .def_ro("text", &CompletionOutput::text)
      .def_ro("token_ids", &CompletionOutput::token_ids)
      .def_ro("finish_reason", &CompletionOutput::finish_reason)
      .def_ro("stop_reason", &CompletionOutput::stop_reason)
      .def_ro("cumulative_logprob", &CompletionOutput::cumulative_logprob)
      // A long answer's rows are too many to be made anew with each of its tokens.
      .def(
          "logprobs_from",
          [](const CompletionOutput& output, std::size_t token) {
            const auto& rows = output.logprobs;
            const auto first = static_cast<std::ptrdiff_t>(std::min(token, rows.size()));
            return std::vector<std::vector<Logprob>>(rows.begin() + first, rows.end());
          },
          "token"_a);
  nb::class_<RequestTimings>(m, "RequestTimings")
      .def_ro("first_token", &RequestTimings::first_token)
      .def_ro("finished", &RequestTimings::finished);
  nb::class_<TokenUsage>(m, "TokenUsage")
      .def_ro("cached_tokens", &TokenUsage::cached_tokens)
      .def_ro("completion_tokens", &TokenUsage::completion_tokens);
  nb::class_<RequestOutput>(m, "RequestOutput")
      .def_ro("prompt_token_ids", &RequestOutput::prompt_token_ids)
      .def_ro("outputs", &RequestOutput::outputs)
      .def_ro("prompt_logprobs", &RequestOutput::prompt_logprobs)
      .def_ro("finished", &RequestOutput::finished)
      .def_ro("timings", &RequestOutput::timings);
}

}  // namespace octet::python
