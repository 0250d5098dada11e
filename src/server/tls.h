// Certificate and key for HTTPS.
#pragma once

#include <memory>
#include <string>

struct ssl_ctx_st;

namespace octet::server {

using TlsContext = std::unique_ptr<ssl_ctx_st, void (*)(ssl_ctx_st*)>;

// TLS 1.2 and later. Null where both are empty. Throws Error{invalid_argument} where only one is given;
// Error{not_found, invalid_file} naming a file that is missing, no PEM of its kind, or a key that is not the
// certificate's or has a password.
TlsContext make_tls_context(const std::string& certificate_file, const std::string& key_file);

}  // namespace octet::server
