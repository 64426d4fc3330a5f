// The exchange `srp`: two state machines without I/O, and what they say. The messages are EAP packets, the password
// never leaves the client, and nothing of the exchange helps whoever recorded it to search for the password.
//
//   symbols  U user   P password   s salt   N, g group   v = g^x verifier   Rc, Rs 32 fresh octets each
//            A = g^a   B = k·v + g^b   S, K, M1, M2 (srp_numbers.h)   x from P (srp_verifier.h)
//            TH1, TH2 transcript hashes   {x} a sealed record around x
//   1  client  SrpStart         U, suite, Rc, server name                  ->  task PENDING
//   2  server  Challenge        server name, s, g, N, how x is made, Rs    <-
//   3  client  Client Key       A                                          ->
//   4  server  Server Key       B                                          <-  never before A
//   5  client  Client Validator M1                                         ->  verified before M2 leaves
//   6  server  Server Validator M2                                         <-  verified before anything else is said
//   7  client  Ack              beside it {TH1}, client to server          ->  verified; task COMPLETE
//   8  server  Success          beside it {TH2}, server to client          <-  verified; the channel is established
//
// modern    SRP-6a of RFC 5054 with SHA-256; Expanded EAP packets
// historic  SRP-3 of RFC 2945; EAP-SRP (type 19) packets; x by SHA-1
// TH1 is the hash of packets 1 to 6, TH2 of 1 to 7: whole packets, as they went over the socket. The channel's k1 and k2
// are both K. docs/protocols/srp.md has the octets.
//
// Any failure ends the machine; there is no way back from Failed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/base/bytes.h"
#include "core/base/error.h"
#include "core/exchange/eap_srp.h"
#include "core/exchange/secure_channel.h"
#include "core/exchange/srp_group.h"
#include "core/exchange/srp_keys.h"
#include "core/exchange/srp_numbers.h"
#include "core/exchange/srp_verifier.h"
#include "core/exchange/transcript.h"
#include "core/secret/secret.h"
#include "core/wire/keyd.pb.h"

namespace keyd::exchange {

// Whether a start's fields have their sizes and belong together. kInvalid says which does not. Both ends ask.
[[nodiscard]] Result<void> check_start(const wire::SrpStart& start);

// What the server keeps about a user, or pretends to about one whom it does not know.
struct SrpVerifier {
  SrpGroup group;
  Bytes salt;              // 1 to kLongestSalt octets
  XDerivation derivation;  // historic: SHA-1
  secret::SecretBuffer v;  // 1 < v < N
};

struct SrpClientPolicy {
  GroupPolicy groups;
  DerivationPolicy derivations;  // modern; the historic suite is SHA-1
  std::uint32_t vendor_id = kExampleVendor;
};

class SrpClient {
 public:
  // `choice` is everything but client_random, which start() adds.
  SrpClient(wire::SrpStart choice, SrpClientPolicy policy)
      : start_(std::move(choice)), policy_(std::move(policy)) {}

  // 1: the packet to send. kInvalid when the choice does not hold together.
  [[nodiscard]] Result<Bytes> start(const RandomSource& random);
  // 2 and 3: takes the Challenge, if the policy takes its group and derivation; gives the Client Key's packet.
  [[nodiscard]] Result<Bytes> take_challenge(ByteView packet, const wire::SrpPacket& challenge,
                                             const RandomSource& random);
  // 4: takes B.
  [[nodiscard]] Result<void> take_key(ByteView packet, const wire::SrpPacket& key);
  // 5: the packet with M1. The password is used during the call alone, which takes as long as the derivation costs.
  [[nodiscard]] Result<Bytes> prove(ByteView password);
  // 6 and 7: kRefused unless the server knows the verifier; gives the packet with Ack and the client's Finished.
  [[nodiscard]] Result<Bytes> take_proof(ByteView packet, const wire::SrpPacket& validator);
  // 8: the established channel; may be called once.
  [[nodiscard]] Result<SecureChannel> finish(ByteView packet, const wire::SrpPacket& success);
  // After finish(); may be called once.
  [[nodiscard]] SrpKeys take_keys();
  // Of the verifier that the server has; to be asked after take_challenge().
  [[nodiscard]] VerifierParameters parameters() const { return {*group_, salt_, derivation_}; }

  [[nodiscard]] const std::string& session_id() const { return session_id_; }

 private:
  enum class State { kIdle, kStarted, kChallenged, kKeyed, kProved, kAcknowledged, kDone, kFailed };
  [[nodiscard]] std::unexpected<Error> failed(Code code, const char* why);
  [[nodiscard]] std::unexpected<Error> failed(const Error& error);
  [[nodiscard]] Result<EapSrpMessage> next_request(const wire::SrpPacket& packet, SrpSubtype subtype);
  [[nodiscard]] Result<Bytes> respond(SrpSubtype subtype, ByteView body, ByteView finished = {});

  State state_ = State::kIdle;
  wire::SrpStart start_;
  SrpClientPolicy policy_;
  Transcript transcript_;
  std::uint8_t challenge_identifier_ = 0, identifier_ = 0;
  std::string session_id_;
  Bytes server_random_, salt_;
  XDerivation derivation_;
  std::optional<SrpGroup> group_;
  std::optional<EphemeralPair> pair_;  // a, A
  std::optional<crypto::Number> B_, u_;
  secret::SecretBuffer K_;
  Bytes M2_;
  std::optional<SecureChannel> channel_;
  std::optional<SrpKeys> keys_;
};

class SrpServer {
 public:
  explicit SrpServer(std::uint32_t vendor_id = kExampleVendor) : vendor_id_(vendor_id) {}

  // 1 and 2: takes the client's packet; gives the Challenge's, to be sent once the task is PENDING. kInvalid: the start
  // does not hold together. `verifier` is the user's, or one that nobody has the password of. kBroken: not a verifier
  // that this suite can use.
  [[nodiscard]] Result<Bytes> challenge(ByteView packet, const wire::SrpStart& start, SrpVerifier verifier,
                                        const RandomSource& random);
  // 3 and 4: takes A, gives the Server Key's packet. `pair` is b and g^b in the verifier's group, for this exchange
  // alone. kInvalid, kRefused: not a value that can be gone on with; nothing was proved by either side.
  [[nodiscard]] Result<Bytes> take_key(ByteView packet, const wire::SrpPacket& key, EphemeralPair pair);
  // 5 and 6: kRefused when M1 is wrong: a failed try. Two exponentiations. Gives the packet with M2.
  [[nodiscard]] Result<Bytes> verify(ByteView packet, const wire::SrpPacket& validator);
  // 7: kRefused when the client's Finished is not of this conversation.
  [[nodiscard]] Result<void> take_finished(ByteView packet, const wire::SrpPacket& ack);
  // 8, once the task is COMPLETE: the packet to send.
  [[nodiscard]] Result<Bytes> confirm();
  // Both after confirm(), and once each.
  [[nodiscard]] SecureChannel take_channel();
  [[nodiscard]] SrpKeys take_keys();

  [[nodiscard]] const wire::SrpStart& choice() const { return start_; }
  [[nodiscard]] const std::string& session_id() const { return session_id_; }
  // Of the user's verifier; to be asked while a key is awaited.
  [[nodiscard]] const SrpGroup& group() const { return verifier_->group; }
  // The client's message that is next.
  enum class Awaits { kNothing, kKey, kProof, kFinished };
  [[nodiscard]] Awaits awaits() const {
    switch (state_) {
      case State::kChallenged: return Awaits::kKey;
      case State::kKeyed: return Awaits::kProof;
      case State::kProved: return Awaits::kFinished;
      default: return Awaits::kNothing;
    }
  }

 private:
  enum class State { kIdle, kChallenged, kKeyed, kProved, kFinished, kDone, kFailed };
  [[nodiscard]] std::unexpected<Error> failed(Code code, const char* why);
  [[nodiscard]] std::unexpected<Error> failed(const Error& error);
  [[nodiscard]] Result<EapSrpMessage> response(const wire::SrpPacket& packet, SrpSubtype subtype);
  [[nodiscard]] Result<Bytes> request(SrpSubtype subtype, ByteView body, wire::SrpPacket beside = {});

  State state_ = State::kIdle;
  std::uint32_t vendor_id_;
  wire::SrpStart start_;
  Transcript transcript_;
  std::uint8_t identifier_ = 0;  // of the last Request
  std::string session_id_;
  Bytes server_random_;
  std::optional<SrpVerifier> verifier_;
  std::optional<EphemeralPair> pair_;  // b, g^b
  std::optional<crypto::Number> A_, B_, u_;
  std::optional<SecureChannel> channel_;
  std::optional<SrpKeys> keys_;
};

}  // namespace keyd::exchange
