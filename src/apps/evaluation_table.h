// An evaluation as tables for people.
#pragma once

#include <octet/evaluation.h>

#include <ostream>

namespace octet::apps {

// One row a configuration: likelihood, divergence, drift; then errors of the layers in short (`every_head`: of
// every layer and head), then the needles.
void write_evaluation(std::ostream& out, const EvaluationResult& result, bool every_head);

}  // namespace octet::apps
