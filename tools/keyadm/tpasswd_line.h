// One line of a file of SRP verifiers that another program keeps, x by SHA-1. There are two forms, told apart by their
// look: a line with a tab is OpenSSL's.
//
//   GnuTLS (srptool), as Stanford's tpasswd    name:verifier:salt:index
//     and its groups in a file beside           index:N:g
//   OpenSSL (openssl srp)                       V <tab> verifier <tab> salt <tab> name <tab> group <tab> information
//     and its groups between them               I <tab> N <tab> g <tab> group <tab> <tab>
//
// In OpenSSL's, R instead of V is a user who was deleted. Numbers and salts are base64 of SRP's own kind (srp_base64.h).
#pragma once

#include <string_view>

#include "core/base/bytes.h"
#include "core/base/error.h"
#include "core/secret/secret.h"
#include "tools/keyadm/srp_base64.h"

namespace keyd::keyadm {

struct TpasswdLine {
  enum class Kind {
    kNothing,  // empty, or a comment
    kDeleted,  // of a user who may not log in any more
    kUser,
    kGroup,
  };
  Kind kind = Kind::kNothing;
  SrpBase64 form = SrpBase64::kGnutls;
  std::string_view name;  // the user's, as it stands; kUser, kDeleted
  // What the group is called that the verifier is in (kUser), or that the line says (kGroup): 1 to kLongestGroupName
  // octets of printable ASCII.
  std::string_view group;
  secret::SecretBuffer verifier;  // kUser: big-endian without leading zeros, 1 to 1024 octets
  Bytes salt;                     // kUser: 1 to 255 octets
  Bytes modulus, generator;       // kGroup: like the verifier
};

inline constexpr std::size_t kLongestGroupName = 32;

// A line without its newline; `name` and `group` are views of it. It holds a secret. kInvalid says what is wrong with it,
// and nothing of what is in it.
[[nodiscard]] Result<TpasswdLine> parse_tpasswd_line(ByteView line);
// Of the file beside: kNothing or kGroup.
[[nodiscard]] Result<TpasswdLine> parse_tpasswd_conf_line(ByteView line);

// The line of a user, with its newline: what parse_tpasswd_line reads back. Of `line` all fields of a kUser count.
// kRefused: the form has no way to say this name or salt.
[[nodiscard]] Result<secret::SecretBuffer> write_tpasswd_line(const TpasswdLine& line);
// Of a group, for the file beside.
[[nodiscard]] std::string write_tpasswd_conf_line(std::string_view index, ByteView modulus,
                                                  ByteView generator);

}  // namespace keyd::keyadm
