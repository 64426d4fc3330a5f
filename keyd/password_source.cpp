#include "keyd/password_source.h"

#include "core/crypto/random.h"

namespace keyd::daemon {

Result<void> PasswordSource::prepare() {
  secret::SecretBuffer nobody_knows(24);
  if (!crypto::fill_random_private(nobody_knows.reveal())) return fail(Code::kBroken, "no random numbers");
  stand_in_.id = std::string(16, '\0');
  auto sealed = seal_password(sealer_, stand_in_.id, nobody_knows.reveal());
  if (!sealed) return std::unexpected(sealed.error());
  stand_in_.sealed_password = std::move(*sealed);
  return {};
}

Result<ByteView> PasswordSource::password_of(const StoredUser* user) {
  const StoredUser& stored = user == nullptr ? stand_in_ : *user;
  const bool keep = resident_ && user != nullptr && user->allow_historic;
  if (keep) {
    const auto held = held_.find(stored.id);
    if (held != held_.end() && held->second.sealed == stored.sealed_password)
      return held->second.clear.reveal();
  }
  auto clear = unseal_password(sealer_, stored);
  if (!clear) return std::unexpected(clear.error());
  if (!keep) {
    current_ = std::move(*clear);
    return current_.reveal();
  }
  if (held_.size() >= kResident) held_.erase(held_.begin());
  const auto [entry, unused] =
      held_.insert_or_assign(stored.id, Held{stored.sealed_password, std::move(*clear)});
  return entry->second.clear.reveal();
}

}  // namespace keyd::daemon
