// WordCache: the tokens of words seen lately. Ordinary text repeats its words, and a look-up is many times
// cheaper than joining pairs.
//
// A table with one place for each hash, so its memory is bounded and nothing is ever searched for. Not
// thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace octet::text {

class WordCache {
 public:
  // Words longer than this are not kept: they seldom come twice.
  static constexpr std::size_t kLongestWord = 64;

  // Appends the word's tokens and returns true, or returns false.
  bool find(std::string_view word, std::vector<std::int32_t>& ids) {
    if (word.size() > kLongestWord || entries_.empty()) return false;
    const Entry& entry = entries_[place_of(word)];
    if (entry.word != word) return false;
    ids.insert(ids.end(), entry.ids.begin(), entry.ids.end());
    return true;
  }

  void insert(std::string_view word, std::span<const std::int32_t> ids) {
    if (word.size() > kLongestWord) return;
    if (entries_.empty()) entries_.resize(kPlaces);
    Entry& entry = entries_[place_of(word)];
    entry.word.assign(word);
    entry.ids.assign(ids.begin(), ids.end());
  }

 private:
  struct Entry {
    std::string word;  // never empty where used
    std::vector<std::int32_t> ids;
  };
  static constexpr std::size_t kPlaces = std::size_t{1} << 15;
  static std::size_t place_of(std::string_view word) { return std::hash<std::string_view>{}(word) % kPlaces; }

  std::vector<Entry> entries_;
};

}  // namespace octet::text
