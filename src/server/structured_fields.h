// The fields of a request that give its answers a form: OpenAI's response_format, and vLLM's structured_outputs
// and guided_json, guided_regex and guided_choice.
#pragma once

#include <octet/error.h>
#include <octet/sampling_params.h>

#include <optional>
#include <string>

#include "server/json_fields.h"

namespace octet::server {

struct AskedForm {
  StructuredOutputsParams form;
  std::string field;  // whose value it is: "response_format.json_schema.schema"
};

// Nothing where the answer is free. Throws ApiError 400 naming the field: wrong types, several forms at once,
// and forms that are not there.
std::optional<AskedForm> read_form(const Fields& fields);

// The engine's error about a form, which it knows as structured_outputs, with the path in the request.
Error at_field(const Error& error, const std::string& field);

}  // namespace octet::server
