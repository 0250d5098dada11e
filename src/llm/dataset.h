// Dataset: the samples of a file of text, chosen and put in order, none of them kept in memory.
//
// JSON lines: a sample is a line. Plain text: a sample is a stretch of whole lines of about as many bytes as
// fit the longest sample. The file stays mapped. Immutable after opening.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "files/mapped_file.h"

namespace octet::llm {

struct DatasetOptions {
  std::string file;
  int num_samples = 512;               // at most so many are chosen
  std::uint64_t seed = 42;             // of the choice and the order
  bool shuffle = true;                 // false: the first ones, as they stand
  std::int64_t text_bytes = 4 * 2048;  // of a sample of plain text
};

class Dataset {
 public:
  // Reads the file once to choose from all of its samples with equal chances; memory grows with num_samples
  // only. Throws Error: not_found, io, invalid_argument (a name that says neither JSON lines nor text, naming
  // those that do), unsupported (Parquet, compressed files, one JSON array: each with the command that converts
  // it), invalid_file (no sample in it).
  static Dataset open(const DatasetOptions& options);

  bool is_json() const { return json_; }
  std::size_t size() const { return chosen_.size(); }
  std::int64_t samples_in_file() const { return in_file_; }
  std::string_view text(std::size_t index) const;  // a line without its newline, or a stretch of text
  std::string where(std::size_t index) const;      // "FILE: line 7"
  // Of the chosen samples' bytes, in order.
  std::uint64_t fingerprint() const;

 private:
  struct Sample {
    std::size_t begin, size;
    std::int64_t line;  // from 1
  };
  explicit Dataset(const std::string& file) : file_(file) {}
  void choose(const DatasetOptions& options);

  files::MappedFile file_;
  bool json_ = false;
  std::int64_t in_file_ = 0;
  std::vector<Sample> chosen_;
};

}  // namespace octet::llm
