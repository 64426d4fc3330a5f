// One hash over all that was said: by whom, in which order, and where a packet ends.
#include "core/exchange/transcript.h"

#include <gtest/gtest.h>

#include <functional>

#include "tests/unit/support/octets.h"

namespace keyd::exchange {
namespace {

Transcript::Hash hash_of(const std::function<void(Transcript&)>& speak) {
  Transcript transcript;
  speak(transcript);
  return transcript.hash();
}

TEST(Transcript, IsWhatItsDefinitionSays) {
  // H("keyd/1 transcript" | 'C' | be32(2) | "hi" | 'S' | be32(0))
  Bytes said = test::text("keyd/1 transcriptC");
  said = test::joined(said, test::hex("00000002"));
  said = test::joined(said, test::text("hiS"));
  said = test::joined(said, test::hex("00000000"));
  Transcript::Hash expected{};
  crypto::digest(crypto::Hash::kSha256, {said}, expected);
  EXPECT_EQ(hash_of([](Transcript& t) {
              t.client_said(test::text("hi"));
              t.server_said({});
            }),
            expected);
}

TEST(Transcript, TellsWhoSpoke) {
  EXPECT_NE(hash_of([](Transcript& t) { t.client_said(test::text("hi")); }),
            hash_of([](Transcript& t) { t.server_said(test::text("hi")); }));
}

TEST(Transcript, TellsTheOrder) {
  EXPECT_NE(hash_of([](Transcript& t) {
              t.client_said(test::text("a"));
              t.client_said(test::text("b"));
            }),
            hash_of([](Transcript& t) {
              t.client_said(test::text("b"));
              t.client_said(test::text("a"));
            }));
}

TEST(Transcript, TellsWhereAPacketEnds) {
  EXPECT_NE(hash_of([](Transcript& t) {
              t.client_said(test::text("ab"));
              t.client_said(test::text("c"));
            }),
            hash_of([](Transcript& t) {
              t.client_said(test::text("a"));
              t.client_said(test::text("bc"));
            }));
  // A packet that contains what a packet boundary looks like.
  Bytes forged = test::text("a");
  forged = test::joined(forged, test::text("C"));
  forged = test::joined(forged, test::hex("00000001"));
  forged = test::joined(forged, test::text("b"));
  EXPECT_NE(hash_of([](Transcript& t) {
              t.client_said(test::text("a"));
              t.client_said(test::text("b"));
            }),
            hash_of([&](Transcript& t) { t.client_said(forged); }));
}

TEST(Transcript, TellsAnEmptyPacketFromNone) {
  EXPECT_NE(hash_of([](Transcript& t) { t.client_said({}); }), hash_of([](Transcript&) {}));
}

TEST(Transcript, DoesNotChangeWhenItIsAsked) {
  Transcript transcript;
  transcript.client_said(test::text("a"));
  EXPECT_EQ(transcript.hash(), transcript.hash());
}

}  // namespace
}  // namespace keyd::exchange
