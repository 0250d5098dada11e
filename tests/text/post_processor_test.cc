#include "text/post_processor.h"

#include <gtest/gtest.h>

#include "small_tokenizer.h"

namespace octet::text {
namespace {

using nlohmann::json;
using Ids = std::vector<std::int32_t>;

const json kText = {{"Sequence", {{"id", "A"}, {"type_id", 0}}}};

json special(const std::string& id) { return {{"SpecialToken", {{"id", id}, {"type_id", 0}}}}; }

json template_of(const json& single) {
  return {{"type", "TemplateProcessing"},
          {"single", single},
          {"special_tokens", {{"<s>", {{"id", "<s>"}, {"ids", {2, 3}}, {"tokens", {"x", "y"}}}}}}};
}

json document_with(const json& post_processor) {
  json document = small_document({"a", "b", "x", "y"});
  document["post_processor"] = post_processor;
  return document;
}

TEST(PostProcessorTest, TemplatesAddTokensOnRequest) {
  const Tokenizer tokenizer = parse(document_with(template_of({special("<s>"), kText, special("<s>")})));
  EXPECT_EQ(tokenizer.encode("ab"), (Ids{2, 3, 0, 1, 2, 3}));
  EXPECT_EQ(tokenizer.encode("ab", false), (Ids{0, 1}));
  EXPECT_EQ(tokenizer.encode(""), (Ids{2, 3, 2, 3}));
}

TEST(PostProcessorTest, ASequenceAppliesAll) {
  const json byte_level = {{"type", "ByteLevel"}, {"add_prefix_space", true}, {"trim_offsets", true}};
  const json sequence = {{"type", "Sequence"},
                         {"processors", {byte_level, template_of({special("<s>"), kText})}}};
  EXPECT_EQ(parse(document_with(sequence)).encode("a"), (Ids{2, 3, 0}));
}

TEST(PostProcessorTest, CorruptTemplatesAreErrors) {
  const auto expect = [](const json& post_processor, ErrorCode code, const std::string& part) {
    const Error error = parse_error(document_with(post_processor));
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  };
  expect(template_of({special("<t>"), kText}), ErrorCode::invalid_file,
         "single[0].SpecialToken.id: <t> is not among");
  expect(template_of({kText, kText}), ErrorCode::unsupported, "a second time");
  expect(template_of(json::array({json{{"Sequence", {{"id", "B"}}}}})), ErrorCode::invalid_file,
         "single[0].Sequence.id: expected A");
  expect(template_of(json::array({json::object()})), ErrorCode::invalid_file, "expected {\"Sequence\"");
  expect({{"type", "TemplateProcessing"}}, ErrorCode::invalid_file, "\"single\" is missing");
  json unknown = template_of(json::array({special("<s>")}));
  unknown["special_tokens"]["<s>"]["ids"] = json::array({7});
  expect(unknown, ErrorCode::invalid_file, "ids[0]: no token has the id 7");
}

}  // namespace
}  // namespace octet::text
