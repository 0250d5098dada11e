// The page at /, compiled in from page.html.
#pragma once

#include <string>

namespace octet::server {

std::string page();

}  // namespace octet::server
