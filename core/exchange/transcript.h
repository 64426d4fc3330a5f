// One hash over every packet either side has said, in order. It salts the traffic keys and is what the
// Finished records prove, so a changed offer, a dropped packet or a packet of another session is a failed
// exchange.
//
//   H = SHA-256("keyd/1 transcript" | item | item | …)     item = 'C' or 'S' | be32(length) | packet
#pragma once

#include "core/base/bytes.h"
#include "core/crypto/digest.h"

namespace keyd::exchange {

class Transcript {
 public:
  using Hash = crypto::RunningSha256::Value;

  Transcript() { hash_.update(bytes_of("keyd/1 transcript")); }

  void client_said(ByteView packet) { add('C', packet); }
  void server_said(ByteView packet) { add('S', packet); }
  [[nodiscard]] Hash hash() const { return hash_.value(); }

 private:
  void add(char speaker, ByteView packet) {
    const auto length = be32(static_cast<std::uint32_t>(packet.size()));
    const std::uint8_t who = static_cast<std::uint8_t>(speaker);
    hash_.update({&who, 1});
    hash_.update(length);
    hash_.update(packet);
  }
  crypto::RunningSha256 hash_;
};

}  // namespace keyd::exchange
