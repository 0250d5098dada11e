// What octet eval and octet plan read: the text, and lists of configurations.
#pragma once

#include <octet/evaluation.h>

#include <string>
#include <vector>

namespace octet::apps {

// The documents of a text file ("-": standard input). Throws Error: not_found, io; invalid_argument where it is
// empty.
std::vector<Prompt> read_documents(const std::string& path);

// "a,b+skip=0,1,c", split at its commas, to "a", "b+skip=0,1", "c": a number goes on with the layers before it.
std::vector<std::string> join_layers(const std::vector<std::string>& parts);

}  // namespace octet::apps
