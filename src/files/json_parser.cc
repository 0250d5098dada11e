#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "base/error.h"
#include "files/json_node.h"
#include "files/printable.h"

namespace octet::files {

namespace {

// Objects with more members than this are looked up by hash, the others by walking them.
constexpr std::uint64_t kSmallObject = 12;

std::string place(std::string_view text, std::size_t offset) {
  const std::string_view before = text.substr(0, std::min(offset, text.size()));
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const std::size_t newline = before.rfind('\n');
  const std::size_t column = newline == std::string_view::npos ? before.size() : before.size() - newline - 1;
  return "line " + std::to_string(line) + ", column " + std::to_string(std::max<std::size_t>(column, 1));
}

// The library's message without its own prefix and position.
std::string reason(std::string_view what) {
  const std::size_t bracket = what.find("] ");
  if (bracket != std::string_view::npos) what.remove_prefix(bracket + 2);
  if (what.starts_with("parse error")) {
    const std::size_t colon = what.find(": ");
    if (colon != std::string_view::npos) what.remove_prefix(colon + 2);
  }
  return printable(what, 200);
}

// Receives the library's parse events and builds the tree. The library's parser keeps its own stack of
// open containers on the heap, so nesting costs no call stack here.
class TreeBuilder : public nlohmann::json_sax<nlohmann::json> {
 public:
  TreeBuilder(std::string_view text, JsonDocument& document) : text_(text), document_(document) {}

  bool null() override {
    add(JsonKind::null);
    return true;
  }
  bool boolean(bool value) override {
    add(JsonKind::boolean).boolean = value;
    return true;
  }
  bool number_integer(number_integer_t value) override {
    add(JsonKind::integer).integer = value;
    return true;
  }
  bool number_unsigned(number_unsigned_t value) override {
    if (value <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
      add(JsonKind::integer).integer = static_cast<std::int64_t>(value);
    else
      add(JsonKind::unsigned_integer).unsigned_integer = value;
    return true;
  }
  bool number_float(number_float_t value, const string_t&) override {
    add(JsonKind::real).real = value;
    return true;
  }
  bool string(string_t& value) override {
    JsonNode& node = add(JsonKind::string);
    node.text = keep(std::move(value));
    return true;
  }
  bool binary(binary_t&) override { return false; }  // not in JSON text
  bool start_object(std::size_t) override { return open(JsonKind::object); }
  bool start_array(std::size_t) override { return open(JsonKind::array); }
  bool key(string_t& value) override {
    name_ = keep(std::move(value));
    return true;
  }
  bool end_object() override {
    const Open closed = close();
    return index_members(*closed.node);
  }
  bool end_array() override {
    close();
    return true;
  }
  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception& error) override {
    error_ = place(text_, position) + ": invalid JSON: " + reason(error.what());
    return false;
  }

  const std::string& error() const { return error_; }

 private:
  struct Open {
    JsonNode* node;
    JsonNode* last_child;
  };

  std::string_view keep(std::string value) { return document_.texts.emplace_back(std::move(value)); }

  JsonNode& add(JsonKind kind) {
    JsonNode& node = document_.nodes.emplace_back();
    node.kind = kind;
    node.document = &document_;
    if (open_.empty()) return node;
    auto& [parent, last_child] = open_.back();
    node.parent = parent;
    node.index = parent->children++;
    if (parent->kind == JsonKind::object) node.name = std::exchange(name_, {});
    if (last_child)
      last_child->next = &node;
    else
      parent->first_child = &node;
    last_child = &node;
    return node;
  }

  bool open(JsonKind kind) {
    JsonNode& node = add(kind);
    if (open_.size() == kMaxJsonDepth) {
      error_ = "nested deeper than " + std::to_string(kMaxJsonDepth) + " levels";
      return false;
    }
    open_.push_back({&node, nullptr});
    return true;
  }

  Open close() {
    const Open closed = open_.back();
    open_.pop_back();
    return closed;
  }

  bool duplicate(const JsonNode& node) {
    error_ = json_path(node) + ": stands twice in its object";
    return false;
  }

  bool index_members(const JsonNode& object) {
    if (object.children <= kSmallObject) {
      for (const JsonNode* a = object.first_child; a; a = a->next)
        for (const JsonNode* b = object.first_child; b != a; b = b->next)
          if (a->name == b->name) return duplicate(*a);
      return true;
    }
    JsonDocument::Members& members = document_.members[&object];
    members.reserve(object.children);
    for (const JsonNode* child = object.first_child; child; child = child->next)
      if (!members.emplace(child->name, child).second) return duplicate(*child);
    return true;
  }

  std::string_view text_;
  JsonDocument& document_;
  std::vector<Open> open_;
  std::string_view name_;
  std::string error_;
};

}  // namespace

const JsonNode* JsonDocument::find(const JsonNode& object, std::string_view name) const {
  if (object.children > kSmallObject) {
    const Members& index = members.at(&object);
    const auto found = index.find(name);
    return found == index.end() ? nullptr : found->second;
  }
  for (const JsonNode* child = object.first_child; child; child = child->next)
    if (child->name == name) return child;
  return nullptr;
}

std::shared_ptr<const JsonDocument> parse_json(std::string_view text, std::string file) {
  auto document = std::make_shared<JsonDocument>();
  document->file = std::move(file);
  TreeBuilder builder(text, *document);
  if (!nlohmann::json::sax_parse(text.begin(), text.end(), &builder))
    throw Error(ErrorCode::invalid_file, builder.error(), document->file);
  OCTET_CHECK(!document->nodes.empty());
  return document;
}

std::string json_path(const JsonNode& node) {
  std::vector<const JsonNode*> line;
  for (const JsonNode* at = &node; at->parent; at = at->parent) line.push_back(at);
  std::string path;
  for (auto at = line.rbegin(); at != line.rend(); ++at) {
    if ((*at)->parent->kind == JsonKind::array) {
      path.append("[").append(std::to_string((*at)->index)).append("]");
    } else {
      if (!path.empty()) path += '.';
      path += printable((*at)->name);
    }
  }
  return path;
}

}  // namespace octet::files
