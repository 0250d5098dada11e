#include "llm/haystack.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace octet::llm {

namespace {

using evaluate::TokenIds;

constexpr std::array<std::string_view, 12> kOpenings = {"In the morning",
                                                        "After lunch",
                                                        "Before the rain came",
                                                        "On the way home",
                                                        "Late in the autumn",
                                                        "Without a word",
                                                        "When the bell rang",
                                                        "During the long winter",
                                                        "At the end of the day",
                                                        "Soon after sunrise",
                                                        "As usual",
                                                        "For the third time that week"};
constexpr std::array<std::string_view, 14> kSubjects = {
    "the baker",      "an old fisherman", "the school teacher", "my neighbour",  "the gardener",
    "a young doctor", "the bus driver",   "the librarian",      "a quiet child", "the carpenter",
    "her uncle",      "the night guard",  "the postwoman",      "a tired clerk"};
constexpr std::array<std::string_view, 12> kVerbs = {"carried",  "counted", "painted", "mended",
                                                     "watched",  "moved",   "cleaned", "sold",
                                                     "borrowed", "noticed", "wrapped", "measured"};
constexpr std::array<std::string_view, 14> kObjects = {
    "the wooden chairs",   "a basket of apples", "two heavy boxes",   "the garden fence",   "an empty bottle",
    "the broken clock",    "a pile of letters",  "the blue curtains", "some copper wire",   "the kitchen table",
    "a sack of dry flour", "the rowing boats",   "a roll of paper",   "the old photographs"};
constexpr std::array<std::string_view, 12> kEndings = {
    "near the harbour",        "behind the station",        "with great care",
    "while the kettle boiled", "for the people upstairs",   "under the chestnut tree",
    "in the narrow lane",      "and said nothing about it", "beside the frozen lake",
    "on the second floor",     "until it grew dark",        "for a friend in the next town"};
constexpr std::array<std::string_view, 10> kColours = {"amber",  "crimson", "ivory", "olive", "silver",
                                                       "violet", "golden",  "black", "green", "scarlet"};
constexpr std::array<std::string_view, 10> kThings = {"lantern", "cabinet", "bicycle", "tower",    "suitcase",
                                                      "piano",   "garage",  "kettle",  "notebook", "elevator"};

// Not std::uniform_int_distribution, whose numbers differ between standard libraries.
template <std::size_t N>
std::string pick(const std::array<std::string_view, N>& words, std::mt19937_64& generator) {
  return std::string(words[generator() % N]);
}

// The ids of `rest` where it follows `begin`.
TokenIds encode_after(const text::Tokenizer& tokenizer, const std::string& begin, const std::string& rest) {
  const TokenIds first = tokenizer.encode(begin, /*add_special_tokens=*/false);
  const TokenIds both = tokenizer.encode(begin + rest, /*add_special_tokens=*/false);
  if (both.size() > first.size() && std::equal(first.begin(), first.end(), both.begin()))
    return {both.begin() + static_cast<std::ptrdiff_t>(first.size()), both.end()};
  return tokenizer.encode(rest, /*add_special_tokens=*/false);
}

}  // namespace

std::string make_sentence(std::mt19937_64& generator) {
  // One draw a statement: the order in which operands are evaluated is not fixed.
  std::string sentence = pick(kOpenings, generator) + ", ";
  sentence += pick(kSubjects, generator) + " ";
  sentence += pick(kVerbs, generator) + " ";
  sentence += pick(kObjects, generator) + " ";
  return sentence + pick(kEndings, generator) + ".";
}

evaluate::NeedlePrompt make_needle(const text::Tokenizer& tokenizer, int length, int depth,
                                   std::uint64_t seed) {
  std::mt19937_64 generator(seed);
  std::string thing = pick(kColours, generator) + " ";
  thing += pick(kThings, generator);
  const std::string key = std::to_string(10000 + generator() % 90000);
  const std::string fact = "The pass key of the " + thing + " is";
  const std::string question = "\n\nQuestion: What is the pass key of the " + thing + "?\nAnswer: " + fact;

  const TokenIds beginning = tokenizer.encode("");  // BOS, where the tokenizer adds one
  const TokenIds needle = tokenizer.encode(" " + fact + " " + key + ".", false);
  const TokenIds end = tokenizer.encode(question, false);
  evaluate::NeedlePrompt made{beginning, encode_after(tokenizer, question, " " + key)};

  const auto frame = static_cast<int>(beginning.size() + needle.size() + end.size() + made.answer.size());
  std::vector<TokenIds> sentences;
  int hay = 0;
  while (true) {
    TokenIds sentence = tokenizer.encode((sentences.empty() ? "" : " ") + make_sentence(generator), false);
    if (frame + hay + static_cast<int>(sentence.size()) > length) break;
    hay += static_cast<int>(sentence.size());
    sentences.push_back(std::move(sentence));
  }
  if (sentences.empty())
    throw Error(ErrorCode::invalid_argument,
                std::to_string(length) + " tokens have no room for a pass key, a question and one sentence",
                "needle_lengths");
  const auto put = [&](const TokenIds& ids) { made.prompt.insert(made.prompt.end(), ids.begin(), ids.end()); };
  int before = 0;
  bool hidden = false;
  for (const TokenIds& sentence : sentences) {
    // Hidden at the border between sentences that is nearest to the depth.
    if (!hidden &&
        (before + static_cast<int>(sentence.size()) / 2) * 100LL >= static_cast<std::int64_t>(depth) * hay) {
      put(needle);
      hidden = true;
    }
    put(sentence);
    before += static_cast<int>(sentence.size());
  }
  if (!hidden) put(needle);
  put(end);
  return made;
}

}  // namespace octet::llm
