// A sealed value of the store after somebody had the database in their hands: it opens when it is the very
// octets that were sealed, under the binding they were sealed with, and never otherwise.
#include <algorithm>

#include "keyd/user_store.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/locked_memory_balance.h"

namespace keyd::fuzz {
namespace {

using daemon::StoreSealer;

const StoreSealer& sealer() {
  static const StoreSealer* const instance = [] {
    StoreSealer::Key key;
    std::ranges::fill(key.reveal(), std::uint8_t{0x4b});
    return new StoreSealer(std::move(key));
  }();
  return *instance;
}

// As it was sealed, with the script's octets laid over it, cut and lengthened.
Bytes changed(Script& script, const Bytes& sealed) {
  Bytes value = sealed;
  for (int changes = script.octet() % 4; changes > 0 && !value.empty(); --changes)
    value[script.word() % value.size()] ^= script.octet();
  if (const std::uint8_t cut = script.octet(); cut >= 0xc0) value.resize(value.size() * (cut - 0xc0u) / 64);
  const ByteView tail = script.take(script.octet());
  value.insert(value.end(), tail.begin(), tail.end());
  return value;
}

void open_sealed(Script script) {
  const std::string id(text_of(script.take(16))), name(text_of(script.take(script.octet() % 65)));
  const ByteView clear = script.take(script.octet());
  const auto sealed = daemon::seal_credential(sealer(), id, name, clear);
  must(sealed.has_value());
  const Bytes value = changed(script, *sealed);
  const auto opened = daemon::unseal_credential(sealer(), id, name, value);
  must(opened.has_value() == (value == *sealed));
  if (opened) must(std::ranges::equal(opened->reveal(), clear));
  // Moved to another user, another credential, another column.
  const std::string other(text_of(script.take(script.octet())));
  must(other == id || !daemon::unseal_credential(sealer(), other, name, *sealed));
  must(other == name || !daemon::unseal_credential(sealer(), id, other, *sealed));
  daemon::StoredUser user;
  user.id = id;
  user.sealed_password = *sealed;
  must(!daemon::unseal_password(sealer(), user));
}

}  // namespace
}  // namespace keyd::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace keyd::fuzz;
  if (size == 0 || size > 4096) return 0;
  (void)sealer();
  const LockedMemoryBalance balance;
  const keyd::ByteView rest(data + 1, size - 1);
  if (data[0] % 2 == 0) {
    must(!sealer().open({"store"}, rest));  // never sealed by us
  } else {
    open_sealed(Script(rest));
  }
  return 0;
}
