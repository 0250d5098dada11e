// How much a log says.
#pragma once

#include <optional>
#include <string_view>

namespace octet::server {

enum class LogLevel { debug, info, warning, error, critical };

// "debug", "info", "warning", "error" or "critical" ("trace" is debug); nothing for another.
std::optional<LogLevel> log_level(std::string_view name);

}  // namespace octet::server
