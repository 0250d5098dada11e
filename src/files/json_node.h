// The tree behind JsonValue; private to files/.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

namespace octet::files {

struct JsonDocument;

enum class JsonKind : std::uint8_t { null, boolean, integer, unsigned_integer, real, string, array, object };

// One value. Nodes and their texts live in the JsonDocument and never move.
struct JsonNode {
  JsonKind kind = JsonKind::null;
  std::uint64_t index = 0;  // its place in the parent
  const JsonDocument* document = nullptr;
  const JsonNode* parent = nullptr;  // null for the root
  const JsonNode* first_child = nullptr;
  const JsonNode* next = nullptr;  // sibling
  std::uint64_t children = 0;
  std::string_view name;  // of a member of an object
  std::string_view text;  // of a string
  union {
    bool boolean;
    std::int64_t integer = 0;
    std::uint64_t unsigned_integer;  // only beyond the range of `integer`
    double real;
  };
};

struct JsonDocument {
  using Members = std::unordered_map<std::string_view, const JsonNode*>;

  std::string file;
  std::deque<JsonNode> nodes;  // a deque: addresses stay; [0] is the root
  std::deque<std::string> texts;
  std::unordered_map<const JsonNode*, Members> members;  // of objects with more than a few members

  // The member, or null. `object` is of this document and of the kind object.
  const JsonNode* find(const JsonNode& object, std::string_view name) const;
};

constexpr int kMaxJsonDepth = 256;

// Throws as JsonValue::parse.
std::shared_ptr<const JsonDocument> parse_json(std::string_view text, std::string file);

// "a.b[3].c"; empty for the root.
std::string json_path(const JsonNode& node);

}  // namespace octet::files
