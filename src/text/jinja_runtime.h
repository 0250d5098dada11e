// What one rendering may use up, and how an operation inside it fails.
//
// A chat template comes with a downloaded checkpoint, so it is untrusted: every loop, every text and every
// nesting that it can cause is counted against these limits. One Runtime a rendering, one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace octet::text::jinja {

// 1-based; columns count code points.
struct Position {
  std::uint32_t line = 1;
  std::uint32_t column = 1;
};

// A failed operation. Thrown without a position by operations; the parser or interpreter adds the place of
// the innermost node, and ChatTemplate turns it into an octet::Error.
struct Failure {
  ErrorCode code = ErrorCode::invalid_file;
  std::string message;
  std::optional<Position> position;
};

// What render() was given is at fault, not the template: invalid_argument.
[[noreturn]] void refuse(std::string message);

// 'text', for messages.
std::string quoted(std::string_view text);

[[noreturn]] void fail(std::string message);
[[noreturn]] void fail_at(Position position, ErrorCode code, std::string message);

// Depth of an expression tree, and of blocks or brackets inside one another.
constexpr int kMaxExpressionDepth = 400;
constexpr int kMaxParserNesting = 80;
// Nodes being evaluated at once, macros that call themselves included.
constexpr int kMaxActiveNodes = 600;
// Lists in lists: bounds every recursion over a value.
constexpr int kMaxValueDepth = 100;
constexpr std::int64_t kMaxSteps = 10'000'000;
constexpr std::size_t kMaxText = std::size_t{64} << 20;
// All bytes that a rendering reads or builds, which bounds its time and its memory.
constexpr std::size_t kMaxBytes = std::size_t{1} << 30;
// The same limit as Jinja's sandbox.
constexpr std::int64_t kMaxRange = 100'000;

struct Namespace;
struct Macro;

class Runtime {
 public:
  Runtime();
  ~Runtime();
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  // Each throws Failure when its limit is passed.
  void step(std::int64_t count = 1);
  void use_bytes(std::size_t count);
  void check_text(std::size_t size) const;

  // Namespaces and macros can refer to themselves, so the rendering owns them all until its end.
  Namespace* add_namespace(std::unique_ptr<Namespace> item);
  const Macro* add_macro(std::unique_ptr<Macro> macro);

  // One node being evaluated, or one level of a value being walked.
  class Level {
   public:
    explicit Level(Runtime& runtime);
    ~Level() { --runtime_.active_; }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;

   private:
    Runtime& runtime_;
  };

 private:
  std::int64_t steps_ = 0;
  std::size_t bytes_ = 0;
  int active_ = 0;
  std::vector<std::unique_ptr<Namespace>> namespaces_;
  std::vector<std::unique_ptr<Macro>> macros_;
};

}  // namespace octet::text::jinja
