// A keyd that gives something else than a task table, or a table that is none: a look-up says so or says that
// it cannot tell; it does not crash, hang, or keep what it was sent.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <keyclient/keyclient.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <thread>

#include "core/kernel/memfd.h"
#include "core/table/table_writer.h"
#include "core/wire/message_codec.h"
#include "tests/adversarial/besieged_keyd.h"
#include "tests/adversarial/hostile_keyd.h"
#include "tests/support/descriptors.h"
#include "tests/support/eventually.h"

namespace keyd::testing {
namespace {

constexpr std::uint32_t kCapacity = 16;
constexpr std::size_t kSize = table::table_size(kCapacity);

Bytes table_reply(std::uint64_t size) {
  wire::ServerPacket packet;
  packet.mutable_table()->set_size(size);
  return wire::encode(packet);
}

// A memfd with the seals given and `content` at its start.
UniqueFd memfd(std::size_t size, int seals, ByteView content = {}) {
  UniqueFd fd(::memfd_create("not-a-table", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (::ftruncate(fd.get(), static_cast<off_t>(size)) != 0) ::abort();
  (void)!::pwrite(fd.get(), content.data(), std::min(size, content.size()), 0);
  if (::fcntl(fd.get(), F_ADD_SEALS, seals) != 0) ::abort();
  return fd;
}

constexpr int kAllSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;

// The octets of a good, living, empty table.
Bytes good_table() {
  auto memory = table::SealedMemfd::create(kSize);
  const auto* const octets = static_cast<const std::uint8_t*>((*memory)->data());
  table::TableWriter writer(std::move(*memory), table::TableBell::create().value(), kCapacity,
                            table::Tier::kWatch, 4242);
  writer.heartbeat();
  return {octets, octets + kSize};
}

template <typename Value>
Bytes good_table_but(std::size_t offset, Value value) {
  Bytes octets = good_table();
  std::memcpy(octets.data() + offset, &value, sizeof value);
  return octets;
}

struct Wrong {
  const char* name;
  UniqueFd (*make)();
  std::uint64_t size = kSize;
};

const Wrong kWrong[] = {
    {"nothing", [] { return UniqueFd(); }},
    {"a pipe",
     [] {
       std::array<int, 2> ends{};
       (void)!::pipe2(ends.data(), O_CLOEXEC);
       ::close(ends[1]);
       return UniqueFd(ends[0]);
     }},
    {"/dev/zero", [] { return UniqueFd(::open("/dev/zero", O_RDONLY | O_CLOEXEC)); }},
    {"/dev/null", [] { return UniqueFd(::open("/dev/null", O_RDONLY | O_CLOEXEC)); }},
    {"a directory", [] { return UniqueFd(::open("/", O_RDONLY | O_CLOEXEC)); }},
    {"a path", [] { return UniqueFd(::open("/", O_PATH | O_CLOEXEC)); }},
    {"its own memory", [] { return UniqueFd(::open("/proc/self/mem", O_RDONLY | O_CLOEXEC)); }},
    {"a file of the disk", [] { return UniqueFd(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC)); }},
    {"a socket", [] { return UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)); }},
    {"an eventfd", [] { return UniqueFd(::eventfd(0, EFD_CLOEXEC)); }},
    {"an epoll", [] { return UniqueFd(::epoll_create1(EPOLL_CLOEXEC)); }},
    {"a memfd that can shrink", [] { return memfd(kSize, F_SEAL_GROW, good_table()); }},
    {"a memfd without a seal", [] { return memfd(kSize, F_SEAL_SEAL, good_table()); }},
    {"a memfd that is too small", [] { return memfd(kSize - 1, kAllSeals, good_table()); }},
    {"a memfd of no size", [] { return memfd(0, kAllSeals); }},
    {"a memfd of zeros", [] { return memfd(kSize, kAllSeals); }},
    {"a good one said to be larger", [] { return memfd(kSize, kAllSeals, good_table()); }, kSize + 1},
    {"a good one said to be smaller", [] { return memfd(kSize, kAllSeals, good_table()); }, kSize - 1},
    {"a good one said to have no size", [] { return memfd(kSize, kAllSeals, good_table()); }, 0},
    {"a good one said to be endless", [] { return memfd(kSize, kAllSeals, good_table()); },
     ~std::uint64_t{0}},
    {"another magic", [] { return memfd(kSize, kAllSeals, good_table_but(0, std::uint64_t{1})); }},
    {"another version", [] { return memfd(kSize, kAllSeals, good_table_but(8, table::kLayoutVersion + 1)); }},
    {"no capacity", [] { return memfd(kSize, kAllSeals, good_table_but(12, std::uint32_t{0})); }},
    {"an odd capacity", [] { return memfd(kSize, kAllSeals, good_table_but(12, std::uint32_t{17})); }},
    {"a larger capacity", [] { return memfd(kSize, kAllSeals, good_table_but(12, std::uint32_t{32})); }},
    {"the largest capacity",
     [] { return memfd(kSize, kAllSeals, good_table_but(12, std::uint32_t{1u << 31})); }},
    {"one that has died", [] { return memfd(kSize, kAllSeals, good_table_but(48, std::uint64_t{1})); }},
};

// Every look-up there is.
using Lookup = keyclient_status (*)(keyclient_t*);
const Lookup kLookups[] = {
    [](keyclient_t* client) {
      keyclient_identity out{};
      out.size = sizeof out;
      return keyclient_lookup_pid(client, static_cast<std::uint32_t>(::getpid()), &out);
    },
    [](keyclient_t* client) {
      keyclient_identity out{};
      out.size = sizeof out;
      return keyclient_whoami(client, &out);
    },
    [](keyclient_t* client) {
      std::array<int, 2> pair{};
      if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) != 0) return KEYCLIENT_OK;
      keyclient_identity out{};
      out.size = sizeof out;
      const auto status = keyclient_lookup_socket(client, pair[0], &out);
      ::close(pair[0]);
      ::close(pair[1]);
      return status;
    },
    [](keyclient_t* client) {
      std::array<int, 2> pair{};
      if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) != 0) return KEYCLIENT_OK;
      keyclient_identity out{};
      out.size = sizeof out;
      keyclient_peer_t* peer = nullptr;
      auto status = keyclient_identify(client, pair[0], &peer, &out);
      if (status == KEYCLIENT_OK) status = keyclient_peer_check(peer);
      if (peer != nullptr) (void)keyclient_peer_glance(peer), (void)keyclient_peer_wait(peer, 1);
      keyclient_peer_free(peer);
      ::close(pair[0]);
      ::close(pair[1]);
      return status;
    },
    [](keyclient_t* client) {
      return keyclient_each(client, [](void*, const keyclient_identity*) {}, nullptr);
    },
    [](keyclient_t* client) {
      std::uint64_t seen = 0;
      return keyclient_wait_for_change(client, &seen, 10);
    },
};

class HostileTable : public ::testing::Test {
 protected:
  keyclient_t* open(std::uint32_t timeout_ms = 200) {
    keyclient_options options{};
    options.size = sizeof options;
    options.runtime_dir = keyd_.directory().c_str();
    options.timeout_ms = timeout_ms;
    keyclient_t* client = nullptr;
    EXPECT_EQ(keyclient_open(&options, &client), KEYCLIENT_OK);
    return client;
  }
  // Along with a good bell, unless it is another one; -1: none.
  void give(int descriptor, std::uint64_t size) { give(descriptor, size, bell_.reader_descriptor()); }
  void give(int descriptor, std::uint64_t size, int bell) {
    keyd_.set_attack([descriptor, size, bell](Move& move) {
      move.packets = {table_reply(size)};
      if (descriptor >= 0) move.descriptors = {descriptor};
      if (descriptor >= 0 && bell >= 0) move.descriptors.push_back(bell);
    });
  }
  table::TableBell bell_ = table::TableBell::create().value();
  HostileKeyd keyd_;
};

TEST_F(HostileTable, WhatIsNoTableIsNotTakenForOne) {
  for (const Wrong& wrong : kWrong) {
    SCOPED_TRACE(wrong.name);
    const UniqueFd descriptor = wrong.make();
    give(descriptor.get(), wrong.size);
    const std::size_t before = descriptors_of();
    for (const Lookup& lookup : kLookups) {
      keyclient_t* const client = open();
      EXPECT_NE(lookup(client), KEYCLIENT_OK) << &lookup - kLookups;
      EXPECT_TRUE(is_printable(keyclient_error()));
      keyclient_close(client);
    }
    EXPECT_TRUE(eventually([&] { return descriptors_of() <= before; }));
  }
}

TEST_F(HostileTable, AGoodTableWithoutABellThatStaysIsNotTaken) {
  const UniqueFd good = memfd(kSize, kAllSeals, good_table());
  const UniqueFd bells[] = {UniqueFd(),
                            UniqueFd(::eventfd(0, EFD_CLOEXEC)),
                            UniqueFd(::open("/dev/zero", O_RDONLY | O_CLOEXEC)),
                            UniqueFd(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC)),
                            memfd(table::kBellSize, F_SEAL_GROW),
                            memfd(table::kBellSize - 1, kAllSeals),
                            memfd(0, kAllSeals)};
  for (const UniqueFd& bell : bells) {
    SCOPED_TRACE(&bell - bells);
    give(good.get(), kSize, bell.get());
    const std::size_t before = descriptors_of();
    for (const Lookup& lookup : kLookups) {
      keyclient_t* const client = open();
      EXPECT_NE(lookup(client), KEYCLIENT_OK) << &lookup - kLookups;
      keyclient_close(client);
    }
    EXPECT_TRUE(eventually([&] { return descriptors_of() <= before; }));
  }
}

TEST_F(HostileTable, ABellThatNeverRestsHoldsNobodyLongerThanItAsked) {
  auto memory = table::SealedMemfd::create(kSize);
  ASSERT_TRUE(memory);
  table::TableWriter writer(std::move(*memory), table::TableBell::create().value(), kCapacity,
                            table::Tier::kWatch, 4242);
  writer.heartbeat();
  give(writer.reader_descriptor(), kSize);
  std::atomic<bool> stop = false;
  std::thread vandal([&] {
    while (!stop) bell_.ring();
  });
  keyclient_t* const client = open(5000);
  std::uint64_t seen = 0;
  (void)keyclient_wait_for_change(client, &seen, 0);
  const BootTime begun = boot_now();
  EXPECT_EQ(keyclient_wait_for_change(client, &seen, 300), KEYCLIENT_DEADLINE);
  EXPECT_GE(boot_now() - begun, 300 * kMillisecond);
  stop = true;
  vandal.join();
  keyclient_close(client);
}

TEST_F(HostileTable, TheStrengthOfAnAnswerIsTheHeadersAndAnUnknownOneIsNone) {
  // Whatever the tier is called.
  auto memory = table::SealedMemfd::create(kSize);
  ASSERT_TRUE(memory);
  const table::Strength strength{table::Revocation::kSynchronous, static_cast<table::Revocation>(200),
                                 table::Revocation::kCooperative};
  table::TableWriter writer(std::move(*memory), table::TableBell::create().value(), kCapacity,
                            table::Tier::kPidfd, 4242, strength);
  table::TaskRecord record;
  record.inode = 1;
  record.pid = 2;
  record.expires = ~std::uint64_t{0};
  const auto handle = writer.bind(record, 0);
  ASSERT_TRUE(handle);
  ASSERT_TRUE(writer.transition(*handle, table::TaskState::kPending, table::TaskState::kComplete, 0,
                                table::Reason::kExchange));
  writer.heartbeat();
  give(writer.reader_descriptor(), kSize);
  keyclient_t* const client = open(5000);
  keyclient_identity who{};
  who.size = sizeof who;
  ASSERT_EQ(keyclient_lookup_inode(client, 1, &who), KEYCLIENT_OK) << keyclient_error();
  EXPECT_EQ(who.on_exec, KEYCLIENT_SYNCHRONOUS);
  EXPECT_EQ(who.on_exit, KEYCLIENT_NEVER);
  EXPECT_EQ(who.on_credentials, KEYCLIENT_COOPERATIVE);
  keyclient_close(client);
}

TEST_F(HostileTable, AnAnswerThatIsNoneOrDoesNotComeGivesNoTable) {
  const Attack answers[] = {[](Move& move) { move.packets.clear(); },
                            [](Move& move) { move.packets.clear(), move.close = true; },
                            [](Move& move) { move.packets = {Bytes{0xff}}; },
                            [](Move& move) { move.packets = {Bytes()}; },
                            [](Move& move) { move.packets = {Bytes(wire::kMaxPacket + 1, 0)}; },
                            [](Move& move) { move.packets = {move.heard->back()}; },
                            [](Move& move) {
                              wire::ServerPacket packet;
                              packet.mutable_denied();
                              move.packets = {wire::encode(packet)};
                            }};
  for (const Attack& answer : answers) {
    SCOPED_TRACE(&answer - answers);
    keyd_.set_attack(answer);
    for (const Lookup& lookup : kLookups) {
      keyclient_t* const client = open();
      EXPECT_NE(lookup(client), KEYCLIENT_OK) << &lookup - kLookups;
      keyclient_close(client);
    }
  }
}

TEST_F(HostileTable, ATableFullOfNonsenseOrOneThatChangesUnderItsReaderDoesNoHarm) {
  // Nothing says that a table is a true one but who may make sockets in the runtime directory. It must still
  // not be able to lead its reader out of itself.
  auto memory = table::SealedMemfd::create(kSize);
  ASSERT_TRUE(memory);
  auto* const octets = static_cast<std::uint8_t*>((*memory)->data());
  table::TableWriter writer(std::move(*memory), table::TableBell::create().value(), kCapacity,
                            table::Tier::kWatch, 4242);
  writer.heartbeat();
  give(writer.reader_descriptor(), kSize);
  std::atomic<bool> stop = false;
  std::thread vandal([&] {
    std::uint64_t noise = 88172645463325252u;
    while (!stop) {
      writer.heartbeat();
      for (std::size_t at = 8; at < kSize; at += 8) {
        noise ^= noise << 13, noise ^= noise >> 7, noise ^= noise << 17;
        if (at == 48) continue;  // it lives
        reinterpret_cast<std::atomic<std::uint64_t>*>(octets + at)->store(noise, std::memory_order_relaxed);
      }
      // A header that a new reader takes, for a moment.
      const std::array<std::uint32_t, 2> version_and_capacity{table::kLayoutVersion, kCapacity};
      std::memcpy(octets + 8, version_and_capacity.data(), sizeof version_and_capacity);
    }
  });
  int looked = 0;
  for (int i = 0; i < (is_soak() ? 20000 : 500); ++i) {
    keyclient_t* const client = open();
    for (const Lookup& lookup : kLookups) {
      (void)lookup(client);
      ++looked;
    }
    keyclient_close(client);
  }
  stop = true;
  vandal.join();
  EXPECT_GT(looked, 0);
}

}  // namespace
}  // namespace keyd::testing
