// Files of the store that were cut off, flipped, exchanged or lost. keyd refuses them with one line and
// leaves them as they are, or has what SQLite's log allows: an earlier whole state. It never has anything
// that nobody stored.
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>

#include "tests/faults/store_operations.h"
#include "tests/support/content.h"
#include "tests/support/forked.h"

namespace keyd::testing {
namespace {

using daemon::SqliteUserStore;
using ::testing::HasSubstr;
using ::testing::Not;
namespace fs = std::filesystem;

void put(const std::string& path, const std::string& content) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
  ::chmod(path.c_str(), 0600);
}

// What stays as it is when a store is refused. (SQLite's shared memory is no part of the store, and no log is
// as good as an empty one.)
std::map<std::string, std::string> files_of(const std::string& directory) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::directory_iterator(directory)) {
    const std::string name = entry.path().filename();
    if (name == "keyd.db-shm" || (name == "keyd.db-wal" && entry.file_size() == 0)) continue;
    files[name] = content_of(entry.path());
  }
  return files;
}

class DamagedStore : public ::testing::Test {
 protected:
  void SetUp() override {
    make_sample_store(original("clean"));
    states_.push_back(content_of_store(original("clean")));
    ScratchDirectory::copy_store(original("clean"), original("log"));
    // Each operation that can follow the others, and then the process dies: its log holds them all.
    Forked child([&](Forked::Child& parent) {
      auto store = SqliteUserStore::open(original("log"));
      int state = 0;
      for (const StoreOperation& operation : store_operations()) {
        if (!operation.run(*store->users, *store->sealer)) continue;
        put(original("state" + std::to_string(++state)), content_of_store(*store->users, *store->sealer));
      }
      parent.say(std::to_string(state));
      return ::kill(::getpid(), SIGKILL);
    });
    const int states = std::stoi("0" + child.hear());
    child.wait();
    ASSERT_GE(states, 4);
    for (int i = 1; i <= states; ++i) states_.push_back(content_of(original("state" + std::to_string(i))));
  }
  std::string original(const std::string& name) const { return scratch_.path() + "/" + name; }
  std::string work() const { return scratch_.path() + "/work"; }
  std::string work(const std::string& file) const { return work() + "/" + file; }
  void fresh(const std::string& name) { ScratchDirectory::copy_store(original(name), work()); }

  [[nodiscard]] bool is_a_state(const std::string& content) const {
    return std::ranges::find(states_, content) != states_.end();
  }
  // Opens the store in `work()`. Refused: nothing has changed. Opened: every value that comes out of it was
  // put there. A child does it, so that a crash is one finding among others.
  enum class Found { kRefused, kWhole, kPartly };
  Found judge() {
    const auto before = files_of(work());
    std::string content;
    Forked child([&](Forked::Child&) {
      auto opened = SqliteUserStore::open(work());
      if (!opened) {
        put(original("said"), opened.error().message());
        return 1;
      }
      put(original("said"), content_of_store(*opened->users, *opened->sealer));
      return 0;
    });
    const int code = child.wait();
    EXPECT_LE(code, 1) << "it crashed";
    const std::string said = content_of(original("said"));
    if (code == 1) {
      EXPECT_EQ(std::ranges::count(said, '\n'), 0) << said;
      EXPECT_THAT(said, HasSubstr(work()));
      EXPECT_TRUE(files_of(work()) == before) << "it wrote over what it refused: " << said;
      return Found::kRefused;
    }
    return is_a_state(said) ? Found::kWhole : Found::kPartly;
  }

  ScratchDirectory scratch_;
  std::vector<std::string> states_;  // that the store has been in
};

TEST_F(DamagedStore, CutOffAnywhereTheDatabaseIsRefused) {
  const auto size = fs::file_size(original("clean") + "/keyd.db");
  std::vector<std::uintmax_t> lengths{0, 1, 15, 16, 17, 99, 100, 101, 511, 512, 1023, 1024};
  for (std::uintmax_t page = 4096; page <= size; page += 4096)
    for (const std::uintmax_t near : {page - 1, page, page + 1, page + 2048}) lengths.push_back(near);
  for (const std::uintmax_t length : lengths) {
    if (length >= size) continue;
    SCOPED_TRACE(length);
    fresh("clean");
    fs::resize_file(work("keyd.db"), length);
    EXPECT_EQ(judge(), Found::kRefused);
  }
}

TEST_F(DamagedStore, CutOffAnywhereTheLogGivesAnEarlierStateOrIsRefused) {
  const auto size = fs::file_size(original("log") + "/keyd.db-wal");
  int whole = 0;
  std::vector<std::uintmax_t> lengths{0, 1, 31, 32, 33};
  for (std::uintmax_t frame = 32; frame <= size; frame += 24 + 4096)
    for (const std::uintmax_t near : {frame - 1, frame, frame + 1, frame + 23, frame + 24, frame + 2000})
      lengths.push_back(near);
  for (const std::uintmax_t length : lengths) {
    if (length > size) continue;
    SCOPED_TRACE(length);
    fresh("log");
    fs::resize_file(work("keyd.db-wal"), length);
    const Found found = judge();
    EXPECT_NE(found, Found::kPartly);
    whole += found == Found::kWhole ? 1 : 0;
  }
  EXPECT_GT(whole, 0);
}

// Every octet of a file, or some of them without KEYD_SOAK, with one bit turned over.
template <typename Check>
int flip_octets(const std::string& content, Check check) {
  const std::size_t step = ::getenv("KEYD_SOAK") != nullptr ? 1 : 97;
  int flips = 0;
  for (std::size_t at = 0; at < content.size(); at += at < 128 ? 1 : step, ++flips) {
    std::string flipped = content;
    flipped[at] = static_cast<char>(flipped[at] ^ (1 << (at % 8)));
    check(flipped, at);
  }
  return flips;
}

// Names, states and sizes are in clear: a flip there gives another name or state, and this test allows for
// it. What is sealed is as it was stored, or is refused.
TEST_F(DamagedStore, WithAnyOctetFlippedNoSecretComesOutThatNobodyStored) {
  int refused = 0, whole = 0, partly = 0;
  const int flips = flip_octets(content_of(original("clean") + "/keyd.db"),
                                [&](const std::string& flipped, std::size_t at) {
                                  SCOPED_TRACE(at);
                                  fresh("clean");
                                  put(work("keyd.db"), flipped);
                                  switch (judge()) {
                                    case Found::kRefused: ++refused; return;
                                    case Found::kWhole: ++whole; return;
                                    case Found::kPartly: ++partly;
                                  }
                                  const std::string said = content_of(original("said"));
                                  if (said.starts_with("error: ")) return;  // told when it was used
                                  // Every secret in what came out is one that went in.
                                  for (const std::string secret : {":alice's password:", ":bob's password:"})
                                    EXPECT_THAT(said, HasSubstr(secret));
                                  const auto value = said.find(")=s3cret");
                                  EXPECT_NE(value, std::string::npos) << said.substr(0, 200);
                                });
  std::printf(
      "%d flips of the database: %d refused, %d without effect, %d in clear columns or told when used\n",
      flips, refused, whole, partly);
  EXPECT_GT(refused, 0);
}

TEST_F(DamagedStore, WithAnyOctetOfTheLogFlippedItIsAnEarlierStateOrRefused) {
  int refused = 0;
  const int flips = flip_octets(
      content_of(original("log") + "/keyd.db-wal"), [&](const std::string& flipped, std::size_t at) {
        SCOPED_TRACE(at);
        fresh("log");
        put(work("keyd.db-wal"), flipped);
        const Found found = judge();
        EXPECT_NE(found, Found::kPartly) << content_of(original("said")).substr(0, 300);
        refused += found == Found::kRefused ? 1 : 0;
      });
  std::printf("%d flips of the log: %d refused, the others an earlier state\n", flips, refused);
}

TEST_F(DamagedStore, WithAnyOctetOfTheKeyFlippedIsRefused) {
  flip_octets(content_of(original("clean") + "/store.key"), [&](const std::string& flipped, std::size_t at) {
    SCOPED_TRACE(at);
    fresh("clean");
    put(work("store.key"), flipped);
    EXPECT_EQ(judge(), Found::kRefused);
  });
}

TEST_F(DamagedStore, WithAnotherStoresLogIsRefusedAndDoesNotTakeItIn) {
  // Another store, whose process died: all of it is in its log.
  Forked other([&](Forked::Child&) {
    make_sample_store(original("other"));
    auto store = SqliteUserStore::open(original("other"));
    for (const StoreOperation& operation : store_operations())
      (void)operation.run(*store->users, *store->sealer);
    return ::kill(::getpid(), SIGKILL);
  });
  other.wait();
  for (const char* mine : {"clean", "log"}) {
    fresh(mine);
    fs::remove(work("keyd.db-shm"));
    put(work("keyd.db-wal"), content_of(original("other") + "/keyd.db-wal"));
    EXPECT_EQ(judge(), Found::kRefused) << content_of(original("said")).substr(0, 300);
  }
}

TEST_F(DamagedStore, BesideAnotherStoresDatabaseItsKeyIsRefused) {
  make_sample_store(original("other"));
  fresh("clean");
  put(work("keyd.db"), content_of(original("other") + "/keyd.db"));
  EXPECT_EQ(judge(), Found::kRefused);
  EXPECT_THAT(content_of(original("said")), HasSubstr("does not belong to keyd.db"));
}

}  // namespace
}  // namespace keyd::testing
