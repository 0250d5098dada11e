#include "grammar/regex_size.h"

#include <algorithm>
#include <charconv>

#include "base/error.h"

namespace octet::grammar {

namespace {

constexpr int kMostDepth = 64;
constexpr int kCeiling = 1 << 20;  // more than any limit, and its square fits

class Counter {
 public:
  Counter(std::string_view regex, const std::string& field) : rest_(regex), field_(field) {}

  int count(int depth) {
    if (depth > kMostDepth) refuse("expected groups nested at most " + std::to_string(kMostDepth) + " deep");
    int sum = 0;
    while (!rest_.empty() && rest_.front() != ')') {
      int size = 1;
      const char c = rest_.front();
      rest_.remove_prefix(1);
      if (c == '(') {
        size = count(depth + 1);
        if (!rest_.empty()) rest_.remove_prefix(1);  // its bracket
      } else if (c == '[') {
        skip_class();
      } else if (c == '\\' && !rest_.empty()) {
        rest_.remove_prefix(1);
      } else if (std::string_view("{|*+?^$").find(c) != std::string_view::npos) {
        size = 0;
      }
      const long long written_out = static_cast<long long>(size) * repetitions();
      sum = static_cast<int>(std::min<long long>(sum + written_out, kCeiling));
    }
    return sum;
  }

  bool at_end() const { return rest_.empty(); }

 private:
  [[noreturn]] void refuse(const std::string& message) const {
    throw Error(ErrorCode::invalid_argument, message, field_);
  }

  void skip_class() {
    for (bool first = true; !rest_.empty(); first = false) {
      const char c = rest_.front();
      rest_.remove_prefix(1);
      if (c == '\\' && !rest_.empty())
        rest_.remove_prefix(1);
      else if (c == ']' && !first)
        return;
    }
  }

  // {n}, {n,} and {n,m}: the most copies that are written out.
  int repetitions() {
    if (rest_.empty() || rest_.front() != '{') return 1;
    const std::size_t end = rest_.find('}');
    if (end == rest_.npos) return 1;
    const std::string_view bounds = rest_.substr(1, end - 1);
    int least = 0, most = 0;
    const char* last = bounds.data() + bounds.size();
    const auto [behind_least, error] = std::from_chars(bounds.data(), last, least);
    if (error == std::errc::result_out_of_range)
      least = kCeiling;
    else if (error != std::errc())
      return 1;  // no repetition, or {,m}, which the compiler refuses
    most = behind_least == last ? least : least + 1;
    if (behind_least != last && behind_least + 1 != last) {
      if (std::from_chars(behind_least + 1, last, most).ec == std::errc::result_out_of_range) most = kCeiling;
      if (most < least)
        refuse("expected repetitions whose first number is the lesser, found '{" + std::string(bounds) + "}'");
    }
    rest_.remove_prefix(end + 1);
    return std::clamp(most, 1, kCeiling);
  }

  std::string_view rest_;
  const std::string& field_;
};

}  // namespace

int regex_size(std::string_view regex, const std::string& field) {
  Counter counter(regex, field);
  const int size = counter.count(0);
  if (!counter.at_end())
    throw Error(ErrorCode::invalid_argument, "expected brackets in pairs, found a ')' too many", field);
  return size;
}

}  // namespace octet::grammar
