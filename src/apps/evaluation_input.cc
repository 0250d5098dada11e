#include "apps/evaluation_input.h"

#include <utility>

#include "apps/prompts.h"

namespace octet::apps {

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

}  // namespace octet::apps
