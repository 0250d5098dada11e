#include "server/metrics.h"

#include <unistd.h>

#include <fstream>
#include <initializer_list>
#include <sstream>
#include <utility>

namespace octet::server {

namespace {

using Label = std::pair<const char*, std::string>;

std::string escaped(const std::string& value) {
  std::string text;
  for (const char c : value) {
    if (c == '\\' || c == '"') text += '\\';
    text += c == '\n' ? std::string("\\n") : std::string(1, c);
  }
  return text;
}

class MetricsWriter {
 public:
  MetricsWriter(std::string prefix, const std::string& model)
      : prefix_(std::move(prefix)), model_("model_name=\"" + escaped(model) + "\"") {
    out_.precision(12);
  }

  // What follows is of this metric.
  void begin(const std::string& name, const char* type, const char* help) {
    name_ = prefix_ + name;
    out_ << "# HELP " << name_ << " " << help << "\n# TYPE " << name_ << " " << type << "\n";
  }

  template <typename Value>
  void sample(Value value, std::initializer_list<Label> labels = {}, const char* suffix = "") {
    out_ << name_ << suffix << "{" << model_;
    for (const auto& [label, text] : labels) out_ << "," << label << "=\"" << escaped(text) << "\"";
    out_ << "} " << value << "\n";
  }

  template <typename Value>
  void single(const std::string& name, const char* type, const char* help, Value value) {
    begin(name, type, help);
    sample(value);
  }

  void histogram(const std::string& name, const char* help, const LatencyHistogram& histogram) {
    begin(name, "histogram", help);
    std::int64_t below = 0;
    for (std::size_t i = 0; i < histogram.counts.size(); ++i) {
      below += histogram.counts[i];
      std::ostringstream bound;
      if (i < histogram.bounds.size())
        bound << histogram.bounds[i];
      else
        bound << "+Inf";
      sample(below, {{"le", bound.str()}}, "_bucket");
    }
    sample(histogram.sum, {}, "_sum");
    sample(below, {}, "_count");
  }

  void raw(const std::string& text) { out_ << text; }
  std::string text() const { return out_.str(); }

 private:
  std::string prefix_;
  std::string model_;
  std::string name_;
  std::ostringstream out_;
};

void write_requests(MetricsWriter& out, const AsyncLLMStats& stats) {
  out.single("num_requests_running", "gauge", "Sequences in the batch.", stats.num_requests_running);
  out.single("num_requests_waiting", "gauge", "Requests that wait for a place in the batch.",
             stats.num_requests_waiting);
  out.single("num_preemptions_total", "counter",
             "Requests that gave their blocks back and were computed again.", stats.num_preemptions);
  out.single("prompt_tokens_total", "counter", "Tokens of prompts that were prefilled.", stats.prompt_tokens);
  out.single("generation_tokens_total", "counter", "Tokens that were generated.", stats.generation_tokens);
  out.begin("request_success_total", "counter", "Answers that have ended, by how.");
  out.sample(stats.requests_stop, {{"finished_reason", "stop"}});
  out.sample(stats.requests_length, {{"finished_reason", "length"}});
  out.sample(stats.requests_abort, {{"finished_reason", "abort"}});
  out.sample(stats.requests_error, {{"finished_reason", "error"}});
  out.histogram("time_to_first_token_seconds", "From submission to the first token.",
                stats.time_to_first_token_seconds);
  out.histogram("inter_token_latency_seconds", "From one token of an answer to the next.",
                stats.inter_token_latency_seconds);
  out.histogram("e2e_request_latency_seconds", "From submission to the end.",
                stats.e2e_request_latency_seconds);
}

void write_cache(MetricsWriter& out, const AsyncLLMStats& stats, const KvCacheStats& cache,
                 bool prefix_caching) {
  out.single("kv_cache_usage_perc", "gauge", "Share of the cache's blocks that requests hold: 1 is all.",
             stats.kv_cache_usage);
  out.single("kv_cache_blocks", "gauge", "Blocks of the cache.", stats.kv_cache_blocks);
  out.single("kv_cache_used_blocks", "gauge", "Blocks that requests hold.", stats.kv_cache_used_blocks);
  out.single("kv_cache_cached_blocks", "gauge", "Free blocks that a prompt which begins alike finds again.",
             stats.kv_cache_cached_blocks);
  out.single("prefix_cache_queries_total", "counter", "Tokens that were looked up in the prefix cache.",
             stats.prefix_cache_queries);
  out.single("prefix_cache_hits_total", "counter", "Tokens that were found there.", stats.prefix_cache_hits);
  out.begin("kv_saturated_total", "counter", "Stored keys and values beyond what the scales can represent.");
  for (std::size_t layer = 0; layer < stats.kv_saturated.size(); ++layer) {
    const std::string index = std::to_string(layer);
    out.sample(stats.kv_saturated[layer].k, {{"layer", index}, {"tensor", "k"}});
    out.sample(stats.kv_saturated[layer].v, {{"layer", index}, {"tensor", "v"}});
  }
  out.begin("cache_config_info", "gauge", "How the cache is laid out.");
  out.sample(1, {{"block_size", std::to_string(cache.block_size)},
                 {"cache_dtype", cache.dtype},
                 {"num_gpu_blocks", std::to_string(cache.num_blocks)},  // vLLM's name for the cache's blocks
                 {"kv_cache_memory_bytes", std::to_string(cache.total_bytes)},
                 {"bytes_per_token", std::to_string(cache.bytes_per_token)},
                 {"scale_source", cache.scale_source},
                 {"scale_strategy", cache.scale_strategy},
                 {"enable_prefix_caching", prefix_caching ? "True" : "False"}});
}

// The names that Prometheus' client libraries have for any process.
void write_process(MetricsWriter& out) {
  std::ifstream statm("/proc/self/statm");
  long pages = 0, resident = 0;
  if (!(statm >> pages >> resident)) return;
  out.raw(
      "# HELP process_resident_memory_bytes Resident memory size in bytes.\n"
      "# TYPE process_resident_memory_bytes gauge\nprocess_resident_memory_bytes " +
      std::to_string(resident * sysconf(_SC_PAGESIZE)) + "\n");
}

}  // namespace

std::string metrics_text(const std::string& prefix, const std::string& model, const AsyncLLMStats& stats,
                         const KvCacheStats& cache, bool prefix_caching) {
  MetricsWriter out(prefix, model);
  write_requests(out, stats);
  write_cache(out, stats, cache, prefix_caching);
  write_process(out);
  return out.text();
}

}  // namespace octet::server
