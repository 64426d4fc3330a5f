// DES and 3DES, and what the generator of session keys does when the key is what its random numbers give.
#include <algorithm>
#include <string>

#include "core/crypto/des.h"
#include "core/exchange/kryptoknight.h"
#include "tests/vectors/families.h"

namespace keyd::vectors {
namespace {

std::string encrypted(crypto::DesMode mode, const Json& in) {
  const Bytes data = octets(in, "data");
  Bytes out(data.size());
  const Bytes iv = mode == crypto::DesMode::kCbc ? octets(in, "iv") : Bytes();
  const auto done = crypto::des(mode, crypto::Direction::kEncrypt, octets(in, "key"), iv, data, out);
  if (!done) throw CaseFailed(done.error().message());
  return to_hex(out);
}

// Whether a session key is drawn from these random numbers at once; there are no others.
bool is_generated(const Bytes& key) {
  bool given = false;
  const auto drawn = exchange::draw_des_session_key([&](MutableByteView out) {
    if (given || out.size() != key.size()) return false;
    std::ranges::copy(key, out.begin());
    given = true;
    return true;
  });
  return drawn.has_value();
}

}  // namespace

Json des_facts(const Json& test) {
  const Json& in = test.at("in");
  const auto op = in.at("op").get<std::string>();
  if (op == "des-ecb") return {{"out", encrypted(crypto::DesMode::kEcb, in)}};
  if (op == "des-cbc") return {{"out", encrypted(crypto::DesMode::kCbc, in)}};
  if (op == "3des-ede2-ecb") return {{"out", encrypted(crypto::DesMode::k3DesEcbEde2, in)}};
  if (op == "3des-ede3-ecb") return {{"out", encrypted(crypto::DesMode::k3DesEcbEde3, in)}};
  if (op == "generated-session-key-check")
    return {{"result", is_generated(octets(in, "key")) ? "accept" : "reject"}};
  throw CaseFailed("unknown op " + op);
}

}  // namespace keyd::vectors
