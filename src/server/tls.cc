#include "server/tls.h"

#include <octet/error.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <unistd.h>

namespace octet::server {

namespace {

void require_file(const std::string& path) {
  if (access(path.c_str(), R_OK) != 0) throw Error(ErrorCode::not_found, "cannot be read", path);
}

[[noreturn]] void refuse(const std::string& path, const std::string& expected) {
  const char* reason = ERR_reason_error_string(ERR_peek_last_error());
  ERR_clear_error();
  throw Error(ErrorCode::invalid_file, "expected " + expected + (reason ? std::string(": ") + reason : ""),
              path);
}

// Without this OpenSSL asks for a password on the terminal.
int no_password(char*, int, int, void*) { return 0; }

}  // namespace

TlsContext make_tls_context(const std::string& certificate_file, const std::string& key_file) {
  TlsContext context(nullptr, SSL_CTX_free);
  if (certificate_file.empty() && key_file.empty()) return context;
  if (certificate_file.empty() || key_file.empty())
    throw Error(ErrorCode::invalid_argument, "expected both, or neither", "--ssl-certfile and --ssl-keyfile");
  require_file(certificate_file);
  require_file(key_file);
  context.reset(SSL_CTX_new(TLS_server_method()));
  if (!context) throw Error(ErrorCode::internal, "OpenSSL gives no context", "TLS");
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_default_passwd_cb(context.get(), no_password);
  if (SSL_CTX_use_certificate_chain_file(context.get(), certificate_file.c_str()) != 1)
    refuse(certificate_file, "a certificate chain in PEM");
  if (SSL_CTX_use_PrivateKey_file(context.get(), key_file.c_str(), SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_check_private_key(context.get()) != 1)
    refuse(key_file, "the certificate's private key in PEM, without a password");
  return context;
}

}  // namespace octet::server
