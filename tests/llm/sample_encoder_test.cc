#include "llm/sample_encoder.h"

#include "files/expect_error.h"
#include "llm/tiny_llm.h"

namespace octet::tests {
namespace {

using llm::SampleEncoder;
using Ids = std::vector<std::int32_t>;

Ids bytes(const std::string& text) { return {text.begin(), text.end()}; }

class SampleEncoderTest : public ::testing::Test {
 protected:
  ScratchFolder folder_;
  std::string model_ = write_tiny_llm(folder_.path() / "model");
  SampleEncoder encoder_{model_, kTinyVocabSize, 12};

  Ids encode(const std::string& line) { return encoder_.encode_line(line, "d.jsonl: line 7"); }
};

TEST_F(SampleEncoderTest, TakesWhatTheLineHas) {
  EXPECT_EQ(encode(R"({"text":"a b"})"), bytes("a b"));
  EXPECT_EQ(encode(R"({"prompt":"a ","completion":"b"})"), bytes("a b"));
  EXPECT_EQ(encode(R"({"text":"not this","input_ids":[5,263]})"), (Ids{5, 263}));
  Ids chat = {kUserToken, 'a', kEndToken, kAssistantToken, 'b', kEndToken};
  EXPECT_EQ(encode(R"({"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]})"), chat);
  EXPECT_EQ(encode(R"({"text":""})"), Ids{});
  EXPECT_EQ(encoder_.encode_text("a b", "d.txt"), bytes("a b"));
}

TEST_F(SampleEncoderTest, CutsWhatIsTooLong) {
  EXPECT_EQ(encode(R"({"text":"abcdfgjklmpqrs"})"), bytes("abcdfgjklmpq"));
  EXPECT_EQ(encode(R"({"input_ids":[1,2,3,4,5,6,7,8,9,10,11,12,13]})").size(), 12u);
}

TEST_F(SampleEncoderTest, NamesTheLineOfWhatIsWrong) {
  const auto refused = [&](const std::string& line, std::initializer_list<std::string_view> words) {
    expect_error(ErrorCode::invalid_file, {"d.jsonl: line 7"}, [&] { encode(line); });
    expect_error(ErrorCode::invalid_file, words, [&] { encode(line); });
  };
  refused(R"({"question":"a","answer":"b"})", {"expected input_ids, messages, text", "question, answer"});
  refused("{}", {"no member"});
  refused(R"({"prompt":"a"})", {"completion", "missing"});
  refused(R"({"text":5})", {"text", "string"});
  refused(R"({"text":null})", {"expected input_ids"});
  refused(R"({"input_ids":[1,264]})", {"input_ids[1]"});
  refused(R"({"input_ids":[1,-1]})", {"input_ids[1]"});
  refused(R"({"input_ids":[1.5]})", {"input_ids[0]"});
  refused(R"({"messages":"hello"})", {"messages", "array"});
  refused(R"(["text"])", {"object"});
  refused(R"({"text":"a")", {"invalid JSON"});
  refused("text", {"invalid JSON"});
}

TEST_F(SampleEncoderTest, MessagesNeedAChatTemplate) {
  tiny::write_file(folder_.path() / "model" / "tokenizer_config.json", "{}");
  expect_error(ErrorCode::not_found, {"d.jsonl: line 7", "no chat template"},
               [&] { encode(R"({"messages":[{"role":"user","content":"a"}]})"); });
}

TEST_F(SampleEncoderTest, IdsNeedNoTokenizer) {
  std::filesystem::remove(folder_.path() / "model" / "tokenizer.json");
  EXPECT_EQ(encode(R"({"input_ids":[1,2]})"), (Ids{1, 2}));
  expect_error(ErrorCode::not_found, {"tokenizer.json"}, [&] { encode(R"({"text":"a"})"); });
}

}  // namespace
}  // namespace octet::tests
