#include "llm/engine_loop.h"

#include <algorithm>
#include <cstddef>
#include <exception>
#include <iterator>
#include <utility>

#include "base/error.h"
#include "llm/cache_stats.h"
#include "llm/latency.h"
#include "llm/request_preparation.h"
#include "llm/scale_calculation.h"

namespace octet::llm {

namespace {

double seconds_between(std::chrono::steady_clock::time_point begin, std::chrono::steady_clock::time_point end) {
  return std::chrono::duration<double>(end - begin).count();
}

std::int64_t& count_of(const std::string& finish_reason, AsyncLLMStats& stats) {
  if (finish_reason == "stop") return stats.requests_stop;
  if (finish_reason == "length") return stats.requests_length;
  return finish_reason == "abort" ? stats.requests_abort : stats.requests_error;
}

}  // namespace

EngineLoop::EngineLoop(EngineSetup& setup, int max_unfinished)
    : setup_(setup),
      max_unfinished_(max_unfinished),
      cache_stats_(llm::cache_stats(setup)),
      notices_(setup.notices) {
  stats_.time_to_first_token_seconds = first_token_histogram();
  stats_.inter_token_latency_seconds = inter_token_histogram();
  stats_.e2e_request_latency_seconds = request_histogram();
  publish();
  thread_ = std::thread([this] { run(); });
}

EngineLoop::~EngineLoop() {
  {
    const std::scoped_lock lock(inbox_->mutex);
    inbox_->accepting = false;
    inbox_->stopping = true;
  }
  inbox_->arrived.notify_all();
  thread_.join();
}

std::shared_ptr<StreamState> EngineLoop::submit(std::vector<std::int32_t> prompt, SamplingParams params,
                                                std::function<void()> on_update, Clock::time_point started) {
  auto job = std::make_unique<Job>();
  job->usage.prompt_tokens = static_cast<int>(prompt.size());
  job->params = std::move(params);
  job->started = started;
  std::shared_ptr<StreamState> state;
  {
    const std::scoped_lock lock(inbox_->mutex);
    if (!inbox_->accepting) throw Error(ErrorCode::unavailable, "no requests are accepted any more", "engine");
    // Every answer takes memory of its own once the engine has it. A request with more of them than may wait is
    // taken where it is alone.
    if (inbox_->num_unfinished > 0 && inbox_->num_unfinished + job->params.n > max_unfinished_)
      throw Error(ErrorCode::overloaded,
                  std::to_string(inbox_->num_unfinished) + " answers are unfinished, and with " +
                      std::to_string(job->params.n) + " more there would be more than " +
                      std::to_string(max_unfinished_) + " (max_num_seqs and max_queue)",
                  "engine");
    state = std::make_shared<StreamState>(std::to_string(inbox_->num_submitted), std::move(prompt),
                                          std::move(on_update));
    job->state = state;
    ++inbox_->num_submitted;
    inbox_->num_unfinished += job->params.n;
    inbox_->jobs.push_back(std::move(job));
  }
  inbox_->arrived.notify_all();
  return state;
}

void EngineLoop::run_between_steps(const std::function<void()>& task) {
  std::packaged_task<void()> packaged(task);
  std::future<void> done = packaged.get_future();
  {
    const std::scoped_lock lock(inbox_->mutex);
    if (!inbox_->accepting) throw Error(ErrorCode::unavailable, "no requests are accepted any more", "engine");
    inbox_->tasks.push_back(std::move(packaged));
  }
  inbox_->arrived.notify_all();
  done.get();
}

void EngineLoop::stop_accepting() {
  const std::scoped_lock lock(inbox_->mutex);
  inbox_->accepting = false;
}

bool EngineLoop::wait_until_idle(std::chrono::milliseconds timeout) {
  std::unique_lock lock(inbox_->mutex);
  return inbox_->idle.wait_for(lock, timeout,
                               [&] { return inbox_->num_unfinished == 0 && inbox_->num_undelivered == 0; });
}

void EngineLoop::abort_all() {
  {
    const std::scoped_lock lock(inbox_->mutex);
    inbox_->abort_all = true;
  }
  inbox_->arrived.notify_all();
}

std::function<void()> EngineLoop::doorbell() const {
  return [inbox = inbox_] {
    {
      const std::scoped_lock lock(inbox->mutex);
      inbox->some_cancelled = true;
    }
    inbox->arrived.notify_all();
  };
}

AsyncLLMStats EngineLoop::stats() const {
  AsyncLLMStats stats;
  {
    const std::scoped_lock lock(published_mutex_);
    stats = stats_;
  }
  {
    const std::scoped_lock lock(inbox_->mutex);
    stats.num_requests_waiting += static_cast<int>(inbox_->jobs.size());
  }
  for (int layer = 0; layer < setup_.cache->layout().num_layers(); ++layer) {
    const kv::SaturatedValues values = setup_.cache->saturated_values(layer);
    stats.kv_saturated.push_back({values.k, values.v});
  }
  return stats;
}

KvCacheStats EngineLoop::cache_stats() const {
  const std::scoped_lock lock(published_mutex_);
  return cache_stats_;
}

std::vector<std::string> EngineLoop::notices() const {
  const std::scoped_lock lock(published_mutex_);
  return notices_;
}

void EngineLoop::run() {
  while (take_inbox()) {
    if (!in_engine_.empty()) step();
    send_letters();
  }
  send_letters();
}

bool EngineLoop::take_inbox() {
  std::unique_lock lock(inbox_->mutex);
  inbox_->arrived.wait(lock, [&] {
    return !inbox_->jobs.empty() || !inbox_->tasks.empty() || inbox_->some_cancelled || inbox_->abort_all ||
           inbox_->stopping || !in_engine_.empty() || !waiting_.empty();
  });
  std::move(inbox_->jobs.begin(), inbox_->jobs.end(), std::back_inserter(waiting_));
  inbox_->jobs.clear();
  std::deque<std::packaged_task<void()>> tasks = std::exchange(inbox_->tasks, {});
  const bool stopping = inbox_->stopping;
  const bool all = std::exchange(inbox_->abort_all, false) || stopping;
  const bool some = std::exchange(inbox_->some_cancelled, false);
  lock.unlock();
  for (std::packaged_task<void()>& task : tasks) task();
  if (all || some) end_cancelled(all);
  start_jobs();
  return !stopping;
}

void EngineLoop::start_jobs() {
  while (!waiting_.empty()) {
    if (setup_.awaits_first_prompt) {
      if (!in_engine_.empty()) return;  // the first prompt decides the scales, alone
      const Job& first = *waiting_.front();
      expect_first_prompt(setup_, first.state->prompt_token_ids().size(), first.params);
    }
    std::unique_ptr<Job> job = std::move(waiting_.front());
    waiting_.pop_front();
    start(std::move(job));
  }
}

void EngineLoop::start(std::unique_ptr<Job> job) {
  try {
    job->first_id = setup_.engine->add(make_request(job->state->prompt_token_ids(), job->params, setup_));
  } catch (const Error& error) {
    end(*job, "error", error);
    return;
  } catch (const std::exception& error) {
    end(*job, "error", Error(ErrorCode::internal, error.what(), "engine"));
    return;
  }
  for (int i = 0; i < job->params.n; ++i)
    job->answers.emplace_back(setup_.tokenizer, setup_.end_tokens, job->params, i);
  job->last_token.resize(job->answers.size());
  in_engine_.emplace(job->first_id, std::move(job));
}

void EngineLoop::end_cancelled(bool all) {
  const auto ended = [&](const std::unique_ptr<Job>& job) {
    if (!all && !job->state->cancelled()) return false;
    end(*job, "abort");
    return true;
  };
  std::erase_if(waiting_, ended);
  std::erase_if(in_engine_, [&](const auto& entry) { return ended(entry.second); });
}

void EngineLoop::step() {
  try {
    const std::vector<engine::TokenOutput> outputs = setup_.engine->step();
    const Clock::time_point now = Clock::now();
    note_first_prompt(setup_);
    {
      const std::scoped_lock lock(published_mutex_);
      for (const engine::TokenOutput& output : outputs) accept(output, now);
    }
    collect_news(now);
  } catch (const Error& error) {
    end_all("error", error);
  } catch (const std::exception& error) {
    end_all("error", Error(ErrorCode::internal, error.what(), "engine"));
  }
}

void EngineLoop::accept(const engine::TokenOutput& output, Clock::time_point now) {
  const auto behind = in_engine_.upper_bound(output.request);
  OCTET_CHECK(behind != in_engine_.begin());
  Job& job = *std::prev(behind)->second;
  const auto index = static_cast<std::size_t>(output.request - job.first_id);
  Answer& answer = job.answers.at(index);
  if (answer.ended()) return;  // a stop string ended it in this very step
  if (output.finish_reason == engine::FinishReason::error) {
    end(job, "error", Error(ErrorCode::internal, output.error, "engine"));
    return;
  }
  ++job.usage.completion_tokens;
  job.usage.cached_tokens = std::max(job.usage.cached_tokens, output.cached_tokens);
  if (job.timings.first_token == 0) {
    job.timings.first_token = seconds_between(job.started, now);
    observe(stats_.time_to_first_token_seconds, job.timings.first_token);
  }
  if (!output.prompt_logprobs.empty()) job.prompt_logprobs = decoded_prompt_logprobs(setup_.tokenizer, output);
  Clock::time_point& last = job.last_token[index];
  if (last != Clock::time_point()) observe(stats_.inter_token_latency_seconds, seconds_between(last, now));
  last = now;
  if (answer.accept(output)) setup_.engine->cancel(output.request);
}

void EngineLoop::collect_news(Clock::time_point now) {
  for (const auto& [id, job] : in_engine_) {
    const auto has_news = [](const Answer& answer) { return answer.has_news(); };
    if (std::any_of(job->answers.begin(), job->answers.end(), has_news)) write_letter(*job, now);
  }
  std::erase_if(in_engine_, [](const auto& entry) {
    const std::deque<Answer>& answers = entry.second->answers;
    return std::all_of(answers.begin(), answers.end(), [](const Answer& answer) { return answer.ended(); });
  });
}

void EngineLoop::end(Job& job, const char* finish_reason, const std::optional<Error>& error) {
  if (job.answers.empty())  // it never came into the engine
    for (int i = 0; i < job.params.n; ++i)
      job.answers.emplace_back(setup_.tokenizer, setup_.end_tokens, job.params, i);
  else
    for (std::size_t i = 0; i < job.answers.size(); ++i)
      if (!job.answers[i].ended()) setup_.engine->cancel(job.first_id + static_cast<engine::RequestId>(i));
  for (Answer& answer : job.answers) answer.end(finish_reason);
  write_letter(job, Clock::now(), error);
}

void EngineLoop::end_all(const char* finish_reason, const std::optional<Error>& error) {
  for (const auto& [id, job] : in_engine_) end(*job, finish_reason, error);
  in_engine_.clear();
}

void EngineLoop::write_letter(Job& job, Clock::time_point now, const std::optional<Error>& error) {
  GenerationUpdate update;
  update.finished = true;
  for (Answer& answer : job.answers) {
    if (answer.has_news()) update.choices.push_back(answer.take_update());
    if (!answer.ended()) update.finished = false;
  }
  if (update.finished) job.timings.finished = seconds_between(job.started, now);
  update.prompt_logprobs = std::exchange(job.prompt_logprobs, {});
  update.usage = job.usage;
  update.timings = job.timings;
  update.error = error;
  letters_.push_back({job.state, std::move(update), job.params.n});
}

void EngineLoop::publish() {
  const std::scoped_lock lock(published_mutex_);
  const engine::EngineStats engine = setup_.engine->stats();
  const kv::BlockPool& pool = setup_.cache->pool();
  stats_.num_requests_running = engine.num_running;
  stats_.num_requests_waiting = engine.num_waiting + static_cast<int>(waiting_.size());
  stats_.kv_cache_blocks = pool.num_blocks();
  stats_.kv_cache_used_blocks = pool.num_blocks() - pool.num_free();
  stats_.kv_cache_cached_blocks = pool.num_cached();
  stats_.kv_cache_usage =
      static_cast<double>(stats_.kv_cache_used_blocks) / static_cast<double>(stats_.kv_cache_blocks);
  stats_.prefix_cache_queries = engine.prefix_cache_queries;
  stats_.prefix_cache_hits = engine.prefix_cache_hits;
  stats_.num_preemptions = engine.num_preemptions;
  stats_.prompt_tokens = engine.prompt_tokens;
  stats_.generation_tokens = engine.generation_tokens;
  for (const Letter& letter : letters_) {
    for (const ChoiceUpdate& choice : letter.update.choices)
      if (!choice.finish_reason.empty()) ++count_of(choice.finish_reason, stats_);
    if (letter.update.finished) observe(stats_.e2e_request_latency_seconds, letter.update.timings.finished);
  }
  if (setup_.warm_up)
    cache_stats_ = llm::cache_stats(setup_);
  else
    cache_stats_.used_blocks = stats_.kv_cache_used_blocks;
  if (notices_.size() != setup_.notices.size()) notices_ = setup_.notices;
}

// What a reader learns from its update is in the statistics before.
void EngineLoop::send_letters() {
  publish();
  int finished = 0;
  for (const Letter& letter : letters_) finished += letter.update.finished ? letter.answers : 0;
  if (finished > 0) {
    const std::scoped_lock lock(inbox_->mutex);
    inbox_->num_unfinished -= finished;
    inbox_->num_undelivered += finished;
  }
  for (Letter& letter : letters_) letter.state->deliver(std::move(letter.update));
  letters_.clear();
  if (finished == 0) return;
  {
    const std::scoped_lock lock(inbox_->mutex);
    inbox_->num_undelivered -= finished;
  }
  inbox_->idle.notify_all();
}

}  // namespace octet::llm
