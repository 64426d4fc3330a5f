// A client of srp for load: it makes the exponent x from the password once, where the library does it for every exchange
// and spends a tenth of a second, and it says the same A each time. What is left is less work than keyd's.
#pragma once

#include <optional>
#include <string>

#include "core/exchange/srp.h"
#include "tests/support/raw_client.h"

namespace keyd::bench {

class SrpRenewer {
 public:
  SrpRenewer(const std::string& runtime_dir, std::string user, std::string password)
      : user_(std::move(user)), password_(std::move(password)), raw_(runtime_dir) {}
  // A whole exchange of the modern suite: the connection's first, or a renewal of its session. False: refused, or denied.
  bool log_in();

 private:
  std::optional<exchange::EapSrpMessage> hear(exchange::SrpSubtype subtype);
  bool say(exchange::SrpSubtype subtype, ByteView body, ByteView finished = {});
  bool begin();
  bool take_challenge();
  bool prove();
  bool confirm();

  std::string user_, password_;
  testing::RawClient raw_;
  std::string session_;  // its id, to be renewed
  std::optional<exchange::SrpGroup> group_;
  std::optional<exchange::EphemeralPair> pair_;  // a, A
  secret::SecretBuffer x_;

  // Of the exchange that is going on.
  exchange::Transcript transcript_;
  wire::ServerPacket answer_;
  std::uint8_t identifier_ = 0;
  Bytes salt_;
  std::optional<exchange::SecureChannel> channel_;
};

}  // namespace keyd::bench
