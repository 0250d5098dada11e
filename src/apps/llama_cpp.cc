#include "apps/llama_cpp.h"

#include <octet/error.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "apps/child_process.h"
#include "apps/refuse_flag.h"

namespace octet::apps {

namespace {

constexpr const char* kBench = "llama-bench";
constexpr const char* kBatchedBench = "llama-batched-bench";

void require_access(const std::string& path, int mode, const char* what) {
  if (access(path.c_str(), mode) == 0) return;
  throw Error(errno == ENOENT ? ErrorCode::not_found : ErrorCode::io,
              std::string("expected ") + what + ": " + std::strerror(errno), path);
}

[[noreturn]] void fail_output(const std::string& program, const std::string& message) {
  throw Error(ErrorCode::invalid_file, message, "output of " + program);
}

nlohmann::json parse(const std::string& program, const std::string& text) {
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, false);
  if (json.is_discarded()) fail_output(program, "expected JSON, found " + text.substr(0, 200));
  return json;
}

double number(const std::string& program, const nlohmann::json& object, const char* field) {
  if (!object.is_object() || !object.contains(field) || !object[field].is_number())
    fail_output(program, std::string("expected an object with a number ") + field);
  return object[field].get<double>();
}

}  // namespace

LlamaCpp::LlamaCpp(const LlamaCppFlags& flags, const BenchOptions& options)
    : gguf_(flags.gguf), cache_types_(flags.cache_types) {
  for (const std::string& given : flags.programs) {
    const std::size_t equals = given.find('=');
    const std::string name = given.substr(0, equals);
    std::string& path = name == kBatchedBench ? batched_bench_ : bench_;
    if (equals == std::string::npos || (name != kBench && name != kBatchedBench))
      refuse_flag("--compare", "expected llama-bench=PATH or llama-batched-bench=PATH, found " + given);
    if (!path.empty()) refuse_flag("--compare", "expected " + name + " once");
    path = given.substr(equals + 1);
    require_access(path, X_OK, "a program that can be run");
  }
  if (gguf_.empty())
    refuse_flag("--gguf", "--compare needs the same model as a GGUF file (scripts/write-gguf)");
  require_access(gguf_, R_OK, "a GGUF file that can be read");
  const int most = *std::max_element(options.batches.begin(), options.batches.end());
  if (most > 1 && batched_bench_.empty())
    refuse_flag("--batch", "llama-bench decodes one sequence: " + std::to_string(most) +
                               " need --compare llama-batched-bench=PATH");
  if (options.mixed_lengths && most > 1)
    refuse_flag("--mixed-lengths", "llama-batched-bench has no such sequences to compare with");
}

std::string LlamaCpp::program(int batch) const { return batch > 1 || bench_.empty() ? kBatchedBench : kBench; }

PeerRate LlamaCpp::measure(const BenchOptions& options, const std::string& cache_type, int depth, int batch,
                           int threads) const {
  if (program(batch) == kBench) return run_bench(options, cache_type, depth, threads);
  if (options.decode_tokens == 0) return {};
  return {0, run_batched_bench(options, cache_type, depth, batch, threads)};
}

PeerRate LlamaCpp::run_bench(const BenchOptions& options, const std::string& cache_type, int depth,
                             int threads) const {
  const auto text = [](int value) { return std::to_string(value); };
  const nlohmann::json rows =
      parse(kBench, run_child({bench_, "-m", gguf_, "-t", text(threads), "-p", text(options.prefill_tokens),
                               "-n", text(options.decode_tokens), "-d", text(depth), "-r", "1", "-ctk",
                               cache_type, "-ctv", cache_type, "-o", "json"}));
  if (!rows.is_array()) fail_output(kBench, "expected an array");
  PeerRate rate;
  for (const nlohmann::json& row : rows)
    (number(kBench, row, "n_prompt") > 0 ? rate.prefill : rate.decode) = number(kBench, row, "avg_ts");
  return rate;
}

double LlamaCpp::run_batched_bench(const BenchOptions& options, const std::string& cache_type, int depth,
                                   int batch, int threads) const {
  const auto text = [](int value) { return std::to_string(value); };
  // It has no depth 0; and it cuts the context into equal parts of 256 tokens, one a sequence.
  const int prompt = std::max(depth, 1);
  const int part = (prompt + options.decode_tokens + 256) / 256 * 256;
  const std::string output = run_child({batched_bench_,
                                        "-m",
                                        gguf_,
                                        "-t",
                                        text(threads),
                                        "-npp",
                                        text(prompt),
                                        "-ntg",
                                        text(options.decode_tokens),
                                        "-npl",
                                        text(batch),
                                        "-c",
                                        text(batch * part),
                                        "-pps",
                                        "-ctk",
                                        cache_type,
                                        "-ctv",
                                        cache_type,
                                        "--output-format",
                                        "jsonl"});
  const std::size_t begin = output.find('{'), end = output.rfind('}');
  if (begin == std::string::npos || end == std::string::npos)
    fail_output(kBatchedBench, "expected a line of JSON, found none");
  const nlohmann::json row = parse(kBatchedBench, output.substr(begin, end + 1 - begin));
  if (number(kBatchedBench, row, "pl") != batch)
    fail_output(kBatchedBench, "expected the batch that was asked for");
  return number(kBatchedBench, row, "speed_tg");
}

}  // namespace octet::apps
