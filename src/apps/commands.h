// The commands of the `octet` program: each declares its flags and hands back what runs it.
#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace octet::apps {

// Exit statuses of the program; --help and --version exit with kSuccess.
inline constexpr int kSuccess = 0;
inline constexpr int kFailure = 1;        // a file, the memory or the system: anything but the command line
inline constexpr int kUsage = 2;          // a flag, a parameter or a prompt that is not allowed
inline constexpr int kInterrupted = 130;  // SIGINT, as shells count it

struct Command {
  CLI::App* app;             // parsed() tells whether it was named
  std::function<int()> run;  // to be called after parsing; returns the exit status, throws octet::Error
};

Command add_generate_command(CLI::App& program);
Command add_inspect_command(CLI::App& program);
Command add_bench_command(CLI::App& program);
Command add_calibrate_command(CLI::App& program);
Command add_eval_command(CLI::App& program);
Command add_plan_command(CLI::App& program);
Command add_serve_command(CLI::App& program);

// The whole program: parses the command line, runs the command that it names and reports an error as one line
// on stderr. Returns the exit status; throws nothing.
int run_and_report(int argc, char** argv);

// Flushes standard output. Throws Error{io} where any of it could not be written.
void finish_output();

}  // namespace octet::apps
