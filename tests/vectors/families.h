// The families of test vectors that the driver knows. One function and one small .cpp each; it calls the
// project's real functions and has no arithmetic of its own.
#pragma once

#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>

#include "core/base/bytes.h"

namespace keyd::vectors {

using Json = nlohmann::json;

// A case that cannot be computed. Reported on stderr and left out of the results.
class CaseFailed : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

// The case's fields as the results have them. `test` is one whole case: {"id": …, "in": …} or {"id": …,
// "hex": …}. Throws CaseFailed, or nlohmann's own exceptions for a field that is missing or of another type.
Json des_facts(const Json& test);
Json eap_packets(const Json& test);
Json hash_facts(const Json& test);
Json rfc5054_appendix_b(const Json& test);
Json s0_keys(const Json& test);
Json s1_secrethash(const Json& test);
Json sha_interleave(const Json& test);
Json srp3_sessions(const Json& test);
Json srp3_stanford_peer(const Json& test);
Json srp6a_sessions(const Json& test);
Json srp_group_acceptance(const Json& test);
Json srp_groups(const Json& test);
Json srp_hostile_values(const Json& test);
Json srp_verifiers(const Json& test);
Json tls10_prf(const Json& test);

// An input field of octets in hexadecimal.
inline Bytes octets(const Json& in, const char* field) {
  Bytes out;
  if (!from_hex(in.at(field).get<std::string>(), out))
    throw CaseFailed(std::string(field) + " is not hexadecimal");
  return out;
}

}  // namespace keyd::vectors
