// The page at /, compiled in from page/.
#pragma once

#include <string>

namespace octet::server {

std::string page();

}  // namespace octet::server
