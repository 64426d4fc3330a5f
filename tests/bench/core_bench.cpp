// The core beside what it is made of, in the same run: machines are noisy, ratios are not. table.py says
// which is held against which.
//
// BareGcm keeps its context and key over records, as a program would that talks to OpenSSL directly;
// BareGcmKeyed gives the key each time, as whoever keeps no expanded key must.
#include <benchmark/benchmark.h>
#include <openssl/evp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <optional>
#include <random>
#include <thread>
#include <vector>

#include "core/base/clock.h"
#include "core/exchange/secure_channel.h"
#include "core/table/table_reader.h"
#include "core/table/table_writer.h"

namespace keyd {
namespace {

// ---- records

// Both ends of a channel, and their next epoch in time.
struct Channel {
  static const Bytes& octets() {
    static const Bytes same(32, 1);
    return same;
  }
  exchange::SecureChannel client{exchange::Role::kClient, octets(), octets(), octets()};
  exchange::SecureChannel server{exchange::Role::kServer, octets(), octets(), octets()};

  void rekey_in_time() {
    if (!client.wants_rekey()) return;
    client.advance(octets(), octets());
    server.advance(octets(), octets());
  }
};

// As keyclient_seal and keyclient_open_record do it: in the program's own memory.
void SealOpen(benchmark::State& state) {
  const auto size = static_cast<std::size_t>(state.range(0));
  const Bytes plaintext(size, 7);
  Bytes record(size + exchange::kRecordOverhead), opened(size);
  Channel channel;
  for (auto _ : state) {
    channel.rekey_in_time();
    if (!channel.client.seal_into(exchange::RecordType::kApplication, plaintext, record) ||
        !channel.server.open_into(exchange::RecordType::kApplication, record, opened)) {
      return state.SkipWithError("record");
    }
    benchmark::DoNotOptimize(opened.data());
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}

// As keyd's own sessions do it: the record on the heap, what it said in locked memory that is wiped.
void SealOpenLocked(benchmark::State& state) {
  const Bytes plaintext(static_cast<std::size_t>(state.range(0)), 7);
  Channel channel;
  for (auto _ : state) {
    channel.rekey_in_time();
    const auto record = channel.client.seal(exchange::RecordType::kSession, plaintext);
    if (!record) return state.SkipWithError("seal");
    const auto opened = channel.server.open(exchange::RecordType::kSession, *record);
    if (!opened) return state.SkipWithError("open");
    benchmark::DoNotOptimize(opened->reveal().data());
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}

struct FreeContext {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};
using Context = std::unique_ptr<EVP_CIPHER_CTX, FreeContext>;

// One record sealed and opened by EVP alone: buffers made before, no header, no memory of its own. `key`
// null: the context's own.
bool bare_round(EVP_CIPHER_CTX* seal, EVP_CIPHER_CTX* open, const std::uint8_t* key, std::uint8_t* nonce,
                const Bytes& in, Bytes& sealed, Bytes& out) {
  ++nonce[11];
  const int size = static_cast<int>(in.size());
  int written = 0;
  std::uint8_t tag[16];
  bool ok = EVP_EncryptInit_ex2(seal, nullptr, key, nonce, nullptr) == 1;
  ok &= EVP_EncryptUpdate(seal, nullptr, &written, nonce, 12) == 1;  // as much additional data as a header
  ok &= EVP_EncryptUpdate(seal, sealed.data(), &written, in.data(), size) == 1;
  ok &= EVP_EncryptFinal_ex(seal, sealed.data() + size, &written) == 1;
  ok &= EVP_CIPHER_CTX_ctrl(seal, EVP_CTRL_AEAD_GET_TAG, sizeof tag, tag) == 1;
  ok &= EVP_DecryptInit_ex2(open, nullptr, key, nonce, nullptr) == 1;
  ok &= EVP_DecryptUpdate(open, nullptr, &written, nonce, 12) == 1;
  ok &= EVP_DecryptUpdate(open, out.data(), &written, sealed.data(), size) == 1;
  ok &= EVP_CIPHER_CTX_ctrl(open, EVP_CTRL_AEAD_SET_TAG, sizeof tag, tag) == 1;
  ok &= EVP_DecryptFinal_ex(open, out.data() + size, &written) == 1;
  return ok;
}

void bare_gcm(benchmark::State& state, bool key_each_time) {
  const EVP_CIPHER* const cipher = EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr);
  const Context seal(EVP_CIPHER_CTX_new()), open(EVP_CIPHER_CTX_new());
  const Bytes key(32, 1), plaintext(static_cast<std::size_t>(state.range(0)), 7);
  Bytes sealed(plaintext.size() + 16), out(plaintext.size() + 16);
  std::uint8_t nonce[12] = {};
  EVP_EncryptInit_ex2(seal.get(), cipher, key.data(), nonce, nullptr);
  EVP_DecryptInit_ex2(open.get(), cipher, key.data(), nonce, nullptr);
  for (auto _ : state) {
    if (!bare_round(seal.get(), open.get(), key_each_time ? key.data() : nullptr, nonce, plaintext, sealed,
                    out)) {
      return state.SkipWithError("EVP");
    }
    benchmark::DoNotOptimize(out.data());
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
void BareGcm(benchmark::State& state) { bare_gcm(state, false); }
void BareGcmKeyed(benchmark::State& state) { bare_gcm(state, true); }

BENCHMARK(SealOpen)->Arg(64)->Arg(1024)->Arg(16384);
BENCHMARK(SealOpenLocked)->Arg(64)->Arg(1024)->Arg(16384);
BENCHMARK(BareGcm)->Arg(64)->Arg(1024)->Arg(16384);
BENCHMARK(BareGcmKeyed)->Arg(64)->Arg(1024)->Arg(16384);

// ---- the table

constexpr std::uint32_t kCapacity = 4096, kProcesses = kCapacity / 2;

// The order in which records are looked up: random, the same for all.
std::vector<std::uint32_t> look_up_order() {
  std::vector<std::uint32_t> pids(1 << 16);
  std::mt19937 random(1);
  for (auto& pid : pids) pid = 1000 + static_cast<std::uint32_t>(random() % kProcesses);
  return pids;
}

// A table of kProcesses COMPLETE records.
class FullTable {
 public:
  FullTable() {
    auto memory = table::SealedMemfd::create(table::table_size(kCapacity));
    if (!memory) std::abort();
    slots_ = table::TableArrays::at((*memory)->data(), kCapacity).slots;
    writer_.emplace(std::move(*memory), table::TableBell::create().value(), kCapacity, table::Tier::kWatch,
                    1);
    writer_->heartbeat();
    for (std::uint32_t i = 0; i < kProcesses; ++i) {
      table::TaskRecord record;
      record.inode = 100'000 + i;
      record.pid = 1000 + i;
      record.expires = ~std::uint64_t{0};
      const auto handle = writer_->bind(record, i % 8);
      if (!handle || !writer_->transition(*handle, table::TaskState::kPending, table::TaskState::kComplete, 0,
                                          table::Reason::kExchange)) {
        std::abort();
      }
    }
    heart_ = std::jthread([this](const std::stop_token& stop) {  // as keyd does
      while (!stop.stop_requested()) {
        writer_->heartbeat();
        std::this_thread::sleep_for(std::chrono::milliseconds(500));
      }
    });
  }
  [[nodiscard]] table::TableReader reader() const {
    auto mapped = table::TableReader::map(writer_->reader_descriptor(), writer_->size());
    if (!mapped) std::abort();
    return std::move(*mapped);
  }
  [[nodiscard]] std::size_t size() const { return writer_->size(); }
  // As a writer leaves every record that is killed within each: its sequence odd for ever.
  void be_killed_in_the_middle() {
    for (std::uint32_t i = 0; i < kCapacity; ++i) slots_[i].sequence.fetch_or(1);
  }

 private:
  std::optional<table::TableWriter> writer_;
  table::TaskSlot* slots_ = nullptr;
  std::jthread heart_;
};

void find_all(benchmark::State& state, const FullTable& table, table::LookupOutcome expected) {
  const auto reader = table.reader();
  const auto order = look_up_order();
  table::TaskView view;
  std::size_t i = 0;
  for (auto _ : state) {
    if (reader.find_by_pid(order[i++ & 0xffff], view) != expected)
      return state.SkipWithError("another outcome");
    benchmark::DoNotOptimize(view);
  }
}

void FindByPid(benchmark::State& state) { find_all(state, FullTable(), table::LookupOutcome::kFound); }

void FindBusy(benchmark::State& state) {
  FullTable table;
  table.be_killed_in_the_middle();
  find_all(state, table, table::LookupOutcome::kBusy);
}

void TableOctets(benchmark::State& state) {
  const FullTable table;
  for (auto _ : state) benchmark::DoNotOptimize(table.size());
  state.counters["octets_each"] = static_cast<double>(table.size()) / kCapacity;
}

// The least that a seqlock look-up can be: the same buckets and the same record, copied once, no clock, no
// state.
class BareTable {
 public:
  void put(std::uint32_t pid, std::uint32_t slot) {
    index_[table::bucket_of(pid, kCapacity) * table::kBucketWidth +
           fill_[table::bucket_of(pid, kCapacity)]++] = std::uint64_t{pid} << 32 | (slot + 1);
  }
  bool find(std::uint32_t pid, std::array<std::uint64_t, table::kRecordWords>& out) const {
    const std::size_t first = table::bucket_of(pid, kCapacity) * table::kBucketWidth;
    for (std::size_t i = first; i < first + table::kBucketWidth; ++i) {
      const std::uint64_t entry = index_[i].load(std::memory_order_acquire);
      if (entry >> 32 != pid) continue;
      const table::TaskSlot& slot = slots_[(entry & 0xffffffff) - 1];
      const std::uint64_t before = slot.sequence.load(std::memory_order_acquire);
      for (std::size_t w = 0; w < out.size(); ++w) out[w] = slot.record[w].load(std::memory_order_relaxed);
      std::atomic_thread_fence(std::memory_order_acquire);
      return (before & 1) == 0 && slot.sequence.load(std::memory_order_relaxed) == before;
    }
    return false;
  }

 private:
  std::vector<std::atomic<std::uint64_t>> index_ = std::vector<std::atomic<std::uint64_t>>(kCapacity);
  std::vector<std::size_t> fill_ = std::vector<std::size_t>(kCapacity / table::kBucketWidth);
  std::vector<table::TaskSlot> slots_ = std::vector<table::TaskSlot>(kCapacity);
};

void BareSeqlock(benchmark::State& state) {
  BareTable bare;
  for (std::uint32_t i = 0; i < kProcesses; ++i) bare.put(1000 + i, i);
  const auto order = look_up_order();
  std::array<std::uint64_t, table::kRecordWords> record{};
  std::size_t i = 0;
  for (auto _ : state) {
    if (!bare.find(order[i++ & 0xffff], record)) return state.SkipWithError("not found");
    benchmark::DoNotOptimize(record);
  }
}

void BootClock(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(boot_now());
}

void GetPpid(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(::syscall(SYS_getppid));
}

BENCHMARK(FindByPid);
BENCHMARK(FindBusy);
BENCHMARK(TableOctets);
BENCHMARK(BareSeqlock);
BENCHMARK(BootClock);
BENCHMARK(GetPpid);

}  // namespace
}  // namespace keyd

BENCHMARK_MAIN();
