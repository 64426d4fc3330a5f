// SRP: groups, verifiers, whole sessions of both kinds, the interleaved hash, values and groups that a peer must not
// get through with. M1 and M2 of SRP-6a are in the reading "rfc2945_unpadded"; groups are taken as a historic client
// takes them: of RFC 5054 from 1024 bits on, others of 1024 to 2048 bits when they pass the tests
// (docs/protocols/srp.md).
#include "core/exchange/srp_group.h"
#include "core/exchange/srp_numbers.h"
#include "core/exchange/srp_verifier.h"
#include "tests/vectors/families.h"

namespace keyd::vectors {
namespace {

using crypto::Number;
using exchange::Interleave;
using exchange::SrpGroup;
using exchange::SrpRules;

template <typename T>
T value_of(Result<T> result) {
  if (!result) throw CaseFailed(result.error().message());
  return std::move(*result);
}

SrpGroup group_of(const Json& in) { return value_of(SrpGroup::listed(in.at("group").get<unsigned>())); }

crypto::Hash hash_of(const Json& in) {
  const auto name = in.at("hash").get<std::string>();
  if (name == "sha1") return crypto::Hash::kSha1;
  if (name == "sha256") return crypto::Hash::kSha256;
  if (name == "sha384") return crypto::Hash::kSha384;
  if (name == "sha512") return crypto::Hash::kSha512;
  throw CaseFailed("unknown hash " + name);
}

std::string hex(const Number& number) { return to_hex(number.public_octets()); }

// What both ends compute, each from its own side.
Json session(const SrpRules& rules, const Json& in, ByteView extra) {
  const SrpGroup group = group_of(in);
  const Bytes user = octets(in, "user"), salt = octets(in, "salt");
  const auto x = exchange::derive_x(rules.hash, user, octets(in, "password"), salt);
  const auto v = exchange::verifier_of(group, x.reveal());
  const auto a = exchange::ephemeral_of(group, secret::SecretBuffer::copy_of(octets(in, "a")));
  const auto b = exchange::ephemeral_of(group, secret::SecretBuffer::copy_of(octets(in, "b")));
  const Number v_number = Number::of(v.reveal());
  const Number A = value_of(exchange::public_value(group, a.power.reveal()));
  const Number B = value_of(exchange::B_of(rules, b, v_number));
  const Number u = value_of(exchange::u_of(rules, group, A, B));
  const Number S = exchange::client_S(rules, a, Number::of(x.reveal()), B, u);
  if (Number::compare(S, exchange::server_S(b, v_number, A, u)) != 0) throw CaseFailed("the two ends differ");
  const auto K = exchange::K_of(rules, S);
  const auto proofs = exchange::proofs_of(rules, group, user, salt, A, B, K.reveal(), extra);
  return {{"x", to_hex(x.reveal())},
          {"v", to_hex(v.reveal())},
          {"A", hex(A)},
          {"B", hex(B)},
          {"u", hex(u)},
          {"S", hex(S)},
          {"K", to_hex(K.reveal())},
          {"M1", to_hex(proofs.M1)},
          {"M2", to_hex(proofs.M2)},
          {"k", hex(exchange::k_of(rules, group))}};
}

Json without(Json results, std::initializer_list<const char*> fields) {
  for (const char* field : fields) results.erase(field);
  return results;
}

Json verdict(bool accepted) { return {{"result", accepted ? "accept" : "reject"}}; }

}  // namespace

Json srp_groups(const Json& test) {
  const SrpGroup group = value_of(SrpGroup::listed(test.at("in").at("bits").get<unsigned>()));
  return {{"modulus", to_hex(group.modulus_octets())}, {"generator", to_hex(group.generator_octets())}};
}

Json srp_verifiers(const Json& test) {
  const Json& in = test.at("in");
  const auto x = value_of(exchange::derive_x(exchange::XDerivation{}, octets(in, "user"),
                                             octets(in, "password"), octets(in, "salt")));
  return {{"verifier", to_hex(exchange::verifier_of(group_of(in), x.reveal()).reveal())}};
}

Json srp3_sessions(const Json& test) {
  const Json& in = test.at("in");
  return without(session(SrpRules::srp3(), in, octets(in, "extra")), {"k"});
}

Json srp3_stanford_peer(const Json& test) {
  const Json& in = test.at("in");
  return without(session(SrpRules::srp3(Interleave::kStanford), in, octets(in, "extra")),
                 {"k", "x", "u", "S"});
}

Json srp6a_sessions(const Json& test) {
  const Json& in = test.at("in");
  return session(SrpRules::srp6a(hash_of(in)), in, {});
}

Json rfc5054_appendix_b(const Json& test) { return without(srp6a_sessions(test), {"K", "M1", "M2"}); }

Json sha_interleave(const Json& test) {
  const Bytes S = octets(test.at("in"), "S");
  return {{"K", to_hex(exchange::sha_interleave(S, Interleave::kRfc2945).reveal())},
          {"stanford", to_hex(exchange::sha_interleave(S, Interleave::kStanford).reveal())}};
}

Json srp_hostile_values(const Json& test) {
  const Json& in = test.at("in");
  const SrpGroup group = group_of(in);
  const auto value = exchange::public_value(group, octets(in, "value"));
  if (!value || !in.at("role").get<std::string>().starts_with("client")) return verdict(value.has_value());
  // A client has u as soon as it has B.
  const SrpRules rules = in.at("scheme") == "srp3" ? SrpRules::srp3() : SrpRules::srp6a();
  return verdict(exchange::u_of(rules, group, group.generator(), *value).has_value());
}

Json srp_group_acceptance(const Json& test) {
  const Json& in = test.at("in");
  const exchange::GroupPolicy policy{.least_bits = 1024, .unlisted = true, .approved = {}};
  return verdict(exchange::accept_group(octets(in, "modulus"), octets(in, "generator"), policy).has_value());
}

}  // namespace keyd::vectors
