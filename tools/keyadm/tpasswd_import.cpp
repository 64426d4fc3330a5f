#include "tools/keyadm/tpasswd_import.h"

#include <fmt/format.h>

#include "core/exchange/srp_verifier.h"

namespace keyd::keyadm {

Result<void> TpasswdImport::read_groups(SecretLines& lines) {
  const auto wrong = [&](const Error& error) -> std::unexpected<Error> {
    if (error.code != Code::kInvalid) return std::unexpected(error);
    return fail(Code::kInvalid, fmt::format("line {} of the groups' file: {}", lines.number(), error.detail));
  };
  for (;;) {
    const auto octets = lines.next();
    if (!octets) return wrong(octets.error());
    if (!*octets) return {};
    const auto line = parse_tpasswd_conf_line(**octets);
    if (!line) return wrong(line.error());
    if (line->kind == TpasswdLine::Kind::kNothing) continue;
    if (auto added = groups_.add(*line); !added) return wrong(added.error());
  }
}

Result<void> TpasswdImport::take(ByteView octets, std::uint64_t number) {
  auto line = parse_tpasswd_line(octets);
  if (!line) return refuse(number, {}, line.error());
  const std::string name(line->name);
  Result<void> taken;
  switch (line->kind) {
    case TpasswdLine::Kind::kNothing: return {};
    case TpasswdLine::Kind::kDeleted: count_without_password(); return {};
    case TpasswdLine::Kind::kGroup: taken = groups_.add(*line); break;
    case TpasswdLine::Kind::kUser: taken = import(std::move(*line)); break;
  }
  return taken ? taken : refuse(number, name, taken.error());
}

Result<void> TpasswdImport::import(TpasswdLine line) {
  const auto group = groups_.of(line);
  if (!group) return std::unexpected(group.error());
  // As keyd will judge it.
  if (!exchange::check_verifier(*group, line.verifier.reveal()))
    return fail(Code::kInvalid, "the verifier is no number of its group");
  wire::AdminRequest request;
  wire::VerifierImport& user = *request.mutable_verifier_import();
  user.set_name(std::string(line.name));
  user.set_allow_historic(options().allow_historic);
  user.set_salt(std::string(text_of(line.salt)));
  user.set_modulus(std::string(text_of(group->modulus_octets())));
  user.set_generator(std::string(text_of(group->generator_octets())));
  if (auto enrolled = enrol(request, user.name(), line.verifier); !enrolled) return enrolled;
  count_imported(false);
  if (group->bits() < exchange::GroupPolicy().least_bits) ++in_small_groups_;
  return {};
}

void TpasswdImport::print_remark() const {
  if (in_small_groups_ == 0) return;
  fmt::print(stderr,
             "keyadm: {} in groups of fewer than {} bits: their programs have to ask for that\n"
             "(keyrun --least-group-bits)\n",
             in_small_groups_, exchange::GroupPolicy().least_bits);
}

}  // namespace keyd::keyadm
