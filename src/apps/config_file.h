// A file of flags: the YAML that `vllm serve --config` takes and `octet plan --output` writes.
#pragma once

#include <string>
#include <vector>

namespace octet::apps {

struct ConfigEntry {
  std::string key;                  // as a flag has it, without "--": "kv-cache-dtype"; '_' was read as '-'
  std::vector<std::string> values;  // as they are written; one but for a list
  bool readable = true;  // false: a mapping, a list of lists or nothing, which no flag of octet takes
  int line = 0;          // from 1
};

// The entries of a YAML file that is one mapping, in their order; none of an empty one.
// Throws Error{not_found, io}; invalid_file naming the file and the line: what is no YAML, more than one
// document, anything but a mapping, a key that is no word or is there twice.
std::vector<ConfigEntry> read_config_file(const std::string& path);

}  // namespace octet::apps
