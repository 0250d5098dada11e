#include "server/request_log.h"

#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <ctime>

#include "server/answer.h"

namespace octet::server {

namespace {

constexpr std::array<const char*, 5> kLevels = {"debug", "info", "warning", "error", "critical"};

std::string now_text() {
  const auto now = std::chrono::system_clock::now();
  const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
  const auto milliseconds =
      std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count() % 1000;
  std::tm parts = {};
  gmtime_r(&seconds, &parts);
  std::array<char, 40> text;
  const std::size_t size = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &parts);
  std::snprintf(text.data() + size, text.size() - size, ".%03dZ", static_cast<int>(milliseconds));
  return text.data();
}

double rounded(double seconds) {
  return static_cast<double>(static_cast<std::int64_t>(seconds * 1e4 + 0.5)) / 1e4;
}

void add_tokens(Json& fields, const RequestRecord& record) {
  if (record.model.empty()) return;  // no generation
  fields["model"] = record.model;
  fields["stream"] = record.stream;
  fields["prompt_tokens"] = record.prompt_tokens;
  fields["cached_tokens"] = record.cached_tokens;
  fields["completion_tokens"] = record.completion_tokens;
  if (!record.finish_reasons.empty()) fields["finish_reasons"] = record.finish_reasons;
  if (record.first_token_seconds > 0) fields["first_token_seconds"] = rounded(record.first_token_seconds);
}

}  // namespace

std::optional<LogLevel> log_level(std::string_view name) {
  if (name == "trace") return LogLevel::debug;
  for (std::size_t i = 0; i < kLevels.size(); ++i)
    if (name == kLevels[i]) return static_cast<LogLevel>(i);
  return std::nullopt;
}

void RequestLog::write(LogLevel level, const std::string& event, const Json& fields) {
  if (level < least_) return;
  const char* level_name = kLevels[static_cast<std::size_t>(level)];
  std::string line;
  if (as_json_) {
    Json object = {{"time", now_text()}, {"level", level_name}, {"event", event}};
    for (const auto& [key, value] : fields.items()) object[key] = value;
    line = to_text(object);
  } else {
    line = now_text() + " " + level_name + " " + event;
    for (const auto& [key, value] : fields.items())
      line += " " + key + "=" + to_text(value);  // strings in quotes and escaped: a line stays one
  }
  line += '\n';
  const std::lock_guard lock(mutex_);
  std::fwrite(line.data(), 1, line.size(), stderr);
}

void RequestLog::write(const RequestRecord& record) {
  const bool probe = record.path == "/health" || record.path == "/metrics";
  const LogLevel level = record.status >= 500 && record.status != 503 ? LogLevel::error
                         : probe && record.status < 400               ? LogLevel::debug
                                                                      : LogLevel::info;
  if (level < least_) return;
  Json fields = Json::object();
  if (!record.id.empty()) fields["request_id"] = record.id;
  fields["remote"] = record.remote_address;
  fields["method"] = record.method;
  fields["path"] = record.path;
  fields["status"] = record.status;
  add_tokens(fields, record);
  fields["seconds"] = rounded(record.seconds);
  if (record.client_gone) fields["client_gone"] = true;
  if (!record.error_param.empty()) fields["error_param"] = record.error_param;
  if (!record.error_code.empty()) fields["error_code"] = record.error_code;
  if (!record.internal_error.empty()) fields["error"] = record.internal_error;
  if (!record.prompt.empty()) fields["prompt"] = record.prompt;
  write(level, "request", fields);
}

}  // namespace octet::server
