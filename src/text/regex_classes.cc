#include "text/regex_classes.h"

#include <array>
#include <cctype>
#include <cstdint>
#include <cstdio>
#include <utility>

#include "text/unicode_classes.h"

namespace octet::text {
namespace {

using Name = std::pair<std::string_view, std::string_view>;

// Long names of the general categories, without separators, in lower case.
constexpr std::array kCategories = {
    Name{"letter", "L"},
    Name{"uppercaseletter", "Lu"},
    Name{"lowercaseletter", "Ll"},
    Name{"titlecaseletter", "Lt"},
    Name{"modifierletter", "Lm"},
    Name{"otherletter", "Lo"},
    Name{"mark", "M"},
    Name{"nonspacingmark", "Mn"},
    Name{"spacingmark", "Mc"},
    Name{"enclosingmark", "Me"},
    Name{"number", "N"},
    Name{"decimalnumber", "Nd"},
    Name{"letternumber", "Nl"},
    Name{"othernumber", "No"},
    Name{"punctuation", "P"},
    Name{"connectorpunctuation", "Pc"},
    Name{"dashpunctuation", "Pd"},
    Name{"openpunctuation", "Ps"},
    Name{"closepunctuation", "Pe"},
    Name{"initialpunctuation", "Pi"},
    Name{"finalpunctuation", "Pf"},
    Name{"otherpunctuation", "Po"},
    Name{"symbol", "S"},
    Name{"mathsymbol", "Sm"},
    Name{"currencysymbol", "Sc"},
    Name{"modifiersymbol", "Sk"},
    Name{"othersymbol", "So"},
    Name{"separator", "Z"},
    Name{"spaceseparator", "Zs"},
    Name{"lineseparator", "Zl"},
    Name{"paragraphseparator", "Zp"},
    Name{"other", "C"},
    Name{"control", "Cc"},
    Name{"format", "Cf"},
    Name{"surrogate", "Cs"},
    Name{"privateuse", "Co"},
    Name{"unassigned", "Cn"},
};

// Binary properties that PCRE2 and Oniguruma both have, under PCRE2's name.
constexpr std::array<std::string_view, 9> kBinary = {
    "alphabetic",        "uppercase",     "lowercase",         "ideographic",         "emoji",
    "emojipresentation", "emojimodifier", "emojimodifierbase", "extendedpictographic"};

std::string folded(std::string_view name) {
  std::string result;
  for (const char c : name) {
    if (c == ' ' || c == '_' || c == '-') continue;
    result.push_back(static_cast<char>(std::tolower(static_cast<unsigned char>(c))));
  }
  return result;
}

std::string range_text(std::uint32_t first, std::uint32_t last) {
  char buffer[40];
  if (first == last) {
    std::snprintf(buffer, sizeof buffer, "\\x{%X}", first);
  } else {
    std::snprintf(buffer, sizeof buffer, "\\x{%X}-\\x{%X}", first, last);
  }
  return buffer;
}

std::string category_members(std::string_view category) {
  std::string result = "\\p{" + std::string(category) + "}";
  for_each_new_range(category,
                     [&](std::uint32_t first, std::uint32_t last) { result += range_text(first, last); });
  return result;
}

constexpr std::string_view kWhiteSpace =
    "\\x{9}-\\x{D}\\x{20}\\x{85}\\x{A0}\\x{1680}\\x{2000}-\\x{200A}\\x{2028}\\x{2029}\\x{202F}\\x{205F}\\x{"
    "3000}";
constexpr std::string_view kHexDigits = "0-9A-Fa-f";

// The superscripts and fractions of Latin-1 are word characters in Oniguruma's table for bytes, which it reads
// for a \w that is not in brackets.
constexpr std::string_view kLatin1Words = "\\x{B2}\\x{B3}\\x{B9}\\x{BC}-\\x{BE}";

// What Unicode 15 and 16 made alphabetic beside letters, and lower-case beside Ll.
constexpr std::string_view kNewAlphabetic =
    "\\x{363}-\\x{36F}\\x{897}\\x{C04}\\x{CF3}\\x{F82}\\x{F83}\\x{1DD3}-\\x{1DE6}\\x{10D69}\\x{10EFC}"
    "\\x{11080}\\x{11081}\\x{11241}\\x{113B8}-\\x{113C0}\\x{113C2}\\x{113C5}\\x{113C7}-\\x{113CA}"
    "\\x{113CC}\\x{113CD}\\x{11F00}\\x{11F01}\\x{11F03}\\x{11F34}-\\x{11F3A}\\x{11F3E}-\\x{11F40}"
    "\\x{1611E}-\\x{1612E}\\x{1E08F}";
constexpr std::string_view kNewLowercase = "\\x{10FC}\\x{A7F2}-\\x{A7F4}\\x{AB69}\\x{1E030}-\\x{1E06D}";

std::string alphabetic_members() {
  return "\\p{Alphabetic}" + category_members("L") + std::string(kNewAlphabetic);
}

std::optional<std::string> posix_members(std::string_view name, bool alone) {
  if (name == "alpha") return alphabetic_members();
  if (name == "alnum") return alphabetic_members() + category_members("Nd");
  if (name == "blank") return "\\x{9}" + category_members("Zs");
  if (name == "cntrl") return "\\p{Cc}";
  if (name == "digit") return category_members("Nd");
  if (name == "lower") return "\\p{Lowercase}" + category_members("Ll") + std::string(kNewLowercase);
  if (name == "upper") return "\\p{Uppercase}" + category_members("Lu");
  if (name == "punct") return category_members("P") + category_members("S");
  if (name == "space" || name == "whitespace") return std::string(kWhiteSpace);
  if (name == "xdigit") return std::string(kHexDigits);
  if (name == "word") return shorthand_members('w', alone);
  if (name == "ascii") return "\\x{0}-\\x{7F}";
  if (name == "any") return "\\x{0}-\\x{10FFFF}";
  return std::nullopt;
}

}  // namespace

std::string shorthand_members(char letter, bool alone) {
  switch (letter) {
    case 's':
      return std::string(kWhiteSpace);
    case 'd':
      return category_members("Nd");
    case 'h':
      return std::string(kHexDigits);
    default:
      return "\\p{Alphabetic}" + category_members("L") + category_members("M") + category_members("Nd") +
             category_members("Pc") + std::string(alone ? kLatin1Words : "");
  }
}

std::optional<std::string> property_members(std::string_view name, bool alone) {
  const std::string key = folded(name);
  if (key.empty() || key == "graph" || key == "print" || key.starts_with("in")) {
    // "In_…" is a block, except for the scripts of the Inherited and the Inscriptional kind.
    if (!key.starts_with("inherited") && !key.starts_with("inscriptional")) return std::nullopt;
  }
  for (const char c : key) {
    if (!std::isalnum(static_cast<unsigned char>(c))) return std::nullopt;
  }
  for (const auto& [long_name, category] : kCategories) {
    std::string short_name(category);
    if (key == long_name || key == folded(short_name)) return category_members(category);
  }
  if (std::optional<std::string> members = posix_members(key, alone)) return members;
  for (const std::string_view binary : kBinary) {
    if (key != binary) continue;
    if (key == "alphabetic") return posix_members("alpha", alone);
    if (key == "uppercase") return posix_members("upper", alone);
    if (key == "lowercase") return posix_members("lower", alone);
    return "\\p{" + key + "}";
  }
  // A script: PCRE2's plain \p{Han} would mean Script_Extensions, Oniguruma's means Script.
  const std::string added = key == "han" ? "\\x{2B739}\\x{2EBF0}-\\x{2EE5D}\\x{31350}-\\x{323AF}" : "";
  return "\\p{sc:" + key + "}" + added;
}

std::string non_space_members() {
  return "\\x{0}-\\x{8}\\x{E}-\\x{1F}\\x{21}-\\x{84}\\x{86}-\\x{9F}\\x{A1}-\\x{167F}\\x{1681}-\\x{1FFF}"
         "\\x{200B}-\\x{2027}\\x{202A}-\\x{202E}\\x{2030}-\\x{205E}\\x{2060}-\\x{2FFF}\\x{3001}-\\x{10FFFF}";
}

}  // namespace octet::text
