// EngineLoop: the thread that drives the engine for AsyncLLM, and the inbox through which others reach it.
//
// The engine and the parts of the setup that a step changes belong to that thread alone. Between two steps it
// takes what is in the inbox, ends what was cancelled, and starts what came; after a step it hands the tokens
// to the streams. Every public function may be called from any thread.
//
// The thread goes on whatever it meets. Where the memory is out, what it was doing for one request ends that
// request, with an error whose telling needs none (give_up, StreamState::break_off); the others go on.
#pragma once

#include <octet/async_llm.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <future>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "engine/engine.h"
#include "llm/answer.h"
#include "llm/engine_setup.h"
#include "llm/stream_state.h"

namespace octet::llm {

class EngineLoop {
 public:
  // Keeps a reference to the setup, whose engine, cache and scales are the loop's from now on. At most
  // `max_unfinished` answers are accepted at once.
  EngineLoop(EngineSetup& setup, int max_unfinished);
  ~EngineLoop();  // ends every request with "abort"
  EngineLoop(const EngineLoop&) = delete;
  EngineLoop& operator=(const EngineLoop&) = delete;

  // Of a prompt and parameters that were checked. Throws Error{overloaded, unavailable}, and invalid_argument
  // naming n where it is more than max_unfinished.
  std::shared_ptr<StreamState> submit(std::vector<std::int32_t> prompt, SamplingParams params,
                                      std::shared_ptr<const engine::TokenGrammar> grammar,
                                      std::function<void()> on_update,
                                      std::chrono::steady_clock::time_point started);
  // Runs `task` on the loop's thread while no step runs, waits for its end and passes on what it throws. Throws
  // Error{unavailable} where no requests are accepted any more.
  void run_between_steps(const std::function<void()>& task);
  int max_unfinished() const { return max_unfinished_; }
  void stop_accepting();
  bool wait_until_idle(std::chrono::milliseconds timeout);
  void abort_all();

  AsyncLLMStats stats() const;
  KvCacheStats cache_stats() const;
  std::vector<std::string> notices() const;

  // Wakes the loop to look for streams that were cancelled; goes on working when the loop is gone.
  std::function<void()> doorbell() const;

 private:
  using Clock = std::chrono::steady_clock;

  // A request from its submission to its end. The answers refer to the parameters, so it does not move.
  struct Job {
    std::shared_ptr<StreamState> state;
    SamplingParams params;
    std::shared_ptr<const engine::TokenGrammar> grammar;
    Clock::time_point started;
    std::optional<engine::RequestId> first_id = {};  // in the engine; answer i is first_id + i
    int ends_told = 0;                               // answers whose ends are in letters
    bool ended = false;                              // its last letter is written, or it was given up
    std::deque<Answer> answers = {};                 // [n], empty before it is in the engine
    std::vector<Clock::time_point> last_token = {};  // [n]
    TokenUsage usage = {};
    RequestTimings timings = {};
    std::vector<std::vector<Logprob>> prompt_logprobs = {};  // not sent yet
  };

  // What other threads leave for the loop. Streams share it, so that they may outlive the loop.
  struct Inbox {
    std::mutex mutex;
    std::condition_variable arrived;
    std::condition_variable idle;
    std::list<std::unique_ptr<Job>> jobs;
    std::list<std::packaged_task<void()>> tasks;
    std::int64_t num_submitted = 0;
    // Answers, of which a request has n.
    int num_unfinished = 0;
    int num_undelivered = 0;  // ended, and the last update is on its way
    bool accepting = true;
    bool some_cancelled = false;
    bool abort_all = false;
    bool stopping = false;
  };

  // The last or next update of a stream.
  struct Letter {
    std::shared_ptr<StreamState> state;
    GenerationUpdate update;
    int answers;  // of its request
  };

  void run() noexcept;
  bool take_inbox();  // false where the loop is to end
  void start_jobs();
  void start(std::unique_ptr<Job> job);
  void end_cancelled(bool all);
  void step();
  void accept(const engine::TokenOutput& output, Clock::time_point now);
  void accept(const engine::TokenOutput& output, Clock::time_point now, Job& job);
  void collect_news(Clock::time_point now);
  // Ends what of the job goes on, and writes its last letter.
  void end(Job& job, const char* finish_reason, const Error* error = nullptr) noexcept;
  void end_all(const Error* error) noexcept;  // null: no memory is left
  void end_all_with(const char* fault) noexcept;
  void write_letter(Job& job, Clock::time_point now, const Error* error = nullptr);
  // Ends the job and its stream without needing memory.
  void give_up(Job& job) noexcept;
  void leave_engine(Job& job) noexcept;
  // Makes the state of this moment, and what the letters say, the statistics.
  void publish_blocks();
  void publish();
  void send_letters();

  EngineSetup& setup_;
  const int max_unfinished_;
  std::shared_ptr<Inbox> inbox_ = std::make_shared<Inbox>();

  // The thread's own.
  std::list<std::unique_ptr<Job>> waiting_;                      // for the first prompt's scales
  std::map<engine::RequestId, std::unique_ptr<Job>> in_engine_;  // by first_id
  std::vector<Letter> letters_;
  int given_up_ = 0;  // answers of jobs that ended without a letter since the last ones were sent

  mutable std::mutex published_mutex_;
  AsyncLLMStats stats_;
  KvCacheStats cache_stats_;
  std::vector<std::string> notices_;

  std::thread thread_;  // the last: it uses all of the above
};

}  // namespace octet::llm
