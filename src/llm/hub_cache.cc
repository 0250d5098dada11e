#include "files/hub_cache.h"

#include <octet/hub_cache.h>

namespace octet {

std::string hub_cache() { return files::hub_cache(); }

std::string find_model(const std::string& model, const std::string& revision) {
  return files::find_model(model, revision);
}

}  // namespace octet
