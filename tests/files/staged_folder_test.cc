#include "files/staged_folder.h"

#include <filesystem>
#include <string>

#include "files/expect_error.h"
#include "files/file_output.h"
#include "files/mapped_file.h"
#include "files/safetensors_builder.h"

namespace octet::files {
namespace {

namespace fs = std::filesystem;
using tests::expect_error;
using tests::TempFolder;

std::size_t entries(const std::string& folder) {
  return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder), {}));
}

TEST(StagedFolder, AppearsWholeOrNotAtAll) {
  const TempFolder folder;
  const std::string target = folder.file("out/");  // as a shell completes it
  fs::create_directory(folder.file("elsewhere"));
  {
    const StagedFolder staged(target, false);
    write_file(staged.path("a"), std::string_view("text"));
    EXPECT_FALSE(fs::exists(target));
  }
  EXPECT_EQ(entries(folder.path()), 1u);  // given up: nothing is left of it
  StagedFolder staged(target, false);
  write_file(staged.path("a"), std::string_view("text"));
  staged.commit();
  EXPECT_EQ(read_text_file(folder.file("out/a"), 100), "text");
  EXPECT_EQ(entries(folder.path()), 2u);
}

TEST(StagedFolder, ReplacesOnlyWhereToldTo) {
  const TempFolder folder;
  const std::string target = folder.file("out");
  fs::create_directory(target);
  write_file(target + "/old", std::string_view("text"));
  expect_error(ErrorCode::invalid_argument, {target, "stands there already", "--force"},
               [&] { StagedFolder staged(target, false); });
  {
    const StagedFolder staged(target, true);
    EXPECT_TRUE(fs::exists(target + "/old"));
  }
  EXPECT_TRUE(fs::exists(target + "/old"));
  StagedFolder staged(target, true);
  write_file(staged.path("new"), std::string_view("text"));
  staged.commit();
  EXPECT_FALSE(fs::exists(target + "/old"));
  EXPECT_TRUE(fs::exists(target + "/new"));
  EXPECT_EQ(entries(folder.path()), 1u);
}

TEST(StagedFolder, NeverTakesANameThatSomebodyTookMeanwhile) {
  const TempFolder folder;
  StagedFolder staged(folder.file("out"), false);
  fs::create_directory(folder.file("out"));
  write_file(folder.file("out/theirs"), std::string_view("text"));
  expect_error(ErrorCode::io, {"out", "exists"}, [&] { staged.commit(); });
  EXPECT_TRUE(fs::exists(folder.file("out/theirs")));
}

TEST(StagedFolder, RefusesImpossiblePlaces) {
  const TempFolder folder;
  write_file(folder.file("file"), std::string_view("text"));
  expect_error(ErrorCode::invalid_argument, {"not a folder"},
               [&] { check_can_stage(folder.file("file"), true); });
  expect_error(ErrorCode::not_found, {"nowhere"}, [&] { check_can_stage(folder.file("nowhere/out"), false); });
  expect_error(ErrorCode::invalid_argument, {"output"}, [] { check_can_stage("", false); });
  check_can_stage(folder.file("fine"), false);
  EXPECT_EQ(entries(folder.path()), 1u);
}

}  // namespace
}  // namespace octet::files
