// Every operation of the store, and every way to open it, with one thing going wrong at every point where it
// touches a file. Whatever happens: the old state or the new one, whole; success was told only of what stays;
// and a store that failed once works again as soon as its disk does.
#include <gmock/gmock.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <optional>

#include "tests/faults/fault_vfs.h"
#include "tests/faults/store_operations.h"
#include "tests/support/forked.h"

namespace keyd::testing {
namespace {

using daemon::OpenedStore;
using daemon::SqliteUserStore;
namespace fs = std::filesystem;

// One thing that is done to a store: an operation, or a start when there is none.
struct Scenario {
  std::string name;
  std::string original;  // the directory it begins with
  const StoreOperation* operation = nullptr;
};

// All points take minutes: without KEYD_SOAK the scenarios whose log has to be copied first leave some out.
bool soak() { return ::getenv("KEYD_SOAK") != nullptr; }
int stride(const Scenario& scenario) { return !soak() && scenario.name.ends_with("due") ? 5 : 1; }

// What the child does after the operation under an error.
enum class Then { kGoOn, kDie };

struct Outcome {
  bool told_done = false, died = false;
  std::string told;     // what the operation said
  std::string content;  // of the store, as its process saw it afterwards: only under errors
  std::string retried;  // what a second try said, on a disk that works again
  int points = 0;
};

std::string said(const Result<void>& result) { return result ? "done" : result.error().message(); }

Result<void> perform(const Scenario& scenario, const std::string& directory,
                     std::optional<OpenedStore>& store) {
  if (scenario.operation != nullptr) return scenario.operation->run(*store->users, *store->sealer);
  auto opened = SqliteUserStore::open(directory);
  if (!opened) return std::unexpected(opened.error());
  store = std::move(*opened);
  return {};
}

int run_child(const Scenario& scenario, const std::string& directory, Fault fault, int point, Then then,
              const Forked::Child& parent) {
  std::optional<OpenedStore> store;
  if (scenario.operation != nullptr) store = std::move(SqliteUserStore::open(directory).value());
  fault_vfs::arm(fault, point);
  const auto result = perform(scenario, directory, store);
  parent.say(said(result));
  if (kills(fault)) store.reset();  // the checkpoint at the end is a part of it
  parent.say(std::to_string(fault_vfs::disarm()));
  if (kills(fault)) return 0;
  parent.say(store ? content_of_store(*store->users, *store->sealer) : "closed");
  if (then == Then::kDie) ::kill(::getpid(), SIGKILL);
  parent.say(result ? "done" : said(perform(scenario, directory, store)));
  return 0;
}

Outcome run(const Scenario& scenario, const std::string& directory, Fault fault, int point,
            Then then = Then::kGoOn) {
  Forked child(
      [&](Forked::Child& parent) { return run_child(scenario, directory, fault, point, then, parent); });
  Outcome outcome;
  outcome.told = child.hear();
  outcome.told_done = outcome.told == "done";
  const std::string points = child.hear();
  if (!points.empty()) outcome.points = std::stoi(points);
  if (!kills(fault) && !points.empty()) {
    outcome.content = child.hear();
    outcome.retried = child.hear();
  }
  outcome.died = child.wait() == 128 + SIGKILL;
  return outcome;
}

class StoreSweep : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { fault_vfs::install(); }
  void SetUp() override {
    make_sample_store(clean());
    for (const int version : {1, 2, 3, 4}) {
      ScratchDirectory::copy_store(clean(), older(version));
      make_version(version, older(version));
    }
    leave_log(one_change(), 1);
    leave_log(long_log(), 36);
    scenarios_ = {
        {"the first start", scratch_.path() + "/none"},  {"a start", clean()},
        {"a start with a log to recover", one_change()}, {"a start with a store of version 1", older(1)},
        {"a start with a store of version 2", older(2)}, {"a start with a store of version 3", older(3)},
        {"a start with a store of version 4", older(4)}};
    for (const StoreOperation& operation : store_operations()) {
      scenarios_.push_back({operation.name, clean(), &operation});
      scenarios_.push_back({std::string(operation.name) + ", checkpoint due", long_log(), &operation});
    }
  }
  std::string clean() { return scratch_.path() + "/clean"; }
  std::string older(int version) { return scratch_.path() + "/version-" + std::to_string(version); }
  std::string one_change() { return scratch_.path() + "/one-change"; }
  std::string long_log() { return scratch_.path() + "/long-log"; }
  std::string work() { return scratch_.path() + "/work"; }

  // A store whose process was killed after `changes` changes: they are in the log alone.
  void leave_log(const std::string& directory, int changes) {
    ScratchDirectory::copy_store(clean(), directory);
    Forked child([&](Forked::Child&) {
      auto store = SqliteUserStore::open(directory);
      const auto same = store->users->find("bob");
      for (int i = 0; i < changes; ++i) {
        const Bytes filler(20000, static_cast<std::uint8_t>(i));
        (void)store->users->set_credential(
            "bob", "filler", *seal_credential(*store->sealer, (*same)->id, "filler", filler), 20000);
      }
      return ::kill(::getpid(), SIGKILL);
    });
    ASSERT_EQ(child.wait(), 128 + SIGKILL);
  }
  void fresh_work(const Scenario& scenario) {
    fs::remove_all(work());
    if (fs::exists(scenario.original)) ScratchDirectory::copy_store(scenario.original, work());
  }
  // Calls `check(scenario, old, new, points, fault)` for each of the `faults` and scenarios.
  template <typename Check>
  void sweep(bool killing, Check check) {
    int total = 0;
    for (const Scenario& scenario : scenarios_) {
      fresh_work(scenario);
      const std::string before = content_of_store(work());
      fresh_work(scenario);
      ASSERT_TRUE(run(scenario, work(), Fault::kKill, 0).told_done) << scenario.name;
      const std::string after = content_of_store(work());
      ASSERT_THAT(before + after, ::testing::Not(::testing::HasSubstr("error")));
      for (const Fault fault : kAllFaults) {
        if (kills(fault) != killing) continue;
        fresh_work(scenario);
        const int points = run(scenario, work(), fault, 0).points;
        if (fault != Fault::kTornWrite) {  // a start may write nothing
          ASSERT_GT(points, 0) << scenario.name << ", " << name_of(fault);
        }
        for (int point = 1; point <= points; point += stride(scenario)) {
          SCOPED_TRACE(scenario.name + ": " + name_of(fault) + " at " + std::to_string(point));
          check(scenario, before, after, fault, point);
          ++total;
        }
      }
    }
    RecordProperty("points", total);
    std::printf("%d points: %zu scenarios\n", total, scenarios_.size());
  }

  ScratchDirectory scratch_;
  std::vector<Scenario> scenarios_;
};

std::string shown(const std::string& content, const std::string& before, const std::string& after) {
  return content == after ? "the new state" : content == before ? "the old state" : content.substr(0, 300);
}

TEST_F(StoreSweep, KilledOrCutOffAtAnyPointItHasTheOldStateOrTheNewOne) {
  sweep(true, [this](const Scenario& scenario, const std::string& before, const std::string& after,
                     Fault fault, int point) {
    fresh_work(scenario);
    const Outcome outcome = run(scenario, work(), fault, point);
    EXPECT_TRUE(outcome.died);
    const std::string left = shown(content_of_store(work()), before, after);
    if (outcome.told_done) {
      EXPECT_EQ(left, "the new state") << "although success was told";
    } else {
      EXPECT_THAT(left, ::testing::AnyOf("the old state", "the new state"));
    }
  });
}

TEST_F(StoreSweep, AFullOrBrokenDiskAtAnyPointIsToldChangesNothingAndIsRecoveredFrom) {
  int undecided = 0;
  sweep(false, [&](const Scenario& scenario, const std::string& before, const std::string& after, Fault fault,
                   int point) {
    for (const Then then : {Then::kGoOn, Then::kDie}) {
      if (then == Then::kDie && !soak() && point % 2 == 0) continue;
      fresh_work(scenario);
      const Outcome outcome = run(scenario, work(), fault, point, then);
      ASSERT_FALSE(outcome.told.empty()) << "it died";
      const bool failed_start = outcome.content == "closed";
      if (!failed_start) {
        EXPECT_EQ(shown(outcome.content, before, after),
                  outcome.told_done && before != after ? "the new state" : shown(before, before, after))
            << "it said: " << outcome.told;
      }
      if (then == Then::kGoOn) {
        EXPECT_EQ(outcome.retried, "done") << "after it said: " << outcome.told;
      }
      const std::string left = shown(content_of_store(work()), before, after);
      if (then == Then::kGoOn || outcome.told_done) {
        EXPECT_EQ(left, "the new state");
      } else if (outcome.told.find("shows at keyd's next start") == std::string::npos) {
        EXPECT_EQ(left, shown(before, before, after)) << "although it said: " << outcome.told;
      } else {
        EXPECT_THAT(left, ::testing::AnyOf("the old state", "the new state"));
        ++undecided;
      }
    }
  });
  RecordProperty("undecided", undecided);
  std::printf("%d times it was told that the next start will show it\n", undecided);
}

}  // namespace
}  // namespace keyd::testing
