#include "llm/dataset.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <random>
#include <utility>

#include "base/error.h"

namespace octet::llm {

namespace {

// Read so much before giving the memory back.
constexpr std::size_t kReadBytes = std::size_t{16} << 20;
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

bool is_blank(std::string_view text) { return text.find_first_not_of(" \t\r\n\v\f") == text.npos; }

std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// True for JSON lines, false for plain text.
bool json_by_name(const std::string& file) {
  const std::size_t dot = file.rfind('.');
  std::string ending = dot == file.npos || file.find('/', dot) != file.npos ? "" : file.substr(dot);
  for (char& c : ending)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
  const auto is = [&](std::string_view other) { return ending == other; };
  static constexpr std::array<std::string_view, 3> kJson = {".jsonl", ".ndjson", ".json"};
  static constexpr std::array<std::string_view, 4> kText = {".txt", ".text", ".raw", ".md"};
  if (std::any_of(kJson.begin(), kJson.end(), is)) return true;
  if (std::any_of(kText.begin(), kText.end(), is)) return false;
  throw Error(
      ErrorCode::invalid_argument,
      "expected a name that ends in .jsonl, .ndjson or .json (one JSON object a line) or in .txt, .text, "
      ".raw or .md (plain text)",
      file);
}

// Files that hold samples, but not as text.
void refuse_other_formats(std::string_view bytes, const std::string& file) {
  const auto refuse = [&](const std::string& what) { throw Error(ErrorCode::unsupported, what, file); };
  if (bytes.starts_with("PAR1"))
    refuse(
        "Parquet is not read here; convert it with pyarrow: python3 -c \"import json, pyarrow.parquet as p; "
        "[print(json.dumps(row, default=str)) for part in p.ParquetFile('IN.parquet').iter_batches() for row "
        "in "
        "part.to_pylist()]\" > OUT.jsonl");
  if (bytes.starts_with("\x1f\x8b")) refuse("is compressed; decompress it: gunzip FILE");
  if (bytes.starts_with("\x28\xb5\x2f\xfd")) refuse("is compressed; decompress it: unzstd FILE");
  const std::size_t first = bytes.find_first_not_of(" \t\r\n");
  if (first != bytes.npos && bytes[first] == '[' && json_by_name(file))
    refuse("is one JSON array; expected one object a line, as jq -c '.[]' IN.json > OUT.jsonl makes them");
}

// The end of the line that begins at `begin`, its newline included.
std::size_t line_end(std::string_view text, std::size_t begin) {
  const std::size_t newline = text.find('\n', begin);
  return newline == text.npos ? text.size() : newline + 1;
}

// Where to end a stretch of text that is to begin at `begin`: behind the first line that makes it long enough,
// and within a line that is far too long, between two words or at least two characters.
std::size_t stretch_end(std::string_view text, std::size_t begin, std::size_t bytes) {
  std::size_t end = begin;
  while (end < text.size() && end - begin < bytes) end = line_end(text, end);
  if (end - begin <= 2 * bytes) return end;
  end = begin + bytes;
  const std::size_t space = text.rfind(' ', end);
  if (space != text.npos && space > begin + bytes / 2) return space;
  while (end > begin + 1 && (static_cast<unsigned char>(text[end]) & 0xC0u) == 0x80u) --end;
  return end;
}

}  // namespace

Dataset Dataset::open(const DatasetOptions& options) {
  Dataset dataset(options.file);
  refuse_other_formats(as_text(dataset.file_.bytes()), options.file);
  dataset.json_ = json_by_name(options.file);
  dataset.choose(options);
  if (dataset.chosen_.empty()) throw Error(ErrorCode::invalid_file, "the dataset is empty", options.file);
  return dataset;
}

void Dataset::choose(const DatasetOptions& options) {
  const std::string_view all = as_text(file_.bytes());
  const auto wanted = static_cast<std::size_t>(options.num_samples);
  std::mt19937_64 generator(options.seed);
  std::int64_t line = 1;
  std::size_t kept = 0;  // what was read from here on is in memory still
  std::size_t begin = all.starts_with(kByteOrderMark) ? kByteOrderMark.size() : 0;
  while (begin < all.size()) {
    const std::size_t end =
        json_ ? line_end(all, begin) : stretch_end(all, begin, static_cast<std::size_t>(options.text_bytes));
    const std::string_view part = all.substr(begin, end - begin);
    const Sample sample = {begin, part.size() - (json_ && part.ends_with('\n')), line};
    line += json_ ? 1 : std::count(part.begin(), part.end(), '\n');
    begin = end;
    if (begin - kept > kReadBytes) file_.give_back(std::exchange(kept, begin), begin);
    if (is_blank(part)) continue;
    ++in_file_;
    if (chosen_.size() < wanted) {
      chosen_.push_back(sample);
    } else if (!options.shuffle) {
      break;
    } else if (const auto place = generator() % static_cast<std::uint64_t>(in_file_); place < wanted) {
      chosen_[place] = sample;  // a reservoir: each of those so far stands in it with the same chance
    }
  }
  // The reservoir says who, not in which order: Fisher and Yates. (std::shuffle differs between libraries.)
  if (options.shuffle)
    for (std::size_t i = chosen_.size(); i > 1; --i) std::swap(chosen_[i - 1], chosen_[generator() % i]);
}

std::string_view Dataset::text(std::size_t index) const {
  return as_text(file_.bytes()).substr(chosen_[index].begin, chosen_[index].size);
}

std::string Dataset::where(std::size_t index) const {
  return file_.path() + ": line " + std::to_string(chosen_[index].line);
}

std::uint64_t Dataset::fingerprint() const {
  std::uint64_t hash = 0xcbf29ce484222325u;  // FNV-1a
  for (std::size_t i = 0; i < size(); ++i) {
    for (const char c : text(i)) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
    hash = (hash ^ 0x100u) * 0x100000001b3u;
  }
  return hash;
}

}  // namespace octet::llm
