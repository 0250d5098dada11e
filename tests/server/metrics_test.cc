#include "server/metrics.h"

#include <gtest/gtest.h>

namespace octet::server {
namespace {

bool has_line(const std::string& text, const std::string& line) {
  return ("\n" + text).find("\n" + line + "\n") != std::string::npos;
}

TEST(Metrics, NamesLabelsAndCumulativeBuckets) {
  AsyncLLMStats stats;
  stats.num_requests_running = 3;
  stats.kv_cache_usage = 0.25;
  stats.requests_length = 7;
  stats.time_to_first_token_seconds = {{0.1, 2.5}, {4, 1, 2}, 9.5};
  stats.kv_saturated = {{0, 5}};
  KvCacheStats cache;
  cache.block_size = 16;
  cache.dtype = "fp8_e4m3";
  const std::string text = metrics_text("vllm:", "a\"b\\c", stats, cache, false);
  const std::string label = R"({model_name="a\"b\\c")";
  for (const std::string& line : std::vector<std::string>{
           "# TYPE vllm:num_requests_running gauge", "vllm:num_requests_running" + label + "} 3",
           "vllm:kv_cache_usage_perc" + label + "} 0.25",
           "vllm:request_success_total" + label + ",finished_reason=\"length\"} 7",
           std::string("# TYPE vllm:time_to_first_token_seconds histogram"),
           "vllm:time_to_first_token_seconds_bucket" + label + ",le=\"0.1\"} 4",
           "vllm:time_to_first_token_seconds_bucket" + label + ",le=\"2.5\"} 5",
           "vllm:time_to_first_token_seconds_bucket" + label + ",le=\"+Inf\"} 7",
           "vllm:time_to_first_token_seconds_sum" + label + "} 9.5",
           "vllm:time_to_first_token_seconds_count" + label + "} 7",
           "vllm:kv_saturated_total" + label + ",layer=\"0\",tensor=\"k\"} 0",
           "vllm:kv_saturated_total" + label + ",layer=\"0\",tensor=\"v\"} 5"})
    EXPECT_TRUE(has_line(text, line)) << line << "\n" << text;
  EXPECT_NE(text.find("vllm:cache_config_info" + label + ",block_size=\"16\",cache_dtype=\"fp8_e4m3\""),
            std::string::npos);
  EXPECT_NE(text.find("enable_prefix_caching=\"False\""), std::string::npos);
}

TEST(Metrics, SayWhetherPrefixesAreShared) {
  EXPECT_NE(metrics_text("octet:", "m", {}, {}, true).find("enable_prefix_caching=\"True\""),
            std::string::npos);
}

}  // namespace
}  // namespace octet::server
