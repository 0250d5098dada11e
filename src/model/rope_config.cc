// The rotary members of config.json, in the spelling of transformers 5 (rope_parameters) and before it
// (rope_scaling, with rope_theta beside it).
#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

#include "model/config_fields.h"
#include "model/rope.h"

namespace octet::model {

namespace {

using files::JsonValue;
using Type = RopeConfig::Type;

constexpr double kMostFactor = 1e6;

Type read_type(const JsonValue& rope, bool required) {
  const auto type = find_either(rope, "rope_type", "type");
  if (!type && !required) return Type::default_;
  const JsonValue value = type ? *type : rope.at("rope_type");
  const std::string name = value.as_string();
  if (name == "default") return Type::default_;
  if (name == "linear") return Type::linear;
  if (name == "llama3") return Type::llama3;
  if (name == "yarn") return Type::yarn;
  if (name == "longrope" || name == "su") return Type::longrope;  // "su" in the first Phi-3 checkpoints
  refuse(value, "\"" + name + "\" is not run here; run are default, linear, llama3, yarn, longrope");
}

// A member that is not known here could change every frequency.
void refuse_unknown_members(const JsonValue& rope, Type type) {
  static constexpr std::array<std::string_view, 8> kAll = {"rope_type",
                                                           "type",
                                                           "rope_theta",
                                                           "factor",
                                                           "low_freq_factor",
                                                           "high_freq_factor",
                                                           "original_max_position_embeddings",
                                                           "partial_rotary_factor"};
  static constexpr std::array<std::string_view, 6> kYarn = {"attention_factor", "beta_fast",      "beta_slow",
                                                            "mscale",           "mscale_all_dim", "truncate"};
  static constexpr std::array<std::string_view, 3> kLongrope = {"attention_factor", "short_factor",
                                                                "long_factor"};
  const auto among = [](const auto& names, std::string_view key) {
    return std::find(names.begin(), names.end(), key) != names.end();
  };
  for (const std::string& key : rope.keys()) {
    if (among(kAll, key) || (type == Type::yarn && among(kYarn, key)) ||
        (type == Type::longrope && among(kLongrope, key)))
      continue;
    if (const auto value = rope.find(key)) refuse(*value, "is not known here");
  }
}

// The member `inner` of the rotary members, or `outer` at the top level; an error where both are and differ.
std::optional<JsonValue> find_agreed(const JsonValue& config, const char* outer,
                                     const std::optional<JsonValue>& parameters, const char* inner) {
  const auto above = config.find(outer), within = parameters ? parameters->find(inner) : std::nullopt;
  if (above && within && above->as_double() != within->as_double())
    within->fail(within->dump() + " contradicts " + outer + " " + above->dump() + " at the top level");
  return within ? within : above;
}

int read_rotary_dim(const JsonValue& config, const std::optional<JsonValue>& parameters, int head_dim) {
  const auto factor = find_agreed(config, "partial_rotary_factor", parameters, "partial_rotary_factor");
  if (!factor) return head_dim;
  const int rotary_dim = static_cast<int>(head_dim * read_number(*factor, 0.0, 1.0));
  if (rotary_dim < 2 || rotary_dim % 2 != 0)
    factor->fail(factor->dump() + " of head_dim " + std::to_string(head_dim) + " is " +
                 std::to_string(rotary_dim) + " elements: rotary embedding turns pairs");
  return rotary_dim;
}

double read_factor(const JsonValue& scaling) {
  const JsonValue value = scaling.at("factor");
  const double factor = value.as_double();
  if (factor < 1.0 || factor > kMostFactor)
    value.fail("expected a number from 1 to 1000000, found " + value.dump());
  return factor;
}

void read_llama3(const JsonValue& scaling, RopeConfig& rope) {
  rope.low_freq_factor = read_number(scaling.at("low_freq_factor"), 0.0, kMostFactor);
  rope.high_freq_factor = read_number(scaling.at("high_freq_factor"), 0.0, kMostFactor);
  if (rope.high_freq_factor <= rope.low_freq_factor)
    scaling.at("high_freq_factor")
        .fail("expected more than low_freq_factor " + scaling.at("low_freq_factor").dump() + ", found " +
              scaling.at("high_freq_factor").dump());
  rope.original_max_position_embeddings =
      read_int(scaling, "original_max_position_embeddings", 1, kMostPositions);
}

// It stands in the rotary members, or at the top level (Phi-3).
int read_original_positions(const JsonValue& config, const JsonValue& scaling) {
  const char* key = "original_max_position_embeddings";
  const auto value = find_agreed(config, key, scaling, key);
  return static_cast<int>((value ? *value : scaling.at(key)).as_int(2, kMostPositions));
}

double read_optional(const JsonValue& scaling, const char* key, double absent) {
  const auto value = scaling.find(key);
  return value ? read_number(*value, 0.0, kMostFactor) : absent;
}

// The length that attention's softmax was trained at grows with the factor: "mscale".
double yarn_attention_factor(const JsonValue& scaling, double factor) {
  if (scaling.find("attention_factor")) return read_optional(scaling, "attention_factor", 1.0);
  const auto scale = [&](double by) { return factor <= 1 ? 1.0 : 0.1 * by * std::log(factor) + 1.0; };
  const auto given = [&](const char* key) {
    const auto value = scaling.find(key);
    return value ? value->as_double() : 0.0;
  };
  const double over = given("mscale"), under = given("mscale_all_dim");
  if (over < 0 || under < 0) scaling.fail("expected mscale and mscale_all_dim not below 0");
  return over != 0 && under != 0 ? scale(over) / scale(under) : scale(1.0);
}

void read_yarn(const JsonValue& config, const JsonValue& scaling, RopeConfig& rope) {
  rope.factor = read_factor(scaling);
  rope.original_max_position_embeddings = read_original_positions(config, scaling);
  rope.attention_factor = yarn_attention_factor(scaling, rope.factor);
  rope.beta_fast = read_optional(scaling, "beta_fast", 32.0);
  rope.beta_slow = read_optional(scaling, "beta_slow", 1.0);
  rope.truncate = read_flag(scaling, "truncate", true);
}

std::vector<double> read_factors(const JsonValue& scaling, const char* key, int count) {
  const JsonValue list = scaling.at(key);
  const std::vector<JsonValue> elements = list.elements();
  if (elements.size() != static_cast<std::size_t>(count))
    list.fail("expected " + std::to_string(count) + " numbers, one for each pair of a head that turns, found " +
              std::to_string(elements.size()));
  std::vector<double> factors;
  for (const JsonValue& element : elements) factors.push_back(read_number(element, 0.0, kMostFactor));
  return factors;
}

void read_longrope(const JsonValue& config, const JsonValue& scaling, RopeConfig& rope) {
  rope.original_max_position_embeddings = read_original_positions(config, scaling);
  rope.short_factor = read_factors(scaling, "short_factor", rope.rotary_dim / 2);
  rope.long_factor = read_factors(scaling, "long_factor", rope.rotary_dim / 2);
  const double original = rope.original_max_position_embeddings;
  rope.factor = scaling.find("factor")
                    ? read_factor(scaling)
                    : read_int(config, "max_position_embeddings", 1, kMostPositions) / original;
  const double default_factor =
      rope.factor <= 1 ? 1.0 : std::sqrt(1.0 + std::log(rope.factor) / std::log(original));
  rope.attention_factor = read_optional(scaling, "attention_factor", default_factor);
}

}  // namespace

std::optional<JsonValue> find_rope_parameters(const JsonValue& config) {
  return find_either(config, "rope_parameters", "rope_scaling");
}

RopeConfig read_rope(const JsonValue& config, const std::optional<JsonValue>& parameters, const char* theta_key,
                     double theta, int head_dim) {
  RopeConfig rope;
  rope.theta = theta;
  rope.rotary_dim = read_rotary_dim(config, parameters, head_dim);
  if (parameters) {
    rope.type = read_type(*parameters, !config.find("rope_parameters"));
    refuse_unknown_members(*parameters, rope.type);
  }
  if (const auto base = find_agreed(config, theta_key, parameters, "rope_theta"))
    rope.theta = read_number(*base, 1.0, 1e12);
  switch (rope.type) {
    case Type::default_:
      break;
    case Type::linear:
      rope.factor = read_factor(*parameters);
      break;
    case Type::llama3:
      rope.factor = read_factor(*parameters);
      read_llama3(*parameters, rope);
      break;
    case Type::yarn:
      read_yarn(config, *parameters, rope);
      break;
    case Type::longrope:
      read_longrope(config, *parameters, rope);
      break;
  }
  return rope;
}

}  // namespace octet::model
