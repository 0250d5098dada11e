#include "files/mapped_file.h"

#include <sys/stat.h>

#include <string>
#include <utility>

#include "files/expect_error.h"
#include "files/safetensors_builder.h"

namespace octet::files {
namespace {

using tests::expect_error;

std::string text_of(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

TEST(MappedFile, ShowsTheBytes) {
  const tests::TempFolder folder;
  const MappedFile file(folder.write("a", std::string("x\0y", 3)));
  EXPECT_EQ(text_of(file), std::string("x\0y", 3));
  EXPECT_EQ(file.path(), folder.file("a"));
  EXPECT_TRUE(MappedFile(folder.write("empty", "")).bytes().empty());
}

TEST(MappedFile, BytesStayThereWhenTheirMemoryIsGivenBack) {
  const tests::TempFolder folder;
  std::string text;
  for (int i = 0; i < 100000; ++i) text += std::to_string(i);
  const MappedFile file(folder.write("a", text));
  EXPECT_EQ(text_of(file), text);
  file.give_back(1, text.size() + 99999);  // ends are rounded inwards to pages, and to the file
  file.give_back(5, 5);
  EXPECT_EQ(text_of(file), text);
}

TEST(MappedFile, MovesWithItsMapping) {
  const tests::TempFolder folder;
  MappedFile a(folder.write("a", "first"));
  MappedFile b(std::move(a));
  EXPECT_EQ(text_of(b), "first");
  MappedFile c(folder.write("c", "second"));
  c = std::move(b);
  EXPECT_EQ(text_of(c), "first");
}

TEST(MappedFile, SurvivesTheFilesRemoval) {
  const tests::TempFolder folder;
  const MappedFile file(folder.write("a", "still here"));
  std::filesystem::remove(folder.file("a"));
  EXPECT_EQ(text_of(file), "still here");
}

TEST(MappedFile, RefusesWhatIsNoRegularFile) {
  const tests::TempFolder folder;
  expect_error(ErrorCode::not_found, {"none", "no such file"}, [&] { MappedFile(folder.file("none")); });
  expect_error(ErrorCode::io, {folder.path(), "folder"}, [&] { MappedFile(folder.path()); });
  const std::string pipe = folder.file("pipe");
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  expect_error(ErrorCode::io, {"pipe", "regular"}, [&] { MappedFile{pipe}; });
}

}  // namespace
}  // namespace octet::files
