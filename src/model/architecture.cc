#include "model/architecture.h"

#include <algorithm>
#include <array>

namespace octet::model {

namespace {

const std::array<const Architecture*, 1>& architectures() {
  static const std::array<const Architecture*, 1> all{&llama_architecture()};
  return all;
}

}  // namespace

const Architecture* find_architecture(std::string_view name) {
  for (const Architecture* architecture : architectures())
    if (std::find(architecture->names.begin(), architecture->names.end(), name) != architecture->names.end())
      return architecture;
  return nullptr;
}

std::vector<std::string> known_architectures() {
  std::vector<std::string> names;
  for (const Architecture* architecture : architectures())
    names.insert(names.end(), architecture->names.begin(), architecture->names.end());
  return names;
}

}  // namespace octet::model
