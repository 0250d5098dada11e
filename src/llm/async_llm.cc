#include <octet/async_llm.h>

#include <utility>

#include "base/error.h"
#include "llm/answer_grammar.h"
#include "llm/cache_memory.h"
#include "llm/chat_rendering.h"
#include "llm/engine_loop.h"
#include "llm/engine_setup.h"
#include "llm/prompt_logits.h"
#include "llm/request_preparation.h"
#include "llm/stream_state.h"
#include "llm/utf8.h"
#include "text/tokenizer_config.h"

namespace octet {

namespace {

llm::EngineSetup set_up(const AsyncLLMOptions& options) {
  if (options.max_queue < 0)
    throw Error(ErrorCode::invalid_argument, "expected 0 or more, found " + std::to_string(options.max_queue),
                "max_queue");
  llm::EngineSetup setup = llm::set_up_engine(options.llm);
  if (!options.chat_template_file.empty())
    setup.chat_template =
        text::ChatTemplate::parse(text::read_text_file(options.chat_template_file), options.chat_template_file);
  return setup;
}

}  // namespace

struct GenerationStream::Impl {
  std::shared_ptr<llm::StreamState> state;
  std::function<void()> ring;  // wakes the loop to see a cancellation

  explicit Impl(std::function<void()> doorbell) : ring(std::move(doorbell)) {}
  ~Impl() { cancel(); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  void cancel() noexcept {
    if (!state || state->finished() || state->cancelled()) return;
    state->cancel();
    ring();
  }
};

GenerationStream::GenerationStream(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
GenerationStream::~GenerationStream() = default;
GenerationStream::GenerationStream(GenerationStream&&) noexcept = default;
GenerationStream& GenerationStream::operator=(GenerationStream&&) noexcept = default;

std::optional<GenerationUpdate> GenerationStream::next(std::chrono::milliseconds timeout) {
  return impl_->state->next(timeout);
}

RequestOutput GenerationStream::wait() {
  constexpr std::chrono::milliseconds kLong = std::chrono::hours(1);
  RequestOutput output;
  output.request_id = request_id();
  output.prompt_token_ids = prompt_token_ids();
  while (!output.finished && !finished()) {
    std::optional<GenerationUpdate> update = next(kLong);
    if (!update) continue;
    if (update->error) throw Error(*update->error);
    for (ChoiceUpdate& choice : update->choices) {
      const auto index = static_cast<std::size_t>(choice.index);
      while (output.outputs.size() <= index) {
        const int next = static_cast<int>(output.outputs.size());
        output.outputs.emplace_back().index = next;
      }
      llm::append(output.outputs[index], std::move(choice));
    }
    if (!update->prompt_logprobs.empty()) output.prompt_logprobs = std::move(update->prompt_logprobs);
    output.finished = update->finished;
    output.timings = update->timings;
  }
  return output;
}

void GenerationStream::cancel() noexcept { impl_->cancel(); }
bool GenerationStream::finished() const { return impl_->state->finished(); }
const std::string& GenerationStream::request_id() const { return impl_->state->request_id(); }
const std::vector<std::int32_t>& GenerationStream::prompt_token_ids() const {
  return impl_->state->prompt_token_ids();
}

struct AsyncLLM::Impl {
  explicit Impl(const AsyncLLMOptions& options)
      : directory(options.llm.model),
        setup(set_up(options)),
        loop(setup, options.llm.max_num_seqs + options.max_queue) {}

  std::string directory;
  llm::EngineSetup setup;
  llm::EngineLoop loop;  // the last: its thread uses the setup

  int vocab_size() const { return setup.loaded.model->config().vocab_size; }
};

AsyncLLM::AsyncLLM(AsyncLLMOptions options) : impl_(std::make_unique<Impl>(options)) {}
AsyncLLM::~AsyncLLM() = default;

GenerationStream AsyncLLM::submit(GenerationRequest request) {
  const auto started = std::chrono::steady_clock::now();
  llm::check_params(request.params, impl_->vocab_size());
  std::vector<std::int32_t> ids;
  if (request.prompt.token_ids) {
    ids = std::move(*request.prompt.token_ids);
  } else {
    llm::require_utf8(request.prompt.text, "prompt");
    ids = encode(request.prompt.text, request.add_special_tokens);
  }
  llm::check_prompt(ids, "prompt", impl_->vocab_size(), max_model_len());
  // A server says so, where LLM::generate ends with the finish reason "length".
  const std::optional<int>& max_tokens = request.params.max_tokens;
  if (max_tokens && *max_tokens > max_model_len() - static_cast<int>(ids.size()))
    throw Error(ErrorCode::invalid_argument,
                std::to_string(*max_tokens) + " new tokens behind a prompt of " + std::to_string(ids.size()) +
                    " are more than max_model_len, " + std::to_string(max_model_len()),
                "max_tokens");
  auto grammar = llm::answer_grammar(*impl_->setup.grammar_compiler, request.params);
  impl_->setup.engine->check(llm::make_request(ids, request.params, impl_->setup, grammar));
  auto stream = std::make_unique<GenerationStream::Impl>(impl_->loop.doorbell());
  stream->state = impl_->loop.submit(std::move(ids), std::move(request.params), std::move(grammar),
                                     std::move(request.on_update), started);
  return GenerationStream(std::move(stream));
}

void AsyncLLM::stop_accepting() noexcept { impl_->loop.stop_accepting(); }
bool AsyncLLM::wait_until_idle(std::chrono::milliseconds timeout) {
  return impl_->loop.wait_until_idle(timeout);
}
void AsyncLLM::abort_all() { impl_->loop.abort_all(); }

std::string AsyncLLM::render_chat(const ChatPrompt& chat) const {
  if (!impl_->setup.chat_template)
    throw Error(ErrorCode::not_found,
                "the checkpoint has no chat template (chat_template in tokenizer_config.json, or "
                "chat_template.jinja); give one, or a complete prompt",
                impl_->directory);
  return llm::render_chat(*impl_->setup.chat_template, chat, impl_->setup.tokenizer);
}

bool AsyncLLM::has_chat_template() const { return impl_->setup.chat_template.has_value(); }

std::vector<std::int32_t> AsyncLLM::encode(const std::string& text, bool add_special_tokens) const {
  return impl_->setup.tokenizer.encode(text, add_special_tokens);
}

std::string AsyncLLM::decode(const std::vector<std::int32_t>& token_ids, bool skip_special_tokens) const {
  return impl_->setup.tokenizer.decode(token_ids, skip_special_tokens);
}

std::string AsyncLLM::token_text(std::int32_t token_id) const {
  return impl_->setup.tokenizer.id_to_token(token_id);
}

const std::string& AsyncLLM::model() const { return impl_->directory; }
int AsyncLLM::max_model_len() const { return impl_->setup.max_model_len; }
int AsyncLLM::max_unfinished() const { return impl_->loop.max_unfinished(); }
int AsyncLLM::vocab_size() const { return impl_->vocab_size(); }
SamplingParams AsyncLLM::default_sampling_params() const { return impl_->setup.default_params; }
std::vector<float> AsyncLLM::logits(const std::vector<std::int32_t>& token_ids, bool last_only) {
  llm::check_prompt(token_ids, "token_ids", impl_->vocab_size(), max_model_len());
  std::vector<float> logits;
  impl_->loop.run_between_steps([&] { logits = llm::prompt_logits(impl_->setup, token_ids, last_only); });
  return logits;
}

LayerCacheMemory AsyncLLM::cache_memory(int layer) const {
  return llm::cache_memory(*impl_->setup.cache, layer);
}

std::string AsyncLLM::isa() const { return impl_->setup.loaded.table->isa; }
int AsyncLLM::threads() const { return impl_->setup.loaded.threads->num_threads(); }
KvCacheStats AsyncLLM::kv_cache_stats() const { return impl_->loop.cache_stats(); }
std::vector<std::string> AsyncLLM::notices() const { return impl_->loop.notices(); }
AsyncLLMStats AsyncLLM::stats() const { return impl_->loop.stats(); }

}  // namespace octet
