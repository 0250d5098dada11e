#include "llm/dataset.h"

#include <algorithm>
#include <map>
#include <set>

#include "files/expect_error.h"
#include "files/safetensors_builder.h"

namespace octet::tests {
namespace {

using llm::Dataset;

std::vector<std::string> texts(const Dataset& dataset) {
  std::vector<std::string> all;
  for (std::size_t i = 0; i < dataset.size(); ++i) all.emplace_back(dataset.text(i));
  return all;
}

std::string numbered_lines(int count) {
  std::string lines;
  for (int i = 0; i < count; ++i) lines += std::to_string(i) + "\n";
  return lines;
}

TEST(Dataset, WithoutShufflingTheFirstLinesInOrder) {
  const TempFolder folder;
  const std::string file = folder.write("d.jsonl", "\xEF\xBB\xBF{\"a\":1}\r\n\n  \n{\"b\":2}\n{\"c\":3}");
  const Dataset all = Dataset::open({.file = file, .shuffle = false});
  EXPECT_TRUE(all.is_json());
  EXPECT_EQ(texts(all), (std::vector<std::string>{"{\"a\":1}\r", "{\"b\":2}", "{\"c\":3}"}));
  EXPECT_EQ(all.where(1), file + ": line 4");
  EXPECT_EQ(all.samples_in_file(), 3);
  EXPECT_EQ(texts(Dataset::open({.file = file, .num_samples = 1, .shuffle = false})).size(), 1u);
}

TEST(Dataset, ShufflingGivesEverySampleTheSameChance) {
  const TempFolder folder;
  const std::string file = folder.write("d.jsonl", numbered_lines(20));
  std::map<std::string, int> chosen, first;
  constexpr int kSeeds = 4000;
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    const auto some = texts(Dataset::open({.file = file, .num_samples = 5, .seed = seed}));
    EXPECT_EQ(std::set<std::string>(some.begin(), some.end()).size(), 5u);
    for (const std::string& text : some) ++chosen[text];
    ++first[some.front()];
  }
  for (int i = 0; i < 20; ++i) {
    EXPECT_NEAR(chosen[std::to_string(i)], kSeeds / 4, 140) << i;  // five standard deviations
    EXPECT_NEAR(first[std::to_string(i)], kSeeds / 20, 70) << i;
  }
}

TEST(Dataset, OneSeedIsOneOrder) {
  const TempFolder folder;
  const std::string file = folder.write("d.jsonl", numbered_lines(100));
  const Dataset a = Dataset::open({.file = file, .num_samples = 10}),
                b = Dataset::open({.file = file, .num_samples = 10});
  EXPECT_EQ(texts(a), texts(b));
  EXPECT_EQ(a.fingerprint(), b.fingerprint());
  const Dataset c = Dataset::open({.file = file, .num_samples = 10, .seed = 43});
  EXPECT_NE(texts(a), texts(c));
  EXPECT_NE(a.fingerprint(), c.fingerprint());
  // All of them, but in another order.
  std::vector<std::string> all = texts(Dataset::open({.file = file}));
  EXPECT_EQ(all.size(), 100u);
  EXPECT_FALSE(std::is_sorted(all.begin(), all.end()));
}

TEST(Dataset, PlainTextIsCutAtLinesAndLosesNothing) {
  const TempFolder folder;
  std::string text;
  for (int i = 0; i < 300; ++i) text += "line " + std::to_string(i) + (i % 7 == 0 ? "\n\n" : " and more\n");
  text += std::string(1000, 'x') + "\u00e9\u00e9 " + std::string(1000, 'y');  // far too long for one sample
  const std::string file = folder.write("d.txt", text);
  const Dataset dataset = Dataset::open({.file = file, .shuffle = false, .text_bytes = 200});
  EXPECT_FALSE(dataset.is_json());
  std::string joined;
  for (std::size_t i = 0; i < dataset.size(); ++i) {
    const std::string part(dataset.text(i));
    EXPECT_LE(part.size(), 400u);
    EXPECT_NE(static_cast<unsigned char>(part[0]) & 0xC0u, 0x80u);  // no cut inside a character
    joined += part;
  }
  EXPECT_EQ(joined, text);
  EXPECT_TRUE(dataset.text(3).starts_with("line "));
}

TEST(Dataset, RefusesWhatIsNoDataset) {
  const TempFolder folder;
  const auto open = [&](const std::string& name, const std::string& content) {
    return Dataset::open({.file = folder.write(name, content)});
  };
  expect_error(ErrorCode::invalid_file, {"e.jsonl", "empty"}, [&] { open("e.jsonl", ""); });
  expect_error(ErrorCode::invalid_file, {"e.txt", "empty"}, [&] { open("e.txt", "\n \n"); });
  expect_error(ErrorCode::unsupported, {"Parquet", "pyarrow"}, [&] { open("d.parquet", "PAR1...."); });
  expect_error(ErrorCode::unsupported, {"unzstd"}, [&] { open("d.jsonl", "\x28\xb5\x2f\xfd..."); });
  expect_error(ErrorCode::unsupported, {"gunzip"}, [&] { open("d.gz", "\x1f\x8b..."); });
  expect_error(ErrorCode::unsupported, {"jq -c"}, [&] { open("d.json", " [{\"text\":\"a\"}]"); });
  expect_error(ErrorCode::invalid_argument, {"d.csv", ".jsonl"}, [&] { open("d.csv", "a,b\n"); });
  expect_error(ErrorCode::not_found, {"nowhere.jsonl"},
               [&] { Dataset::open({.file = folder.file("nowhere.jsonl")}); });
}

}  // namespace
}  // namespace octet::tests
