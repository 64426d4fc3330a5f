// TLS 1.2 with SRP (RFC 5054) by others, both ends in this process: OpenSSL's, which calls its SRP deprecated, and
// GnuTLS's. The yardsticks of srp.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "core/base/bytes.h"
#include "core/exchange/srp_group.h"

namespace keyd::bench {

// A user as a server of RFC 5054 knows one: x and v by SHA-1.
struct TlsSrpUser {
  TlsSrpUser(std::string name, std::string password, unsigned group_bits);
  std::string name, password;
  exchange::SrpGroup group;
  Bytes salt, verifier;
};

class TlsSrp {
 public:
  virtual ~TlsSrp() = default;
  // One handshake, from nothing to the last Finished at both ends: the processor time of the server's end, in seconds.
  // Nothing: it failed.
  virtual std::optional<double> handshake() = 0;
};

std::unique_ptr<TlsSrp> openssl_tls_srp(const TlsSrpUser& user);
std::unique_ptr<TlsSrp> gnutls_tls_srp(const TlsSrpUser& user);

// Of this thread, in seconds.
double thread_cpu();

}  // namespace keyd::bench
