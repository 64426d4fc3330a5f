// What the programs at the client's end keep: one with libkeyclient, keyrun's command, keyadm at its prompt.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "tests/secrets/known_session.h"
#include "tests/secrets/memory_hunt.h"
#include "tests/secrets/pool_kind.h"
#include "tests/secrets/process_memory.h"
#include "tests/support/content.h"
#include "tests/support/private_keyd.h"

namespace keyd::testing {
namespace {

using ::testing::IsEmpty;

// With a kind of pool at the client. Of memfd_secret the hunt sees nothing: then no secret may be found at all.
class HuntedClient : public ::testing::Test {
 protected:
  HuntedClient(std::string scheme, std::string kind) : scheme_(std::move(scheme)), kind_(std::move(kind)) {}
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root: keyrun and keyadm cannot be looked into by others";
    if (!has_kind(kind_)) GTEST_SKIP() << "no " << kind_ << " here";
    ASSERT_TRUE(keyd_.start()) << keyd_.log();
    keyd_.enrol("alice", password_, {"--scheme", scheme_});
    keyd_.set_credential("alice", "token", value_);
    hunt_.mark("password", bytes_of(password_));
    hunt_.mark("credential", bytes_of(value_));
    ::setenv("KEYD_RUNTIME_DIR", keyd_.runtime_dir().c_str(), 1);
  }
  void TearDown() override { ::unsetenv("KEYD_RUNTIME_DIR"); }
  [[nodiscard]] std::vector<Finding> in_environment_of(pid_t pid) const {
    auto found = hunt_.in_file("/proc/" + std::to_string(pid) + "/environ");
    auto more = hunt_.in_file("/proc/" + std::to_string(pid) + "/cmdline");
    found.insert(found.end(), more.begin(), more.end());
    return found;
  }

  [[nodiscard]] std::vector<std::string> command(std::vector<std::string> arguments) const {
    return with_kind(kind_, std::move(arguments));
  }
  [[nodiscard]] std::vector<std::string> hunted_client() const {
    return command({program("hunted_client"), "alice", scheme_});
  }
  // What a client makes of a password on its way to the proof.
  void mark_what_is_made_of(const std::string& password, const std::string& name) {
    RawClient raw(keyd_.runtime_dir());
    if (scheme_ == "kryptoknight") {
      ASSERT_TRUE(raw.begin_knight(RawClient::knight_choice("alice")));
      mark_hash(hunt_, name, raw.knight->how(), password);
    } else if (scheme_ == "srp") {
      ASSERT_TRUE(raw.begin_srp(RawClient::srp_choice("alice")));
      mark_verifier(hunt_, name, raw.srp->parameters(), "alice", password);
    }
  }
  void expect_nothing_in(pid_t pid) const {
    const auto found = hunt_.in_process(pid);
    EXPECT_THAT(found, IsEmpty()) << text_of(found);
    expect_that_the_heap_is_seen(pid, keyd_.directory());
  }

  const std::string scheme_, kind_;
  PrivateKeyd keyd_;
  const std::string password_ = marked_text(24), value_ = marked_text(40);
  Hunt hunt_;
};

class SecretsInClient : public HuntedClient, public ::testing::WithParamInterface<std::string> {
 protected:
  SecretsInClient() : HuntedClient("challenge", GetParam()) {}
};
class SecretsInClientByScheme : public HuntedClient, public ::testing::WithParamInterface<SchemeAndKind> {
 protected:
  SecretsInClientByScheme() : HuntedClient(std::get<0>(GetParam()), std::get<1>(GetParam())) {}
};

TEST_P(SecretsInClientByScheme, ALibraryForgetsThePasswordWhenItHasProvedIt) {
  mark_what_is_made_of(password_, "client's");
  BackgroundProcess client(hunted_client());
  client.write(password_ + "\n");
  ASSERT_EQ(client.read_line(), "in");
  expect_kind(client.pid(), kind_);
  expect_nothing_in(client.pid());
  client.write("\n");
  ASSERT_EQ(client.read_line(), "closed");
  expect_nothing_in(client.pid());
}

TEST_P(SecretsInClientByScheme, ALibraryForgetsAWrongPasswordToo) {
  const std::string wrong = marked_text(24);
  hunt_.mark("wrong password", bytes_of(wrong));
  mark_what_is_made_of(wrong, "client's wrong");
  BackgroundProcess client(hunted_client());
  client.write(wrong + "\n");
  ASSERT_EQ(client.read_line(), "out");
  expect_nothing_in(client.pid());
}

TEST_P(SecretsInClient, KeyrunsCommandHasThemNeitherInMemoryNorInItsEnvironment) {
  BackgroundProcess keyrun(
      command({program("keyrun"), "--runtime-dir", keyd_.runtime_dir(), "--scheme", "challenge", "--user",
               "alice", "--password-fd", "0", "--credential", "token", "--", "/bin/sh", "-c",
               "echo here; read line; echo $line; read line"}));
  keyrun.write(password_ + "\n");
  ASSERT_EQ(keyrun.read_line(), "here");
  EXPECT_THAT(hunt_.in_process(keyrun.pid()), IsEmpty()) << text_of(hunt_.in_process(keyrun.pid()));
  EXPECT_THAT(in_environment_of(keyrun.pid()), IsEmpty());
}

// The four keys of a session (core/exchange/secure_channel.h), taken out of the pool of a client: the block that
// begins with 152 octets of them and holds nothing else. Only in pages that can be read.
std::vector<Bytes> session_keys_of(pid_t pid) {
  constexpr std::size_t kKeys = 152, kBlock = 256;
  std::vector<Bytes> keys;
  for (const Mapping& mapping : mappings_of(pid)) {
    if (!mapping.guarded()) continue;
    const Bytes pool = read_memory(pid, mapping.from, mapping.to - mapping.from);
    for (std::size_t at = 0; at + kBlock <= pool.size(); at += kBlock) {
      const ByteView block = ByteView(pool).subspan(at, kBlock);
      const auto is_zero = [](std::uint8_t octet) { return octet == 0; };
      if (std::ranges::count_if(block.first(kKeys), is_zero) > 8 ||
          !std::ranges::all_of(block.subspan(kKeys), is_zero)) {
        continue;
      }
      for (const std::size_t key : {0u, 44u, 88u, 120u}) {
        const ByteView octets = block.subspan(key, 32);
        keys.emplace_back(octets.begin(), octets.end());
      }
    }
  }
  return keys;
}

TEST_P(SecretsInClientByScheme, ALibraryHasTheSessionsKeysInItsPoolAloneAndNoneAfterTheSession) {
  BackgroundProcess client(hunted_client());
  client.write(password_ + "\n");
  ASSERT_EQ(client.read_line(), "in");
  const auto keys = session_keys_of(client.pid());
  // What cannot be read cannot be known. That the library does the same with either kind, its code shows.
  ASSERT_EQ(keys.size(), kind_ == kMlock ? 4u : 0u);
  if (keys.empty()) return;
  Hunt hunt;
  for (std::size_t i = 0; i < keys.size(); ++i) hunt.mark("key " + std::to_string(i), keys[i]);
  auto found = hunt.in_process(client.pid());
  EXPECT_GE(found.size(), 4u) << "the hunt cannot see what must be there";
  std::erase_if(found, [](const Finding& f) { return f.locked; });
  EXPECT_THAT(found, IsEmpty()) << text_of(found);
  client.write("\n");
  ASSERT_EQ(client.read_line(), "closed");
  found = hunt.in_process(client.pid());
  EXPECT_THAT(found, IsEmpty()) << text_of(found);
}

TEST_P(SecretsInClient, ACoreOfAProgramWithASessionHasNone) {
  if (content_of("/proc/sys/kernel/core_pattern") != "core\n")
    GTEST_SKIP() << "cores go elsewhere: /proc/sys/kernel/core_pattern";
  const std::string place = keyd_.directory() + "/crashed";
  std::filesystem::create_directory(place);
  BackgroundProcess client(command({"/usr/bin/prlimit", "--core=unlimited", "/usr/bin/env", "-C", place,
                                    program("hunted_client"), "alice", scheme_}));
  client.write(password_ + "\n");
  ASSERT_EQ(client.read_line(), "in");
  Hunt keys;
  for (const Bytes& key : session_keys_of(client.pid())) keys.mark("key", key);
  client.signal(SIGABRT);
  EXPECT_EQ(client.wait(), 128 + SIGABRT);
  std::string core;
  for (const auto& entry : std::filesystem::directory_iterator(place)) core = entry.path();
  ASSERT_FALSE(core.empty()) << "no core in " << place;
  EXPECT_THAT(hunt_.in_file(core), IsEmpty()) << text_of(hunt_.in_file(core));
  EXPECT_THAT(keys.in_file(core), IsEmpty()) << text_of(keys.in_file(core));
  Hunt heap;
  heap.mark("directory", bytes_of(keyd_.directory()).last(16));
  EXPECT_FALSE(heap.in_file(core).empty()) << "the core is not one of the client's memory";
}

// keyadm on a terminal of its own.
class AtATerminal {
 public:
  explicit AtATerminal(std::vector<std::string> arguments) {
    pid_ = ::forkpty(&terminal_, nullptr, nullptr, nullptr);
    if (pid_ != 0) return;
    std::vector<char*> argv;
    for (auto& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    ::execv(argv[0], argv.data());
    ::_exit(127);
  }
  ~AtATerminal() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    ::close(terminal_);
  }
  AtATerminal(const AtATerminal&) = delete;
  AtATerminal& operator=(const AtATerminal&) = delete;
  [[nodiscard]] pid_t pid() const { return pid_; }
  // Reads until the terminal shows `what`; false when it does not within ten seconds.
  bool shows(const std::string& what) {
    for (int i = 0; i < 100 && shown_.find(what) == std::string::npos; ++i) {
      pollfd entry{terminal_, POLLIN, 0};
      char octets[256];
      if (::poll(&entry, 1, 100) != 1) continue;
      const ssize_t got = ::read(terminal_, octets, sizeof octets);
      if (got <= 0) break;
      shown_.append(octets, static_cast<std::size_t>(got));
    }
    return shown_.find(what) != std::string::npos;
  }
  void type(const std::string& line) const { (void)!::write(terminal_, line.data(), line.size()); }
  [[nodiscard]] const std::string& shown() const { return shown_; }
  int wait() const {
    int status = 0;
    ::waitpid(pid_, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

 private:
  pid_t pid_ = -1;
  int terminal_ = -1;
  std::string shown_;
};

TEST_P(SecretsInClient, KeyadmHasWhatWasTypedInLockedMemoryAloneAndDoesNotShowIt) {
  const std::string typed = marked_text(24);
  AtATerminal keyadm(
      command({program("keyadm"), "--runtime-dir", keyd_.runtime_dir(), "user", "add", "grace"}));
  Hunt hunt;
  hunt.mark("typed", bytes_of(typed));
  ASSERT_TRUE(keyadm.shows(": "));
  keyadm.type(typed + "\n");
  ASSERT_TRUE(keyadm.shows("The same again: ")) << keyadm.shown();
  auto found = hunt.in_process(keyadm.pid());
  EXPECT_EQ(found.empty(), kind_ == kMemfdSecret) << "the hunt must see what lies in pages that can be read";
  expect_that_the_heap_is_seen(keyadm.pid(), keyd_.directory());
  std::erase_if(found, [](const Finding& f) { return f.locked; });
  EXPECT_THAT(found, IsEmpty()) << text_of(found);
  keyadm.type(typed + "\n");
  EXPECT_EQ(keyadm.wait(), 0) << keyadm.shown();
  EXPECT_EQ(keyadm.shown().find(typed), std::string::npos) << "the terminal echoed it";
  auto in_keyd = hunt.in_process(keyd_.pid());
  EXPECT_THAT(in_keyd, IsEmpty()) << text_of(in_keyd);
}

INSTANTIATE_TEST_SUITE_P(In, SecretsInClient, pool_kinds(), [](const auto& kind) { return kind.param; });
INSTANTIATE_TEST_SUITE_P(In, SecretsInClientByScheme, schemes_and_pool_kinds(), name_of_both);

}  // namespace
}  // namespace keyd::testing
