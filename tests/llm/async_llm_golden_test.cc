// A long chat with SmolLM2-135M-Instruct: what the prefix cache is for.
#include <gtest/gtest.h>
#include <octet/async_llm.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

namespace octet {
namespace {

std::string chat_model() {
  const char* chosen = std::getenv("OCTET_TEST_MODEL");
  return chosen != nullptr ? chosen : OCTET_SOURCE_DIR "/models/smollm2-135m-instruct";
}

std::string long_question(int paragraphs) {
  std::string text = "Here is a logbook. ";
  for (int i = 0; i < paragraphs; ++i)
    text += "On day " + std::to_string(i) + " we sailed " + std::to_string(7 * i % 83) +
            " miles, the wind came from the south-west, and the cook made soup. ";
  return text + "What did the cook make?";
}

TEST(AsyncLlmGolden, TheSecondTurnOfAFourThousandTokenChatComputesWhatIsNew) {
  if (!std::filesystem::exists(chat_model() + "/model.safetensors"))
    GTEST_SKIP() << "no model at " << chat_model() << ": run scripts/get-model";
  AsyncLLM llm({.llm = {.model = chat_model(), .kv_cache_dtype = "fp8"}});
  const auto answer = [&](const std::string& messages) {
    return llm
        .submit({.prompt = llm.render_chat({.messages_json = "[" + messages + "]"}),
                 .add_special_tokens = false,
                 .params = {.temperature = 0, .ignore_eos = true, .max_tokens = 60}})
        .wait();
  };
  const std::string question = R"({"role":"user","content":")" + long_question(152) + R"("})";
  const RequestOutput first = answer(question);
  EXPECT_GT(first.prompt_token_ids.size(), 4000u);
  std::string text;
  for (const char c : first.outputs[0].text)
    text += c == '"' || c == '\\' || static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  const RequestOutput second = answer(question + R"(,{"role":"assistant","content":")" + text +
                                      R"("},{"role":"user","content":"And then?"})");
  EXPECT_GT(second.prompt_token_ids.size(), first.prompt_token_ids.size());
  EXPECT_GE(llm.stats().prefix_cache_hits, static_cast<std::int64_t>(first.prompt_token_ids.size()) - 16);
  RecordProperty("first_turn_seconds", std::to_string(first.timings.first_token));
  RecordProperty("second_turn_seconds", std::to_string(second.timings.first_token));
  std::printf("%zu tokens: first token after %.3f s; second turn of %zu tokens: after %.3f s\n",
              first.prompt_token_ids.size(), first.timings.first_token, second.prompt_token_ids.size(),
              second.timings.first_token);
}

}  // namespace
}  // namespace octet
