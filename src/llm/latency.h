// Latencies as Prometheus counts them: vLLM's bounds, so that its dashboards fit.
#pragma once

#include <octet/async_llm.h>

#include <vector>

namespace octet::llm {

// With vLLM's bounds, empty: of the first token, between tokens, of a whole request.
LatencyHistogram first_token_histogram();
LatencyHistogram inter_token_histogram();
LatencyHistogram request_histogram();

void observe(LatencyHistogram& histogram, double seconds);

}  // namespace octet::llm
