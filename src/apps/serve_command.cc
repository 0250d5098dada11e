// octet serve: the OpenAI API over HTTP.
#include <octet/async_llm.h>
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "apps/commands.h"
#include "apps/config_flag.h"
#include "apps/engine_flags.h"
#include "apps/prompts.h"
#include "apps/refuse_flag.h"
#include "server/server.h"

namespace octet::apps {

namespace {

struct ServeFlags {
  EngineFlags engine;
  AsyncLLMOptions options;  // its llm is engine's
  server::ServerOptions server;
  std::optional<int> max_num_batched_tokens;
  std::string max_request_bytes = "8M";
  std::vector<std::string> allowed_origins;
  std::string log_format = "text";
  std::string log_level = "info";
  std::string tool_call_parser;
  bool enable_auto_tool_choice = false;
  double shutdown_timeout = 30, request_timeout = 30, keep_alive_timeout = 5;
};

// SIGINT and SIGTERM ask for the end; the second one does not wait for it.
std::atomic<bool> stop_asked = false;

extern "C" void ask_to_stop(int) {
  if (stop_asked.exchange(true)) _exit(kInterrupted);
}

void install_stop_handler() {
  struct sigaction action = {};
  action.sa_handler = ask_to_stop;
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

void add_batching_flags(CLI::App& app, ServeFlags& flags) {
  LLMOptions& llm = flags.engine.options;
  app.add_option("--max-num-seqs", llm.max_num_seqs, "Sequences that run at once [32]");
  app.add_option("--max-num-batched-tokens", flags.max_num_batched_tokens,
                 "Tokens of one step [256, or --max-num-seqs where that is more]");
  app.add_option("--max-queue", flags.options.max_queue,
                 "Answers that may wait beyond those that run; more get 429 [1024]");
}

void add_api_flags(CLI::App& app, ServeFlags& flags) {
  server::ApiOptions& api = flags.server.api;
  repeatable(app.add_option("--served-model-name", api.served_model_names,
                            "The model's name for clients; repeatable, the first is said [MODEL_DIR]"));
  repeatable(
      app.add_option("--api-key", api.api_keys,
                     "A key that clients must send; repeatable [$OCTET_API_KEY, else none is asked for]"));
  app.add_option("--chat-template", flags.options.chat_template_file,
                 "A file with a Jinja template [the checkpoint's]");
  app.add_flag("--enable-auto-tool-choice", flags.enable_auto_tool_choice,
               "Models may call tools: needs --tool-call-parser");
  app.add_option("--tool-call-parser", flags.tool_call_parser,
                 "How this model writes its calls: hermes (Qwen, Hermes) or llama3_json (Llama 3)")
      ->check(CLI::IsMember({"hermes", "llama3_json"}));
  app.add_option("--metrics-prefix", api.metrics_prefix,
                 "Before the names of /metrics; vllm for dashboards made for it [octet]");
  app.add_flag("--log-prompts", api.log_prompts, "Also log prompts");
}

void add_http_flags(CLI::App& app, ServeFlags& flags) {
  server::HttpServerOptions& http = flags.server.http;
  app.add_option("--host", http.host, "Address to listen on; 0.0.0.0: all [127.0.0.1]");
  app.add_option("--port", http.port, "Port; 0: a free one, which the log says [8000]")
      ->check(CLI::Range(0, 65535));
  app.add_option("--ssl-certfile", http.ssl_certfile, "Certificate chain in PEM, for HTTPS");
  app.add_option("--ssl-keyfile", http.ssl_keyfile, "Its private key in PEM");
  repeatable(app.add_option("--allowed-origins", flags.allowed_origins,
                            "Web pages that may call, as https://a.example; *: any; comma-separated, or a list "
                            "in JSON [none]"));
  app.add_option("--max-request-bytes", flags.max_request_bytes, "Largest body of a request [8M]");
  app.add_option("--request-timeout", flags.request_timeout,
                 "Seconds in which a request must have arrived, and an answer be taken on [30]");
  app.add_option("--keep-alive-timeout", flags.keep_alive_timeout, "Seconds that an idle connection stays [5]");
  app.add_option("--shutdown-timeout", flags.shutdown_timeout,
                 "Seconds for running requests after SIGTERM or SIGINT [30]");
  app.add_option("--log-format", flags.log_format, "Lines on standard error: text or json [text]")
      ->check(CLI::IsMember({"text", "json"}));
  app.add_option("--log-level", flags.log_level, "debug, info, warning, error or critical [info]");
}

std::chrono::milliseconds seconds_of(const std::string& flag, double seconds) {
  if (!(seconds >= 0 && seconds <= 86400))
    refuse_flag(flag, "expected 0 to 86400 seconds, found " + std::to_string(seconds));
  return std::chrono::milliseconds(static_cast<std::int64_t>(seconds * 1000));
}

// vLLM takes a list in JSON; commas are shorter.
std::vector<std::string> read_origins(const std::vector<std::string>& given) {
  std::vector<std::string> origins;
  for (const std::string& text : given) {
    std::string list = text;
    if (list.starts_with('['))
      std::erase_if(list, [](char c) { return std::string("[]\" ").find(c) != std::string::npos; });
    for (std::size_t begin = 0; begin <= list.size();) {
      const std::size_t end = std::min(list.find(',', begin), list.size());
      const std::string origin = list.substr(begin, end - begin);
      begin = end + 1;
      if (origin.empty()) continue;
      if (origin != "*" && (origin.find("://") == origin.npos || origin.ends_with('/')))
        refuse_flag("--allowed-origins", "expected * or scheme://host without a path, found '" + origin + "'");
      origins.push_back(origin);
    }
  }
  return origins;
}

void check_prefix(std::string& prefix) {
  if (prefix.ends_with(':')) prefix.pop_back();
  const auto is_name = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; };
  if (prefix.empty() || std::isdigit(static_cast<unsigned char>(prefix[0])) ||
      !std::all_of(prefix.begin(), prefix.end(), is_name))
    refuse_flag("--metrics-prefix", "expected letters, digits and _, found '" + prefix + "'");
}

void read_api_flags(ServeFlags& flags) {
  server::ApiOptions& api = flags.server.api;
  if (api.served_model_names.empty()) api.served_model_names = {flags.options.llm.model};
  if (const char* key = std::getenv("OCTET_API_KEY"); key && *key && api.api_keys.empty()) api.api_keys = {key};
  for (const std::string& key : api.api_keys)
    if (key.empty()) refuse_flag("--api-key", "expected a key, found an empty one");
  api.allowed_origins = read_origins(flags.allowed_origins);
  check_prefix(api.metrics_prefix);
  if (flags.enable_auto_tool_choice == flags.tool_call_parser.empty())
    refuse_flag("--enable-auto-tool-choice and --tool-call-parser", "expected both, or neither");
  api.tools.enabled = flags.enable_auto_tool_choice;
  if (api.tools.enabled) api.tools.format = *server::tool_call_format(flags.tool_call_parser);
  api.prefix_caching = flags.options.llm.enable_prefix_caching;
}

void read_server_flags(ServeFlags& flags) {
  server::HttpServerOptions& http = flags.server.http;
  const auto bytes = parse_byte_size(flags.max_request_bytes, "--max-request-bytes");
  if (bytes < 1024 || bytes > (std::int64_t{1} << 30))
    refuse_flag("--max-request-bytes", "expected 1024 bytes to 1G, found " + flags.max_request_bytes);
  http.max_request_bytes = static_cast<std::size_t>(bytes);
  http.read_timeout = http.write_timeout = seconds_of("--request-timeout", flags.request_timeout);
  http.keep_alive_timeout = seconds_of("--keep-alive-timeout", flags.keep_alive_timeout);
  flags.server.shutdown_timeout = seconds_of("--shutdown-timeout", flags.shutdown_timeout);
  // A request holds its connection, and a thread, until it is answered; 64 more for probes and idle clients.
  constexpr int kMaxConnections = 16384;
  if (flags.options.max_queue < 0 || flags.options.max_queue > kMaxConnections)
    refuse_flag("--max-queue", "expected 0 to " + std::to_string(kMaxConnections) + ", found " +
                                   std::to_string(flags.options.max_queue));
  http.max_connections = static_cast<std::size_t>(std::max(flags.options.llm.max_num_seqs, 0) +
                                                  std::int64_t{flags.options.max_queue} + 64);
  const auto level = server::log_level(flags.log_level);
  if (!level)
    refuse_flag("--log-level",
                "expected debug, info, warning, error or critical, found '" + flags.log_level + "'");
  flags.server.log_level = *level;
  flags.server.log_json = flags.log_format == "json";
}

int serve(ServeFlags& flags) {
  LLMOptions engine = engine_options(flags.engine);
  // Half of generate's: others wait for a step that computes a prompt, and a smaller one costs the prompt
  // little. A step has at least a token for each sequence.
  engine.max_num_batched_tokens = flags.max_num_batched_tokens.value_or(std::max(256, engine.max_num_seqs));
  flags.options.llm = std::move(engine);
  read_api_flags(flags);
  read_server_flags(flags);
  const auto load = [&flags] {
    auto llm = std::make_unique<AsyncLLM>(flags.options);
    install_stop_handler();  // until here a signal simply ends the program
    return llm;
  };
  server::serve(flags.server, load, stop_asked);
  return kSuccess;
}

}  // namespace

Command add_serve_command(CLI::App& program) {
  CLI::App* app = program.add_subcommand("serve", "Serve a checkpoint over HTTP, as OpenAI's API has it");
  app->footer(
      "Example:\n  octet serve models/smollm2-135m-instruct --kv-cache-dtype fp8 --port 8000\n"
      "  curl localhost:8000/v1/chat/completions -H 'Content-Type: application/json' \\\n"
      "      -d '{\"messages\": [{\"role\": \"user\", \"content\": \"Why is the sky blue?\"}], \"max_tokens\": "
      "64}'");
  const auto flags = std::make_shared<ServeFlags>();
  add_engine_flags(*app, flags->engine);
  add_batching_flags(*app, *flags);
  add_api_flags(*app, *flags);
  add_http_flags(*app, *flags);
  add_config_flag(*app);
  return {app, [flags] { return serve(*flags); }};
}

}  // namespace octet::apps
