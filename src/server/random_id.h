// Names that nobody can guess and that do not repeat.
#pragma once

#include <string>

namespace octet::server {

std::string random_id();  // 24 hexadecimal digits; thread-safe

}  // namespace octet::server
