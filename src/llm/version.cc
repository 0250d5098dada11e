#include <octet/version.h>

namespace octet {

const char* version() noexcept { return OCTET_VERSION; }

}  // namespace octet
