// Short random numbers (historic suite) come again after a few hundred exchanges. The ledger remembers, for
// each user, the pairs given out while a session made from them could still be alive, so that none is given
// twice. Long numbers (128 bits and more) never get here. Event loop only.
#pragma once

#include <string>
#include <unordered_map>

#include "core/base/bytes.h"
#include "core/base/clock.h"

namespace keyd::daemon {

class NonceLedger {
 public:
  static constexpr std::size_t kShortNonce = 16;  // octets: shorter ones are remembered
  static constexpr std::size_t kPairsPerUser =
      4096;  // then the user's historic exchanges are refused until some lapse

  // Whether the pair is one that no living session of this user was made from.
  [[nodiscard]] bool is_unused(const std::string& user, ByteView n1, ByteView n2) const;
  // A session is about to be made from the pair and lives until `until` at the most. False when another one
  // was. Only proven exchanges get here, so that nobody without a password can fill the ledger.
  [[nodiscard]] bool admit(const std::string& user, ByteView n1, ByteView n2, BootTime until);
  // Forgets what has lapsed.
  void sweep(BootTime now);

 private:
  std::unordered_map<std::string, std::unordered_map<std::string, BootTime>> given_;
};

}  // namespace keyd::daemon
