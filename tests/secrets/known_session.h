// A client whose every secret is known to the test, because it does the exchange with its own hands.
#pragma once

#include <optional>
#include <string>

#include "tests/secrets/memory_hunt.h"
#include "tests/support/raw_client.h"

namespace keyd::testing {

// `size` octets that nobody else has, of which a password can be made.
std::string marked_text(std::size_t size);

class KnownSession {
 public:
  KnownSession(const std::string& runtime_dir, Hunt& hunt, std::string name_of_it)
      : raw(runtime_dir), name(std::move(name_of_it)), hunt_(hunt) {}

  // Marks k1 and k2 and the keys of epoch 0, as "NAME k1", "NAME epoch 0 c2s" … False when keyd refuses.
  bool log_in(const wire::ChallengeStart& choice, const std::string& password);
  // To the next epoch; marks its keys.
  bool rekey();
  bool end();
  std::optional<std::string> credential(const std::string& wanted);

  RawClient raw;
  std::string name;  // in the marks

 private:
  void mark_epoch();

  Hunt& hunt_;
  std::optional<exchange::SecureChannel> mirror_;  // never used: it can be asked for its keys
};

}  // namespace keyd::testing
