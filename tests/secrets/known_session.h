// A client whose every secret is known to the test, because it does the exchange with its own hands.
#pragma once

#include <optional>
#include <string>

#include "core/exchange/transcript.h"
#include "tests/secrets/memory_hunt.h"
#include "tests/support/raw_client.h"

namespace keyd::testing {

// `size` octets that nobody else has, of which a password can be made.
std::string marked_text(std::size_t size);

// What is made of a password in kryptoknight, respectively srp, as keyd says for the user. Marks "NAME stored hash" and
// gives it; marks "NAME x" and "NAME verifier", and gives x.
secret::SecretBuffer mark_hash(Hunt& hunt, const std::string& name, const exchange::PasswordHash& how,
                               const std::string& password);
secret::SecretBuffer mark_verifier(Hunt& hunt, const std::string& name,
                                   const exchange::VerifierParameters& by, const std::string& user,
                                   const std::string& password);

class KnownSession {
 public:
  KnownSession(const std::string& runtime_dir, Hunt& hunt, std::string name_of_it)
      : raw(runtime_dir), name(std::move(name_of_it)), hunt_(hunt) {}

  // `password` is the user's. Marks the keys of epoch 0 as "NAME epoch 0 c2s" …, and what the exchange is made of, as
  // "NAME k1", "k2"; "stored hash", "SecretHash", "SessionKey"; "x", "verifier", "g^b", "S", "K", "change key 1" …
  // False when keyd refuses; what keyd has made of the right password by then is marked all the same.
  bool log_in(const wire::ChallengeStart& choice, const std::string& password);
  bool log_in(const wire::KryptoknightStart& choice, const std::string& password);
  bool log_in(const wire::SrpStart& choice, const std::string& password);
  // In a suite of the scheme that is named, with the default choices.
  bool log_in(const std::string& scheme, const std::string& user, const std::string& password,
              wire::Suite suite = wire::SUITE_MODERN);
  // To the next epoch; marks its keys.
  bool rekey();
  bool end();
  std::optional<std::string> credential(const std::string& wanted);

  RawClient raw;
  std::string name;     // in the marks
  std::string says;     // to keyd in the place of the password, where it is not empty
  bool renews = false;  // the next login renews this session

 private:
  bool converse(const Result<Bytes>& packet);
  [[nodiscard]] const std::string& said(const std::string& password) const;
  void mark(const std::string& what, ByteView octets) { hunt_.mark(name + " " + what, octets); }
  secret::SecretBuffer mark_session_key(const wire::KryptoknightStart& start, ByteView hash,
                                        ByteView after_start);
  secret::SecretBuffer mark_srp_numbers(const wire::SrpStart& choice, ByteView a,
                                        const std::string& password);
  void mark_epoch();

  Hunt& hunt_;
  exchange::Transcript transcript_;
  Bytes answer_;  // keyd's last packet of the exchange
  std::string session_id_;
  std::optional<exchange::SecureChannel> mirror_;  // never used: it can be asked for its keys
};

}  // namespace keyd::testing
