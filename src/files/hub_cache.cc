#include "files/hub_cache.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string_view>

#include "base/error.h"
#include "files/mapped_file.h"
#include "files/printable.h"

namespace octet::files {

namespace fs = std::filesystem;

namespace {

// Empty where the variable is not set; "~" is the home folder, as Python's expanduser has it.
fs::path environment_path(const char* variable) {
  const char* value = std::getenv(variable);
  if (!value || !*value) return {};
  const std::string_view text = value;
  const char* home = std::getenv("HOME");
  if (home && (text == "~" || text.starts_with("~/"))) return home + std::string(text.substr(1));
  return text;
}

bool stands(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

// A branch may contain slashes; nothing may lead out of the folder.
void check_revision(const std::string& revision) {
  const fs::path path = revision;
  const bool leads_out = path.is_absolute() || std::any_of(path.begin(), path.end(),
                                                           [](const fs::path& part) { return part == ".."; });
  if (revision.empty() || leads_out)
    throw Error(ErrorCode::invalid_argument,
                "expected a branch, a tag or a commit, found '" + printable(revision) + "'", "revision");
}

std::string without_newline(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' ')) text.pop_back();
  return text;
}

// The commit that refs/REVISION holds; nothing where there is no such file.
std::optional<std::string> read_ref(const fs::path& file) {
  constexpr std::int64_t kMostBytes = 4096;
  std::error_code ignored;
  if (!fs::is_regular_file(file, ignored)) return {};
  std::string commit = without_newline(read_text_file(file.string(), kMostBytes));
  if (commit.empty() || commit.find_first_not_of("0123456789abcdef") != std::string::npos)
    throw Error(ErrorCode::invalid_file, "expected a commit, found '" + printable(commit) + "'", file.string());
  return commit;
}

}  // namespace

// Source: the rules of huggingface_hub for repository names: letters, digits, '-', '_' and '.', none of the
// last three twice in a row but '_', and neither '-' nor '.' at an end.
bool is_hub_name(std::string_view name) {
  constexpr std::size_t kLongest = 96;
  const auto part_is_good = [](std::string_view part) {
    const auto good = [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
             c == '_' || c == '.';
    };
    const auto at_an_end = [](char c) { return c == '-' || c == '.'; };
    return !part.empty() && std::all_of(part.begin(), part.end(), good) && !at_an_end(part.front()) &&
           !at_an_end(part.back());
  };
  if (name.size() > kLongest || name.find("--") != name.npos || name.find("..") != name.npos) return false;
  const std::size_t slash = name.find('/');
  if (slash == name.npos) return part_is_good(name);
  return part_is_good(name.substr(0, slash)) && part_is_good(name.substr(slash + 1));
}

std::string hub_cache() {
  for (const char* variable : {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"})
    if (const fs::path path = environment_path(variable); !path.empty()) return path.string();
  if (const fs::path home = environment_path("HF_HOME"); !home.empty()) return (home / "hub").string();
  fs::path caches = environment_path("XDG_CACHE_HOME");
  if (caches.empty()) caches = environment_path("HOME") / ".cache";
  return (caches / "huggingface" / "hub").string();
}

std::string find_model(const std::string& model, const std::string& revision) {
  check_revision(revision);
  if (stands(model) || !is_hub_name(model)) return model;
  std::string folder = "models--" + model;
  if (const auto slash = folder.find('/'); slash != std::string::npos) folder.replace(slash, 1, "--");
  const fs::path cached = fs::path(hub_cache()) / folder;
  if (!stands(cached)) return model;
  const std::string commit = read_ref(cached / "refs" / revision).value_or(revision);
  const fs::path snapshot = cached / "snapshots" / commit;
  if (stands(snapshot)) return snapshot.string();
  throw Error(
      ErrorCode::not_found,
      "the cache holds this model, but no revision '" + printable(revision) + "' of it in " + cached.string(),
      model);
}

}  // namespace octet::files
