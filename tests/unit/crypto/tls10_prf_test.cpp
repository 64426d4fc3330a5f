#include "core/crypto/tls10_prf.h"

#include <gtest/gtest.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include "core/crypto/random.h"
#include "tests/unit/support/octets.h"

namespace keyd::crypto {
namespace {

using test::joined;
using test::run;
using test::text;

std::string prf(ByteView secret, std::string_view label, ByteView seed, std::size_t size) {
  Bytes out(size, 0xee);
  tls10_prf(secret, bytes_of(label), seed, out);
  return to_hex(out);
}

// OpenSSL's own, which knows label and seed as one.
std::string openssl_prf(ByteView secret, std::string_view label, ByteView seed, std::size_t size) {
  EVP_KDF* const kdf = EVP_KDF_fetch(nullptr, "TLS1-PRF", nullptr);
  EVP_KDF_CTX* const context = EVP_KDF_CTX_new(kdf);
  Bytes all = joined(text(label), seed), key(secret.begin(), secret.end()), out(size);
  char digest[] = "MD5-SHA1";
  const OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SECRET, key.data(), key.size()),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SEED, all.data(), all.size()),
      OSSL_PARAM_construct_end()};
  const bool done = EVP_KDF_derive(context, out.data(), out.size(), parameters) == 1;
  EVP_KDF_CTX_free(context);
  EVP_KDF_free(kdf);
  return done ? to_hex(out) : "refused";
}

TEST(Tls10Prf, AgreesWithOpenssl) {
  for (const std::size_t secret : {1u, 2u, 3u, 40u, 47u, 48u, 63u, 64u, 65u, 127u, 128u, 129u, 500u}) {
    for (const std::size_t size : {1u, 15u, 16u, 17u, 20u, 21u, 80u, 104u, 300u}) {
      const Bytes key = run(static_cast<std::uint8_t>(secret), secret), seed = run(9, 64);
      EXPECT_EQ(prf(key, "key expansion", seed, size), openssl_prf(key, "key expansion", seed, size))
          << secret << " to " << size;
    }
  }
}

TEST(Tls10Prf, TakesWhatOpensslDoesNot) {
  EXPECT_EQ(prf({}, "label", run(0, 16), 12).size(), 24u);
  EXPECT_NE(prf({}, "label", run(0, 16), 12), prf(run(1, 1), "label", run(0, 16), 12));
  EXPECT_EQ(prf(run(0, 48), "label", Bytes(5000, 1), 12).size(), 24u);
  EXPECT_EQ(prf(run(0, 48), "", {}, 0), "");
}

TEST(Tls10Prf, JoinsLabelAndSeed) {
  EXPECT_EQ(prf(run(0, 48), "ab", text("cd"), 32), prf(run(0, 48), "abc", text("d"), 32));
}

}  // namespace
}  // namespace keyd::crypto
