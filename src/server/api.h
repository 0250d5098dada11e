// What each path means: the OpenAI API over an AsyncLLM.
//
// Called from all connections' threads at once. Borrows the AsyncLLM and the log, which must outlive it.
#pragma once

#include <octet/async_llm.h>

#include <atomic>
#include <exception>
#include <memory>
#include <string>
#include <vector>

#include "server/answer.h"
#include "server/api_keys.h"
#include "server/api_options.h"
#include "server/chat_request.h"
#include "server/http_message.h"

namespace octet::server {

class Api {
 public:
  Api(AsyncLLM& llm, ApiOptions options);

  // As HttpHandlers has them.
  bool admit(const HttpRequest& request, HttpResponse& response);
  void handle(const HttpRequest& request, HttpResponse& response);

  // From here on /health says that no more requests are taken.
  void start_draining() { draining_.store(true); }

 private:
  void route(const HttpRequest& request, HttpResponse& response);
  void add_cors(const HttpRequest& request, HttpResponse& response) const;
  void refuse(const std::exception& error, const HttpRequest& request, HttpResponse& response) const;

  void health(HttpResponse& response) const;
  void models(const HttpRequest& request, HttpResponse& response) const;
  void metrics(HttpResponse& response) const;
  void chat(const HttpRequest& request, HttpResponse& response);
  void complete(const HttpRequest& request, HttpResponse& response);
  void tokenize(const HttpRequest& request, HttpResponse& response) const;
  void detokenize(const HttpRequest& request, HttpResponse& response) const;

  void check_model(const std::string& model) const;
  std::string model_name(const std::string& asked) const;
  AnswerIdentity identity(const HttpRequest& request, const AnswerOptions& options) const;
  void respond(std::vector<GenerationRequest> generations, std::shared_ptr<Answer> answer,
               const AnswerOptions& options, const HttpRequest& request, HttpResponse& response);

  AsyncLLM& llm_;
  ApiOptions options_;
  ApiKeys keys_;
  std::int64_t created_;  // seconds since 1970
  std::atomic<bool> draining_ = false;
};

}  // namespace octet::server
