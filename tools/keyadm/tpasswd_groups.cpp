#include "tools/keyadm/tpasswd_groups.h"

#include <charconv>

#include "core/base/untrusted_text.h"

namespace keyd::keyadm {
namespace {

// Whoever imports has looked at the file; below this a verifier gives its password away (keyd/verifier_requests.cpp).
constexpr exchange::GroupPolicy kPolicy{
    .least_bits = exchange::kLeastGroupBits, .unlisted = false, .approved = {}};

Result<exchange::SrpGroup> group_of_openssl(std::string_view name) {
  unsigned bits = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), bits);
  if (error != std::errc() || end != name.data() + name.size())
    return fail(Code::kRefused, "nothing says what it is");
  return exchange::SrpGroup::listed(bits);
}

}  // namespace

Result<void> TpasswdGroups::add(const TpasswdLine& line) {
  const bool gnutls = line.form == SrpBase64::kGnutls;
  auto& groups = gnutls ? gnutls_ : openssl_;
  const auto known = groups.find(line.group);
  if (known != groups.end() && gnutls) return {};
  if (known == groups.end() && groups.size() == kMost)
    return fail(Code::kInvalid,
                "there are " + std::to_string(kMost) + " groups before it, and no more are taken");
  groups.insert_or_assign(std::string(line.group), accept_group(line.modulus, line.generator, kPolicy));
  return {};
}

Result<exchange::SrpGroup> TpasswdGroups::of(const TpasswdLine& user) const {
  const bool gnutls = user.form == SrpBase64::kGnutls;
  const auto& groups = gnutls ? gnutls_ : openssl_;
  const auto known = groups.find(user.group);
  auto group = known != groups.end() ? known->second
               : gnutls              ? fail(Code::kRefused, "no file given with --conf says what it is")
                                     : group_of_openssl(user.group);
  if (group) return group;
  return fail(Code::kRefused, "its group \"" + escape(user.group) + "\": " + group.error().detail);
}

}  // namespace keyd::keyadm
