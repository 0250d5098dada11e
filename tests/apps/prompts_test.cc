#include "apps/prompts.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "llm/tiny_llm.h"

namespace octet::apps {
namespace {

using tests::error_of;

TEST(TokenIds, AreReadWithOrWithoutSpaces) {
  EXPECT_EQ(parse_token_ids("1,2,3"), (std::vector<std::int32_t>{1, 2, 3}));
  EXPECT_EQ(parse_token_ids(" 7 , 49151"), (std::vector<std::int32_t>{7, 49151}));
  EXPECT_EQ(parse_token_ids("-1"), (std::vector<std::int32_t>{-1}));  // the engine knows the vocabulary
}

TEST(TokenIds, RefuseWhatIsNoNumber) {
  for (const char* bad : {"", "1,", ",1", "1,,2", "a", "1 2", "1.5", "0x10", "99999999999"}) {
    const Error error = error_of([&] { parse_token_ids(bad); });
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument) << bad;
    EXPECT_EQ(error.context(), "--prompt-token-ids");
  }
}

TEST(ByteSize, TakesPlainBytesAndVllmsUnits) {
  EXPECT_EQ(parse_byte_size("123", "--f"), 123);
  EXPECT_EQ(parse_byte_size("1k", "--f"), 1000);
  EXPECT_EQ(parse_byte_size("1K", "--f"), 1024);
  EXPECT_EQ(parse_byte_size("1.5m", "--f"), 1500000);
  EXPECT_EQ(parse_byte_size("2G", "--f"), std::int64_t{2} << 30);
  EXPECT_EQ(parse_byte_size("1T", "--f"), std::int64_t{1} << 40);
}

TEST(ByteSize, RefusesTheRest) {
  for (const char* bad : {"", "k", "1.5", "-1", "1KB", "1x", "1 k", "nan", "inf", "1e3", "99999999T", "K1"}) {
    const Error error = error_of([&] { parse_byte_size(bad, "--kv-cache-memory-bytes"); });
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument) << bad;
    EXPECT_EQ(error.context(), "--kv-cache-memory-bytes");
  }
}

TEST(PromptFile, IsReadWholeButForItsLastNewline) {
  const tests::ScratchFolder folder;
  const std::string path = (folder.path() / "prompt.txt").string();
  std::ofstream(path, std::ios::binary) << "two\nlines\n\n";
  EXPECT_EQ(read_prompt_file(path), "two\nlines\n");
}

TEST(PromptFile, ThatIsNotThereOrIsAFolderIsAnError) {
  const tests::ScratchFolder folder;
  const std::string missing = (folder.path() / "nowhere").string();
  const Error error = error_of([&] { read_prompt_file(missing); });
  EXPECT_EQ(error.code(), ErrorCode::not_found);
  EXPECT_EQ(error.context(), missing);
  EXPECT_EQ(error_of([&] { read_prompt_file(folder.path().string()); }).code(), ErrorCode::io);
}

}  // namespace
}  // namespace octet::apps
