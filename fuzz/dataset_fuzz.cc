// Any bytes as a dataset, JSON lines or plain text: refused with an Error, or samples that lie inside the file,
// each of which becomes ids of the vocabulary or is refused with an Error that names its line.
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "base/error.h"
#include "llm/dataset.h"
#include "llm/sample_encoder.h"
#include "llm/tiny_llm.h"

namespace {

constexpr int kMaxTokens = 24;

// A folder with a tokenizer and a chat template, and the dataset of the moment.
struct Folder {
  std::filesystem::path path =
      std::filesystem::temp_directory_path() / ("octet-dataset-fuzz-" + std::to_string(getpid()));
  Folder() {
    std::filesystem::create_directories(path);
    octet::tests::tiny::write_file(path / "tokenizer.json", octet::tests::tiny_tokenizer_json());
    octet::tests::tiny::write_file(
        path / "tokenizer_config.json",
        std::string(R"({"eos_token":"<|end|>","chat_template":")") + octet::tests::kTinyChatTemplate + "\"}");
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
};

void require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Folder folder;
  static octet::llm::SampleEncoder encoder(folder.path.string(), octet::tests::kTinyVocabSize, kMaxTokens);
  if (size == 0) return 0;
  const bool json = (data[0] & 1) != 0, shuffle = (data[0] & 2) != 0;
  const std::string content(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::string file = (folder.path / (json ? "data.jsonl" : "data.txt")).string();
  octet::tests::tiny::write_file(file, content);
  try {
    const auto dataset = octet::llm::Dataset::open(
        {.file = file, .num_samples = 5, .shuffle = shuffle, .text_bytes = 3 * kMaxTokens});
    require(dataset.size() > 0 && dataset.size() <= 5 &&
            static_cast<std::int64_t>(dataset.size()) <= dataset.samples_in_file());
    std::size_t from = 0;
    for (std::size_t i = 0; i < dataset.size(); ++i) {
      const std::string_view text = dataset.text(i);
      const std::size_t at = content.find(text, shuffle ? 0 : from);  // in their order where not shuffled
      require(at != std::string::npos);
      if (!shuffle) from = at + text.size();
      try {
        const auto ids =
            json ? encoder.encode_line(text, dataset.where(i)) : encoder.encode_text(text, dataset.where(i));
        require(ids.size() <= kMaxTokens);
        for (const std::int32_t id : ids) require(id >= 0 && id < octet::tests::kTinyVocabSize);
      } catch (const octet::Error& error) {
        require(std::string_view(error.what()).starts_with(dataset.where(i)));
      }
    }
  } catch (const octet::Error& error) {
    require(std::string_view(error.what()).starts_with(file));
  }
  return 0;
}
