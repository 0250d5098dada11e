// How the API is set up: plain values, for who reads the command line.
#pragma once

#include <string>
#include <vector>

#include "server/tool_call_parser.h"

namespace octet::server {

struct ApiOptions {
  std::vector<std::string> served_model_names;  // the first one is said in answers; one or more
  std::vector<std::string> api_keys;
  std::vector<std::string> allowed_origins;  // of web pages that may call; "*": any
  ToolCallOptions tools;
  std::string metrics_prefix = "octet";
  bool prefix_caching = true;
  bool log_prompts = false;
};

}  // namespace octet::server
