// The page of octet eval --html, compiled in from evaluation_template.html.
#pragma once

#include <string>

namespace octet::apps {

// HTML with "/*EVALUATION*/null" where the JSON of the evaluation goes, once.
std::string evaluation_template();

}  // namespace octet::apps
