#include "text/tokenizer_config.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/error.h"
#include "text/json_field.h"

namespace octet::text {
namespace {

constexpr std::uintmax_t kMaxFileBytes = std::uintmax_t{256} << 20;

bool exists(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

// "bos_token": "<s>" or {"content": "<s>", …}; null or absent is empty.
std::string token_content(const JsonField& config, const std::string& key) {
  const std::optional<JsonField> member = config.find(key);
  if (!member) return {};
  return member->is_object() ? member->at("content").string() : member->string();
}

// A string, or a list of {"name", "template"} of which "default" is for plain chat.
std::string template_source(const JsonField& field) {
  if (!field.is_array()) return field.string();
  for (const JsonField& named : field.elements()) {
    if (named.at("name").string() == "default") return named.at("template").string();
  }
  field.unsupported("none of the named templates is \"default\"");
}

}  // namespace

std::string read_text_file(const std::string& path) {
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::status(path, error);
  if (!std::filesystem::exists(status)) throw Error(ErrorCode::not_found, "no such file", path);
  if (!std::filesystem::is_regular_file(status)) throw Error(ErrorCode::io, "not a regular file", path);
  const std::uintmax_t size = std::filesystem::file_size(path, error);
  if (error) throw Error(ErrorCode::io, error.message(), path);
  if (size > kMaxFileBytes) throw Error(ErrorCode::invalid_file, "larger than 256 MiB", path);
  std::string text(static_cast<std::size_t>(size), '\0');
  std::ifstream stream(path, std::ios::binary);
  if (!stream) throw Error(ErrorCode::io, std::strerror(errno), path);
  stream.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (stream.gcount() != static_cast<std::streamsize>(text.size()))
    throw Error(ErrorCode::io, "cannot be read", path);
  return text;
}

TokenizerConfig TokenizerConfig::load(const std::string& directory) {
  TokenizerConfig config;
  const std::string path = directory + "/tokenizer_config.json";
  if (exists(path)) {
    const nlohmann::json json = parse_json(read_text_file(path), path);
    const JsonField root(json, path);
    config.bos_token = token_content(root, "bos_token");
    config.eos_token = token_content(root, "eos_token");
    config.unk_token = token_content(root, "unk_token");
    config.pad_token = token_content(root, "pad_token");
    if (const auto source = root.find("chat_template")) {
      config.chat_template = template_source(*source);
      config.chat_template_file = path;
    }
  }
  const std::string jinja = directory + "/chat_template.jinja";
  if (exists(jinja)) {
    config.chat_template = read_text_file(jinja);
    config.chat_template_file = jinja;
  }
  return config;
}

}  // namespace octet::text
