// A program outside the tree that uses an installed Octet: generates four tokens from the checkpoint that it
// is given and prints their ids, or prints the error's parts.
#include <octet/llm.h>

#include <iostream>

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  try {
    octet::LLM llm({.model = argv[1], .kv_cache_dtype = "fp8"});
    octet::SamplingParams params;
    params.temperature = 0;
    params.max_tokens = 4;
    const octet::RequestOutput answer = llm.generate("London is the capital of", params);
    for (const std::int32_t id : answer.outputs[0].token_ids) std::cout << id << '\n';
    std::cout << llm.kv_cache_stats().dtype << '\n';
  } catch (const octet::Error& error) {
    std::cout << "error " << static_cast<int>(error.code()) << '\n' << error.context() << '\n';
    return 1;
  }
}
