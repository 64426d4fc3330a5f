// The remote change of a password (seed 002, steps 310 to 318): two state machines without I/O, one at each end of a
// session that `srp` has made. What happens before and after them, the old password proved and the new one used, is
// again `srp` (srp.h), nested in the session.
//
//   symbols  s', N', g'  salt and group of the new verifier     x', v'  from the new password (srp_verifier.h)
//            Ec, Ac      "encrypt / authenticate client to server"   of srp_keys.h: what the server sends
//            Es, As      "encrypt / authenticate server to client"                  what the client sends
//            [x]K        nonce(12) | AES-256-GCM(K, nonce, x)        nonce drawn for each element
//   1  server  Server Change Password   serial, flags, [s']Ec, [N']Ec, [g']Ec, MAC(Ac)   ->  MAC, then the group; only
//                                                                                           then is anybody asked
//   2  client  Client Change Password   serial, [v']Es, MAC(As)                           ->  serial, MAC, 1 < v' < N'
//   3  server  Success                  once v' is durable
//
// MAC is HMAC-SHA256 in the modern suite, HMAC-SHA1 in the historic one, over
//   "keyd/1 change request"  | be16(|U|) | U | derivation(4) | be32(|placed|) | placed | the EAP packet before the MAC
//   "keyd/1 change response" | be16(|U|) | U | derivation(4)                           | the EAP packet before the MAC
// placed: what lies where both ends reach it, when the request only names the place (claims 5, 23, 37); else nothing.
// An element that is not there is as before (claims 4, 7). The messages go as EAP-SRP's (type 19, claim 2) or as a
// vendor's (Expanded, claim 3); the modern suite knows the second alone.
//
// A message that is not the awaited one changes nothing: it is refused, and the right one is still taken.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/bytes.h"
#include "core/base/error.h"
#include "core/exchange/eap_srp.h"
#include "core/exchange/random_source.h"
#include "core/exchange/srp.h"
#include "core/exchange/srp_group.h"
#include "core/exchange/srp_keys.h"
#include "core/exchange/srp_verifier.h"
#include "core/wire/keyd.pb.h"

namespace keyd::exchange {

// What both ends know of the session.
struct ChangeContext {
  std::string user;
  wire::Suite suite = wire::SUITE_MODERN;
  std::uint32_t vendor_id = kExampleVendor;
};

// Salt and group as they lie in a file that both ends reach: be16(size) | salt | be16(size) | N | be16(size) | g.
// An empty one is as before.
struct PlacedParameters {
  Bytes salt, modulus, generator;
};
[[nodiscard]] Bytes encode_placed(const PlacedParameters& parameters);
[[nodiscard]] Result<PlacedParameters> decode_placed(ByteView octets);                      // kInvalid
inline constexpr std::size_t kMostPlaced = 3 * 2 + kLongestSalt + 2 * kLargestGroupOctets;  // octets

// The names of such files: 32 digits of lower-case hexadecimal.
inline constexpr std::size_t kPlaceNameSize = 32;
[[nodiscard]] bool is_place_name(std::string_view name);

class PasswordChangeServer {
 public:
  PasswordChangeServer(SrpKeys keys, ChangeContext context);

  struct Question {
    std::uint64_t serial = 0;  // not 0; another for each question
    VerifierParameters fresh;  // of the new verifier
    bool same_group = false;   // which the client has: not sent
    bool same_salt = false;    // likewise
    bool as_eap_srp = false;   // historic suite: as type 19; else as a vendor's message
    std::string place = {};    // not empty: the parameters are placed there, under this name
  };
  // 1: the packet to send, again and again if need be: the octets stay. Of what was asked before no answer is taken any
  // more. kInvalid: not a question that this suite can ask.
  [[nodiscard]] Result<Bytes> ask(Question question, const RandomSource& random);
  // What is to lie at the question's place.
  [[nodiscard]] ByteView placed() const { return placed_; }
  // 0: nothing is asked.
  [[nodiscard]] std::uint64_t serial() const { return question_ ? question_->serial : 0; }

  // 2: the new verifier. kInvalid, kRefused: not the answer to the question; that still stands.
  [[nodiscard]] Result<SrpVerifier> take_answer(ByteView packet) const;
  // 3: nothing is asked any more; the packet to send.
  [[nodiscard]] Bytes succeed();
  // Nothing is asked any more.
  void withdraw() { question_.reset(); }

 private:
  SrpKeys keys_;
  ChangeContext context_;
  std::optional<Question> question_;
  Bytes placed_;
  std::uint8_t identifier_ = 0;
};

class PasswordChangeClient {
 public:
  // `before`: of the verifier that the session was made by.
  PasswordChangeClient(SrpKeys keys, ChangeContext context, VerifierParameters before,
                       SrpClientPolicy policy);

  // What lies at the place of that name; kMostPlaced octets at most.
  using ReadPlaced = std::function<Result<Bytes>(std::string_view name)>;
  // 1: kInvalid, kRefused: to be ignored, nobody is to be prompted; a question taken before still stands.
  [[nodiscard]] Result<void> take_question(ByteView packet, ByteView derivation,
                                           const ReadPlaced& read_placed);
  // Of the question that stands; 0: none does.
  [[nodiscard]] std::uint64_t serial() const { return question_ ? question_->serial : 0; }

  // What the new verifier is made by (make_verifier); to be asked while a question stands.
  [[nodiscard]] const VerifierParameters& fresh() const { return question_->fresh; }
  // 2: the packet with the verifier made by fresh(). May be called again with another one. kRefused: no question stands.
  [[nodiscard]] Result<Bytes> answer(ByteView v, const RandomSource& random) const;
  // 3: whether the server has it for good. Then the question stands no more.
  [[nodiscard]] bool take_success(ByteView packet);
  // The server has said that it asks no more: no question stands. Its next one has a greater serial.
  void withdraw() { question_.reset(); }

 private:
  struct Question {
    std::uint64_t serial = 0;
    std::uint8_t identifier = 0;
    EapSrpForm form;
    VerifierParameters fresh;
  };
  [[nodiscard]] Result<VerifierParameters> parameters_of(const ChangeRequestBody& body, ByteView placed,
                                                         const XDerivation& derivation) const;

  SrpKeys keys_;
  ChangeContext context_;
  VerifierParameters before_;
  SrpClientPolicy policy_;
  std::uint64_t last_serial_ = 0;  // of all that were taken
  std::optional<Question> question_;
};

}  // namespace keyd::exchange
