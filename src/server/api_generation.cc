// The paths that generate: from a request's JSON to the engine, and from its updates to JSON or events.
#include <algorithm>
#include <numeric>
#include <optional>
#include <string>

#include "server/api.h"
#include "server/api_error.h"
#include "server/completion_request.h"
#include "server/generation_set.h"
#include "server/structured_fields.h"

namespace octet::server {

namespace {

// vLLM's default --max-logprobs. A list of the whole vocabulary for every token would fill the memory.
void check_logprobs(const std::optional<int>& count, const char* field) {
  constexpr int kMost = 20;
  if (count && *count > kMost)
    throw ApiError(
        400,
        std::string(field) + ": expected 0 to " + std::to_string(kMost) + ", found " + std::to_string(*count),
        field);
}

// The first error that the parameters have by themselves, before anything is sized by them.
void check(const SamplingParams& params, std::size_t prompts, int max_unfinished) {
  constexpr std::size_t kMaxAnswers = 4096;
  // The engine's thread looks for each behind every token, and for the beginnings of those that may come.
  constexpr std::size_t kMaxStops = 1024, kMaxStopBytes = 8192;
  params.validate();
  check_logprobs(params.logprobs, "logprobs");
  check_logprobs(params.prompt_logprobs, "prompt_logprobs");
  const auto check_most = [](const std::string& field, std::size_t found, std::size_t most, const char* what) {
    if (found <= most) return;
    throw ApiError(
        400, field + ": expected at most " + std::to_string(most) + what + ", found " + std::to_string(found),
        field);
  };
  check_most("stop", params.stop.size(), kMaxStops, " strings");
  const auto bytes = [](std::size_t sum, const std::string& stop) { return sum + stop.size(); };
  check_most("stop", std::accumulate(params.stop.begin(), params.stop.end(), std::size_t{0}, bytes),
             kMaxStopBytes, " bytes in all strings together");
  check_most("stop_token_ids", params.stop_token_ids.size(), kMaxStops, " ids");
  const std::size_t answers = static_cast<std::size_t>(params.n) * prompts;
  const std::string field = params.n > 1 ? "n" : "prompt";
  check_most(field, answers, kMaxAnswers, " answers of all prompts together");
  check_most(field, answers, static_cast<std::size_t>(max_unfinished),  // 429 would ask to try again, for ever
             " answers of all prompts together (--max-num-seqs and --max-queue)");
}

// Turns a text into its tokens, and refuses what does not fit into a sequence under the code that OpenAI's
// clients know. `field` is the prompt's, `length_field` that of the most new tokens.
void encode(const AsyncLLM& llm, GenerationRequest& generation, const std::string& field,
            const std::string& length_field) {
  std::optional<std::vector<std::int32_t>>& ids = generation.prompt.token_ids;
  if (!ids) ids = llm.encode(generation.prompt.text, generation.add_special_tokens);
  const auto size = ids->size(), most = static_cast<std::size_t>(llm.max_model_len());
  const std::string limit = "--max-model-len, " + std::to_string(most) + ", which counts prompt and new tokens";
  if (size >= most)
    throw ApiError(400, field + ": " + std::to_string(size) + " tokens are too long for " + limit, field,
                   "context_length_exceeded");
  const auto new_tokens = static_cast<std::size_t>(generation.params.max_tokens.value_or(0));
  if (new_tokens > most - size)
    throw ApiError(400,
                   length_field + ": " + std::to_string(new_tokens) + " new tokens behind a prompt of " +
                       std::to_string(size) + " are more than " + limit,
                   length_field, "context_length_exceeded");
}

void note(const GenerationSet& set, RequestRecord& record) {
  const TokenUsage usage = set.usage();
  record.prompt_tokens = usage.prompt_tokens;
  record.cached_tokens = usage.cached_tokens;
  record.completion_tokens = usage.completion_tokens;
  record.first_token_seconds = set.first_token_seconds();
  record.finish_reasons = set.finish_reasons();
}

// Headers are sent, so an error can be said only in the stream.
std::string error_event(const std::exception& error, RequestRecord& record) {
  const auto* known = dynamic_cast<const ApiError*>(&error);
  record.internal_error = error.what();
  return "data: " + error_json(known ? *known : ApiError(500, "internal error")) + "\n\n";
}

void write_stream(GenerationSet& set, Answer& answer, const AnswerOptions& options, const HttpRequest& request,
                  const WriteBody& write) {
  RequestRecord& record = *request.record;
  bool delivered = true;
  try {
    delivered = set.run(
        [&](std::size_t prompt, const GenerationUpdate& update) {
          const std::string events = answer.chunks(prompt, update);
          return events.empty() || write(events);
        },
        request.client_gone);
    if (delivered && options.include_usage) delivered = write(answer.usage_chunk(set.usage()));
  } catch (const std::exception& error) {  // nobody above this catches
    delivered = write(error_event(error, record));
  }
  if (delivered) delivered = write("data: [DONE]\n\n");
  record.client_gone = !delivered;
  note(set, record);
  set.cancel();
}

std::string prompt_text(const AsyncLLM& llm, const Prompt& prompt) {
  return prompt.token_ids ? llm.decode(*prompt.token_ids, true) : prompt.text;
}

// `ids` are the prompt's tokens.
Echo make_echo(const AsyncLLM& llm, const Prompt& prompt, const std::vector<std::int32_t>& ids,
               const CompletionRequest& asked) {
  Echo echo = {prompt_text(llm, prompt), {}};
  if (asked.params.logprobs && !ids.empty())
    echo.first_token =
        asked.answer.tokens_as_ids ? "token_id:" + std::to_string(ids.front()) : llm.decode({ids.front()});
  return echo;
}

// What is refused has a status of its own.
GenerationSet submit(AsyncLLM& llm, std::vector<GenerationRequest> generations, const AnswerOptions& options) {
  try {
    return GenerationSet(llm, std::move(generations));
  } catch (const Error& error) {
    throw at_field(error, options.form_field);
  }
}

}  // namespace

AnswerIdentity Api::identity(const HttpRequest& request, const AnswerOptions& options) const {
  request.record->model = model_name(options.model);
  request.record->stream = options.stream;
  const char* kind = request.path == "/v1/completions" ? "cmpl-" : "chatcmpl-";
  return {kind + request.record->id, request.record->model,
          std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch())
              .count()};
}

void Api::chat(const HttpRequest& request, HttpResponse& response) {
  const ChatRequest asked = parse_chat_request(request.body, llm_.default_sampling_params(), options_.tools);
  check_model(asked.answer.model);
  check(asked.params, 1, llm_.max_unfinished());
  std::string prompt = llm_.render_chat(asked.chat);
  if (options_.log_prompts) request.record->prompt = prompt;
  std::vector<GenerationRequest> generations;
  generations.push_back({std::move(prompt), asked.add_special_tokens, asked.params, {}});
  encode(llm_, generations.front(), "messages", asked.max_tokens_field);
  respond(std::move(generations), chat_answer(identity(request, asked.answer), asked), asked.answer, request,
          response);
}

void Api::complete(const HttpRequest& request, HttpResponse& response) {
  const CompletionRequest asked = parse_completion_request(request.body, llm_.default_sampling_params());
  check_model(asked.answer.model);
  check(asked.params, asked.prompts.size(), llm_.max_unfinished());
  std::vector<GenerationRequest> generations;
  std::vector<Echo> echo;
  for (const Prompt& prompt : asked.prompts) {
    generations.push_back({prompt, asked.add_special_tokens, asked.params, {}});
    encode(llm_, generations.back(),
           asked.prompts.size() > 1 ? element_path("prompt", generations.size() - 1) : "prompt", "max_tokens");
    if (asked.echo) echo.push_back(make_echo(llm_, prompt, *generations.back().prompt.token_ids, asked));
    if (options_.log_prompts) request.record->prompt += prompt_text(llm_, prompt) + "\n";
  }
  respond(std::move(generations), completion_answer(identity(request, asked.answer), asked, std::move(echo)),
          asked.answer, request, response);
}

void Api::respond(std::vector<GenerationRequest> generations, std::shared_ptr<Answer> answer,
                  const AnswerOptions& options, const HttpRequest& request, HttpResponse& response) {
  GenerationSet set = submit(llm_, std::move(generations), options);
  if (options.stream) {
    response.content_type = "text/event-stream; charset=utf-8";
    response.headers.emplace_back("Cache-Control", "no-cache");
    response.headers.emplace_back("X-Accel-Buffering", "no");  // nginx passes events on as they come
    const auto shared = std::make_shared<GenerationSet>(std::move(set));
    response.stream = [shared, answer, options, request](const WriteBody& write) {
      write_stream(*shared, *answer, options, request, write);
    };
    return;
  }
  const bool delivered = set.run(
      [&](std::size_t prompt, const GenerationUpdate& update) {
        answer->add(prompt, update);
        return true;
      },
      request.client_gone);
  note(set, *request.record);
  request.record->client_gone = !delivered;
  if (!delivered) throw ApiError(499, "the client has closed the connection", {}, "client_gone");
  response.body = answer->whole(set.usage());
}

}  // namespace octet::server
