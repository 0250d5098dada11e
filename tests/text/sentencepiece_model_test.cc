#include "text/sentencepiece_model.h"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <string>

#include "base/error.h"

namespace octet::text {
namespace {

std::string number(unsigned field, unsigned value) {
  std::string key(1, static_cast<char>(field << 3));
  if (field > 15) key = {static_cast<char>((field << 3 & 0x7F) | 0x80), static_cast<char>(field >> 4)};
  return key + static_cast<char>(value);
}

std::string message(unsigned field, const std::string& body) {
  return std::string{static_cast<char>(field << 3 | 2), static_cast<char>(body.size())} + body;
}

std::string piece(const std::string& token, float score, unsigned type) {
  std::string bits(sizeof score, '\0');
  std::memcpy(bits.data(), &score, sizeof score);
  return message(1, message(1, token) + static_cast<char>(2 << 3 | 5) + bits + number(3, type));
}

std::string whole() {
  return piece("<unk>", 0, 2) + piece("<s>", 0, 3) + piece("</s>", 0, 3) + piece("▁a", -1.5F, 1) +
         message(2, number(3, 2) + number(41, 2)) + message(3, number(3, 0) + number(4, 0));
}

Error error_of(const std::string& bytes) {
  try {
    parse_sentencepiece_model(bytes, "tokenizer.model");
  } catch (const Error& error) {
    return error;
  }
  return Error(ErrorCode::internal, "none");
}

TEST(SentencePieceModelTest, FieldsAndTheirDefaults) {
  const SentencePieceModel model = parse_sentencepiece_model(whole(), "tokenizer.model");
  EXPECT_EQ(model.pieces.tokens, (std::vector<std::string>{"<unk>", "<s>", "</s>", "▁a"}));
  EXPECT_EQ(model.pieces.scores.back(), -1.5F);
  EXPECT_EQ(model.pieces.types.front(), PieceType::unknown);
  EXPECT_EQ(model.kind, SentencePieceModel::Kind::bpe);
  EXPECT_EQ(model.bos_id, 2);
  EXPECT_EQ(model.eos_id, 2);
  EXPECT_FALSE(model.add_dummy_prefix);
  EXPECT_FALSE(model.remove_extra_whitespaces);
  EXPECT_TRUE(model.escape_whitespaces);
}

TEST(SentencePieceModelTest, AFileThatIsCutOffIsRefusedOrEndsBetweenFields) {
  const std::string bytes = whole();
  int refused = 0;
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    const Error error = error_of(bytes.substr(0, size));
    if (error.code() == ErrorCode::internal) continue;  // none
    EXPECT_EQ(error.code(), ErrorCode::invalid_file) << error.what();
    EXPECT_EQ(error.context(), "tokenizer.model");
    ++refused;
  }
  EXPECT_GT(refused, 40);
}

TEST(SentencePieceModelTest, ErrorsNameWhatIsWrong) {
  const auto expect = [](const std::string& bytes, const std::string& message) {
    EXPECT_NE(error_of(bytes).message().find(message), std::string::npos) << error_of(bytes).what();
  };
  expect("", "it has no pieces");
  expect("\x0C", "wire type 4");
  expect(piece("\xFF", 0, 1), "piece 0 is not valid UTF-8");
  expect(piece("a", 0, 7), "piece 0 has the type 7");
  expect(piece("a", std::numeric_limits<float>::infinity(), 1), "the score of piece 0");
  expect(whole() + message(2, number(3, 9)), "model_type 9");
  expect(whole() + message(2, number(41, 9)), "bos_id is 9, but there are 4 pieces");
  expect(number(1, 3), "expected a message");
  expect(message(1, number(1, 3)), "field 1 has the wire type 0, expected bytes");
  expect(message(1, number(2, 3)), "field 2 has the wire type 0, expected a float");
  expect(message(3, message(3, "x")), "field 3 has the wire type 2, expected an integer");
}

}  // namespace
}  // namespace octet::text
