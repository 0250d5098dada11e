#include "text/text_pattern.h"

#include <array>
#include <utility>

#include "text/utf8.h"

namespace octet::text {
namespace {

struct Segment {
  Span span;
  bool is_match;
};

// The whole text, in order: matches and what lies between them.
std::vector<Segment> segments_of(std::size_t size, const std::vector<Span>& matches, bool invert) {
  std::vector<Segment> segments;
  segments.reserve(2 * matches.size() + 1);
  std::size_t end = 0;
  for (const Span& match : matches) {
    if (end != match.begin) segments.push_back({{end, match.begin}, invert});
    segments.push_back({match, !invert});
    end = match.end;
  }
  if (end != size) segments.push_back({{end, size}, invert});
  return segments;
}

// Joins each segment to the one before it where `joins(segment, previous_was_match)`.
template <typename Joins>
void join_forward(const std::vector<Segment>& segments, Joins joins, std::vector<Span>& parts) {
  bool previous = false;
  for (const Segment& segment : segments) {
    if (joins(segment.is_match, previous) && !parts.empty()) {
      parts.back().end = segment.span.end;
    } else {
      parts.push_back(segment.span);
    }
    previous = segment.is_match;
  }
}

void join_backward(const std::vector<Segment>& segments, std::vector<Span>& parts) {
  bool previous = false;
  for (auto segment = segments.rbegin(); segment != segments.rend(); ++segment) {
    if (segment->is_match && !previous && !parts.empty()) {
      parts.back().begin = segment->span.begin;
    } else {
      parts.push_back(segment->span);
    }
    previous = segment->is_match;
  }
  for (std::size_t k = 0; k < parts.size() / 2; ++k) std::swap(parts[k], parts[parts.size() - 1 - k]);
}

}  // namespace

TextPattern TextPattern::parse(const JsonField& field) {
  TextPattern pattern;
  if (const auto text = field.find("String")) {
    pattern.literal_ = text->string();
    // The empty string matches between all characters, which the regex does.
    if (pattern.literal_.empty()) pattern.regex_ = Regex::compile("", text->context());
  } else if (const auto regex = field.find("Regex")) {
    pattern.regex_ = Regex::compile(regex->string(), regex->context());
  } else {
    field.fail("expected {\"String\": …} or {\"Regex\": …}");
  }
  return pattern;
}

TextPattern TextPattern::of_regex(Regex regex) {
  TextPattern pattern;
  pattern.regex_ = std::move(regex);
  return pattern;
}

void TextPattern::find_all(std::string_view text, std::vector<Span>& matches) const {
  if (regex_) return regex_->find_all(text, matches);
  matches.clear();
  for (std::size_t at = text.find(literal_); at != std::string_view::npos; at = text.find(literal_, at)) {
    matches.push_back({at, at + literal_.size()});
    at += literal_.size();
  }
}

void find_characters(std::string_view text, bool (*wanted)(char32_t), std::vector<Span>& matches) {
  matches.clear();
  for (std::size_t position = 0; position < text.size();) {
    const std::size_t begin = position;
    if (wanted(next_code_point(text, position))) matches.push_back({begin, position});
  }
}

SplitBehavior parse_split_behavior(const JsonField& field) {
  constexpr std::array<std::pair<std::string_view, SplitBehavior>, 5> kNames = {{
      {"Removed", SplitBehavior::Removed},
      {"Isolated", SplitBehavior::Isolated},
      {"MergedWithPrevious", SplitBehavior::MergedWithPrevious},
      {"MergedWithNext", SplitBehavior::MergedWithNext},
      {"Contiguous", SplitBehavior::Contiguous},
  }};
  const std::string name = field.string();
  for (const auto& [known, behavior] : kNames) {
    if (name == known) return behavior;
  }
  field.expected("Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous");
}

void split_text(std::size_t size, const std::vector<Span>& matches, bool invert, SplitBehavior behavior,
                std::vector<Span>& parts) {
  parts.clear();
  const std::vector<Segment> segments = segments_of(size, matches, invert);
  switch (behavior) {
    case SplitBehavior::Removed:
      for (const Segment& segment : segments) {
        if (!segment.is_match) parts.push_back(segment.span);
      }
      break;
    case SplitBehavior::Isolated:
      for (const Segment& segment : segments) parts.push_back(segment.span);
      break;
    case SplitBehavior::MergedWithPrevious:
      join_forward(
          segments, [](bool is_match, bool previous) { return is_match && !previous; }, parts);
      break;
    case SplitBehavior::MergedWithNext:
      join_backward(segments, parts);
      break;
    case SplitBehavior::Contiguous:
      join_forward(
          segments, [](bool is_match, bool previous) { return is_match == previous; }, parts);
      break;
  }
  std::erase_if(parts, [](const Span& part) { return part.begin == part.end; });
}

}  // namespace octet::text
