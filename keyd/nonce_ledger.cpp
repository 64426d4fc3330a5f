#include "keyd/nonce_ledger.h"

namespace keyd::daemon {

namespace {
std::string joined(ByteView n1, ByteView n2) {
  std::string pair(text_of(n1));
  pair += text_of(n2);
  return pair;
}
}  // namespace

bool NonceLedger::is_unused(const std::string& user, ByteView n1, ByteView n2) const {
  if (n1.size() >= kShortNonce) return true;
  const auto pairs = given_.find(user);
  return pairs == given_.end() ||
         (pairs->second.size() < kPairsPerUser && !pairs->second.contains(joined(n1, n2)));
}

bool NonceLedger::admit(const std::string& user, ByteView n1, ByteView n2, BootTime until) {
  if (n1.size() >= kShortNonce) return true;
  if (!is_unused(user, n1, n2)) return false;
  given_[user].emplace(joined(n1, n2), until);
  return true;
}

void NonceLedger::sweep(BootTime now) {
  for (auto& [user, pairs] : given_) {
    std::erase_if(pairs, [now](const auto& entry) { return entry.second <= now; });
  }
  std::erase_if(given_, [](const auto& entry) { return entry.second.empty(); });
}

}  // namespace keyd::daemon
