// Tokenizes JSON lines, for tokenizers_package_test.py: tokenize_lines PATH < lines > results.
// PATH is a tokenizer.json by whatever name, a GGUF file, or a folder as Tokenizer::load takes it.
//
// In: {"text": "…"} a line. Out, a line for each: {"ids", "plain_ids" (without special tokens), "decoded",
// "skipped" (decoded without special tokens), "streamed" (the detokenizer's pieces)} or {"error": "…"}.
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "text/detokenizer.h"
#include "text/tokenizer.h"

namespace {

nlohmann::json result_of(const octet::text::Tokenizer& tokenizer, const std::string& text) {
  const std::vector<std::int32_t> ids = tokenizer.encode(text);
  octet::text::Detokenizer detokenizer(tokenizer, true);
  std::vector<std::string> pieces;
  for (const std::int32_t id : ids) pieces.push_back(detokenizer.add(id));
  pieces.push_back(detokenizer.finish());
  return {{"ids", ids},
          {"plain_ids", tokenizer.encode(text, false)},
          {"decoded", tokenizer.decode(ids, false)},
          {"skipped", tokenizer.decode(ids, true)},
          {"streamed", pieces}};
}

octet::text::Tokenizer load(const std::string& path) {
  if (std::filesystem::is_directory(path) || path.ends_with(".gguf")) return octet::text::Tokenizer::load(path);
  std::ifstream file(path, std::ios::binary);
  const std::string json{std::istreambuf_iterator<char>(file), {}};
  return octet::text::Tokenizer::parse(json, path);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: tokenize_lines PATH < lines\n";
    return 2;
  }
  try {
    const octet::text::Tokenizer tokenizer = load(argv[1]);
    for (std::string line; std::getline(std::cin, line);) {
      nlohmann::json result;
      try {
        result = result_of(tokenizer, nlohmann::json::parse(line).at("text").get<std::string>());
      } catch (const std::exception& error) {
        result = {{"error", error.what()}};
      }
      std::cout << result.dump() << '\n';
    }
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
