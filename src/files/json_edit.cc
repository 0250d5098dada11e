#include "files/json_edit.h"

#include <nlohmann/json.hpp>

#include "base/error.h"

namespace octet::files {

std::string set_json_member(std::string_view object, std::string_view key, std::string_view value,
                            const std::string& file) {
  using Json = nlohmann::ordered_json;
  Json document = Json::parse(object, nullptr, /*allow_exceptions=*/false);
  if (!document.is_object()) throw Error(ErrorCode::invalid_file, "expected a JSON object", file);
  const Json parsed = Json::parse(value, nullptr, /*allow_exceptions=*/false);
  OCTET_CHECK(!parsed.is_discarded());
  document[std::string(key)] = parsed;
  return document.dump(2) + "\n";
}

std::string json_string(std::string_view text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace octet::files
