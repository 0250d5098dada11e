#include "text/gguf_tokenizer.h"

#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "files/gguf.h"
#include "files/printable.h"
#include "text/bpe.h"
#include "text/gguf_words.h"
#include "text/pipeline.h"
#include "text/tokenizer_parts.h"
#include "text/utf8.h"

namespace octet::text {
namespace {

using files::GgufFile;
using files::GgufValue;

bool flag_or(const GgufFile& file, std::string_view key, bool fallback) {
  const GgufValue* value = file.find(key);
  return value != nullptr ? value->as_bool() : fallback;
}

class GgufTokenizerReader {
 public:
  explicit GgufTokenizerReader(const GgufFile& file)
      : file_(file), kind_(file.at("tokenizer.ggml.model").as_string()) {
    if (kind_ != "llama" && kind_ != "gpt2") {
      unsupported("tokenizer.ggml.model", kind_, "llama and gpt2");
    }
  }

  std::shared_ptr<const TokenizerParts> read() {
    read_tokens();
    auto parts = std::make_shared<TokenizerParts>();
    parts->file = file_.path();
    const bool adds_bos = kind_ == "llama" ? describe_pieces(*parts) : describe_byte_level();
    document_["added_tokens"] = added_tokens();
    document_["post_processor"] =
        pipeline::around(special("bos", flag_or(file_, "tokenizer.ggml.add_bos_token", adds_bos)),
                         special("eos", flag_or(file_, "tokenizer.ggml.add_eos_token", false)));
    read_parts(JsonField(document_, parts->file), *parts);
    read_config(parts->config);
    return parts;
  }

 private:
  [[noreturn]] void unsupported(std::string_view key, std::string_view found, std::string_view known) const {
    throw Error(ErrorCode::unsupported,
                std::string(key) + " \"" + files::printable(found) + "\" is not supported, only " +
                    std::string(known) + " are",
                file_.path());
  }

  void require_one_each(const GgufValue& value) const {
    if (value.size() == pieces_.tokens.size()) return;
    value.fail("expected one each for the " + std::to_string(pieces_.tokens.size()) + " tokens, found " +
               std::to_string(value.size()));
  }

  void read_tokens() {
    const GgufValue& tokens = file_.at("tokenizer.ggml.tokens");
    if (tokens.size() > static_cast<std::size_t>(kMaxTokenId)) tokens.fail("too many tokens");
    for (const std::string_view token : tokens.as_strings()) {
      if (find_invalid_utf8(token)) {
        tokens.fail("token " + std::to_string(pieces_.tokens.size()) + " is not valid UTF-8");
      }
      pieces_.tokens.emplace_back(token);
    }
    pieces_.types.assign(pieces_.tokens.size(), PieceType::normal);
    if (const GgufValue* types = file_.find("tokenizer.ggml.token_type")) {
      require_one_each(*types);
      std::size_t id = 0;
      for (const std::int64_t type : types->as_ints(1, 6)) pieces_.types[id++] = static_cast<PieceType>(type);
    }
  }

  // Returns whether BOS is added by default, as describe_byte_level() does.
  bool describe_pieces(TokenizerParts& parts) {
    const GgufValue& scores = file_.at("tokenizer.ggml.scores");
    require_one_each(scores);
    pieces_.scores = scores.as_floats();
    pipeline::set_sentencepiece(document_, flag_or(file_, "tokenizer.ggml.add_space_prefix", true)
                                               ? pipeline::SpacePrefix::every
                                               : pipeline::SpacePrefix::none);
    parts.model = Bpe::of_pieces(pieces_, file_.path() + ": tokenizer.ggml.tokens");
    return true;
  }

  bool describe_byte_level() {
    const GgufValue* name = file_.find("tokenizer.ggml.pre");
    const std::string_view division = name != nullptr ? name->as_string() : "default";
    const GgufWords* words = find_gguf_words(division);
    if (words == nullptr) unsupported("tokenizer.ggml.pre", division, gguf_words_names());

    nlohmann::json vocab = nlohmann::json::object();
    for (std::size_t id = 0; id < pieces_.tokens.size(); ++id) {
      const auto [place, is_new] = vocab.emplace(pieces_.tokens[id], id);
      if (!is_new) {
        file_.at("tokenizer.ggml.tokens")
            .fail("token \"" + pieces_.tokens[id] + "\" has the ids " + place->dump() + " and " +
                  std::to_string(id));
      }
    }
    document_["model"] = {{"type", "BPE"},
                          {"vocab", std::move(vocab)},
                          {"merges", file_.at("tokenizer.ggml.merges").as_strings()},
                          {"ignore_merges", words->whole_words_first}};
    nlohmann::json steps = nlohmann::json::array();
    for (const std::string_view pattern : words->patterns) steps.push_back(pipeline::split(pattern));
    steps.push_back({{"type", "ByteLevel"},
                     {"add_prefix_space", flag_or(file_, "tokenizer.ggml.add_space_prefix", false)},
                     {"use_regex", false}});
    document_["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", std::move(steps)}};
    if (words->composes) document_["normalizer"] = {{"type", "NFC"}};
    document_["decoder"] = {{"type", "ByteLevel"}};
    return words->adds_bos;
  }

  // Phi-3's markers take the white space behind them, which the metadata cannot say.
  bool takes_space_behind(const std::string& token, PieceType type) const {
    const GgufValue* architecture = file_.find("general.architecture");
    if (kind_ != "llama" || architecture == nullptr || architecture->as_string() != "phi3") return false;
    return type != PieceType::unknown && token != "<s>" && token != "<|endoftext|>";
  }

  nlohmann::json added_tokens() const {
    nlohmann::json added = nlohmann::json::array();
    for (std::size_t id = 0; id < pieces_.tokens.size(); ++id) {
      const std::string& token = pieces_.tokens[id];
      const PieceType type = pieces_.types[id];
      if (token.empty() || (!is_special(type) && type != PieceType::user_defined)) continue;
      added.push_back(pipeline::added_token(static_cast<std::int32_t>(id), token, is_special(type),
                                            takes_space_behind(token, type)));
    }
    return added;
  }

  // The id of the token that is called `name`, where it is `wanted`.
  std::optional<std::int32_t> special(const std::string& name, bool wanted) const {
    if (!wanted) return std::nullopt;
    return token_id(file_.at("tokenizer.ggml." + name + "_token_id"));
  }

  std::int32_t token_id(const GgufValue& value) const {
    return static_cast<std::int32_t>(value.as_int(0, static_cast<std::int64_t>(pieces_.tokens.size()) - 1));
  }

  void read_config(TokenizerConfig& config) const {
    const auto token = [&](std::string_view name) {
      const GgufValue* value = file_.find("tokenizer.ggml." + std::string(name) + "_token_id");
      return value != nullptr ? pieces_.tokens[static_cast<std::size_t>(token_id(*value))] : std::string();
    };
    config.bos_token = token("bos");
    config.eos_token = token("eos");
    config.unk_token = token("unknown");
    config.pad_token = token("padding");
    if (const GgufValue* source = file_.find("tokenizer.chat_template")) {
      config.chat_template = source->as_string();
      config.chat_template_file = file_.path() + ": tokenizer.chat_template";
    }
  }

  const GgufFile& file_;
  std::string_view kind_;
  ScoredPieces pieces_;
  nlohmann::json document_ = nlohmann::json::object();  // as a tokenizer.json
};

}  // namespace

std::shared_ptr<const TokenizerParts> load_gguf_tokenizer(const std::string& path) {
  const GgufFile file = GgufFile::open(path);
  return GgufTokenizerReader(file).read();
}

}  // namespace octet::text
