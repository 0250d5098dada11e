// Tokenizes JSON lines, for tokenizers_package_test.py: tokenize_lines TOKENIZER.json < lines > results.
//
// In: {"text": "…"} a line. Out, a line for each: {"ids", "plain_ids" (without special tokens), "decoded",
// "skipped" (decoded without special tokens), "streamed" (the detokenizer's pieces)} or {"error": "…"}.
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

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: tokenize_lines TOKENIZER.json < lines\n";
    return 2;
  }
  try {
    std::ifstream file(argv[1], std::ios::binary);
    const std::string json{std::istreambuf_iterator<char>(file), {}};
    const auto tokenizer = octet::text::Tokenizer::parse(json, argv[1]);
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
