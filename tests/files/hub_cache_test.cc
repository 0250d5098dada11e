#include "files/hub_cache.h"

#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>

#include "files/checkpoint.h"
#include "files/expect_error.h"
#include "files/file_output.h"
#include "files/safetensors_builder.h"

namespace octet::files {
namespace {

namespace fs = std::filesystem;
using tests::expect_error;
using tests::TempFolder;

constexpr const char* kCommit = "0123456789abcdef0123456789abcdef01234567";

// Sets a variable of the environment, or removes it, until the end of the test.
class Environment {
 public:
  Environment(const char* name, const char* value) : name_(name) {
    if (const char* before = std::getenv(name)) before_ = before;
    set(value);
  }
  ~Environment() { set(before_ ? before_->c_str() : nullptr); }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

 private:
  void set(const char* value) const { value ? ::setenv(name_, value, 1) : ::unsetenv(name_); }
  const char* name_;
  std::optional<std::string> before_;
};

class HubCache : public ::testing::Test {
 protected:
  TempFolder folder_;
  Environment cache_{"HF_HUB_CACHE", nullptr}, old_cache_{"HUGGINGFACE_HUB_CACHE", nullptr};
  Environment home_{"HF_HOME", folder_.file("").c_str()};

  fs::path snapshot(const std::string& name = "models--org--tiny") const {
    return fs::path(folder_.file("hub")) / name / "snapshots" / kCommit;
  }
  void add_model(const std::string& ref, const std::string& name = "models--org--tiny") const {
    fs::create_directories(snapshot(name));
    const fs::path file = fs::path(folder_.file("hub")) / name / "refs" / ref;
    fs::create_directories(file.parent_path());
    write_file(file.string(), std::string_view(kCommit));
  }
};

TEST_F(HubCache, FollowsTheVariablesAsHuggingFaceDoes) {
  EXPECT_EQ(fs::path(hub_cache()), fs::path(folder_.file("")) / "hub");
  {
    const Environment home("HF_HOME", nullptr), xdg("XDG_CACHE_HOME", "/x"), user("HOME", "/home/u");
    EXPECT_EQ(hub_cache(), "/x/huggingface/hub");
    const Environment no_xdg("XDG_CACHE_HOME", nullptr);
    EXPECT_EQ(hub_cache(), "/home/u/.cache/huggingface/hub");
    const Environment tilde("HF_HUB_CACHE", "~/models");
    EXPECT_EQ(hub_cache(), "/home/u/models");
  }
  const Environment old("HUGGINGFACE_HUB_CACHE", "/old");
  EXPECT_EQ(hub_cache(), "/old");
  const Environment cache("HF_HUB_CACHE", "/new");
  EXPECT_EQ(hub_cache(), "/new");
}

TEST_F(HubCache, FindsTheSnapshotOfARevision) {
  add_model("main");
  add_model("pr/1");
  add_model("main", "models--gpt2");
  EXPECT_EQ(fs::path(find_model("org/tiny")), snapshot());
  EXPECT_EQ(fs::path(find_model("org/tiny", "pr/1")), snapshot());
  EXPECT_EQ(fs::path(find_model("org/tiny", kCommit)), snapshot());
  EXPECT_EQ(fs::path(find_model("gpt2")), snapshot("models--gpt2"));
}

TEST_F(HubCache, LeavesPathsAndUnknownNamesAsTheyAre) {
  add_model("main");
  EXPECT_EQ(find_model("org/other"), "org/other");
  EXPECT_EQ(find_model("./org/tiny"), "./org/tiny");
  EXPECT_EQ(find_model("../../hub"), "../../hub");
  EXPECT_EQ(find_model(folder_.file("hub")), folder_.file("hub"));
}

TEST_F(HubCache, RefusesRevisionsThatAreNotThere) {
  add_model("main");
  expect_error(ErrorCode::not_found, {"org/tiny", "revision 'v2'"}, [] { find_model("org/tiny", "v2"); });
  expect_error(ErrorCode::invalid_argument, {"revision", "../.."}, [] { find_model("org/tiny", "../.."); });
  write_file((fs::path(folder_.file("hub")) / "models--org--tiny/refs/broken").string(),
             std::string_view("../../../etc"));
  expect_error(ErrorCode::invalid_file, {"refs/broken", "../../../etc"},
               [] { find_model("org/tiny", "broken"); });
}

TEST_F(HubCache, AnAbsentModelIsSaidToBeInNeitherPlace) {
  expect_error(ErrorCode::not_found, {"org/absent", "no such folder", hub_cache()},
               [] { Checkpoint::open("org/absent"); });
}

TEST(HubName, IsWhatTheHubTakes) {
  for (const char* name : {"gpt2", "meta-llama/Llama-2-7b-chat-hf", "a_b/c.d"})
    EXPECT_TRUE(is_hub_name(name)) << name;
  for (const char* name : {"", "/a", "a/", "a/b/c", "./a", "a..b", "a--b", "-a", "a b", "../a"})
    EXPECT_FALSE(is_hub_name(name)) << name;
}

}  // namespace
}  // namespace octet::files
