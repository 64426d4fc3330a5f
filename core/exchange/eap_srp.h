// The messages of SRP as EAP packets, in two forms: EAP-SRP (type 19, draft-ietf-pppext-eap-srp; SHA-1, 20-octet
// proofs), and a vendor's Expanded ones (type 254) with the same messages for today's primitives (32-octet proofs).
// Only octets to fields and back, strictly: what does not fit to the last octet is refused.
//
//   type 19    Subtype(1) | body              Expanded    Vendor-Type (4) = the subtype | body
//
//   subtype                    Request (server)                           Response (client)
//   1  key                     Challenge, below                           Client Key: A
//   2  validator               Server Key: B                              Flags(4) | M1
//   3  confirmation            Flags(4) | M2 | hidden pseudonym or none   empty
//   4  light rechallenge       challenge                                  digest (20, or 32)
//   192 change of password     ChangeRequest, below                       ChangeResponse, below
//
//   Challenge          19:        nameLen(1) name | saltLen(1) salt | gLen(1) g | N
//                      Expanded:  server random(32) | derivation(4) | nameLen(1) name | saltLen(1) salt | gLen(1) g | N
//                      gLen 0: g = 2; no N: the 2048-bit group of RFC 5054
//   ChangeRequest      serial(8) | flags(1) | saltLen(2) salt | NLen(2) N | gLen(2) g | MAC     (figure 4, 400)
//   ChangeResponse     serial(8) | verifierLen(2) verifier | MAC                                (figure 4, 402)
//
// 1 to 4 are the draft's. It has none for a change of password (claims 2, 20, 34: "EAP-SRP server change password
// message"); 192 is private to this project. As an Expanded message it is the vendor-specific one (claims 3, 21, 35).
#pragma once

#include <cstdint>

#include "core/base/bytes.h"
#include "core/base/error.h"
#include "core/crypto/digest.h"
#include "core/exchange/eap_packet.h"
#include "core/exchange/srp_verifier.h"

namespace keyd::exchange {

inline constexpr std::uint32_t kLargestVendor = 0xffffff;
inline constexpr std::uint32_t kExampleVendor = 32473;  // IANA: for documentation and examples

enum class SrpSubtype : std::uint8_t {
  kKey = 1,
  kValidator = 2,
  kConfirmation = 3,
  kLightRechallenge = 4,
  kChangePassword = 192,
};

// In which of the two forms messages go.
struct EapSrpForm {
  bool expanded = true;
  std::uint32_t vendor_id = kExampleVendor;  // of the expanded one

  [[nodiscard]] static EapSrpForm type19() { return {false, 0}; }
  [[nodiscard]] static EapSrpForm of_vendor(std::uint32_t id = kExampleVendor) { return {true, id}; }
  // Octets of M1, M2 and a light rechallenge's digest.
  [[nodiscard]] std::size_t proof_size() const { return expanded ? crypto::kSha256Size : crypto::kSha1Size; }
};

// A message with its body still as octets, which views into what was decoded.
struct EapSrpMessage {
  EapCode code = EapCode::kRequest;
  std::uint8_t identifier = 0;
  SrpSubtype subtype = SrpSubtype::kKey;
  ByteView body;
};
// kInvalid: no EAP packet, with octets behind it, not a Request or Response, or not a message in this form.
[[nodiscard]] Result<EapSrpMessage> decode_srp_message(const EapSrpForm& form, ByteView octets);
// kInvalid: too long.
[[nodiscard]] Result<Bytes> encode_srp_message(const EapSrpForm& form, const EapSrpMessage& message);

// ---- bodies; views are into what was decoded

struct ChallengeBody {
  ByteView server_random;  // Expanded alone: 32 octets
  XDerivation derivation;  // Expanded alone; in type 19 it is SHA-1
  ByteView name, salt;     // at most 255 octets each
  ByteView generator;      // as sent; empty: 2. At most 255 octets
  ByteView modulus;        // as sent; empty: the 2048-bit group's

  // What is meant, defaults filled in.
  [[nodiscard]] Bytes generator_octets() const;
  [[nodiscard]] Bytes modulus_octets() const;
};
[[nodiscard]] Result<ChallengeBody> decode_challenge(const EapSrpForm& form, ByteView body);
[[nodiscard]] Result<Bytes> encode_challenge(const EapSrpForm& form, const ChallengeBody& challenge);

// "The key is for encryption", of the draft; the other bits are reserved.
inline constexpr std::uint32_t kKeyIsForEncryption = 1;

struct ValidatorBody {
  std::uint32_t flags = 0;
  ByteView proof;             // form.proof_size() octets
  ByteView hidden_pseudonym;  // a server's alone; a multiple of 20 octets, or none
};
[[nodiscard]] Result<ValidatorBody> decode_validator(const EapSrpForm& form, EapCode code, ByteView body);
[[nodiscard]] Result<Bytes> encode_validator(const EapSrpForm& form, EapCode code,
                                             const ValidatorBody& validator);

// The data elements of figure 4. What "encrypted" and the MAC are made with is not the codec's matter.
struct ChangeRequestBody {
  static constexpr std::uint8_t kEncrypted = 1;  // salt, N and g are ciphertext
  static constexpr std::uint8_t kElsewhere = 2;  // they lie where both can reach them; `salt` says which

  std::uint64_t serial = 0;     // of the request; its response has the same
  std::uint8_t flags = 0;       // of the two; others are refused
  ByteView salt;                // claim 50, first element; may be none: as before (claim 4)
  ByteView modulus, generator;  // second and third; may be none: as before (claim 7)
  ByteView mac;                 // fourth: 20 or 32 octets
};
struct ChangeResponseBody {
  std::uint64_t serial = 0;
  ByteView verifier;  // claim 52, first element: 1 octet or more
  ByteView mac;       // second: 20 or 32 octets
};
[[nodiscard]] Result<ChangeRequestBody> decode_change_request(ByteView body);
[[nodiscard]] Result<Bytes> encode_change_request(const ChangeRequestBody& request);
[[nodiscard]] Result<ChangeResponseBody> decode_change_response(ByteView body);
[[nodiscard]] Result<Bytes> encode_change_response(const ChangeResponseBody& response);

}  // namespace keyd::exchange
