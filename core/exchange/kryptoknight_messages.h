// Inside core/exchange only: what the messages of `kryptoknight` carry, put in and taken out again. Both
// directions of one thing stand beside each other.
#pragma once

#include "core/base/bytes.h"
#include "core/base/error.h"
#include "core/exchange/kryptoknight.h"

namespace keyd::exchange {

// ---- 319, 519: the salt. A modern salt is text; it travels as that text, character by character.
//
//   carriage       the salt is                           octets of it
//   NONE           not there: the hash was made without
//   IS_NONCE       Ns                                    16
//   STARTS_NONCE   the first salt_size octets of Ns      1 to 15
//   BESIDE_NONCE   the field `salt`                      historic 1 to 32, modern 1 to 86

// Puts the salt into a reply whose Ns is all random yet. By `wished`, or by the next of the ways above that
// the salt fits.
[[nodiscard]] Result<void> put_salt(const PasswordHash& stored, wire::SaltCarriage wished,
                                    wire::KryptoknightReply& reply);
// How the password is to be hashed, with no hash. `reply` comes from anybody; its Ns has its size. kInvalid:
// one of its fields says something else than another, or is not of this suite.
[[nodiscard]] Result<PasswordHash> read_salt(wire::Suite suite, const wire::KryptoknightReply& reply);

// What the wrapped key is bound to: TH after the start | every other field of the reply as be32(length) |
// octets.
[[nodiscard]] Bytes bound_to_key(const wire::KryptoknightReply& reply, ByteView after_start);

// ---- 329: the password's record: be16(length) | password | zeros, to a multiple of 128 octets, so that most
// passwords have records of one size.

inline constexpr std::size_t kPasswordBlock = 128, kMaxPaddedPassword = 9 * kPasswordBlock;  // octets

// 1 to 1024 octets; in modern also what crypt(3) can be given.
[[nodiscard]] bool is_possible_password(wire::Suite suite, ByteView password);
// kInvalid: it is not possible, or not padded so.
[[nodiscard]] Result<secret::SecretBuffer> pad_password(wire::Suite suite, ByteView password);
[[nodiscard]] Result<secret::SecretBuffer> unpad_password(wire::Suite suite, ByteView plaintext);

}  // namespace keyd::exchange
