// Changing a member of a JSON object, such as a config.json, and leaving the others as they are.
#pragma once

#include <string>
#include <string_view>

namespace octet::files {

// `object` (JSON text of an object, from `file`) with the member `key` set to `value` (JSON text): where it
// stands, or at the end. Indented by two, as transformers writes its configs; numbers keep their value.
// Throws Error{invalid_file} naming `file` where the text is not an object.
std::string set_json_member(std::string_view object, std::string_view key, std::string_view value,
                            const std::string& file);

// A JSON string literal of `text`, which must be valid UTF-8.
std::string json_string(std::string_view text);

}  // namespace octet::files
