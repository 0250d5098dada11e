#define PCRE2_CODE_UNIT_WIDTH 8
#include "text/regex.h"

#include <pcre2.h>

#include <optional>

#include "base/error.h"
#include "text/regex_syntax.h"
#include "text/utf8.h"

namespace octet::text {
namespace {

// Steps of backtracking for one match, and what the interpreter may take; ordinary patterns need a few
// hundred steps, so whoever meets these limits has a pattern that explodes.
constexpr std::uint32_t kMatchLimit = 10'000'000;
constexpr std::uint32_t kHeapLimitKiB = 256 * 1024;
constexpr std::size_t kMaxPatternBytes = 64 * 1024;
constexpr std::size_t kJitStackStart = 32 * 1024;
constexpr std::size_t kJitStackMost = 4 * 1024 * 1024;

template <auto Free>
struct Freer {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};
using CompileContext = std::unique_ptr<pcre2_compile_context, Freer<pcre2_compile_context_free>>;
using MatchContext = std::unique_ptr<pcre2_match_context, Freer<pcre2_match_context_free>>;
using MatchData = std::unique_ptr<pcre2_match_data, Freer<pcre2_match_data_free>>;
using JitStack = std::unique_ptr<pcre2_jit_stack, Freer<pcre2_jit_stack_free>>;

// What matching writes to: one a thread, for all patterns, because only the whole match is asked for.
struct MatchMemory {
  JitStack stack{pcre2_jit_stack_create(kJitStackStart, kJitStackMost, nullptr)};
  MatchContext context{pcre2_match_context_create(nullptr)};
  MatchData data{pcre2_match_data_create(1, nullptr)};

  MatchMemory() {
    if (!context || !data) throw Error(ErrorCode::out_of_memory, "no memory for matching regular expressions");
    pcre2_set_match_limit(context.get(), kMatchLimit);
    pcre2_set_heap_limit(context.get(), kHeapLimitKiB);
    if (stack) pcre2_jit_stack_assign(context.get(), nullptr, stack.get());
  }
};

MatchMemory& match_memory() {
  thread_local MatchMemory memory;
  return memory;
}

std::string message_of(int code) {
  PCRE2_UCHAR buffer[256];
  pcre2_get_error_message(code, buffer, sizeof buffer);
  return reinterpret_cast<const char*>(buffer);
}

}  // namespace

struct Regex::Code {
  std::unique_ptr<pcre2_code, Freer<pcre2_code_free>> code;
  std::string context;

  std::optional<Span> find(std::string_view text, std::size_t from) const;
};

std::optional<Span> Regex::Code::find(std::string_view text, std::size_t from) const {
  MatchMemory& memory = match_memory();
  const auto match = [&](std::uint32_t options) {
    return pcre2_match(code.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), from,
                       options | PCRE2_NO_UTF_CHECK, memory.data.get(), memory.context.get());
  };
  int result = match(0);
  if (result == PCRE2_ERROR_JIT_STACKLIMIT) result = match(PCRE2_NO_JIT);
  if (result == PCRE2_ERROR_NOMATCH) return std::nullopt;
  if (result < 0) {
    throw Error(ErrorCode::invalid_argument,
                "the pattern cannot be matched against this text (" + message_of(result) + ")", context);
  }
  const PCRE2_SIZE* offsets = pcre2_get_ovector_pointer(memory.data.get());
  OCTET_CHECK(offsets[0] >= from && offsets[0] <= offsets[1] && offsets[1] <= text.size());
  return Span{offsets[0], offsets[1]};
}

Regex::Regex(std::shared_ptr<const Code> code) : code_(std::move(code)) {}

Regex Regex::compile(std::string_view pattern, const std::string& context) {
  const TranslatedPattern translated = translate_pattern(pattern, context);
  const CompileContext compile_context(pcre2_compile_context_create(nullptr));
  if (!compile_context) throw Error(ErrorCode::out_of_memory, "no memory for a regular expression", context);
  pcre2_set_newline(compile_context.get(), PCRE2_NEWLINE_LF);
  pcre2_set_bsr(compile_context.get(), PCRE2_BSR_UNICODE);
  pcre2_set_max_pattern_length(compile_context.get(), kMaxPatternBytes);

  auto code = std::make_shared<Code>();
  code->context = context;
  int error = 0;
  PCRE2_SIZE offset = 0;
  // Ruby's ^ and $ are about lines, so PCRE2_MULTILINE.
  code->code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.text.data()), translated.text.size(),
                                 PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &error,
                                 &offset, compile_context.get()));
  if (!code->code) {
    throw Error(ErrorCode::invalid_file,
                "bad regular expression at character offset " + std::to_string(translated.origin_of(offset)) +
                    ": " + message_of(error),
                context);
  }
  // Without JIT (a platform that lacks it) matching is slower and otherwise the same.
  pcre2_jit_compile(code->code.get(), PCRE2_JIT_COMPLETE);
  return Regex(std::move(code));
}

void Regex::find_all(std::string_view text, std::vector<Span>& matches) const {
  matches.clear();
  std::size_t from = 0;
  while (from <= text.size()) {
    const std::optional<Span> match = code_->find(text, from);
    if (!match) return;
    const bool empty = match->begin == match->end;
    if (empty && !matches.empty() && matches.back().end == match->end) {
      if (from == text.size()) return;
      next_code_point(text, from);
      continue;
    }
    from = match->end;
    matches.push_back(*match);
  }
}

}  // namespace octet::text
