// That the hunt finds: a secret planted in each form, whole and in pieces, wherever a process can have one.
#include "tests/secrets/memory_hunt.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "core/secret/secret.h"
#include "tests/secrets/known_session.h"
#include "tests/secrets/pool_kind.h"
#include "tests/support/forked.h"
#include "tests/support/refused_call.h"

namespace keyd::testing {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

class MemoryHunt : public ::testing::Test {
 protected:
  Hunt hunt_;
};

// Secrets here are made in the child from a seed, so that the parent's copies are not inherited.
std::string grown(unsigned seed) {
  std::string out(24, '\0');
  for (char& c : out) {
    seed = seed * 1103515245u + 12345u;
    c = static_cast<char>('!' + (seed >> 16) % 90);
  }
  return out;
}

TEST_F(MemoryHunt, FindsAPieceInOrdinaryHeapAndSaysThatItIsNotLocked) {
  const auto found = [&] {
    Forked child([](Forked::Child& self) {
      auto* const heap = new std::string(grown(1).substr(7, Hunt::kPiece));  // never whole
      std::string* volatile kept = heap;
      self.say("planted");
      self.hear();
      return kept == nullptr ? 1 : 0;
    });
    child.hear();
    hunt_.mark("planted", bytes_of(grown(1)));
    return hunt_.in_process(child.pid());
  }();
  ASSERT_FALSE(found.empty());
  EXPECT_EQ(found[0].secret, "planted");
  EXPECT_FALSE(found[0].locked);
}

TEST_F(MemoryHunt, FindsNothingWhereNothingIs) {
  Forked child([](Forked::Child& self) {
    self.say("here");
    self.hear();
    return 0;
  });
  child.hear();
  hunt_.mark("planted", bytes_of(marked_text(24)));
  EXPECT_THAT(hunt_.in_process(child.pid()), IsEmpty());
}

// A secret in the pool, of the kind that `lacks_memfd_secret` leaves, and nowhere else.
int keep_one_secret(Forked::Child& self, unsigned seed, bool lacks_memfd_secret) {
  if (lacks_memfd_secret && !refuse_call(SYS_memfd_secret)) return 2;
  const auto kept = [seed] {
    std::string text = grown(seed);
    auto secret = secret::SecretBuffer::copy_of(bytes_of(text));
    secret::wipe(text.data(), text.size());
    return secret;
  }();
  std::uint8_t stack[4096];
  secret::wipe(stack, sizeof stack);
  self.say("planted");
  self.hear();
  return kept.empty() ? 1 : 0;
}

TEST_F(MemoryHunt, KnowsTheLockedPool) {
  Forked child([](Forked::Child& self) { return keep_one_secret(self, 2, true); });
  ASSERT_EQ(child.hear(), "planted");
  hunt_.mark("planted", bytes_of(grown(2)));
  const auto found = hunt_.in_process(child.pid());
  const auto locked = std::ranges::count_if(found, [](const Finding& f) { return f.locked; });
  EXPECT_EQ(locked, 1) << text_of(found);
}

TEST_F(MemoryHunt, CannotSeeAPoolOfMemfdSecret) {
  if (!has_kind(kMemfdSecret)) GTEST_SKIP() << "no memfd_secret here";
  Forked child([](Forked::Child& self) { return keep_one_secret(self, 3, false); });
  ASSERT_EQ(child.hear(), "planted");
  expect_kind(child.pid(), kMemfdSecret);
  hunt_.mark("planted", bytes_of(grown(3)));
  EXPECT_THAT(hunt_.in_process(child.pid()), IsEmpty()) << text_of(hunt_.in_process(child.pid()));
}

TEST_F(MemoryHunt, FindsEachFormInAFile) {
  hunt_.mark("planted", bytes_of("Qz7-Xw3p+Tn5yRjH2=kL9vB"));
  const std::string path = "/tmp/keyd-hunt-" + std::to_string(::getpid());
  const std::string forms[] = {
      "....Xw3p+Tn5....",           // a piece as it is
      "....xW3P+tN5YrJh....",       // nothing: another letter case
      "....k=2HjRy5nT....",         // reversed
      "....58773370 2b546e35....",  // nothing: interrupted
      "....587733702b546e35....",   // hexadecimal
      "....587733702B546E35....",   // in upper case
      "....UXo3LVh3M3ArVG41....",   // base64
      std::string("..X\0w\0"
                  "3\0p\0+\0T\0n\0"
                  "5\0..",
                  20),  // UTF-16
  };
  const bool expected[] = {true, false, true, false, true, true, true, true};
  for (std::size_t i = 0; i < std::size(forms); ++i) {
    std::ofstream(path, std::ios::binary) << forms[i];
    EXPECT_THAT(hunt_.in_file(path), SizeIs(expected[i] ? 1 : 0)) << forms[i];
  }
  std::filesystem::remove(path);
}

TEST_F(MemoryHunt, SaysSoWhenItCouldNotRead) {
  EXPECT_THAT(hunt_.in_file("/nonexistent"), SizeIs(1));
  EXPECT_THAT(hunt_.in_process(0x7ffffff0), SizeIs(1));
}

}  // namespace
}  // namespace keyd::testing
