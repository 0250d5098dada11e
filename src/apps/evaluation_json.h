// An evaluation as JSON: what --json prints and what the page of --html draws.
#pragma once

#include <octet/evaluation.h>

#include <string>

namespace octet::apps {

// One object, as docs/quality.md describes it. What is not finite (no error at all, in dB) is null.
std::string evaluation_json(const EvaluationResult& result, bool indented);

// The self-contained page of --html with the evaluation in it.
std::string evaluation_page(const EvaluationResult& result);

}  // namespace octet::apps
