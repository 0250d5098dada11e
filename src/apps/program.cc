// The program but for main(): one clear line on stderr and a non-zero exit status for every error.
#include <octet/error.h>
#include <octet/version.h>

#include <CLI/CLI.hpp>
#include <array>
#include <exception>
#include <iostream>
#include <new>
#include <string>

#include "apps/commands.h"
#include "apps/usage_error.h"

namespace octet::apps {

void finish_output() {
  std::cout.flush();
  if (!std::cout) throw Error(ErrorCode::io, "cannot write", "standard output");
}

namespace {

int report_error(const std::string& message, int status) {
  std::cerr << "octet: error: " << message << "\n";
  return status;
}

int run_program(int argc, char** argv) {
  CLI::App program("Native LLM inference with an 8-bit KV cache.", "octet");
  program.set_version_flag("--version", std::string("octet ") + version());
  program.require_subcommand(1);
  const std::array<Command, 7> commands = {add_generate_command(program), add_calibrate_command(program),
                                           add_inspect_command(program),  add_bench_command(program),
                                           add_eval_command(program),     add_plan_command(program),
                                           add_serve_command(program)};
  try {
    program.parse(argc, argv);
  } catch (const CLI::Success& success) {  // --help and --version
    program.exit(success);
    finish_output();
    return kSuccess;
  } catch (const CLI::ParseError& error) {
    return report_error(
        usage_error(program, error, argc, argv) + " (octet --help, or octet COMMAND --help, says more)",
        kUsage);
  }
  for (const Command& command : commands)
    if (command.app->parsed()) return command.run();
  return kUsage;  // not reached: require_subcommand(1)
}

}  // namespace

int run_and_report(int argc, char** argv) {
  try {
    return run_program(argc, argv);
  } catch (const Error& error) {
    return report_error(error.what(), error.code() == ErrorCode::invalid_argument ? kUsage : kFailure);
  } catch (const std::bad_alloc&) {
    return report_error("out of memory", kFailure);
  } catch (const std::exception& error) {
    return report_error(error.what(), kFailure);
  }
}

}  // namespace octet::apps
