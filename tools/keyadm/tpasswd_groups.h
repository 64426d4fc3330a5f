// The groups that files of verifiers name, and those of them that keyd takes: the ones of RFC 5054.
#pragma once

#include <map>
#include <string>

#include "core/base/error.h"
#include "core/exchange/srp_group.h"
#include "tools/keyadm/tpasswd_line.h"

namespace keyd::keyadm {

class TpasswdGroups {
 public:
  static constexpr std::size_t kMost = 64;

  // Takes a line of kind kGroup. As the two programs do: of two in GnuTLS's form the first one counts, in OpenSSL's the
  // last one. kInvalid: there are kMost already.
  [[nodiscard]] Result<void> add(const TpasswdLine& line);
  // What a user's verifier is in. OpenSSL knows those of RFC 5054 by their bits. kRefused says why it is none that keyd
  // takes.
  [[nodiscard]] Result<exchange::SrpGroup> of(const TpasswdLine& user) const;

 private:
  std::map<std::string, Result<exchange::SrpGroup>, std::less<>> gnutls_, openssl_;
};

}  // namespace keyd::keyadm
