#include "llm/engine_loop.h"

#include <algorithm>
#include <cstddef>
#include <exception>
#include <iterator>
#include <new>
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
                                                std::shared_ptr<const engine::TokenGrammar> grammar,
                                                std::function<void()> on_update, Clock::time_point started) {
  auto job = std::make_unique<Job>();
  job->usage.prompt_tokens = static_cast<int>(prompt.size());
  job->params = std::move(params);
  job->grammar = std::move(grammar);
  job->started = started;
  const int n = job->params.n;
  if (n > max_unfinished_)  // no waiting helps
    throw Error(ErrorCode::invalid_argument,
                "expected at most " + std::to_string(max_unfinished_) +
                    ", as many answers as may be unfinished (max_num_seqs and max_queue), found " +
                    std::to_string(n),
                "n");
  std::shared_ptr<StreamState> state;
  {
    const std::scoped_lock lock(inbox_->mutex);
    if (!inbox_->accepting) throw Error(ErrorCode::unavailable, "no requests are accepted any more", "engine");
    // Every answer takes memory of its own once the engine has it.
    if (inbox_->num_unfinished + n > max_unfinished_)
      throw Error(ErrorCode::overloaded,
                  std::to_string(inbox_->num_unfinished) + " answers are unfinished, and with " +
                      std::to_string(n) + " more there would be more than " + std::to_string(max_unfinished_) +
                      " (max_num_seqs and max_queue)",
                  "engine");
    state = std::make_shared<StreamState>(std::to_string(inbox_->num_submitted), std::move(prompt),
                                          std::move(on_update));
    job->state = state;
    inbox_->jobs.push_back(std::move(job));  // the last that can fail
    ++inbox_->num_submitted;
    inbox_->num_unfinished += n;
  }
  inbox_->arrived.notify_all();
  return state;
}

void EngineLoop::run_between_steps(const std::function<void()>& task) {
  std::exception_ptr fault;  // not the future's, which the engine thread may be the last to let go of
  std::packaged_task<void()> packaged([&task, &fault] {
    try {
      task();
    } catch (...) {
      fault = std::current_exception();
    }
  });
  std::future<void> done = packaged.get_future();
  {
    const std::scoped_lock lock(inbox_->mutex);
    if (!inbox_->accepting) throw Error(ErrorCode::unavailable, "no requests are accepted any more", "engine");
    inbox_->tasks.push_back(std::move(packaged));
  }
  inbox_->arrived.notify_all();
  done.get();
  if (fault) std::rethrow_exception(std::exchange(fault, nullptr));
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

void EngineLoop::run() noexcept {
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
  waiting_.splice(waiting_.end(), inbox_->jobs);
  std::list<std::packaged_task<void()>> tasks;
  tasks.splice(tasks.end(), inbox_->tasks);
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
    if (setup_.awaits_first_prompt && !in_engine_.empty())
      return;  // the first prompt decides the scales, alone
    std::unique_ptr<Job> job = std::move(waiting_.front());
    waiting_.pop_front();
    start(std::move(job));
  }
}

void EngineLoop::start(std::unique_ptr<Job> job) {
  Job& started = *job;
  std::map<engine::RequestId, std::unique_ptr<Job>> place;  // made first: from the engine on nothing may fail
  try {
    if (setup_.awaits_first_prompt)
      expect_first_prompt(setup_, job->state->prompt_token_ids().size(), job->params);
    for (int i = 0; i < job->params.n; ++i)
      job->answers.emplace_back(setup_.tokenizer, setup_.end_tokens, job->params, i);
    job->last_token.resize(job->answers.size());
    place.emplace(0, std::move(job));
    started.first_id = setup_.engine->add(
        make_request(started.state->prompt_token_ids(), started.params, setup_, started.grammar));
    auto node = place.extract(0);
    node.key() = *started.first_id;
    in_engine_.insert(std::move(node));
  } catch (const Error& error) {
    end(started, "error", &error);
  } catch (const std::exception&) {
    give_up(started);
  }
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
    for (const engine::TokenOutput& output : outputs) accept(output, now);
    collect_news(now);
  } catch (const Error& error) {
    end_all(&error);
  } catch (const std::bad_alloc&) {
    end_all(nullptr);
  } catch (const std::exception& error) {
    end_all_with(error.what());
  }
}

// What fails for one token ends its request alone.
void EngineLoop::accept(const engine::TokenOutput& output, Clock::time_point now) {
  const auto behind = in_engine_.upper_bound(output.request);
  OCTET_CHECK(behind != in_engine_.begin());
  Job& job = *std::prev(behind)->second;
  if (job.ended) return;  // an error of another of its answers ended it in this very step
  try {
    accept(output, now, job);
  } catch (const std::exception&) {
    give_up(job);
  }
}

void EngineLoop::accept(const engine::TokenOutput& output, Clock::time_point now, Job& job) {
  const auto index = static_cast<std::size_t>(output.request - *job.first_id);
  Answer& answer = job.answers.at(index);
  if (answer.ended()) return;  // a stop string ended it in this very step
  if (output.finish_reason == engine::FinishReason::error) {
    const Error error(ErrorCode::internal, output.error, "engine");
    end(job, "error", &error);
    return;
  }
  ++job.usage.completion_tokens;
  job.usage.cached_tokens = std::max(job.usage.cached_tokens, output.cached_tokens);
  if (!output.prompt_logprobs.empty()) job.prompt_logprobs = decoded_prompt_logprobs(setup_.tokenizer, output);
  {
    const std::scoped_lock lock(published_mutex_);
    if (job.timings.first_token == 0) {
      job.timings.first_token = seconds_between(job.started, now);
      observe(stats_.time_to_first_token_seconds, job.timings.first_token);
    }
    Clock::time_point& last = job.last_token[index];
    if (last != Clock::time_point()) observe(stats_.inter_token_latency_seconds, seconds_between(last, now));
    last = now;
  }
  if (answer.accept(output)) setup_.engine->cancel(output.request);
}

void EngineLoop::collect_news(Clock::time_point now) {
  for (const auto& [id, job] : in_engine_) {
    const auto has_news = [](const Answer& answer) { return answer.has_news(); };
    if (job->ended || std::none_of(job->answers.begin(), job->answers.end(), has_news)) continue;
    try {
      write_letter(*job, now);
    } catch (const std::exception&) {
      give_up(*job);
    }
  }
  std::erase_if(in_engine_, [](const auto& entry) { return entry.second->ended; });
}

void EngineLoop::end(Job& job, const char* finish_reason, const Error* error) noexcept {
  if (job.ended) return;
  leave_engine(job);
  try {
    while (job.answers.size() < static_cast<std::size_t>(job.params.n))  // it never came into the engine
      job.answers.emplace_back(setup_.tokenizer, setup_.end_tokens, job.params,
                               static_cast<int>(job.answers.size()));
    for (Answer& answer : job.answers) answer.end(finish_reason);
    write_letter(job, Clock::now(), error);
  } catch (const std::exception&) {
    give_up(job);
  }
}

void EngineLoop::end_all_with(const char* fault) noexcept try {
  const Error error(ErrorCode::internal, fault, "engine");
  end_all(&error);
} catch (const std::bad_alloc&) {
  end_all(nullptr);
}

void EngineLoop::end_all(const Error* error) noexcept {
  for (const auto& [id, job] : in_engine_) error ? end(*job, "error", error) : give_up(*job);
  in_engine_.clear();
}

void EngineLoop::write_letter(Job& job, Clock::time_point now, const Error* error) {
  GenerationUpdate update;
  update.finished = true;
  int ends = 0;
  for (Answer& answer : job.answers) {
    if (answer.has_news()) update.choices.push_back(answer.take_update());
    if (!answer.ended()) update.finished = false;
  }
  for (const ChoiceUpdate& choice : update.choices) ends += choice.finish_reason.empty() ? 0 : 1;
  if (update.finished) job.timings.finished = seconds_between(job.started, now);
  update.prompt_logprobs = std::exchange(job.prompt_logprobs, {});
  update.usage = job.usage;
  update.timings = job.timings;
  if (error) update.error = *error;
  const bool finished = update.finished;
  letters_.push_back({job.state, std::move(update), job.params.n});
  job.ends_told += ends;
  job.ended = finished;
}

void EngineLoop::give_up(Job& job) noexcept {
  if (job.ended) return;
  leave_engine(job);
  job.ended = true;
  job.state->break_off();
  given_up_ += job.params.n;
  const std::scoped_lock lock(published_mutex_);
  stats_.requests_error += job.params.n - job.ends_told;
}

// The ids of answers that have ended are none of the engine's any more.
void EngineLoop::leave_engine(Job& job) noexcept {
  for (int i = 0; job.first_id && i < job.params.n; ++i) setup_.engine->cancel(*job.first_id + i);
}

// The usage is that of the group that is fullest: where one is empty, requests wait.
void EngineLoop::publish_blocks() {
  stats_.kv_cache_blocks = stats_.kv_cache_used_blocks = stats_.kv_cache_cached_blocks = 0;
  stats_.kv_cache_usage = 0;
  for (std::size_t group = 0; group < setup_.cache->groups().size(); ++group) {
    const kv::BlockPool& pool = setup_.cache->pool(static_cast<int>(group));
    const std::int32_t used = pool.num_used();
    cache_stats_.groups[group].used_blocks = used;
    stats_.kv_cache_blocks += pool.num_blocks();
    stats_.kv_cache_used_blocks += used;
    stats_.kv_cache_cached_blocks += pool.num_cached();
    stats_.kv_cache_usage =
        std::max(stats_.kv_cache_usage, static_cast<double>(used) / static_cast<double>(pool.num_blocks()));
  }
  cache_stats_.used_blocks = stats_.kv_cache_used_blocks;
}

void EngineLoop::publish() {
  const std::scoped_lock lock(published_mutex_);
  const engine::EngineStats engine = setup_.engine->stats();
  stats_.num_requests_running = engine.num_running;
  stats_.num_requests_waiting = engine.num_waiting + static_cast<int>(waiting_.size());
  publish_blocks();
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
  try {
    if (setup_.warm_up) cache_stats_ = llm::cache_stats(setup_);
    if (notices_.size() != setup_.notices.size()) notices_ = setup_.notices;
  } catch (const std::bad_alloc&) {  // they are said the next time
  }
}

// What a reader learns from its update is in the statistics before.
void EngineLoop::send_letters() {
  publish();
  int finished = std::exchange(given_up_, 0);
  for (const Letter& letter : letters_) finished += letter.update.finished ? letter.answers : 0;
  if (finished > 0) {
    const std::scoped_lock lock(inbox_->mutex);
    inbox_->num_unfinished -= finished;
    inbox_->num_undelivered += finished;
  }
  bool all_delivered = true;
  for (Letter& letter : letters_) all_delivered &= letter.state->deliver(std::move(letter.update));
  letters_.clear();
  if (finished == 0 && all_delivered) return;
  {
    const std::scoped_lock lock(inbox_->mutex);
    inbox_->num_undelivered -= finished;
    if (!all_delivered) inbox_->some_cancelled = true;  // what nobody hears of any more is to end
  }
  inbox_->idle.notify_all();
}

}  // namespace octet::llm
