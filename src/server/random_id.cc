#include "server/random_id.h"

#include <array>
#include <cstdio>
#include <random>

namespace octet::server {

std::string random_id() {
  thread_local std::random_device source;
  std::array<char, 25> digits;
  std::snprintf(digits.data(), digits.size(), "%08x%08x%08x", source(), source(), source());
  return digits.data();
}

}  // namespace octet::server
