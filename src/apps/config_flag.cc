#include "apps/config_flag.h"

#include <octet/error.h>

#include <algorithm>
#include <cstddef>
#include <iostream>
#include <numeric>
#include <utility>
#include <vector>

#include "apps/config_file.h"
#include "apps/usage_error.h"

namespace octet::apps {

namespace {

// The least insertions, deletions and replacements of a character that make one of the other (Levenshtein).
std::size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i + 1);
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, diagonal + 1, row[j] + 1});
    }
  }
  return row.back();
}

class ConfigReader {
 public:
  ConfigReader(CLI::App& app, std::vector<std::string> command_line_only, std::string path)
      : app_(app), command_line_only_(std::move(command_line_only)), path_(std::move(path)) {}

  void read() {
    std::string unused;
    for (const ConfigEntry& entry : read_config_file(path_)) {
      CLI::Option* option = find(entry.key);
      if (option == nullptr) {
        refuse_near_misses(entry);
        unused += (unused.empty() ? "" : ", ") + entry.key;
      } else if (option->count() == 0 || is_command_line_only(entry.key)) {
        give(*option, entry);
      }
    }
    if (!unused.empty())
      std::cerr << "octet: notice: " << path_ << ": not used, since octet " << app_.get_name()
                << " has no such flags: " << unused << "\n";
  }

 private:
  [[noreturn]] void refuse(const ConfigEntry& entry, const std::string& what) const {
    throw Error(ErrorCode::invalid_argument, what,
                path_ + ": line " + std::to_string(entry.line) + ": " + entry.key);
  }

  bool is_command_line_only(const std::string& key) const {
    return std::find(command_line_only_.begin(), command_line_only_.end(), key) != command_line_only_.end();
  }

  CLI::Option* find(const std::string& key) const {
    return app_.get_option_no_throw(key == "model" ? "MODEL_DIR" : "--" + key);
  }

  // A typing error must not pass for another program's flag. Short names are near to anything.
  void refuse_near_misses(const ConfigEntry& entry) const {
    for (const CLI::Option* option : app_.get_options())
      for (const std::string& name : option->get_lnames())
        if (edit_distance(entry.key, name) <= name.size() / 6) refuse(entry, "unknown; is " + name + " meant?");
  }

  void give(CLI::Option& option, const ConfigEntry& entry) const {
    if (is_command_line_only(entry.key)) refuse(entry, "is taken from the command line only");
    if (!entry.readable) refuse(entry, "expected a value, or a list of them");
    const bool stands_alone = option.get_expected_min() == 0;
    if (stands_alone &&
        (entry.values.size() != 1 || entry.values[0].find_first_of("0123456789") != std::string::npos))
      refuse(entry, "expected true or false");  // the parser would take a number for it
    try {
      // A flag may have a second name that says the opposite, such as --no-enable-prefix-caching.
      for (const std::string& value : entry.values)
        option.add_result(stands_alone ? option.get_flag_value(entry.key, value) : value);
      if (option.count() > 0) option.run_callback();
    } catch (const CLI::ParseError& error) {
      refuse(entry, value_error(app_, error));
    }
  }

  CLI::App& app_;
  std::vector<std::string> command_line_only_;
  std::string path_;
};

}  // namespace

void add_config_flag(CLI::App& app, std::initializer_list<const char*> command_line_only) {
  std::vector<std::string> excluded(command_line_only.begin(), command_line_only.end());
  excluded.insert(excluded.end(), {"config", "help"});
  // The parser runs this when the whole command line is read, and looks for missing flags afterwards.
  app.add_option_function<std::string>(
      "--config", [&app, excluded](const std::string& path) { ConfigReader(app, excluded, path).read(); },
      "Flags from this file, as octet plan writes it and vllm serve takes it: YAML, one flag a key; those of "
      "the "
      "command line win");
}

}  // namespace octet::apps
