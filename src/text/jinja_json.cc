#include "text/jinja_json.h"

#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

namespace octet::text::jinja {
namespace {

using Json = nlohmann::ordered_json;

Dict to_dict(Runtime& runtime, const Json& object);

Value to_value(Runtime& runtime, const Json& json) {
  runtime.step();
  switch (json.type()) {
    case Json::value_t::boolean:
      return Value(json.get<bool>());
    case Json::value_t::number_integer:
      return Value(json.get<std::int64_t>());
    case Json::value_t::number_unsigned: {
      const auto number = json.get<std::uint64_t>();
      if (number > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
        return Value(static_cast<double>(number));
      }
      return Value(static_cast<std::int64_t>(number));
    }
    case Json::value_t::number_float:
      return Value(json.get<double>());
    case Json::value_t::string:
      return Value(json.get_ref<const std::string&>());
    case Json::value_t::array: {
      std::vector<Value> items;
      items.reserve(json.size());
      for (const Json& item : json) items.push_back(to_value(runtime, item));
      return make_sequence(runtime, SequenceKind::list, std::move(items));
    }
    case Json::value_t::object:
      return make_dict(runtime, to_dict(runtime, json));
    default:
      return Value();
  }
}

Dict to_dict(Runtime& runtime, const Json& object) {
  Dict dict;
  for (const auto& [key, value] : object.items()) dict.set(Value(key), to_value(runtime, value));
  return dict;
}

}  // namespace

Dict parse_variables(Runtime& runtime, std::string_view json) {
  // Before anything recurses over it.
  const auto check_depth = [](int depth, Json::parse_event_t, Json&) {
    if (depth >= kMaxValueDepth)
      refuse("the variables are nested more than " + std::to_string(kMaxValueDepth) + " deep");
    return true;
  };
  try {
    const Json parsed = Json::parse(json.begin(), json.end(), check_depth);
    if (!parsed.is_object())
      refuse(std::string("the variables are a JSON ") + parsed.type_name() + ", not an object");
    return to_dict(runtime, parsed);
  } catch (const Json::exception& error) {
    refuse(std::string("the variables are not valid JSON: ") + error.what());
  }
}

}  // namespace octet::text::jinja
