#include "apps/child_process.h"

#include <octet/error.h>
#include <spawn.h>
#include <sys/wait.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

extern char** environ;

namespace octet::apps {

namespace {

using File = std::unique_ptr<std::FILE, decltype(&std::fclose)>;

[[noreturn]] void fail(const std::string& program, const std::string& message) {
  throw Error(ErrorCode::io, message, program);
}

// A file without a name: unlike a pipe it takes any amount while nobody reads.
File open_unnamed(const std::string& program) {
  File file(std::tmpfile(), &std::fclose);
  if (!file) fail(program, std::string("no temporary file for its output: ") + std::strerror(errno));
  return file;
}

std::string content(std::FILE* file) {
  std::string text;
  std::rewind(file);
  char buffer[4096];
  for (std::size_t n; (n = std::fread(buffer, 1, sizeof buffer, file)) > 0;) text.append(buffer, n);
  return text;
}

// The last lines, which usually say what went wrong.
std::string tail(const std::string& text) {
  constexpr std::size_t kMost = 500;
  const std::size_t end = text.find_last_not_of(" \n");
  if (end == std::string::npos) return "it wrote nothing to standard error";
  return text.substr(end < kMost ? 0 : end + 1 - kMost, end < kMost ? end + 1 : kMost);
}

pid_t spawn(const std::vector<std::string>& arguments, std::FILE* out, std::FILE* err) {
  std::vector<char*> pointers;
  for (const std::string& argument : arguments) pointers.push_back(const_cast<char*>(argument.c_str()));
  pointers.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", 0, 0);
  posix_spawn_file_actions_adddup2(&actions, fileno(out), 1);
  posix_spawn_file_actions_adddup2(&actions, fileno(err), 2);
  pid_t child = 0;
  const int error = posix_spawn(&child, pointers[0], &actions, nullptr, pointers.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) fail(arguments[0], std::string("cannot be started: ") + std::strerror(error));
  return child;
}

}  // namespace

std::string run_child(const std::vector<std::string>& arguments) {
  const File out = open_unnamed(arguments[0]), err = open_unnamed(arguments[0]);
  const pid_t child = spawn(arguments, out.get(), err.get());
  int status = 0;
  while (waitpid(child, &status, 0) < 0)
    if (errno != EINTR) fail(arguments[0], std::string("cannot be waited for: ") + std::strerror(errno));
  if (WIFSIGNALED(status))
    fail(arguments[0], "ended by signal " + std::to_string(WTERMSIG(status)) + ": " + tail(content(err.get())));
  if (WEXITSTATUS(status) != 0)
    fail(arguments[0],
         "ended with status " + std::to_string(WEXITSTATUS(status)) + ": " + tail(content(err.get())));
  return content(out.get());
}

}  // namespace octet::apps
