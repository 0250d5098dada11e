#include "llm/text_stream.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "llm/tiny_llm.h"
#include "text/tokenizer.h"

namespace octet::llm {
namespace {

// Every byte of `text` as its own token.
std::vector<std::int32_t> bytes_of(const std::string& text) {
  std::vector<std::int32_t> ids;
  for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
  return ids;
}

struct Streamed {
  std::vector<std::string> pieces;  // after each token, then after the end
  std::string joined;
  std::string text;
  std::string stopped_by;  // empty: nothing did
  std::size_t tokens = 0;  // until it stopped
};

Streamed stream(const std::vector<std::int32_t>& ids, const SamplingParams& params) {
  const auto tokenizer = text::Tokenizer::parse(tests::tiny_tokenizer_json(), "tokenizer.json");
  TextStream text(tokenizer, params);
  Streamed result;
  const auto take = [&] {
    result.pieces.push_back(text.take_new_text());
    result.joined += result.pieces.back();
  };
  const std::string* stop = nullptr;
  for (const std::int32_t id : ids) {
    stop = text.add(id);
    take();
    ++result.tokens;
    if (stop != nullptr) break;
  }
  if (stop == nullptr) stop = text.finish();
  take();
  result.text = text.text();
  result.stopped_by = stop == nullptr ? "" : *stop;
  return result;
}

TEST(TextStream, GivesTextAtOnceWithoutStopStrings) {
  const Streamed got = stream(bytes_of("abc"), {});
  EXPECT_EQ(got.pieces, (std::vector<std::string>{"a", "b", "c", ""}));
  EXPECT_EQ(got.text, "abc");
}

TEST(TextStream, EndsBeforeAStopStringThatSpansTokens) {
  const Streamed got = stream(bytes_of("one, STOP more"), {.stop = {"STOP"}});
  EXPECT_EQ(got.text, "one, ");
  EXPECT_EQ(got.joined, got.text);
  EXPECT_EQ(got.stopped_by, "STOP");
  EXPECT_EQ(got.tokens, 9u);
}

TEST(TextStream, KeepsTheStopStringWhereAskedTo) {
  const Streamed got =
      stream(bytes_of("one, STOP more"), {.stop = {"STOP"}, .include_stop_str_in_output = true});
  EXPECT_EQ(got.text, "one, STOP");
  EXPECT_EQ(got.joined, got.text);
}

TEST(TextStream, HoldsBackWhatMayBecomeAStopString) {
  const Streamed got = stream(bytes_of("aSTaSTOX"), {.stop = {"STOP"}});
  EXPECT_EQ(got.pieces, (std::vector<std::string>{"a", "", "", "STa", "", "", "", "STOX", ""}));
}

TEST(TextStream, ReleasesWhatWasHeldBackAtTheEnd) {
  const Streamed got = stream(bytes_of("abST"), {.stop = {"STOP"}});
  EXPECT_EQ(got.pieces.back(), "ST");
  EXPECT_EQ(got.text, "abST");
  EXPECT_EQ(got.joined, got.text);
}

TEST(TextStream, FindsAStopStringWhoseBeginningRepeats) {
  const Streamed got = stream(bytes_of("xaaab"), {.stop = {"aab"}});
  EXPECT_EQ(got.text, "xa");
  EXPECT_EQ(got.joined, got.text);
}

TEST(TextStream, TakesTheStopStringThatBeginsFirst) {
  const std::vector<std::int32_t> ids = {'x', 259};  // 259 is "he" in one token
  const Streamed got = stream(ids, {.stop = {"e", "he"}});
  EXPECT_EQ(got.stopped_by, "he");
  EXPECT_EQ(got.text, "x");
}

TEST(TextStream, CutsInsideATokenThatHoldsMoreThanTheStopString) {
  const Streamed got = stream({'x', 259, 'y'}, {.stop = {"h"}});
  EXPECT_EQ(got.text, "x");
  EXPECT_EQ(got.tokens, 2u);
}

TEST(TextStream, NeverSplitsACharacter) {
  const Streamed got = stream(bytes_of("é€😀"), {});
  EXPECT_EQ(got.pieces, (std::vector<std::string>{"", "é", "", "", "€", "", "", "", "😀", ""}));
}

TEST(TextStream, MatchesStopStringsOfSeveralByteCharacters) {
  // è and é share their first byte, which is never shown or held as half a character.
  const Streamed got = stream(bytes_of("aèé!"), {.stop = {"é"}});
  EXPECT_EQ(got.text, "aè");
  EXPECT_EQ(got.joined, got.text);
}

TEST(TextStream, EndsAnIncompleteCharacterWithTheReplacementCharacter) {
  const Streamed got = stream({'a', 0xF0, 0x9F}, {});
  EXPECT_EQ(got.text, "a\xEF\xBF\xBD");
  EXPECT_EQ(got.joined, got.text);
}

TEST(TextStream, FindsAStopStringThatOnlyTheEndCompletes) {
  const Streamed got = stream({'a', 'b', 0xF0}, {.stop = {"b\xEF\xBF\xBD"}});
  EXPECT_EQ(got.text, "a");
  EXPECT_EQ(got.joined, got.text);
  EXPECT_EQ(got.stopped_by, "b\xEF\xBF\xBD");
}

TEST(TextStream, IgnoresStopStringsThatEndWithinMinTokens) {
  const Streamed got = stream(bytes_of("STOP.STOP."), {.stop = {"STOP"}, .min_tokens = 4});
  EXPECT_EQ(got.text, "STOP.");
  // One that only begins there counts.
  EXPECT_EQ(stream(bytes_of("STOP."), {.stop = {"STOP"}, .min_tokens = 3}).text, "");
}

TEST(TextStream, SkipsSpecialTokensUnlessAskedNotTo) {
  EXPECT_EQ(stream({'a', tests::kUserToken, 'b'}, {}).text, "ab");
  EXPECT_EQ(stream({'a', tests::kUserToken, 'b'}, {.skip_special_tokens = false}).text, "a<|user|>b");
}

}  // namespace
}  // namespace octet::llm
