// Case mapping as Python does it. utf8proc maps one code point to one; where Unicode maps one to several
// (SpecialCasing.txt) and where a code point counts as cased without being a letter (DerivedCoreProperties,
// Other_Lowercase and Other_Uppercase), the tables below fill in.
#include <utf8proc.h>

#include <algorithm>

#include "text/jinja_text.h"

namespace octet::text::jinja {
namespace {

struct SpecialCase {
  char32_t code_point;
  const char8_t* upper;
  const char8_t* title;  // nullptr: the simple mapping
};

// clang-format off
constexpr SpecialCase kSpecialCases[] = {
    {0x00DF, u8"SS", u8"Ss"}, {0x0149, u8"\u02BCN", u8"\u02BCN"}, {0x01F0, u8"J\u030C", u8"J\u030C"},
    {0x0390, u8"\u0399\u0308\u0301", u8"\u0399\u0308\u0301"},
    {0x03B0, u8"\u03A5\u0308\u0301", u8"\u03A5\u0308\u0301"}, {0x0587, u8"\u0535\u0552", u8"\u0535\u0582"},
    {0x1E96, u8"H\u0331", u8"H\u0331"}, {0x1E97, u8"T\u0308", u8"T\u0308"},
    {0x1E98, u8"W\u030A", u8"W\u030A"}, {0x1E99, u8"Y\u030A", u8"Y\u030A"},
    {0x1E9A, u8"A\u02BE", u8"A\u02BE"}, {0x1F50, u8"\u03A5\u0313", u8"\u03A5\u0313"},
    {0x1F52, u8"\u03A5\u0313\u0300", u8"\u03A5\u0313\u0300"},
    {0x1F54, u8"\u03A5\u0313\u0301", u8"\u03A5\u0313\u0301"},
    {0x1F56, u8"\u03A5\u0313\u0342", u8"\u03A5\u0313\u0342"}, {0x1F80, u8"\u1F08\u0399", nullptr},
    {0x1F81, u8"\u1F09\u0399", nullptr}, {0x1F82, u8"\u1F0A\u0399", nullptr},
    {0x1F83, u8"\u1F0B\u0399", nullptr}, {0x1F84, u8"\u1F0C\u0399", nullptr},
    {0x1F85, u8"\u1F0D\u0399", nullptr}, {0x1F86, u8"\u1F0E\u0399", nullptr},
    {0x1F87, u8"\u1F0F\u0399", nullptr}, {0x1F88, u8"\u1F08\u0399", nullptr},
    {0x1F89, u8"\u1F09\u0399", nullptr}, {0x1F8A, u8"\u1F0A\u0399", nullptr},
    {0x1F8B, u8"\u1F0B\u0399", nullptr}, {0x1F8C, u8"\u1F0C\u0399", nullptr},
    {0x1F8D, u8"\u1F0D\u0399", nullptr}, {0x1F8E, u8"\u1F0E\u0399", nullptr},
    {0x1F8F, u8"\u1F0F\u0399", nullptr}, {0x1F90, u8"\u1F28\u0399", nullptr},
    {0x1F91, u8"\u1F29\u0399", nullptr}, {0x1F92, u8"\u1F2A\u0399", nullptr},
    {0x1F93, u8"\u1F2B\u0399", nullptr}, {0x1F94, u8"\u1F2C\u0399", nullptr},
    {0x1F95, u8"\u1F2D\u0399", nullptr}, {0x1F96, u8"\u1F2E\u0399", nullptr},
    {0x1F97, u8"\u1F2F\u0399", nullptr}, {0x1F98, u8"\u1F28\u0399", nullptr},
    {0x1F99, u8"\u1F29\u0399", nullptr}, {0x1F9A, u8"\u1F2A\u0399", nullptr},
    {0x1F9B, u8"\u1F2B\u0399", nullptr}, {0x1F9C, u8"\u1F2C\u0399", nullptr},
    {0x1F9D, u8"\u1F2D\u0399", nullptr}, {0x1F9E, u8"\u1F2E\u0399", nullptr},
    {0x1F9F, u8"\u1F2F\u0399", nullptr}, {0x1FA0, u8"\u1F68\u0399", nullptr},
    {0x1FA1, u8"\u1F69\u0399", nullptr}, {0x1FA2, u8"\u1F6A\u0399", nullptr},
    {0x1FA3, u8"\u1F6B\u0399", nullptr}, {0x1FA4, u8"\u1F6C\u0399", nullptr},
    {0x1FA5, u8"\u1F6D\u0399", nullptr}, {0x1FA6, u8"\u1F6E\u0399", nullptr},
    {0x1FA7, u8"\u1F6F\u0399", nullptr}, {0x1FA8, u8"\u1F68\u0399", nullptr},
    {0x1FA9, u8"\u1F69\u0399", nullptr}, {0x1FAA, u8"\u1F6A\u0399", nullptr},
    {0x1FAB, u8"\u1F6B\u0399", nullptr}, {0x1FAC, u8"\u1F6C\u0399", nullptr},
    {0x1FAD, u8"\u1F6D\u0399", nullptr}, {0x1FAE, u8"\u1F6E\u0399", nullptr},
    {0x1FAF, u8"\u1F6F\u0399", nullptr}, {0x1FB2, u8"\u1FBA\u0399", u8"\u1FBA\u0345"},
    {0x1FB3, u8"\u0391\u0399", nullptr}, {0x1FB4, u8"\u0386\u0399", u8"\u0386\u0345"},
    {0x1FB6, u8"\u0391\u0342", u8"\u0391\u0342"}, {0x1FB7, u8"\u0391\u0342\u0399", u8"\u0391\u0342\u0345"},
    {0x1FBC, u8"\u0391\u0399", nullptr}, {0x1FC2, u8"\u1FCA\u0399", u8"\u1FCA\u0345"},
    {0x1FC3, u8"\u0397\u0399", nullptr}, {0x1FC4, u8"\u0389\u0399", u8"\u0389\u0345"},
    {0x1FC6, u8"\u0397\u0342", u8"\u0397\u0342"}, {0x1FC7, u8"\u0397\u0342\u0399", u8"\u0397\u0342\u0345"},
    {0x1FCC, u8"\u0397\u0399", nullptr}, {0x1FD2, u8"\u0399\u0308\u0300", u8"\u0399\u0308\u0300"},
    {0x1FD3, u8"\u0399\u0308\u0301", u8"\u0399\u0308\u0301"}, {0x1FD6, u8"\u0399\u0342", u8"\u0399\u0342"},
    {0x1FD7, u8"\u0399\u0308\u0342", u8"\u0399\u0308\u0342"},
    {0x1FE2, u8"\u03A5\u0308\u0300", u8"\u03A5\u0308\u0300"},
    {0x1FE3, u8"\u03A5\u0308\u0301", u8"\u03A5\u0308\u0301"}, {0x1FE4, u8"\u03A1\u0313", u8"\u03A1\u0313"},
    {0x1FE6, u8"\u03A5\u0342", u8"\u03A5\u0342"}, {0x1FE7, u8"\u03A5\u0308\u0342", u8"\u03A5\u0308\u0342"},
    {0x1FF2, u8"\u1FFA\u0399", u8"\u1FFA\u0345"}, {0x1FF3, u8"\u03A9\u0399", nullptr},
    {0x1FF4, u8"\u038F\u0399", u8"\u038F\u0345"}, {0x1FF6, u8"\u03A9\u0342", u8"\u03A9\u0342"},
    {0x1FF7, u8"\u03A9\u0342\u0399", u8"\u03A9\u0342\u0345"}, {0x1FFC, u8"\u03A9\u0399", nullptr},
    {0xFB00, u8"FF", u8"Ff"}, {0xFB01, u8"FI", u8"Fi"}, {0xFB02, u8"FL", u8"Fl"}, {0xFB03, u8"FFI", u8"Ffi"},
    {0xFB04, u8"FFL", u8"Ffl"}, {0xFB05, u8"ST", u8"St"}, {0xFB06, u8"ST", u8"St"},
    {0xFB13, u8"\u0544\u0546", u8"\u0544\u0576"}, {0xFB14, u8"\u0544\u0535", u8"\u0544\u0565"},
    {0xFB15, u8"\u0544\u053B", u8"\u0544\u056B"}, {0xFB16, u8"\u054E\u0546", u8"\u054E\u0576"},
    {0xFB17, u8"\u0544\u053D", u8"\u0544\u056D"},
};

constexpr char32_t kOtherLowercase[][2] = {
    {0x00AA, 0x00AA}, {0x00BA, 0x00BA}, {0x02B0, 0x02B8}, {0x02C0, 0x02C1}, {0x02E0, 0x02E4},
    {0x0345, 0x0345}, {0x037A, 0x037A}, {0x1D2C, 0x1D6A}, {0x1D78, 0x1D78}, {0x1D9B, 0x1DBF},
    {0x2071, 0x2071}, {0x207F, 0x207F}, {0x2090, 0x209C}, {0x2170, 0x217F}, {0x24D0, 0x24E9},
    {0x2C7C, 0x2C7D}, {0xA69C, 0xA69D}, {0xA770, 0xA770}, {0xA7F8, 0xA7F9}, {0xAB5C, 0xAB5F},
    {0x10780, 0x10780}, {0x10783, 0x10785}, {0x10787, 0x107B0}, {0x107B2, 0x107BA},
};

constexpr char32_t kOtherUppercase[][2] = {
    {0x2160, 0x216F}, {0x24B6, 0x24CF}, {0x1F130, 0x1F149}, {0x1F150, 0x1F169}, {0x1F170, 0x1F189},
};
// clang-format on

template <std::size_t kCount>
bool in_ranges(const char32_t (&ranges)[kCount][2], char32_t c) {
  return std::any_of(std::begin(ranges), std::end(ranges),
                     [c](const auto& r) { return c >= r[0] && c <= r[1]; });
}

utf8proc_category_t category(char32_t c) { return utf8proc_category(static_cast<utf8proc_int32_t>(c)); }

const SpecialCase* find_special_case(char32_t c) {
  const auto it = std::lower_bound(std::begin(kSpecialCases), std::end(kSpecialCases), c,
                                   [](const SpecialCase& row, char32_t key) { return row.code_point < key; });
  return it != std::end(kSpecialCases) && it->code_point == c ? it : nullptr;
}

void append_upper(std::string& out, char32_t c) {
  if (c < 0x80) {
    out += static_cast<char>(c >= 'a' && c <= 'z' ? c - 32 : c);
  } else if (const SpecialCase* special = find_special_case(c)) {
    out += reinterpret_cast<const char*>(special->upper);
  } else {
    append_code_point(out, static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(c))));
  }
}

void append_title(std::string& out, char32_t c) {
  const SpecialCase* special = find_special_case(c);
  if (special && special->title) {
    out += reinterpret_cast<const char*>(special->title);
  } else {
    append_code_point(out, static_cast<char32_t>(utf8proc_totitle(static_cast<utf8proc_int32_t>(c))));
  }
}

bool is_cased(char32_t c) { return is_lower(c) || is_upper(c) || is_title(c); }

// Unicode's Case_Ignorable, by category and the few punctuation marks that have it.
bool is_case_ignorable(char32_t c) {
  switch (category(c)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK:
      return true;
    default:
      constexpr std::u32string_view kMarks =
          U"'.:\u00B7\u0387\u055F\u05F4\u2018\u2019\u2024\u2027"
          U"\uFE13\uFE52\uFE55\uFF07\uFF0E\uFF1A";
      return kMarks.find(c) != std::u32string_view::npos;
  }
}

// A capital sigma at `at` ends a word: a cased letter before it, none after.
bool is_final_sigma(std::string_view text, std::size_t at, std::size_t size) {
  bool cased_before = false;
  for (std::size_t end = at; end > 0;) {
    const CodePoint c = code_point_before(text, end);
    end -= c.size;
    if (is_case_ignorable(c.value)) continue;
    cased_before = is_cased(c.value);
    break;
  }
  if (!cased_before) return false;
  for (std::size_t next = at + size; next < text.size();) {
    const CodePoint c = code_point_at(text, next);
    next += c.size;
    if (!is_case_ignorable(c.value)) return !is_cased(c.value);
  }
  return true;
}

void append_lower(std::string& out, std::string_view text, std::size_t at, CodePoint c) {
  constexpr char32_t kCapitalSigma = 0x3A3;
  constexpr char32_t kCapitalDottedI = 0x130;
  if (c.value < 0x80) {
    out += static_cast<char>(c.value >= 'A' && c.value <= 'Z' ? c.value + 32 : c.value);
  } else if (c.value == kCapitalSigma) {
    append_code_point(out, is_final_sigma(text, at, c.size) ? 0x3C2 : 0x3C3);
  } else if (c.value == kCapitalDottedI) {
    out += "i\xCC\x87";  // i and a combining dot above
  } else {
    append_code_point(out, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c.value))));
  }
}

}  // namespace

bool is_lower(char32_t c) { return category(c) == UTF8PROC_CATEGORY_LL || in_ranges(kOtherLowercase, c); }
bool is_upper(char32_t c) { return category(c) == UTF8PROC_CATEGORY_LU || in_ranges(kOtherUppercase, c); }
bool is_title(char32_t c) { return category(c) == UTF8PROC_CATEGORY_LT; }

std::string to_upper(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint c = code_point_at(text, at);
    append_upper(out, c.value);
    at += c.size;
  }
  return out;
}

std::string to_lower(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint c = code_point_at(text, at);
    append_lower(out, text, at, c);
    at += c.size;
  }
  return out;
}

std::string capitalize(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint c = code_point_at(text, at);
    if (at == 0) {
      append_title(out, c.value);
    } else {
      append_lower(out, text, at, c);
    }
    at += c.size;
  }
  return out;
}

std::string to_title(std::string_view text) {
  std::string out;
  bool after_cased = false;
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint c = code_point_at(text, at);
    if (after_cased) {
      append_lower(out, text, at, c);
    } else {
      append_title(out, c.value);
    }
    after_cased = is_cased(c.value);
    at += c.size;
  }
  return out;
}

}  // namespace octet::text::jinja
