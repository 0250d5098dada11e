// Who may ask.
#pragma once

#include <array>
#include <string>
#include <vector>

namespace octet::server {

class ApiKeys {
 public:
  explicit ApiKeys(const std::vector<std::string>& keys);  // none: everybody may

  // Whether the value of an Authorization header is "Bearer " and one of the keys. Takes the same time
  // whichever key it is near to.
  bool allow(const std::string& authorization) const;

 private:
  using Digest = std::array<unsigned char, 32>;
  std::vector<Digest> digests_;
};

}  // namespace octet::server
