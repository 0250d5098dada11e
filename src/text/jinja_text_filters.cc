// Filters that make text of a value.
#include <algorithm>
#include <cctype>
#include <string>

#include "text/jinja_filters.h"
#include "text/jinja_format.h"
#include "text/jinja_methods.h"
#include "text/jinja_operators.h"
#include "text/jinja_print.h"
#include "text/jinja_text.h"

namespace octet::text::jinja {
namespace {

std::int64_t integer_or(const Value* value, const char* filter, std::int64_t otherwise) {
  if (!value || value->is_none()) return otherwise;
  const auto integer = as_integer(*value);
  if (!integer) {
    require_defined(*value);
    fail(std::string(filter) + " wants an integer, not " + quoted(type_name(*value)));
  }
  return *integer;
}

const std::string& need_text(const Value& value, const char* filter) {
  require_defined(value);
  if (!value.text()) fail(std::string(filter) + " wants a text, not " + quoted(type_name(value)));
  return *value.text();
}

// The input as text without copying where it is one already.
class InputText {
 public:
  InputText(Runtime& runtime, const Value& value) {
    if (value.text()) {
      runtime.use_bytes(value.text()->size());
      view_ = *value.text();
    } else {
      view_ = made_ = to_text(runtime, value);
    }
  }
  InputText(const InputText&) = delete;
  InputText& operator=(const InputText&) = delete;
  std::string_view view() const { return view_; }

 private:
  std::string made_;
  std::string_view view_;
};

template <auto kMap>
Value map_text(Runtime& runtime, const Value& input, const Arguments& arguments) {
  bind("the filter", arguments, {});
  return Value(kMap(InputText(runtime, input).view()));
}

// A new word starts behind white space, dashes and opening brackets only; str.title() differs.
std::string title_words(std::string_view text) {
  std::string out;
  const auto separates = [](char32_t c) {
    return is_space(c) ||
           (c < 0x80 && std::string_view("-({[<").find(static_cast<char>(c)) != std::string_view::npos);
  };
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = at;
    const bool separator = separates(code_point_at(text, at).value);
    while (at < text.size()) {
      const CodePoint c = code_point_at(text, at);
      if (separates(c.value) != separator) break;
      at += c.size;
    }
    const std::string_view run = text.substr(begin, at - begin);
    const std::size_t first = code_point_at(run, 0).size;
    out += to_upper(run.substr(0, first));
    out += to_lower(run.substr(first));
  }
  return out;
}

std::string escape_html(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '\'':
        out += "&#39;";
        break;
      case '"':
        out += "&#34;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string same_text(std::string_view text) { return std::string(text); }

Value trim(Runtime& runtime, const Value& input, const Arguments& arguments) {
  const auto bound = bind("trim", arguments, {"chars"});
  const InputText text(runtime, input);
  if (!bound[0] || bound[0]->is_none()) return Value(strip(text.view(), Side::both));
  const std::string& chars = need_text(*bound[0], "trim");
  charge_search(runtime, text.view(), chars);
  return Value(strip(text.view(), Side::both, chars));
}

Value replace_filter(Runtime& runtime, const Value& input, const Arguments& arguments) {
  const auto bound = bind("replace", arguments, {"old", "new", "count"}, 2);
  return Value(replace(runtime, InputText(runtime, input).view(), to_text(runtime, *bound[0]),
                       to_text(runtime, *bound[1]), integer_or(bound[2], "replace", -1)));
}

Value word_count(Runtime& runtime, const Value& input, const Arguments& arguments) {
  bind("wordcount", arguments, {});
  const InputText text(runtime, input);
  std::int64_t count = 0;
  bool in_word = false;
  for (std::size_t at = 0; at < text.view().size();) {
    const CodePoint c = code_point_at(text.view(), at);
    const bool word = is_word(c.value);
    if (word && !in_word) ++count;
    in_word = word;
    at += c.size;
  }
  return Value(count);
}

Value indent(Runtime& runtime, const Value& input, const Arguments& arguments) {
  const auto bound = bind("indent", arguments, {"width", "first", "blank"});
  std::string indention;
  if (bound[0] && bound[0]->text()) {
    indention = *bound[0]->text();
  } else {
    const std::int64_t width = integer_or(bound[0], "indent", 4);
    if (width > 10'000) fail("indent is wider than 10000");
    indention.assign(static_cast<std::size_t>(std::max<std::int64_t>(width, 0)), ' ');
  }
  const bool blank = bound[2] && is_true(*bound[2]);
  const std::string text = need_text(input, "indent") + "\n";  // so that a last empty line counts
  std::string out = bound[1] && is_true(*bound[1]) ? indention : "";
  bool first = true;
  for (const std::string_view line : split_lines(text)) {
    if (!first) {
      out += '\n';
      if (blank || !line.empty()) out += indention;
    }
    first = false;
    out += line;
    runtime.check_text(out.size());
  }
  runtime.use_bytes(out.size());
  return Value(std::move(out));
}

Value truncate(Runtime& runtime, const Value& input, const Arguments& arguments) {
  const auto bound = bind("truncate", arguments, {"length", "killwords", "end", "leeway"});
  const std::int64_t most = integer_or(bound[0], "truncate", 255);
  const std::string end = bound[2] ? need_text(*bound[2], "truncate") : "...";
  const std::int64_t leeway = integer_or(bound[3], "truncate", 5);
  const auto end_length = static_cast<std::int64_t>(length(end));
  if (most < end_length) fail("truncate: the length is shorter than the end mark");
  if (leeway < 0) fail("truncate: the leeway is negative");
  const auto size = length_of(input);
  if (size && (*size <= most || *size - most <= leeway)) return input;
  const std::string_view text = need_text(input, "truncate");
  runtime.use_bytes(text.size());
  std::string_view kept = text.substr(0, offset_of(text, static_cast<std::size_t>(most - end_length)));
  const bool kill_words = bound[1] && is_true(*bound[1]);
  if (!kill_words) kept = kept.substr(0, kept.rfind(' '));  // all of it where there is no space
  return Value(std::string(kept) + end);
}

Value center(Runtime& runtime, const Value& input, const Arguments& arguments) {
  const auto bound = bind("center", arguments, {"width"});
  const InputText text(runtime, input);
  const std::int64_t width = integer_or(bound[0], "center", 80);
  if (width > 10'000) fail("center is wider than 10000");
  const std::int64_t missing = width - static_cast<std::int64_t>(length(text.view()));
  if (missing <= 0) return Value(text.view());
  const std::int64_t left = missing / 2 + (missing & width & 1);  // as Python rounds
  return Value(std::string(static_cast<std::size_t>(left), ' ') + std::string(text.view()) +
               std::string(static_cast<std::size_t>(missing - left), ' '));
}

Value format(Runtime& runtime, const Value& input, const Arguments& arguments) {
  const InputText text(runtime, input);
  if (arguments.keyword.empty()) {
    return Value(format_percent(runtime, text.view(),
                                make_sequence(runtime, SequenceKind::tuple, arguments.positional)));
  }
  if (!arguments.positional.empty()) fail("format takes positional or keyword arguments, not both");
  Dict names;
  for (const auto& [name, value] : arguments.keyword) names.set(Value(name), value);
  return Value(format_percent(runtime, text.view(), make_dict(runtime, std::move(names))));
}

// RFC 3986, '/' left alone.
std::string quote_url(std::string_view text) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80 && (std::isalnum(byte) || std::string_view("_.-~/").find(c) != std::string_view::npos)) {
      out += c;
    } else {
      out += {'%', kDigits[byte >> 4], kDigits[byte & 15]};
    }
  }
  return out;
}

Value url_encode(Runtime& runtime, const Value& input, const Arguments& arguments) {
  bind("urlencode", arguments, {});
  if (input.sequence() || input.dict()) fail("urlencode of a list or dict is not supported");
  return Value(quote_url(InputText(runtime, input).view()));
}

Value to_json_filter(Runtime& runtime, const Value& input, const Arguments& arguments) {
  const auto bound = bind("tojson", arguments, {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonStyle style;
  style.ensure_ascii = bound[0] && is_true(*bound[0]);
  style.sort_keys = bound[3] && is_true(*bound[3]);
  if (bound[1] && bound[1]->text()) {
    style.indent = *bound[1]->text();
  } else if (bound[1] && !bound[1]->is_none()) {
    const std::int64_t width = integer_or(bound[1], "tojson", 0);
    if (width > 100) fail("tojson: an indent of more than 100 is not supported");
    style.indent.emplace(static_cast<std::size_t>(std::max<std::int64_t>(width, 0)), ' ');
  }
  if (style.indent) style.item_separator.pop_back();  // no space at the end of a line
  if (bound[2] && !bound[2]->is_none()) {
    const Sequence* pair = bound[2]->sequence();
    if (!pair || pair->items.size() != 2) fail("tojson: separators wants two texts");
    style.item_separator = need_text(pair->items[0], "tojson");
    style.key_separator = need_text(pair->items[1], "tojson");
  }
  return Value(to_json(runtime, input, style));
}

struct TextFilter {
  std::string_view name;
  FilterFunction function;
};

// safe, escape: nothing is marked as safe, because autoescape is off.
constexpr TextFilter kTextFilters[] = {
    {"capitalize", map_text<capitalize>},
    {"center", center},
    {"e", map_text<escape_html>},
    {"escape", map_text<escape_html>},
    {"forceescape", map_text<escape_html>},
    {"format", format},
    {"indent", indent},
    {"lower", map_text<to_lower>},
    {"replace", replace_filter},
    {"safe", map_text<same_text>},
    {"string", map_text<same_text>},
    {"title", map_text<title_words>},
    {"tojson", to_json_filter},
    {"trim", trim},
    {"truncate", truncate},
    {"upper", map_text<to_upper>},
    {"urlencode", url_encode},
    {"wordcount", word_count},
};

}  // namespace

FilterFunction find_text_filter(std::string_view name) {
  const auto* it = std::find_if(std::begin(kTextFilters), std::end(kTextFilters),
                                [&](const TextFilter& entry) { return entry.name == name; });
  return it == std::end(kTextFilters) ? nullptr : it->function;
}

}  // namespace octet::text::jinja
