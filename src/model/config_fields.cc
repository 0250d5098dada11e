#include "model/config_fields.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace octet::model {

using files::JsonValue;

void refuse(const JsonValue& value, const std::string& message) {
  throw Error(ErrorCode::unsupported, message, value.file() + ": " + value.path());
}

int read_int(const JsonValue& config, const char* key, int least, int most) {
  return static_cast<int>(config.at(key).as_int(least, most));
}

bool read_flag(const JsonValue& config, const char* key, bool absent) {
  const auto value = config.find(key);
  return value ? value->as_bool() : absent;
}

double read_number(const JsonValue& value, double above, double most) {
  const double number = value.as_double();
  if (!(number > above && number <= most))
    value.fail("expected a number above " + std::to_string(above) + " and at most " + std::to_string(most) +
               ", found " + value.dump());
  return number;
}

std::optional<JsonValue> find_either(const JsonValue& config, const char* key, const char* other) {
  const auto first = config.find(key), second = config.find(other);
  if (first && second && first->dump() != second->dump())
    first->fail(first->dump() + " contradicts " + other + " " + second->dump());
  return first ? first : second;
}

bool is_stated(const JsonValue& config, const char* key) {
  const std::vector<std::string> keys = config.keys();
  return std::find(keys.begin(), keys.end(), key) != keys.end();
}

int read_sliding_window(const JsonValue& config, int absent, bool used) {
  if (!read_flag(config, "use_sliding_window", used)) return 0;
  if (const auto value = config.find("sliding_window"))
    return static_cast<int>(value->as_int(1, kMostPositions));
  return is_stated(config, "sliding_window") ? 0 : absent;
}

void set_windows(const JsonValue& config, ModelConfig& c, int window, const std::vector<bool>& windowed) {
  const auto set = [&](std::size_t layer, bool has_window) {
    c.layers[layer].sliding_window = has_window ? window : 0;
    if (has_window) c.sliding_window = window;
  };
  const auto layer_types = config.find("layer_types");
  if (!layer_types) {
    for (std::size_t layer = 0; layer < c.layers.size(); ++layer) set(layer, window > 0 && windowed[layer]);
    return;
  }
  const std::vector<JsonValue> types = layer_types->elements();
  if (types.size() != c.layers.size())
    layer_types->fail("expected num_hidden_layers " + std::to_string(c.layers.size()) + " of them, found " +
                      std::to_string(types.size()));
  for (std::size_t layer = 0; layer < types.size(); ++layer) {
    const std::string type = types[layer].as_string();
    if (type != "sliding_attention" && type != "full_attention")
      refuse(types[layer], types[layer].dump() + " is not run here; run are full_attention, sliding_attention");
    if (type == "sliding_attention" && window == 0)
      types[layer].fail(types[layer].dump() + " contradicts the sliding_window, which is none");
    set(layer, type == "sliding_attention");
  }
}

}  // namespace octet::model
