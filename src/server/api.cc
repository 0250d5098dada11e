#include "server/api.h"

#include <octet/version.h>
#include <strings.h>

#include <algorithm>
#include <ctime>
#include <new>

#include "server/api_error.h"
#include "server/completion_request.h"
#include "server/metrics.h"
#include "server/page.h"
#include "server/random_id.h"

namespace octet::server {

namespace {

struct Route {
  const char* method;
  std::string_view path;
  bool open;  // without a key: what a load balancer, a monitor or a browser's first look needs
};

constexpr Route kRoutes[] = {
    {"GET", "/", true},
    {"GET", "/health", true},
    {"GET", "/version", true},
    {"GET", "/metrics", true},
    {"GET", "/v1/models", false},
    {"POST", "/v1/chat/completions", false},
    {"POST", "/v1/completions", false},
    {"POST", "/tokenize", false},
    {"POST", "/detokenize", false},
};
constexpr std::string_view kModelPath = "/v1/models/";  // and a model's name behind it

// A page of any origin may make its browser send a form or plain text anywhere, unasked: such requests would be
// computed, though the page never sees the answer. For JSON the browser asks first (OPTIONS), and hears no.
bool comes_from_a_page_unasked(const HttpRequest& request) {
  constexpr std::string_view kJson = "application/json";
  return request.method == "POST" && !request.origin.empty() &&
         strncasecmp(request.content_type.c_str(), kJson.data(), kJson.size()) != 0;
}

const Route* find_route(const std::string& path) {
  const std::string_view known = path.starts_with(kModelPath) ? std::string_view("/v1/models") : path;
  const auto* route =
      std::find_if(std::begin(kRoutes), std::end(kRoutes), [&](const Route& r) { return r.path == known; });
  return route == std::end(kRoutes) ? nullptr : route;
}

bool is_allowed_method(const Route& route, const std::string& method) {
  return method == route.method || (method == "HEAD" && std::string_view(route.method) == "GET");
}

void fill(HttpResponse& response, const ApiError& error, RequestRecord& record) {
  response.status = error.status;
  response.content_type = "application/json";
  response.body = error_json(error);
  response.stream = nullptr;
  if (error.status == 401) response.headers.emplace_back("WWW-Authenticate", "Bearer");
  if (error.retry_after > 0) response.headers.emplace_back("Retry-After", std::to_string(error.retry_after));
  record.error_param = error.param;
  record.error_code = error.code;
  if (error.status >= 500) record.internal_error = error.what();
}

}  // namespace

Api::Api(AsyncLLM& llm, ApiOptions options)
    : llm_(llm), options_(std::move(options)), keys_(options_.api_keys), created_(std::time(nullptr)) {}

void Api::add_cors(const HttpRequest& request, HttpResponse& response) const {
  const auto& origins = options_.allowed_origins;
  if (request.origin.empty() || origins.empty()) return;
  const bool any = std::find(origins.begin(), origins.end(), "*") != origins.end();
  if (!any && std::find(origins.begin(), origins.end(), request.origin) == origins.end()) return;
  response.headers.emplace_back("Access-Control-Allow-Origin", any ? "*" : request.origin);
  if (!any) response.headers.emplace_back("Vary", "Origin");
  response.headers.emplace_back("Access-Control-Expose-Headers", "X-Request-Id, Retry-After");
  if (request.method != "OPTIONS") return;
  response.headers.emplace_back("Access-Control-Allow-Methods", "GET, POST, OPTIONS");
  response.headers.emplace_back("Access-Control-Allow-Headers", request.access_control_request_headers.empty()
                                                                    ? "Authorization, Content-Type"
                                                                    : request.access_control_request_headers);
  response.headers.emplace_back("Access-Control-Max-Age", "600");
}

bool Api::admit(const HttpRequest& request, HttpResponse& response) {
  request.record->id = random_id();
  response.headers.emplace_back("X-Request-Id", request.record->id);
  add_cors(request, response);
  const Route* route = find_route(request.path);
  try {
    if (request.method == "OPTIONS" && !request.origin.empty()) {  // a browser asks before it asks
      response.status = 204;
      return false;
    }
    if (route == nullptr) throw ApiError(404, "there is nothing at this path", {}, "not_found");
    if (!is_allowed_method(*route, request.method)) {
      response.headers.emplace_back("Allow", route->method);
      throw ApiError(405, std::string("expected the method ") + route->method, {}, "method_not_allowed");
    }
    if (!route->open && !keys_.allow(request.authorization))
      throw ApiError(401, "expected a valid API key in the header Authorization: Bearer …", {},
                     "invalid_api_key");
    if (comes_from_a_page_unasked(request))
      throw ApiError(415, "expected the Content-Type application/json from a web page", {},
                     "unsupported_media_type");
    return true;
  } catch (const ApiError& error) {
    fill(response, error, *request.record);
    return false;
  }
}

void Api::handle(const HttpRequest& request, HttpResponse& response) {
  try {
    route(request, response);
  } catch (const std::exception& error) {
    refuse(error, request, response);
  }
}

void Api::refuse(const std::exception& error, const HttpRequest& request, HttpResponse& response) const {
  RequestRecord& record = *request.record;
  if (const auto* api = dynamic_cast<const ApiError*>(&error)) {
    fill(response, *api, record);
  } else if (const auto* engine = dynamic_cast<const Error*>(&error)) {
    fill(response, api_error(*engine), record);
  } else if (dynamic_cast<const std::bad_alloc*>(&error)) {
    fill(response, ApiError(500, "out of memory"), record);
  } else {
    fill(response, ApiError(500, "internal error"), record);
    record.internal_error = error.what();
  }
}

void Api::route(const HttpRequest& request, HttpResponse& response) {
  if (response.headers.empty()) {  // not so where admit() has seen this response
    response.headers.emplace_back("X-Request-Id", request.record->id);
    add_cors(request, response);
  }
  const std::string& path = request.path;
  if (path == "/v1/chat/completions") return chat(request, response);
  if (path == "/v1/completions") return complete(request, response);
  if (path == "/tokenize") return tokenize(request, response);
  if (path == "/detokenize") return detokenize(request, response);
  if (path == "/health") return health(response);
  if (path == "/metrics") return metrics(response);
  if (path == "/version") {
    response.body = to_text({{"version", version()}});
  } else if (path == "/") {
    response.content_type = "text/html; charset=utf-8";
    response.body = page();
    response.headers.emplace_back("X-Content-Type-Options", "nosniff");
    response.headers.emplace_back("Cache-Control", "no-cache");  // a newer server has a newer page
    response.headers.emplace_back("Content-Security-Policy", "frame-ancestors 'none'");
  } else {
    models(request, response);
  }
}

void Api::health(HttpResponse& response) const {
  response.body = to_text({{"status", draining_.load() ? "shutting down" : "ok"}});
  if (draining_.load()) response.status = 503;
}

void Api::models(const HttpRequest& request, HttpResponse& response) const {
  const auto model = [this](const std::string& name) {
    return Json{{"id", name},
                {"object", "model"},
                {"created", created_},
                {"owned_by", "octet"},
                {"root", llm_.model()},
                {"parent", nullptr},
                {"max_model_len", llm_.max_model_len()}};
  };
  if (request.path.starts_with(kModelPath)) {
    const std::string name = request.path.substr(kModelPath.size());
    if (name.empty()) throw ApiError(404, "there is nothing at this path", {}, "not_found");
    check_model(name);
    response.body = to_text(model(name));
    return;
  }
  Json list = {{"object", "list"}, {"data", Json::array()}};
  for (const std::string& name : options_.served_model_names) list["data"].push_back(model(name));
  response.body = to_text(list);
}

void Api::metrics(HttpResponse& response) const {
  response.content_type = kMetricsContentType;
  response.body = metrics_text(options_.metrics_prefix + ":", options_.served_model_names.front(), llm_.stats(),
                               llm_.kv_cache_stats(), options_.prefix_caching);
}

void Api::check_model(const std::string& model) const {
  const auto& names = options_.served_model_names;
  if (model.empty() || std::find(names.begin(), names.end(), model) != names.end()) return;
  throw ApiError(404, "the model '" + model + "' is not served here; '" + names.front() + "' is", "model",
                 "model_not_found");
}

std::string Api::model_name(const std::string& asked) const {
  return asked.empty() ? options_.served_model_names.front() : asked;
}

void Api::tokenize(const HttpRequest& request, HttpResponse& response) const {
  const TokenizeRequest asked = parse_tokenize_request(request.body);
  check_model(asked.model);
  const std::string text = asked.chat ? llm_.render_chat(*asked.chat) : *asked.prompt;
  const std::vector<std::int32_t> ids = llm_.encode(text, asked.add_special_tokens);
  Json strings;
  if (asked.return_token_strs) {
    strings = Json::array();
    for (const std::int32_t id : ids) strings.push_back(llm_.token_text(id));
  }
  response.body = to_text({{"count", ids.size()},
                           {"max_model_len", llm_.max_model_len()},
                           {"tokens", ids},
                           {"token_strs", std::move(strings)}});
}

void Api::detokenize(const HttpRequest& request, HttpResponse& response) const {
  const DetokenizeRequest asked = parse_detokenize_request(request.body);
  check_model(asked.model);
  for (std::size_t i = 0; i < asked.tokens.size(); ++i)
    if (llm_.token_text(asked.tokens[i]).empty())
      refuse_field(element_path("tokens", i), "no token has the id " + std::to_string(asked.tokens[i]));
  response.body = to_text({{"prompt", llm_.decode(asked.tokens)}});
}

}  // namespace octet::server
