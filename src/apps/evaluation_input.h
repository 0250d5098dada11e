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

// The configurations of a command line that was split at its commas: joined as above, and "plan.yaml", a file
// of octet plan, replaced by what it chose for the cache ("DIR:fp8_e4m3+skip=0,1"; without DIR where that is
// `model`). What else such a file says is named in a notice on standard error. Throws Error as
// read_config_file; invalid_file for a value that is no text or list.
std::vector<std::string> read_configs(const std::vector<std::string>& parts, const std::string& model);

}  // namespace octet::apps
