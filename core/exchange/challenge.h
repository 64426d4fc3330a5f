// The `challenge` exchange: seed 000, claims 1 to 20. Two state machines without I/O, read from top to bottom.
//
//   symbols  U user   P password   Rc, Rs 32 fresh octets each   N1, N2 random numbers
//            T transformative function
//            k1 = T(P, N1)   k2 = T(P, N2)   TH transcript hash so far   {x}k sealed under k's traffic key
//
//   client                                                  server
//     1  ChallengeStart     U, T, sizes, Rc      ─────────►
//                                                           task → PENDING
//     2                    ◄─────────  ChallengeNumbers     Rs, N1 (, N2), session id
//     3  k1 = T(P, N1), k2 = T(P, N2)                       the same, when 4 arrives: P is in clear only then
//     4  Finished           {TH}k1               ─────────►
//                                                           verifies; task → COMPLETE
//     5                    ◄─────────  Finished             {TH}k2
//
// Randomness, the password and the clock come from outside. A step out of order, or a wrong octet, is a
// failure that ends the machine; there is no way back from Failed.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "core/base/bytes.h"
#include "core/base/error.h"
#include "core/exchange/random_source.h"
#include "core/exchange/secure_channel.h"
#include "core/exchange/transcript.h"
#include "core/secret/secret.h"
#include "core/wire/keyd.pb.h"
#include "core/wire/limits.h"

namespace keyd::exchange {

// key = T(password, nonce), the transformative function (claims 1, 4, 5):
//   HMAC_SHA256        HMAC-SHA256, key = password                              32 octets   modern
//   MD5                MD5(password | nonce)                                    16 octets   historic
//   HMAC_MD5           HMAC-MD5 (RFC 2104), key = password: "keyed-md5" here    16 octets   historic
//   KEYED_MD5_RFC1828  MD5(password | fill | nonce | password), fill as MD5     16 octets   historic
//                      pads the password to a multiple of 64 octets (RFC 1828)
// kInvalid for a transform that is none of these.
[[nodiscard]] Result<secret::SecretBuffer> transform(wire::Transform t, ByteView password, ByteView nonce);

// Whether a start's suite, transform, nonce length and key count belong together, and its fields have their
// sizes. kInvalid says which does not. Both ends ask: it is the same rule.
[[nodiscard]] Result<void> check_choice(const wire::ChallengeStart& start);

class ChallengeClient {
 public:
  // `choice` is everything but client_random, which start() adds.
  explicit ChallengeClient(wire::ChallengeStart choice) : start_(std::move(choice)) {}

  // Step 1: the packet to send. kInvalid when the choice does not hold together.
  [[nodiscard]] Result<Bytes> start(const RandomSource& random);
  // Step 2: takes the server's packet. Its numbers must be as asked for.
  [[nodiscard]] Result<void> take_numbers(ByteView packet, const wire::ChallengeNumbers& numbers);
  // Steps 3 and 4: the packet that proves the password.
  [[nodiscard]] Result<Bytes> prove(ByteView password);
  // Step 5: checks that the server knows the password too. The established channel; may be called once.
  [[nodiscard]] Result<SecureChannel> finish(ByteView packet, ByteView finished_record);

  [[nodiscard]] const std::string& session_id() const { return numbers_.session_id(); }

 private:
  enum class State { kIdle, kStarted, kNumbers, kProved, kDone, kFailed };
  [[nodiscard]] std::unexpected<Error> failed(Code code, const char* why);

  State state_ = State::kIdle;
  wire::ChallengeStart start_;
  wire::ChallengeNumbers numbers_;
  Transcript transcript_;
  std::optional<SecureChannel> channel_;
};

class ChallengeServer {
 public:
  // Steps 1 and 2: takes the client's packet, draws the numbers, and gives the packet to send once the task
  // is PENDING. kInvalid: the start does not hold together. `admissible` is asked about each drawn pair and
  // may turn it down (short numbers must not repeat); after 64 refusals kExhausted.
  [[nodiscard]] Result<Bytes> challenge(ByteView packet, const wire::ChallengeStart& start,
                                        const RandomSource& random,
                                        const std::function<bool(ByteView n1, ByteView n2)>& admissible);
  // Step 4: kRefused when the proof is wrong. `password` is used during the call alone.
  [[nodiscard]] Result<void> verify(ByteView packet, ByteView finished_record, ByteView password);
  // Step 5, once the task is COMPLETE: the packet to send.
  [[nodiscard]] Result<Bytes> confirm();
  // The established channel; may be called once, after confirm().
  [[nodiscard]] SecureChannel take_channel();

  [[nodiscard]] const wire::ChallengeStart& choice() const { return start_; }
  [[nodiscard]] const std::string& session_id() const { return numbers_.session_id(); }
  [[nodiscard]] ByteView nonce1() const { return bytes_of(numbers_.nonce1()); }
  [[nodiscard]] ByteView nonce2() const { return bytes_of(numbers_.nonce2()); }

 private:
  enum class State { kIdle, kChallenged, kProved, kDone, kFailed };
  [[nodiscard]] std::unexpected<Error> failed(Code code, const char* why);

  State state_ = State::kIdle;
  wire::ChallengeStart start_;
  wire::ChallengeNumbers numbers_;
  Transcript transcript_;
  std::optional<SecureChannel> channel_;
};

}  // namespace keyd::exchange
