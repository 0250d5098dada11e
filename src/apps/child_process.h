// Another program, run to its end.
#pragma once

#include <string>
#include <vector>

namespace octet::apps {

// Runs arguments[0], a path, with the others and returns its standard output. Standard input is empty.
// Throws Error{io} naming the program where it cannot be started, and where it fails, with its exit status and
// the end of what it wrote to standard error.
std::string run_child(const std::vector<std::string>& arguments);

}  // namespace octet::apps
