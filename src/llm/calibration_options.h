// The options of a calibration, checked: what there is, and what may not go together.
#pragma once

#include <octet/calibration.h>

#include <string>

#include "calibrate/checkpoint_writer.h"
#include "calibrate/scale_observer.h"
#include "files/checkpoint.h"
#include "kv/kv_scales.h"

namespace octet::llm {

// All throw Error{invalid_argument} naming the option, what was expected and what was found.

kv::ScaleStrategy parse_scale_strategy(const std::string& name);
calibrate::Targets parse_targets(const std::string& name);

// Of a calibration from a dataset.
calibrate::ObserverOptions read_observer_options(const CalibrationOptions& options);

// Tokens of a sample at most, of a model whose sequences have at most `most`.
int choose_seq_length(const CalibrationOptions& options, int most);

// The options with the model's name on the hub replaced by where it stands, and an output in the current folder
// where the model stands in the Hugging Face cache and none was asked for. Throws as files::find_model.
CalibrationOptions find_calibrated_model(const CalibrationOptions& asked);

// Where the checkpoint goes, once it is sure that it may go there. Throws also as calibrate::check_output.
calibrate::CheckpointOutput choose_output(const CalibrationOptions& options,
                                          const files::Checkpoint& checkpoint);

// That a calibration from the weights was given no option of one from a dataset.
void require_no_samples(const CalibrationOptions& options);

// The shortest text that reads as `value`.
std::string number_text(double value);

}  // namespace octet::llm
