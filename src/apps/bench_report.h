// What octet bench prints: tables row by row as they are measured, or one JSON object.
#pragma once

#include <octet/bench.h>

#include <iosfwd>
#include <string>

#include "apps/bench_comparison.h"
#include "apps/llama_cpp.h"

namespace octet::apps {

// What is measured and on what, and the names of the columns.
void write_bench_header(std::ostream& out, const BenchOptions& options, const BenchResult& result);
// The latest row.
void write_bench_row(std::ostream& out, const BenchOptions& options, const BenchResult& result);

// The same for a comparison: all rows of the latest depth, and each of Octet's rates over that of the fastest
// peer.
void write_comparison_header(std::ostream& out, const BenchOptions& options, const BenchResult& result);
void write_compared_depth(std::ostream& out, const Comparison& comparison);

std::string bench_json(const BenchOptions& options, const BenchResult& result);
std::string comparison_json(const BenchOptions& options, const LlamaCppFlags& flags,
                            const Comparison& comparison);

}  // namespace octet::apps
