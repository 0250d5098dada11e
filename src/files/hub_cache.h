// The local Hugging Face cache: where a model stands that is given by its name on the hub; see
// octet/hub_cache.h.
#pragma once

#include <string>
#include <string_view>

namespace octet::files {

// Whether a text may be a model's name on the hub: "MODEL" or "ORGANISATION/MODEL".
bool is_hub_name(std::string_view name);

// As octet::hub_cache() and octet::find_model().
std::string hub_cache();
std::string find_model(const std::string& model, const std::string& revision = "main");

}  // namespace octet::files
