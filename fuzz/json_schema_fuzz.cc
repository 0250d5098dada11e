// Any bytes as a JSON schema and as a regular expression: taken, or refused with an Error.
#include <cstdint>
#include <string_view>

#include "base/error.h"
#include "grammar/json_schema.h"
#include "grammar/regex_size.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  try {
    octet::grammar::check_json_schema(input, "json");
  } catch (const octet::Error&) {
  }
  try {
    octet::grammar::regex_size(input, "regex");
  } catch (const octet::Error&) {
  }
  return 0;
}
