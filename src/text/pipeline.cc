#include "text/pipeline.h"

#include <utility>

#include "text/scored_pieces.h"

namespace octet::text::pipeline {

using nlohmann::json;

json added_token(std::int32_t id, const std::string& content, bool special, bool rstrip) {
  return {{"id", id},        {"content", content}, {"special", special},  {"normalized", false},
          {"lstrip", false}, {"rstrip", rstrip},   {"single_word", false}};
}

json around(std::optional<std::int32_t> bos, std::optional<std::int32_t> eos) {
  json single = json::array();
  json special_tokens = json::object();
  const auto add = [&](const char* name, std::optional<std::int32_t> id) {
    if (!id) return;
    single.push_back({{"SpecialToken", {{"id", name}, {"type_id", 0}}}});
    special_tokens[name] = {{"id", name}, {"ids", json::array({*id})}, {"tokens", json::array({name})}};
  };
  add("bos", bos);
  single.push_back({{"Sequence", {{"id", "A"}, {"type_id", 0}}}});
  add("eos", eos);
  return {{"type", "TemplateProcessing"}, {"single", single}, {"special_tokens", special_tokens}};
}

json split(std::string_view regex) {
  return {{"type", "Split"}, {"pattern", {{"Regex", regex}}}, {"behavior", "Isolated"}, {"invert", false}};
}

void set_sentencepiece(json& document, SpacePrefix prefix) {
  const json mark = kSpaceMark;
  json to_mark = {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", mark}};
  if (prefix == SpacePrefix::first) {
    document["pre_tokenizer"] = {
        {"type", "Metaspace"}, {"replacement", mark}, {"prepend_scheme", "first"}, {"split", false}};
  } else if (prefix == SpacePrefix::every) {
    json steps = json::array({json{{"type", "Prepend"}, {"prepend", mark}}, std::move(to_mark)});
    document["normalizer"] = {{"type", "Sequence"}, {"normalizers", std::move(steps)}};
  } else {
    document["normalizer"] = std::move(to_mark);
  }
  json stages = json::array({json{{"type", "Replace"}, {"pattern", {{"String", mark}}}, {"content", " "}},
                             json{{"type", "ByteFallback"}}, json{{"type", "Fuse"}}});
  if (prefix != SpacePrefix::none) {
    stages.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  }
  document["decoder"] = {{"type", "Sequence"}, {"decoders", std::move(stages)}};
}

}  // namespace octet::text::pipeline
