#include "apps/config_file.h"

#include <octet/error.h>
#include <yaml.h>

#include <algorithm>
#include <new>
#include <utility>

#include "apps/prompts.h"

namespace octet::apps {

namespace {

class YamlReader {
 public:
  YamlReader(const std::string& path, const std::string& content) : path_(path) {
    if (yaml_parser_initialize(&parser_) == 0) throw std::bad_alloc();
    yaml_parser_set_input_string(&parser_, reinterpret_cast<const unsigned char*>(content.data()),
                                 content.size());
  }
  ~YamlReader() {
    if (loaded_) yaml_document_delete(&document_);
    yaml_parser_delete(&parser_);
  }
  YamlReader(const YamlReader&) = delete;
  YamlReader& operator=(const YamlReader&) = delete;

  std::vector<ConfigEntry> read() {
    load();
    const yaml_node_t* root = yaml_document_get_root_node(&document_);
    if (root == nullptr) return {};  // no document at all: an empty file, or comments
    if (root->type != YAML_MAPPING_NODE)
      refuse(root->start_mark, "expected a mapping of flags to values, such as kv-cache-dtype: fp8");
    std::vector<ConfigEntry> entries;
    for (auto* pair = root->data.mapping.pairs.start; pair < root->data.mapping.pairs.top; ++pair) {
      ConfigEntry entry = read_entry(*pair);
      for (const ConfigEntry& other : entries)
        if (other.key == entry.key)
          refuse(node(pair->key).start_mark,
                 "'" + entry.key + "' stands in line " + std::to_string(other.line) + " already");
      entries.push_back(std::move(entry));
    }
    load();
    if (const yaml_node_t* second = yaml_document_get_root_node(&document_))
      refuse(second->start_mark, "expected one document, found a second");
    return entries;
  }

 private:
  [[noreturn]] void refuse(const yaml_mark_t& mark, const std::string& what) const {
    throw Error(ErrorCode::invalid_file, what, path_ + ": line " + std::to_string(mark.line + 1));
  }

  void load() {
    if (loaded_) yaml_document_delete(&document_);
    loaded_ = yaml_parser_load(&parser_, &document_) != 0;
    if (loaded_) return;
    if (parser_.error == YAML_MEMORY_ERROR) throw std::bad_alloc();
    refuse(parser_.problem_mark,
           std::string("is not YAML: ") + (parser_.problem == nullptr ? "?" : parser_.problem));
  }

  const yaml_node_t& node(int index) { return *yaml_document_get_node(&document_, index); }

  static std::string text(const yaml_node_t& scalar) {
    return {reinterpret_cast<const char*>(scalar.data.scalar.value), scalar.data.scalar.length};
  }

  // Nothing (null) is written ~, null or not at all.
  static bool is_null(const yaml_node_t& scalar) {
    const std::string word = text(scalar);
    return scalar.data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (word.empty() || word == "~" || word == "null" || word == "Null" || word == "NULL");
  }

  ConfigEntry read_entry(const yaml_node_pair_t& pair) {
    const yaml_node_t& key = node(pair.key);
    ConfigEntry entry;
    if (key.type == YAML_SCALAR_NODE) entry.key = text(key);
    if (entry.key.empty() || entry.key.find_first_of(" \t\r\n") != std::string::npos)
      refuse(key.start_mark, "expected the name of a flag");
    std::replace(entry.key.begin(), entry.key.end(), '_', '-');
    entry.line = static_cast<int>(key.start_mark.line) + 1;
    const auto take = [&](const yaml_node_t& value) {
      if (value.type != YAML_SCALAR_NODE || is_null(value)) entry.readable = false;
      if (entry.readable) entry.values.push_back(text(value));
    };
    const yaml_node_t& value = node(pair.value);
    if (value.type != YAML_SEQUENCE_NODE) {
      take(value);
    } else {
      for (auto* item = value.data.sequence.items.start; item < value.data.sequence.items.top; ++item)
        take(node(*item));
    }
    return entry;
  }

  const std::string& path_;
  yaml_parser_t parser_;
  yaml_document_t document_;
  bool loaded_ = false;
};

}  // namespace

std::vector<ConfigEntry> read_config_file(const std::string& path) {
  const std::string content = read_file(path);
  return YamlReader(path, content).read();
}

}  // namespace octet::apps
