// Reads JSON lines {"template": …, "variables": {…}} and writes {"text": …} or {"error": …} for each: the
// side of jinja2_package_test.py that runs Octet.
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "base/error.h"
#include "text/chat_template.h"

int main() {
  std::string line;
  while (std::getline(std::cin, line)) {
    const auto request = nlohmann::ordered_json::parse(line);
    nlohmann::ordered_json reply;
    try {
      const auto chat_template =
          octet::text::ChatTemplate::parse(request.at("template").get_ref<const std::string&>(), "template");
      reply["text"] = chat_template.render(request.at("variables").dump());
    } catch (const octet::Error& error) {
      reply["error"] = error.what();
    }
    std::cout << reply.dump() << '\n';
  }
  return 0;
}
