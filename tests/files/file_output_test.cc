#include "files/file_output.h"

#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include "files/expect_error.h"
#include "files/mapped_file.h"
#include "files/safetensors_builder.h"

namespace octet::files {
namespace {

namespace fs = std::filesystem;
using tests::expect_error;
using tests::TempFolder;

std::string text_of(const std::string& path) { return read_text_file(path, 1 << 20); }

std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename());
  return names;
}

std::span<const std::byte> bytes(std::string_view text) {
  return std::as_bytes(std::span<const char>(text.data(), text.size()));
}

TEST(FileOutput, WritesAndReplaces) {
  const TempFolder folder;
  write_file(folder.file("a"), std::string_view("one"));
  EXPECT_EQ(text_of(folder.file("a")), "one");
  replace_file(folder.file("a"), bytes("second"));
  EXPECT_EQ(text_of(folder.file("a")), "second");
  replace_file(folder.file("b"), bytes(""));
  EXPECT_EQ(text_of(folder.file("b")), "");
  EXPECT_EQ(names_in(folder.path()).size(), 2u);
}

TEST(FileOutput, SaysWhatTheSystemRefuses) {
  const TempFolder folder;
  expect_error(ErrorCode::io, {"/dev/full", "cannot write", "No space left"},
               [] { write_file("/dev/full", std::string_view("text")); });
  EXPECT_TRUE(fs::exists("/dev/full"));  // what is no regular file is not removed
  expect_error(ErrorCode::io, {"no/such", "cannot write", "No such file"},
               [&] { write_file(folder.file("no/such"), std::string_view("text")); });
  expect_error(ErrorCode::io, {"cannot read"},
               [&] { link_or_copy_file(folder.file("none"), folder.file("x")); });
}

TEST(FileOutput, LeavesNothingOfAFileThatDoesNotFit) {
  const TempFolder folder;
  write_file(folder.file("state"), std::string_view("old"));
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit small = before;
  small.rlim_cur = 1000;
  setrlimit(RLIMIT_FSIZE, &small);
  const std::string large(5000, 'x');
  expect_error(ErrorCode::io, {"state", "File too large"},
               [&] { replace_file(folder.file("state"), bytes(large)); });
  expect_error(ErrorCode::io, {"other", "File too large"},
               [&] { write_file(folder.file("other"), bytes(large)); });
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(text_of(folder.file("state")), "old");
  EXPECT_EQ(names_in(folder.path()), std::vector<std::string>{"state"});
}

TEST(FileOutput, LinksToWhatASymbolicLinkMeans) {
  const TempFolder folder;
  fs::create_directory(folder.file("blobs"));
  write_file(folder.file("blobs/weights"), std::string_view("bytes"));
  fs::create_symlink("blobs/weights", folder.file("shown"));
  fs::create_directory(folder.file("out"));
  link_or_copy_file(folder.file("shown"), folder.file("out/linked"));
  copy_file(folder.file("shown"), folder.file("out/copied"));
  EXPECT_FALSE(fs::is_symlink(folder.file("out/linked")));
  EXPECT_TRUE(fs::equivalent(folder.file("out/linked"), folder.file("blobs/weights")));
  EXPECT_FALSE(fs::equivalent(folder.file("out/copied"), folder.file("blobs/weights")));
  EXPECT_EQ(text_of(folder.file("out/copied")), "bytes");
}

}  // namespace
}  // namespace octet::files
