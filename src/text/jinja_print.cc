#include "text/jinja_print.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "text/jinja_text.h"

namespace octet::text::jinja {
namespace {

void append_hex(std::string& out, std::uint32_t value, int digits) {
  constexpr char kDigits[] = "0123456789abcdef";
  for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4) out += kDigits[(value >> shift) & 15];
}

// Python's repr of a text: single quotes unless only double quotes avoid escaping.
void append_quoted(std::string& out, std::string_view text) {
  const bool single = text.find('\'') == std::string_view::npos || text.find('"') != std::string_view::npos;
  const char quote = single ? '\'' : '"';
  out += quote;
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint c = code_point_at(text, at);
    const char ascii = c.value < 0x80 ? static_cast<char>(c.value) : '\0';
    if (c.value == static_cast<unsigned char>(quote) || c.value == '\\') {
      out += '\\';
      out += ascii;
    } else if (c.value == '\n' || c.value == '\r' || c.value == '\t') {
      out += ascii == '\n' ? "\\n" : ascii == '\r' ? "\\r" : "\\t";
    } else if (is_printable(c.value)) {
      out += text.substr(at, c.size);
    } else {
      const int digits = c.value < 0x100 ? 2 : c.value < 0x10000 ? 4 : 8;
      out += digits == 2 ? "\\x" : digits == 4 ? "\\u" : "\\U";
      append_hex(out, c.value, digits);
    }
    at += c.size;
  }
  out += quote;
}

// Writes one value and all inside it, against the runtime's limits: a value may hold the same part many
// times over, so its text can be far larger than the value.
class Writer {
 public:
  explicit Writer(Runtime& runtime) : runtime_(runtime) {}
  void write_text(const Value& value);
  void write_repr(const Value& value);
  std::string take() { return std::move(out_); }

 private:
  void write_sequence(const Sequence& sequence);
  void write_items(const std::vector<Value>& items);
  void write_dict(const Dict& dict);

  Runtime& runtime_;
  std::string out_;
};

void Writer::write_text(const Value& value) {
  if (value.is_undefined()) return;
  if (const std::string* text = value.text()) {
    out_ += *text;
  } else {
    write_repr(value);
  }
}

void Writer::write_repr(const Value& value) {
  const Runtime::Level level(runtime_);
  runtime_.step();
  runtime_.check_text(out_.size());
  if (const std::string* text = value.text()) {
    runtime_.use_bytes(text->size());
    append_quoted(out_, *text);
  } else if (const bool* b = value.get<bool>()) {
    out_ += *b ? "True" : "False";
  } else if (const std::int64_t* i = value.get<std::int64_t>()) {
    out_ += std::to_string(*i);
  } else if (const double* d = value.get<double>()) {
    out_ += float_repr(*d);
  } else if (value.is_none()) {
    out_ += "None";
  } else if (value.is_undefined()) {
    out_ += "Undefined";
  } else if (const Sequence* sequence = value.sequence()) {
    write_sequence(*sequence);
  } else if (const Dict* dict = value.dict()) {
    write_dict(*dict);
  } else if (const auto* space = value.get<Namespace*>()) {
    out_ += "<Namespace ";
    write_dict((*space)->attributes);
    out_ += '>';
  } else if (const auto* macro = value.get<const Macro*>()) {
    out_ += "<Macro ";
    append_quoted(out_, (*macro)->name);
    out_ += '>';
  } else if (const LoopPtr* loop = value.get<LoopPtr>()) {
    out_ += "<LoopContext " + std::to_string((*loop)->index + 1) + "/" +
            std::to_string((*loop)->items->items.size()) + ">";
  } else {
    out_ += "<function " + std::string((*value.get<CallablePtr>())->name) + ">";
  }
}

void Writer::write_items(const std::vector<Value>& items) {
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (i != 0) out_ += ", ";
    write_repr(items[i]);
  }
}

void Writer::write_sequence(const Sequence& sequence) {
  switch (sequence.kind) {
    case SequenceKind::generator:
      out_ += "<generator object>";
      return;
    case SequenceKind::range:
      out_ += "range(" + std::to_string(sequence.bounds.start) + ", " + std::to_string(sequence.bounds.stop);
      out_ += sequence.bounds.step == 1 ? ")" : ", " + std::to_string(sequence.bounds.step) + ")";
      return;
    case SequenceKind::tuple:
      out_ += '(';
      write_items(sequence.items);
      out_ += sequence.items.size() == 1 ? ",)" : ")";
      return;
    case SequenceKind::list:
      out_ += '[';
      write_items(sequence.items);
      out_ += ']';
      return;
    case SequenceKind::dict_keys:
    case SequenceKind::dict_values:
    case SequenceKind::dict_items:
      out_ += sequence.kind == SequenceKind::dict_keys     ? "dict_keys(["
              : sequence.kind == SequenceKind::dict_values ? "dict_values(["
                                                           : "dict_items([";
      write_items(sequence.items);
      out_ += "])";
      return;
  }
}

void Writer::write_dict(const Dict& dict) {
  out_ += '{';
  bool first = true;
  for (const auto& [key, value] : dict.entries()) {
    if (!first) out_ += ", ";
    first = false;
    write_repr(key);
    out_ += ": ";
    write_repr(value);
  }
  out_ += '}';
}

class JsonWriter {
 public:
  JsonWriter(Runtime& runtime, const JsonStyle& style) : runtime_(runtime), style_(style) {}
  void write(const Value& value, int level);
  std::string take() { return std::move(out_); }

 private:
  void write_string(std::string_view text);
  void write_number(double value);
  void write_array(const Sequence& sequence, int level);
  void write_object(const Dict& dict, int level);
  std::string key_text(const Value& key) const;
  void new_line(int level);

  Runtime& runtime_;
  const JsonStyle& style_;
  std::string out_;
};

void JsonWriter::new_line(int level) {
  if (!style_.indent) return;
  out_ += '\n';
  for (int i = 0; i < level; ++i) out_ += *style_.indent;
}

void JsonWriter::write(const Value& value, int level) {
  const Runtime::Level guard(runtime_);
  runtime_.step();
  runtime_.check_text(out_.size());
  if (const std::string* text = value.text()) {
    write_string(*text);
  } else if (const bool* b = value.get<bool>()) {
    out_ += *b ? "true" : "false";
  } else if (const std::int64_t* i = value.get<std::int64_t>()) {
    out_ += std::to_string(*i);
  } else if (const double* d = value.get<double>()) {
    write_number(*d);
  } else if (value.is_none()) {
    out_ += "null";
  } else if (const Dict* dict = value.dict()) {
    write_object(*dict, level);
  } else if (const Sequence* sequence = value.sequence();
             sequence && (sequence->kind == SequenceKind::list || sequence->kind == SequenceKind::tuple)) {
    write_array(*sequence, level);
  } else {
    fail("a value of type " + std::string(type_name(value)) + " cannot be written as JSON");
  }
}

void JsonWriter::write_number(double value) {
  if (std::isnan(value)) {
    out_ += "NaN";
  } else if (std::isinf(value)) {
    out_ += value < 0 ? "-Infinity" : "Infinity";
  } else {
    out_ += float_repr(value);
  }
}

void JsonWriter::write_string(std::string_view text) {
  runtime_.use_bytes(text.size());
  out_ += '"';
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint c = code_point_at(text, at);
    constexpr std::string_view kEscaped = "\"\\\n\r\t\f\b";
    constexpr std::string_view kNames = "\"\\nrtfb";
    const std::size_t name = c.size == 1 ? kEscaped.find(text[at]) : std::string_view::npos;
    if (name != std::string_view::npos) {
      out_ += '\\';
      out_ += kNames[name];
    } else if (c.value >= 0x10000 && style_.ensure_ascii) {
      out_ += "\\u";
      append_hex(out_, 0xD800 + ((c.value - 0x10000) >> 10), 4);
      out_ += "\\u";
      append_hex(out_, 0xDC00 + ((c.value - 0x10000) & 0x3FF), 4);
    } else if (c.value < 0x20 || (c.value >= 0x7F && style_.ensure_ascii)) {
      out_ += "\\u";
      append_hex(out_, c.value, 4);
    } else {
      out_ += text.substr(at, c.size);
    }
    at += c.size;
  }
  out_ += '"';
}

void JsonWriter::write_array(const Sequence& sequence, int level) {
  out_ += '[';
  for (std::size_t i = 0; i < sequence.items.size(); ++i) {
    if (i != 0) out_ += style_.item_separator;
    new_line(level + 1);
    write(sequence.items[i], level + 1);
  }
  if (!sequence.items.empty()) new_line(level);
  out_ += ']';
}

std::string JsonWriter::key_text(const Value& key) const {
  if (const std::string* text = key.text()) return *text;
  if (const bool* b = key.get<bool>()) return *b ? "true" : "false";
  if (const std::int64_t* i = key.get<std::int64_t>()) return std::to_string(*i);
  if (const double* d = key.get<double>()) return float_repr(*d);
  if (key.is_none()) return "null";
  fail("a key of type " + std::string(type_name(key)) + " cannot be written as JSON");
}

void JsonWriter::write_object(const Dict& dict, int level) {
  std::vector<const std::pair<Value, Value>*> members;
  for (const auto& member : dict.entries()) members.push_back(&member);
  if (style_.sort_keys) {
    for (const auto* member : members) {
      if (!member->first.text()) fail("tojson(sort_keys=true) of keys other than texts is not supported");
    }
    std::stable_sort(members.begin(), members.end(),
                     [](const auto* a, const auto* b) { return *a->first.text() < *b->first.text(); });
  }
  out_ += '{';
  bool first = true;
  for (const auto* member : members) {
    if (!first) out_ += style_.item_separator;
    first = false;
    new_line(level + 1);
    write_string(key_text(member->first));
    out_ += style_.key_separator;
    write(member->second, level + 1);
  }
  if (!members.empty()) new_line(level);
  out_ += '}';
}

}  // namespace

std::string float_repr(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  if (value == 0) return std::signbit(value) ? "-0.0" : "0.0";
  char buffer[64];
  const auto scientific = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific);
  const std::string text(buffer, scientific.ptr);
  const int exponent = std::atoi(text.c_str() + text.find('e') + 1);
  if (exponent < -4 || exponent >= 16) return text;  // to_chars also writes two exponent digits or more
  const auto fixed = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::fixed);
  std::string result(buffer, fixed.ptr);
  if (result.find('.') == std::string::npos) result += ".0";
  return result;
}

std::string to_text(Runtime& runtime, const Value& value) {
  runtime.use_bytes(weight(value));
  Writer writer(runtime);
  writer.write_text(value);
  return writer.take();
}

std::string to_repr(Runtime& runtime, const Value& value) {
  Writer writer(runtime);
  writer.write_repr(value);
  return writer.take();
}

std::string to_json(Runtime& runtime, const Value& value, const JsonStyle& style) {
  JsonWriter writer(runtime, style);
  writer.write(value, 0);
  return writer.take();
}

}  // namespace octet::text::jinja
