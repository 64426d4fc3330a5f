// The sealed channel: order, types, epochs and directions as its header says them, and nothing that it does
// not say.
#include "core/exchange/secure_channel.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "tests/support/full_pool.h"
#include "tests/unit/support/child.h"
#include "tests/unit/support/octets.h"

namespace keyd::exchange {
namespace {

using test::text;

static_assert(!std::is_copy_constructible_v<SecureChannel>, "a copy would use a nonce twice");

constexpr RecordType kTypes[] = {RecordType::kFinished, RecordType::kSession, RecordType::kApplication};

class SecureChannelTest : public ::testing::Test {
 protected:
  static SecureChannel end(Role role, std::uint8_t k1 = 1, std::uint8_t k2 = 2, std::uint8_t transcript = 3) {
    return SecureChannel(role, test::repeated(k1, 32), test::repeated(k2, 32),
                         test::repeated(transcript, 32));
  }
  static Bytes sealed(SecureChannel& by, std::string_view words, RecordType type = RecordType::kSession) {
    return *by.seal(type, bytes_of(words));
  }
  static bool opens(SecureChannel& to, ByteView record, RecordType type = RecordType::kSession) {
    return to.open(type, record).has_value();
  }
  static std::string key(const SecureChannel& channel, std::string_view label, std::size_t size = 32) {
    Bytes out(size);
    return channel.export_key(label, out) ? to_hex(out) : "refused";
  }
  void both_advance(std::uint8_t c = 'c', std::uint8_t s = 's') {
    client_.advance(test::repeated(c, 32), test::repeated(s, 32));
    server_.advance(test::repeated(c, 32), test::repeated(s, 32));
  }

  SecureChannel client_ = end(Role::kClient), server_ = end(Role::kServer);
};

TEST_F(SecureChannelTest, CarriesRecordsOfEveryTypeAndSizeBothWays) {
  for (const std::size_t size : {0u, 1u, 16u, 1000u, 65536u}) {
    const Bytes words = test::run(1, size);
    for (const RecordType type : kTypes) {
      for (auto [from, to] : {std::pair(&client_, &server_), std::pair(&server_, &client_)}) {
        const auto record = from->seal(type, words);
        ASSERT_TRUE(record);
        EXPECT_EQ(record->size(), size + kRecordOverhead);
        const auto opened = to->open(type, *record);
        ASSERT_TRUE(opened);
        EXPECT_TRUE(std::ranges::equal(opened->reveal(), words));
      }
    }
  }
}

// With the counters at 0 and the keys of before, the next record would go under a nonce that was used.
TEST_F(SecureChannelTest, StaysInItsEpochWhenThereIsNoMemoryForTheNext) {
  EXPECT_TRUE(opens(server_, sealed(client_, "before")));
  {
    const testing::FullPool full;
    EXPECT_THROW(client_.advance(test::repeated('c', 32), test::repeated('s', 32)), secret::PoolExhausted);
  }
  EXPECT_EQ(client_.epoch(), 0u);
  EXPECT_TRUE(opens(server_, sealed(client_, "after")));
  both_advance();
  EXPECT_TRUE(opens(server_, sealed(client_, "in the next")));
}

TEST_F(SecureChannelTest, WritesTheHeaderThatItsDocumentDraws) {
  both_advance();
  sealed(client_, "0");
  const Bytes record = sealed(client_, "1", RecordType::kApplication);
  EXPECT_EQ(to_hex(ByteView(record).first(kRecordHeader)),
            "03"
            "00000001"
            "0000000000000001");
}

TEST_F(SecureChannelTest, CarriesMoreChannelsThanKeysStayExpanded) {
  std::vector<std::pair<SecureChannel, SecureChannel>> pairs;
  for (int i = 0; i < crypto::ExpandedKey::kMost; ++i)
    pairs.emplace_back(end(Role::kClient), end(Role::kServer));
  for (int round = 0; round < 3; ++round) {
    for (auto& [client, server] : pairs) ASSERT_TRUE(opens(server, sealed(client, "words"))) << round;
  }
}

TEST_F(SecureChannelTest, SealsAndOpensInTheCallersMemory) {
  for (int i = 0; i < 3; ++i) {
    const Bytes words = test::run(3, 50);
    Bytes record(words.size() + kRecordOverhead), opened(words.size());
    ASSERT_TRUE(client_.seal_into(RecordType::kApplication, words, record));
    ASSERT_TRUE(server_.open_into(RecordType::kApplication, record, opened));
    EXPECT_EQ(opened, words);
  }
}

TEST_F(SecureChannelTest, LeavesNothingInTheCallersMemoryWhenItRefuses) {
  Bytes record = sealed(client_, "some words"), opened(record.size() - kRecordOverhead, 0xdd);
  record.back() ^= 1;
  EXPECT_FALSE(server_.open_into(RecordType::kSession, record, opened));
  EXPECT_EQ(opened, Bytes(opened.size(), 0));
}

// The kernel wipes the keys in a forked child: what it sealed would be sealed for everybody.
TEST_F(SecureChannelTest, RefusesToGoOnInAForkedChild) {
  for (int used = 0; used < 3; ++used) {
    const Bytes record = sealed(client_, "words");
    test::Child child([&] {
      if (client_.seal(RecordType::kSession, bytes_of("secret"))) return 10;
      return opens(server_, record) ? 11 : 0;
    });
    EXPECT_EQ(child.wait(), 0) << used;
    EXPECT_TRUE(opens(server_, record)) << "the parent goes on";
  }
}

// ---- changed, lost, repeated

TEST_F(SecureChannelTest, RefusesEveryFlippedBitOfARecord) {
  const Bytes record = sealed(client_, "some words");
  for (std::size_t bit = 0; bit < record.size() * 8; ++bit) {
    Bytes changed = record;
    changed[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
    SecureChannel server = end(Role::kServer);
    EXPECT_FALSE(opens(server, changed)) << bit;
  }
  EXPECT_TRUE(opens(server_, record));
}

TEST_F(SecureChannelTest, RefusesARecordCutAtEveryLengthOrExtended) {
  const Bytes record = sealed(client_, "some words");
  for (std::size_t size = 0; size < record.size(); ++size) {
    SecureChannel server = end(Role::kServer);
    EXPECT_FALSE(opens(server, ByteView(record).first(size))) << size;
  }
  SecureChannel server = end(Role::kServer);
  EXPECT_FALSE(opens(server, test::joined(record, Bytes{0})));
}

TEST_F(SecureChannelTest, IsOfNoFurtherUseAfterOneBadRecord) {
  const Bytes first = sealed(client_, "first");
  Bytes bad = first;
  bad.back() ^= 1;
  EXPECT_FALSE(opens(server_, bad));
  EXPECT_FALSE(opens(server_, first)) << "the right one comes too late";
  const auto sealed_after = server_.seal(RecordType::kSession, {});
  ASSERT_FALSE(sealed_after);
  EXPECT_EQ(sealed_after.error().code, Code::kRefused);
  EXPECT_EQ(key(server_, "label"), "refused");
}

TEST_F(SecureChannelTest, StaysDeadInTheNextEpoch) {
  EXPECT_FALSE(opens(server_, {}));
  both_advance();
  EXPECT_FALSE(server_.seal(RecordType::kSession, {}));
  EXPECT_FALSE(opens(server_, sealed(client_, "x")));
  server_.advance_for_new_image(Bytes(32), Bytes(32));
  EXPECT_EQ(key(server_, "label"), "refused");
}

TEST_F(SecureChannelTest, WipesItsKeysWhenItDies) {
  EXPECT_FALSE(opens(client_, Bytes(100)));
  const auto what_is_left = client_.hand_over();
  EXPECT_EQ(to_hex(what_is_left.reveal()), std::string(2 * SecureChannel::kHandoverSize, '0'));
}

TEST_F(SecureChannelTest, RefusesARepeatedRecord) {
  const Bytes record = sealed(client_, "pay once");
  EXPECT_TRUE(opens(server_, record));
  EXPECT_FALSE(opens(server_, record));
}

TEST_F(SecureChannelTest, RefusesARecordAfterOneThatWasLost) {
  sealed(client_, "lost");
  EXPECT_FALSE(opens(server_, sealed(client_, "next")));
}

TEST_F(SecureChannelTest, RefusesRecordsInAnotherOrder) {
  const Bytes first = sealed(client_, "first"), second = sealed(client_, "second");
  EXPECT_FALSE(opens(server_, second));
  EXPECT_FALSE(opens(server_, first));
}

TEST_F(SecureChannelTest, RefusesARecordWhoseCounterWasRewritten) {
  const Bytes first = sealed(client_, "first");
  Bytes second = sealed(client_, "second");
  std::copy_n(first.begin(), kRecordHeader, second.begin());
  EXPECT_FALSE(opens(server_, second));
}

// ---- types and directions

TEST_F(SecureChannelTest, RefusesARecordOfAnotherType) {
  for (const RecordType sent : kTypes) {
    for (const RecordType expected : kTypes) {
      SecureChannel client = end(Role::kClient), server = end(Role::kServer);
      EXPECT_EQ(opens(server, sealed(client, "words", sent), expected), sent == expected);
    }
  }
}

TEST_F(SecureChannelTest, RefusesARecordWhoseTypeWasRewritten) {
  Bytes record = sealed(client_, "words", RecordType::kSession);
  record[0] = static_cast<std::uint8_t>(RecordType::kApplication);
  EXPECT_FALSE(opens(server_, record, RecordType::kApplication));
}

TEST_F(SecureChannelTest, OpensNothingThatItsOwnKindSealedEvenWithOneKey) {
  for (const Role role : {Role::kClient, Role::kServer}) {
    SecureChannel one = end(role, 7, 7), twin = end(role, 7, 7);
    EXPECT_FALSE(opens(twin, sealed(one, "words")));
  }
}

TEST_F(SecureChannelTest, OpensNothingThatIsReflectedInALaterEpoch) {
  SecureChannel client = end(Role::kClient, 7, 7), twin = end(Role::kClient, 7, 7);
  for (SecureChannel* each : {&client, &twin}) each->advance(Bytes(32, 'c'), Bytes(32, 'c'));
  EXPECT_FALSE(opens(twin, sealed(client, "words")));
}

TEST_F(SecureChannelTest, DependsOnEachKeyAndOnTheTranscript) {
  SecureChannel other_k1 = end(Role::kServer, 9, 2, 3), other_transcript = end(Role::kServer, 1, 2, 9);
  const Bytes record = sealed(client_, "words");
  EXPECT_FALSE(opens(other_k1, record));
  EXPECT_FALSE(opens(other_transcript, record));
  SecureChannel other_k2 = end(Role::kClient, 1, 9, 3);
  EXPECT_FALSE(opens(other_k2, sealed(server_, "words")));
}

TEST_F(SecureChannelTest, NeverUsesAnExchangeKeyAsItIs) {
  // Neither k1 nor k2 is anywhere in the key block.
  const auto block = client_.hand_over();
  for (const char octet : {'\1', '\2', '\3'}) {
    EXPECT_EQ(text_of(block.reveal()).find(std::string(16, octet)), std::string_view::npos);
  }
}

TEST_F(SecureChannelTest, SealsTheSameWordsDifferentlyEachTime) {
  std::set<Bytes> seen;
  for (int i = 0; i < 100; ++i) {
    const Bytes record = sealed(client_, "the same words");
    EXPECT_TRUE(seen.insert(Bytes(record.begin() + kRecordHeader, record.end())).second);
  }
}

// ---- epochs

TEST_F(SecureChannelTest, GoesThroughEpochsOnBothEnds) {
  for (std::uint32_t epoch = 0; epoch < 20; ++epoch) {
    EXPECT_EQ(client_.epoch(), epoch);
    EXPECT_EQ(server_.epoch(), epoch);
    for (int i = 0; i < 3; ++i) {
      EXPECT_TRUE(opens(server_, sealed(client_, "to the server")));
      EXPECT_TRUE(opens(client_, sealed(server_, "to the client")));
    }
    both_advance(static_cast<std::uint8_t>(epoch), static_cast<std::uint8_t>(epoch + 100));
  }
}

TEST_F(SecureChannelTest, RefusesARecordOfAnotherEpoch) {
  const Bytes old = sealed(client_, "old");
  both_advance();
  EXPECT_FALSE(opens(server_, old));
  SecureChannel ahead = end(Role::kClient), behind = end(Role::kServer);
  ahead.advance(Bytes(32), Bytes(32));
  EXPECT_FALSE(opens(behind, sealed(ahead, "new")));
}

TEST_F(SecureChannelTest, RefusesAnOldRecordWhoseEpochWasRewritten) {
  Bytes old = sealed(client_, "old");
  both_advance();
  std::ranges::copy(be32(1), old.begin() + 1);
  EXPECT_FALSE(opens(server_, old));
}

TEST_F(SecureChannelTest, NeedsTheFreshOctetsOfBothEnds) {
  for (const auto& [c, s] : {std::pair('x', 's'), std::pair('c', 'x'), std::pair('s', 'c')}) {
    SecureChannel client = end(Role::kClient), server = end(Role::kServer);
    client.advance(test::repeated('c', 32), test::repeated('s', 32));
    server.advance(test::repeated(static_cast<std::uint8_t>(c), 32),
                   test::repeated(static_cast<std::uint8_t>(s), 32));
    EXPECT_FALSE(opens(server, sealed(client, "words")));
  }
}

TEST_F(SecureChannelTest, DoesNotReturnToEarlierKeysWithTheSameFreshOctets) {
  both_advance('c', 's');
  const auto first = client_.hand_over();
  both_advance('c', 's');
  const auto second = client_.hand_over();
  // Traffic keys and chain: everything but the exporter differs.
  for (std::size_t at = 4; at + 16 <= SecureChannel::kHandoverSize - 32; at += 16) {
    EXPECT_FALSE(std::ranges::equal(first.reveal().subspan(at, 16), second.reveal().subspan(at, 16))) << at;
  }
}

TEST_F(SecureChannelTest, AdvancesWithAKeyOfBothEnds) {
  const Bytes nonce_c = test::repeated('c', 16), nonce_s = test::repeated('s', 16);
  for (const std::size_t size : {8u, 32u}) {
    const Bytes key = test::repeated('k', size);
    client_.advance_with_key(nonce_c, nonce_s, key);
    server_.advance_with_key(nonce_c, nonce_s, key);
    EXPECT_EQ(client_.epoch(), server_.epoch());
    EXPECT_TRUE(opens(server_, sealed(client_, "to the server")));
    EXPECT_TRUE(opens(client_, sealed(server_, "to the client")));
  }
}

TEST_F(SecureChannelTest, NeedsTheKeyAndTheFreshOctetsOfBothEndsToAdvanceWithAKey) {
  const Bytes c = test::repeated('c', 32), s = test::repeated('s', 32), k = test::repeated('k', 32),
              x = test::repeated('x', 32);
  const std::array<std::array<const Bytes*, 3>, 4> others{
      {{&x, &s, &k}, {&c, &x, &k}, {&c, &s, &x}, {&s, &c, &k}}};
  for (const auto& other : others) {
    SecureChannel client = end(Role::kClient), server = end(Role::kServer);
    client.advance_with_key(c, s, k);
    server.advance_with_key(*other[0], *other[1], *other[2]);
    EXPECT_FALSE(opens(server, sealed(client, "words")));
  }
  SecureChannel client = end(Role::kClient), server = end(Role::kServer);
  client.advance_with_key(c, s, k);
  server.advance(c, s);
  EXPECT_FALSE(opens(server, sealed(client, "words"))) << "a key that only one end used";
}

TEST_F(SecureChannelTest, StartsCountingAnewInEachEpoch) {
  sealed(client_, "0");
  both_advance();
  EXPECT_EQ(to_hex(ByteView(sealed(client_, "x")).subspan(5, 8)), "0000000000000000");
}

TEST(SecureChannelDeathTest, AbortsOnFreshOctetsOfAnotherSize) {
  SecureChannel channel(Role::kClient, Bytes(32), Bytes(32), Bytes(32));
  EXPECT_DEATH(channel.advance(Bytes(31), Bytes(32)), "");
  EXPECT_DEATH(channel.advance_with_key(Bytes(16), Bytes(32), Bytes(32)), "");
  EXPECT_DEATH(channel.advance_with_key(Bytes(15), Bytes(15), Bytes(32)), "");
  EXPECT_DEATH(channel.advance(Bytes(32), Bytes(33)), "");
}

// ---- exports

TEST_F(SecureChannelTest, ExportsTheSameKeyAtBothEnds) {
  for (const std::size_t size : {1u, 16u, 32u, 33u, 8160u})
    EXPECT_EQ(key(client_, "disk", size), key(server_, "disk", size));
}

TEST_F(SecureChannelTest, ExportsADifferentKeyForEveryLabelAndSize) {
  std::set<std::string> heads;  // the first 16 octets: a longer export is no extension of a shorter one
  for (const char* label : {"", "a", "b", "ab", "aa", "disk", "disk ", "keyd/1 export"}) {
    for (const std::size_t size : {16u, 17u, 32u, 64u}) {
      EXPECT_TRUE(heads.insert(key(client_, label, size).substr(0, 32)).second) << label << ' ' << size;
    }
  }
  EXPECT_NE(key(client_, std::string("a\0b", 3)), key(client_, "a"));
}

TEST_F(SecureChannelTest, ExportsNoneOfItsOwnKeys) {
  const auto block = client_.hand_over();
  const std::string all = to_hex(block.reveal());
  for (const char* label :
       {"", "keyd/1 traffic c2s", "keyd/1 traffic s2c", "keyd/1 chain", "keyd/1 exporter"}) {
    EXPECT_EQ(all.find(key(client_, label, 32)), std::string::npos) << label;
    EXPECT_EQ(all.find(key(client_, label, 44).substr(0, 64)), std::string::npos) << label;
  }
}

TEST_F(SecureChannelTest, KeepsItsExportsOverARekey) {
  const std::string before = key(client_, "disk");
  both_advance();
  EXPECT_EQ(key(client_, "disk"), before);
  EXPECT_EQ(key(server_, "disk"), before);
}

TEST_F(SecureChannelTest, GivesANewImageExportsOfItsOwn) {
  const std::string before = key(client_, "disk");
  client_.advance_for_new_image(Bytes(32, 'c'), Bytes(32, 's'));
  server_.advance_for_new_image(Bytes(32, 'c'), Bytes(32, 's'));
  EXPECT_NE(key(client_, "disk"), before);
  EXPECT_EQ(key(client_, "disk"), key(server_, "disk"));
  EXPECT_TRUE(opens(server_, sealed(client_, "words")));
  EXPECT_TRUE(opens(client_, sealed(server_, "words")));
}

TEST_F(SecureChannelTest, GivesANewImageTrafficKeysThatAPlainRekeyWouldNotChangeFurther) {
  // advance and advance_for_new_image agree on everything but the exporter.
  SecureChannel plain = end(Role::kServer);
  client_.advance_for_new_image(Bytes(32, 'c'), Bytes(32, 's'));
  plain.advance(Bytes(32, 'c'), Bytes(32, 's'));
  EXPECT_TRUE(opens(plain, sealed(client_, "words")));
  EXPECT_NE(key(plain, "disk"), key(client_, "disk"));
}

TEST_F(SecureChannelTest, RefusesAnExportItCannotMake) {
  Bytes none, one(1), too_long(8161);
  for (const auto& refused : {client_.export_key("x", none), client_.export_key("x", too_long),
                              client_.export_key(std::string(256, 'x'), one)}) {
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::kInvalid);
  }
  EXPECT_TRUE(client_.export_key(std::string(255, 'x'), one));
}

// ---- handover

TEST_F(SecureChannelTest, IsTakenOverByTheNextImage) {
  both_advance();
  const auto octets = client_.hand_over();
  ASSERT_EQ(octets.size(), SecureChannel::kHandoverSize);
  auto next = SecureChannel::take_over(octets.reveal());
  ASSERT_TRUE(next);
  EXPECT_EQ(next->epoch(), 1u);
  EXPECT_TRUE(opens(server_, sealed(*next, "adopt")));
  EXPECT_TRUE(opens(*next, sealed(server_, "adopted")));
  EXPECT_EQ(key(*next, "disk"), key(server_, "disk"));
}

TEST_F(SecureChannelTest, TakesOverNothingOfAnotherSize) {
  both_advance();
  const auto octets = client_.hand_over();
  for (const std::size_t size : {std::size_t{0}, std::size_t{4}, SecureChannel::kHandoverSize - 1}) {
    EXPECT_FALSE(SecureChannel::take_over(octets.reveal().first(size))) << size;
  }
  EXPECT_FALSE(SecureChannel::take_over(Bytes(SecureChannel::kHandoverSize + 1)));
}

TEST_F(SecureChannelTest, TakesOverNoWipedKeys) {
  Bytes wiped(SecureChannel::kHandoverSize, 0);
  wiped[3] = 1;  // its epoch
  EXPECT_FALSE(SecureChannel::take_over(wiped));
}

TEST_F(SecureChannelTest, TakesOverNothingOfTheFirstEpoch) {
  EXPECT_FALSE(SecureChannel::take_over(client_.hand_over().reveal()));
}

// ---- limits

TEST_F(SecureChannelTest, AsksForNewKeysAndStopsAtItsLimits) {
#ifndef NDEBUG
  GTEST_SKIP() << "sixteen million records: only in an optimised build";
#endif
  for (std::uint64_t i = 0; i < kRekeyAfter; ++i) {
    ASSERT_FALSE(client_.wants_rekey());
    ASSERT_TRUE(client_.seal(RecordType::kSession, {}));
  }
  EXPECT_TRUE(client_.wants_rekey());
  for (std::uint64_t i = kRekeyAfter; i < kStopAfter; ++i)
    ASSERT_TRUE(client_.seal(RecordType::kSession, {}));
  const auto one_more = client_.seal(RecordType::kSession, {});
  ASSERT_FALSE(one_more);
  EXPECT_EQ(one_more.error().code, Code::kExhausted);
  client_.advance(Bytes(32), Bytes(32));
  EXPECT_FALSE(client_.wants_rekey());
  EXPECT_TRUE(client_.seal(RecordType::kSession, {}));
}

}  // namespace
}  // namespace keyd::exchange
