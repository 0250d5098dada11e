#include <octet/llm.h>

#include <atomic>
#include <chrono>
#include <utility>

#include "base/error.h"
#include "llm/cache_stats.h"
#include "llm/chat_rendering.h"
#include "llm/engine_setup.h"
#include "llm/generation.h"
#include "llm/utf8.h"

namespace octet {

struct LLM::Impl {
  explicit Impl(const LLMOptions& options) : setup(llm::set_up_engine(options)) {}

  llm::EngineSetup setup;
  std::atomic<bool> interrupted = false;
  static_assert(std::atomic<bool>::is_always_lock_free, "interrupt() is called by signal handlers");
};

LLM::LLM(LLMOptions options) : impl_(std::make_unique<Impl>(options)) {}
LLM::~LLM() = default;
LLM::LLM(LLM&&) noexcept = default;
LLM& LLM::operator=(LLM&&) noexcept = default;

std::vector<RequestOutput> LLM::generate(const std::vector<Prompt>& prompts, const SamplingParams& params,
                                         const TextCallback& on_text) {
  const auto started = std::chrono::steady_clock::now();
  params.validate();
  std::vector<llm::EncodedPrompt> encoded;
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    const Prompt& prompt = prompts[i];
    llm::require_utf8(prompt.text, "prompt " + std::to_string(i));
    encoded.push_back(
        {prompt.text, prompt.token_ids ? *prompt.token_ids : impl_->setup.tokenizer.encode(prompt.text)});
  }
  return llm::run_generation(impl_->setup, std::move(encoded), params, on_text, impl_->interrupted, started);
}

RequestOutput LLM::generate(const Prompt& prompt, const SamplingParams& params, const TextCallback& on_text) {
  return std::move(generate(std::vector<Prompt>{prompt}, params, on_text).front());
}

std::vector<RequestOutput> LLM::chat(const std::vector<std::vector<ChatMessage>>& conversations,
                                     const SamplingParams& params, const TextCallback& on_text) {
  const auto started = std::chrono::steady_clock::now();
  params.validate();
  const llm::EngineSetup& setup = impl_->setup;
  if (!setup.chat_template)
    throw Error(ErrorCode::not_found,
                "the checkpoint has no chat template (chat_template in tokenizer_config.json, or "
                "chat_template.jinja); use generate() with a complete prompt",
                setup.loaded.checkpoint->directory());
  std::vector<llm::EncodedPrompt> encoded;
  for (std::size_t i = 0; i < conversations.size(); ++i) {
    std::string text = llm::render_chat(*setup.chat_template, conversations[i], setup.tokenizer,
                                        "conversation " + std::to_string(i));
    // The template writes the special tokens itself.
    std::vector<std::int32_t> ids = setup.tokenizer.encode(text, /*add_special_tokens=*/false);
    encoded.push_back({std::move(text), std::move(ids)});
  }
  return llm::run_generation(impl_->setup, std::move(encoded), params, on_text, impl_->interrupted, started);
}

RequestOutput LLM::chat(const std::vector<ChatMessage>& conversation, const SamplingParams& params,
                        const TextCallback& on_text) {
  return std::move(chat(std::vector<std::vector<ChatMessage>>{conversation}, params, on_text).front());
}

RequestOutput LLM::chat(std::initializer_list<ChatMessage> conversation, const SamplingParams& params,
                        const TextCallback& on_text) {
  return chat(std::vector<ChatMessage>(conversation), params, on_text);
}

void LLM::interrupt() noexcept { impl_->interrupted.store(true); }

SamplingParams LLM::default_sampling_params() const { return impl_->setup.default_params; }

KvCacheStats LLM::kv_cache_stats() const { return llm::cache_stats(impl_->setup); }

const std::vector<std::string>& LLM::notices() const { return impl_->setup.notices; }
int LLM::max_model_len() const { return impl_->setup.max_model_len; }
int LLM::vocab_size() const { return impl_->setup.loaded.model->config().vocab_size; }
std::string LLM::isa() const { return impl_->setup.loaded.table->isa; }
int LLM::threads() const { return impl_->setup.loaded.threads->num_threads(); }

std::vector<std::int32_t> LLM::encode(const std::string& text, bool add_special_tokens) const {
  return impl_->setup.tokenizer.encode(text, add_special_tokens);
}

std::string LLM::decode(const std::vector<std::int32_t>& token_ids, bool skip_special_tokens) const {
  return impl_->setup.tokenizer.decode(token_ids, skip_special_tokens);
}

}  // namespace octet
