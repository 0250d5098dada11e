#include "server/api_keys.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <strings.h>

namespace octet::server {

namespace {

// Digests are of one length, and a comparison of them says nothing about the key.
std::array<unsigned char, 32> digest(const char* text, std::size_t size) {
  std::array<unsigned char, 32> hash;
  SHA256(reinterpret_cast<const unsigned char*>(text), size, hash.data());
  return hash;
}

}  // namespace

ApiKeys::ApiKeys(const std::vector<std::string>& keys) {
  for (const std::string& key : keys) digests_.push_back(digest(key.data(), key.size()));
}

bool ApiKeys::allow(const std::string& authorization) const {
  constexpr std::size_t kScheme = 7;
  if (digests_.empty()) return true;
  if (authorization.size() < kScheme || strncasecmp(authorization.c_str(), "Bearer ", kScheme) != 0)
    return false;
  const Digest given = digest(authorization.data() + kScheme, authorization.size() - kScheme);
  bool found = false;
  for (const Digest& key : digests_) found |= CRYPTO_memcmp(key.data(), given.data(), key.size()) == 0;
  return found;
}

}  // namespace octet::server
