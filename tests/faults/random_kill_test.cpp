// keyd is killed at random moments, while it starts too, under clients that authenticate and administrators
// who change the store. What was acknowledged stays; what was not is there whole or not at all; and everybody
// comes through by trying again. 40 kills; with KEYD_SOAK 1000.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <keyclient/keyclient.h>
#include <signal.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <thread>

#include "tests/support/forked.h"
#include "tests/support/private_keyd.h"
#include "tests/support/tier_under_test.h"
#include "tests/support/wide_limits.h"

namespace keyd::testing {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

// ---- clients

// Shared with the client processes.
struct Tally {
  std::atomic<bool> stop{false};
  std::atomic<int> successes{0}, wrong{0}, denied{0};
  std::atomic<int> statuses[KEYCLIENT_THROTTLED + 1] = {};
};

// What a client may be told when its keyd dies under it. Nothing else: no denial, no doubt about the server.
bool permitted(keyclient_status status) {
  return status == KEYCLIENT_UNREACHABLE || status == KEYCLIENT_GONE || status == KEYCLIENT_UNKNOWN;
}

keyclient_status authenticate_and_fetch(const std::string& runtime_dir, const std::string& user,
                                        const std::string& password, std::string& value) {
  keyclient_options options{};
  options.size = sizeof options;
  options.runtime_dir = runtime_dir.c_str();
  keyclient_t* client = nullptr;
  if (const auto opened = keyclient_open(&options, &client); opened != KEYCLIENT_OK) return opened;
  const std::unique_ptr<keyclient_t, void (*)(keyclient_t*)> owner(client, keyclient_close);
  keyclient_login login{};
  login.size = sizeof login;
  login.user = user.c_str();
  login.scheme = "challenge";
  login.password = password.data();
  login.password_size = password.size();
  if (const auto done = keyclient_authenticate(client, &login); done != KEYCLIENT_OK) return done;
  value.resize(64);
  std::size_t size = value.size();
  const auto fetched = keyclient_credential(client, "token", value.data(), &size);
  value.resize(size);
  return fetched;
}

// Authenticates over and over; at the end keyd runs, and the last try must come through.
int client_main(const std::string& runtime_dir, const std::string& user, Tally& tally) {
  for (bool last = false;;) {
    std::string value;
    const auto status = authenticate_and_fetch(runtime_dir, user, user + "'s password", value);
    ++tally.statuses[status];
    if (status == KEYCLIENT_OK) {
      ++tally.successes;
      if (value != user + "'s token") ++tally.wrong;
      if (last) return 0;
    } else {
      const std::string line = keyclient_error();
      if (!permitted(status) || line.empty() || line.find('\n') != std::string::npos) {
        std::fprintf(stderr, "client: status %d: %s\n", status, line.c_str());
        ++tally.wrong;
      }
      if (last) return 1;
      std::this_thread::sleep_for(1ms);  // no spinning at a keyd that is not there
    }
    last = tally.stop;
  }
}

// Guesses over and over: of each denial that it hears, the count must survive.
int guesser_main(const std::string& runtime_dir, Tally& tally) {
  while (!tally.stop) {
    std::string value;
    const auto status = authenticate_and_fetch(runtime_dir, "guessed", "a guess", value);
    if (status == KEYCLIENT_DENIED) {
      ++tally.denied;
    } else {
      tally.wrong += !permitted(status);
      std::this_thread::sleep_for(1ms);
    }
  }
  return 0;
}

// ---- administrators

struct Account {
  std::string password;
  std::optional<std::string> token;
  bool operator==(const Account&) const = default;
};
using State = std::optional<Account>;  // of one user; nothing: not enrolled

// A user of whom it is known which states it may be in: several, after an answer that never came.
struct Watched {
  std::string name;
  std::vector<State> possible{std::nullopt};
};

struct Change {
  std::vector<std::string> arguments;
  std::string secret;
  std::function<std::optional<State>(const State&)> apply;  // nothing: refused in that state
};

// An administrator's work on users of its own, and what it must find to be true.
class Administrator {
 public:
  Administrator(const PrivateKeyd& keyd, const std::string& name, unsigned seed)
      : keyd_(keyd), random_(seed) {
    for (int i = 0; i < 3; ++i) users_.push_back({name + std::to_string(i)});
  }

  void work(const std::atomic<bool>& stop) {
    while (!stop) step(users_[random_() % users_.size()]);
  }
  [[nodiscard]] int acknowledged() const { return acknowledged_; }
  [[nodiscard]] int in_doubt() const { return in_doubt_; }
  [[nodiscard]] std::vector<Watched>& users() { return users_; }
  [[nodiscard]] const std::vector<std::string>& complaints() const { return complaints_; }

 private:
  Change any_change(const std::string& user) {
    const std::string secret = "secret " + std::to_string(++serial_);
    switch (random_() % 6) {
      case 0:
        return {{"user", "add", user, "--scheme", "challenge", "--password-fd", "0"},
                secret + "\n",
                [secret](const State& s) { return s ? std::optional<State>() : State(Account{secret, {}}); }};
      case 1:
        return {{"user", "passwd", user, "--password-fd", "0"}, secret + "\n", [secret](const State& s) {
                  return s ? std::optional<State>(Account{secret, s->token}) : std::nullopt;
                }};
      case 2:
        return {{"credential", "remove", user, "token"}, {}, [](const State& s) {
                  return s && s->token ? std::optional<State>(Account{s->password, {}}) : std::nullopt;
                }};
      case 3:
        return {{"user", "remove", user}, {}, [](const State& s) {
                  return s ? std::optional<State>(State()) : std::nullopt;
                }};
      default:
        return {{"credential", "set", user, "token", "--value-fd", "0"}, secret, [secret](const State& s) {
                  return s ? std::optional<State>(Account{s->password, secret}) : std::nullopt;
                }};
    }
  }

  void step(Watched& user) {
    const Change change = any_change(user.name);
    const auto result = keyd_.keyadm(change.arguments, change.secret);
    std::vector<State> after;
    for (const State& state : user.possible) {
      const auto changed = change.apply(state);
      if (result.exit_code == 0 && changed) after.push_back(*changed);
      if (result.exit_code == 1 && !changed) after.push_back(state);
      if (result.exit_code == 3) {
        after.push_back(state);
        if (changed) after.push_back(*changed);
      }
    }
    if (result.exit_code == 3 && result.err.find("cannot reach") != std::string::npos) return;
    acknowledged_ += result.exit_code != 3;
    in_doubt_ += result.exit_code == 3;
    if (after.empty() || result.exit_code > 3) {
      complaints_.push_back(user.name + ": " + change.arguments[0] + " " + change.arguments[1] + ": exit " +
                            std::to_string(result.exit_code) + ": " + result.err);
      return;
    }
    std::vector<State> distinct;
    for (State& state : after) {
      if (std::ranges::find(distinct, state) == distinct.end()) distinct.push_back(std::move(state));
    }
    user.possible = std::move(distinct);
  }

  const PrivateKeyd& keyd_;
  std::mt19937 random_;
  std::vector<Watched> users_;
  std::vector<std::string> complaints_;
  int serial_ = 0, acknowledged_ = 0, in_doubt_ = 0;
};

// Whether the user is as one of the states that it may be in. The library is asked, in a process of its own.
bool is_as(const PrivateKeyd& keyd, const std::string& user, const State& state) {
  const bool enrolled = keyd.keyadm({"user", "show", user}).exit_code == 0;
  if (!enrolled || !state) return enrolled == state.has_value();
  Forked client([&](Forked::Child&) {
    keyclient_options options{};
    options.size = sizeof options;
    const std::string directory = keyd.runtime_dir();
    options.runtime_dir = directory.c_str();
    keyclient_t* handle = nullptr;
    keyclient_login login{};
    login.size = sizeof login;
    login.user = user.c_str();
    login.scheme = "challenge";
    login.password = state->password.data();
    login.password_size = state->password.size();
    if (keyclient_open(&options, &handle) != KEYCLIENT_OK ||
        keyclient_authenticate(handle, &login) != KEYCLIENT_OK) {
      return 1;
    }
    std::string value(64, '\0');
    std::size_t size = value.size();
    const auto fetched = keyclient_credential(handle, "token", value.data(), &size);
    value.resize(fetched == KEYCLIENT_OK ? size : 0);
    const bool same =
        state->token ? fetched == KEYCLIENT_OK && value == *state->token : fetched == KEYCLIENT_NOT_FOUND;
    return same ? 0 : 1;
  });
  return client.wait() == 0;
}

// ---- the killer

class RandomKill : public ::testing::Test {
 protected:
  static constexpr int kClients = 4;
  void SetUp() override {
    void* const shared =
        ::mmap(nullptr, sizeof(Tally), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(shared, MAP_FAILED);
    tally_ = new (shared) Tally;
    ASSERT_TRUE(keyd_.start());
    for (int i = 0; i < kClients; ++i) {
      const std::string user = "client" + std::to_string(i);
      keyd_.enrol(user, user + "'s password");
      keyd_.set_credential(user, "token", user + "'s token");
      clients_.push_back(std::make_unique<Forked>(
          [this, user](Forked::Child&) { return client_main(keyd_.runtime_dir(), user, *tally_); }));
    }
    keyd_.enrol("guessed", "nobody guesses it");
    clients_.push_back(std::make_unique<Forked>(
        [this](Forked::Child&) { return guesser_main(keyd_.runtime_dir(), *tally_); }));
  }
  void TearDown() override {
    clients_.clear();
    ::munmap(tally_, sizeof(Tally));
  }
  // One life of keyd: up to a moment after it was ready, or while it starts. (The pauses only spread the
  // kills; nothing depends on their length.)
  void live_and_die(std::mt19937& random) {
    if (random() % 4 == 0) {
      BackgroundProcess starting({program("keyd"), "-F", "--config", keyd_.config_file(), "--runtime-dir",
                                  keyd_.runtime_dir(), "--state-dir", keyd_.state_dir()});
      std::this_thread::sleep_for(std::chrono::microseconds(random() % 25000));
      return;  // its destructor kills it
    }
    ASSERT_TRUE(keyd_.start()) << keyd_.log();
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 150000));
    keyd_.kill();
  }
  // Failed tries that are stored, lasting for this test: none has faded by then.
  [[nodiscard]] int failures_counted() const {
    const auto shown = nlohmann::json::parse(keyd_.keyadm({"user", "show", "guessed", "-o", "json"}).out);
    return shown["failed_tries"];
  }
  PrivateKeyd keyd_{in_a_steady_tier() + "log_level = \"warning\"\n[audit]\nfile = \"/dev/null\"\n" +
                    std::string(kUnlimitedTries)};
  Tally* tally_ = nullptr;
  std::vector<std::unique_ptr<Forked>> clients_;
};

TEST_F(RandomKill, LosesNothingAcknowledgedAndHangsNobody) {
  const int kills = ::getenv("KEYD_SOAK") != nullptr ? 1000 : 40;
  const unsigned seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  std::atomic<bool> stop{false};
  std::vector<std::unique_ptr<Administrator>> administrators;
  std::vector<std::thread> threads;
  for (const char* name : {"ann", "ben"}) {
    administrators.push_back(std::make_unique<Administrator>(keyd_, name, random()));
    threads.emplace_back([&stop, a = administrators.back().get()] { a->work(stop); });
  }
  keyd_.kill();
  const auto begun = Clock::now();
  for (int i = 1; i < kills && !HasFatalFailure(); ++i) live_and_die(random);
  EXPECT_TRUE(keyd_.start()) << keyd_.log();
  stop = true;
  for (std::thread& thread : threads) thread.join();
  tally_->stop = true;
  for (const auto& client : clients_) EXPECT_EQ(client->wait(), 0) << "a client did not come through";
  EXPECT_EQ(tally_->wrong, 0);
  int lost = 0, acknowledged = 0, in_doubt = 0;
  for (const auto& administrator : administrators) {
    acknowledged += administrator->acknowledged();
    in_doubt += administrator->in_doubt();
    for (const Watched& user : administrator->users()) {
      const bool known = std::ranges::any_of(
          user.possible, [&](const State& state) { return is_as(keyd_, user.name, state); });
      EXPECT_TRUE(known) << user.name << " is in none of its " << user.possible.size() << " possible states";
      lost += known ? 0 : 1;
    }
    for (const std::string& complaint : administrator->complaints()) ADD_FAILURE() << complaint;
    lost += static_cast<int>(administrator->complaints().size());
  }
  EXPECT_GT(tally_->denied, 0);
  EXPECT_GE(failures_counted(), tally_->denied) << "failed tries were forgotten";
  RecordProperty("kills", kills);
  RecordProperty("lost", lost);
  std::printf(
      "%d kills, %d lost; %d changes acknowledged, %d in doubt; clients: %d successes, %d unreachable, "
      "%d gone, %d unknown, %d deadline; %d denials, %d counted; %.1f s\n",
      kills, lost, acknowledged, in_doubt, tally_->successes.load(),
      tally_->statuses[KEYCLIENT_UNREACHABLE].load(), tally_->statuses[KEYCLIENT_GONE].load(),
      tally_->statuses[KEYCLIENT_UNKNOWN].load(), tally_->statuses[KEYCLIENT_DEADLINE].load(),
      tally_->denied.load(), failures_counted(), std::chrono::duration<double>(Clock::now() - begun).count());
}

}  // namespace
}  // namespace keyd::testing
