#include "apps/evaluation_input.h"

#include <algorithm>
#include <iostream>
#include <iterator>
#include <utility>

#include "apps/config_file.h"
#include "apps/prompts.h"

namespace octet::apps {

namespace {

std::string joined_by_commas(const std::vector<std::string>& values) {
  std::string text;
  for (const std::string& value : values) text += (text.empty() ? "" : ",") + value;
  return text;
}

std::string config_of_plan(const std::string& path, const std::string& model) {
  static const std::pair<const char*, const char*> kSuffixes[] = {
      {"kv-cache-dtype-k", "+k="},
      {"kv-cache-dtype-v", "+v="},
      {"kv-cache-dtype-skip-layers", "+skip="},
      {"calculate-kv-scales", "+scales="},
      {"kv-scale-strategy", "+strategy="},
      {"attention-math", "+math="},
      {"dtype", "+dtype="},
      {"quantization", "+quantization="},
  };
  std::string directory, dtype = "auto", suffixes, unused;
  for (const ConfigEntry& entry : read_config_file(path)) {
    if (!entry.readable)
      throw Error(ErrorCode::invalid_file, "expected a value, or a list of them",
                  path + ": line " + std::to_string(entry.line) + ": " + entry.key);
    const std::string value = joined_by_commas(entry.values);
    const auto* suffix = std::find_if(std::begin(kSuffixes), std::end(kSuffixes),
                                      [&](const auto& known) { return entry.key == known.first; });
    if (entry.key == "model")
      directory = value;
    else if (entry.key == "kv-cache-dtype")
      dtype = value;
    else if (suffix != std::end(kSuffixes))
      suffixes += suffix->second + value;
    else
      unused += (unused.empty() ? "" : ", ") + entry.key;
  }
  if (!unused.empty())
    std::cerr << "octet: notice: " << path << ": not used, since quality does not depend on it: " << unused
              << "\n";
  return (directory.empty() || directory == model ? "" : directory + ":") + dtype + suffixes;
}

}  // namespace

std::vector<Prompt> read_documents(const std::string& path) {
  std::string text = read_prompt_file(path);
  if (text.empty()) throw Error(ErrorCode::invalid_argument, "expected text, found an empty file", path);
  std::vector<Prompt> documents;
  documents.emplace_back(std::move(text));
  return documents;
}

std::vector<std::string> join_layers(const std::vector<std::string>& parts) {
  std::vector<std::string> configs;
  for (const std::string& part : parts) {
    const bool is_layer = !part.empty() && part.find_first_not_of("0123456789") == std::string::npos;
    if (is_layer && !configs.empty() && configs.back().find("+skip=") != std::string::npos)
      configs.back() += "," + part;
    else
      configs.push_back(part);
  }
  return configs;
}

std::vector<std::string> read_configs(const std::vector<std::string>& parts, const std::string& model) {
  std::vector<std::string> configs = join_layers(parts);
  for (std::string& config : configs)
    if (config.ends_with(".yaml") || config.ends_with(".yml")) config = config_of_plan(config, model);
  return configs;
}

}  // namespace octet::apps
