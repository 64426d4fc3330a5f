#include "keyd/user_store.h"

namespace keyd::daemon {

const char* name_of(UserState state) {
  switch (state) {
    case UserState::kActive: return "active";
    case UserState::kLocked: return "locked";
    case UserState::kDisabled: return "disabled";
  }
  return "disabled";
}

Result<Bytes> seal_password(const StoreSealer& sealer, std::string_view user_id, ByteView password) {
  return sealer.seal({"user", user_id, "challenge.password"}, password);
}

Result<secret::SecretBuffer> unseal_password(const StoreSealer& sealer, const StoredUser& user) {
  return sealer.open({"user", user.id, "challenge.password"}, user.sealed_password);
}

Result<Bytes> seal_credential(const StoreSealer& sealer, std::string_view user_id, std::string_view name,
                              ByteView value) {
  return sealer.seal({"user", user_id, "credential", name}, value);
}

Result<secret::SecretBuffer> unseal_credential(const StoreSealer& sealer, std::string_view user_id,
                                               std::string_view name, ByteView sealed) {
  return sealer.open({"user", user_id, "credential", name}, sealed);
}

}  // namespace keyd::daemon
