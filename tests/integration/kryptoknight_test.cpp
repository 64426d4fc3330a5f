// The exchange kryptoknight against a real keyd: what is marked when, what is sent when, what is stored, and who finds
// out what.
#include <gtest/gtest.h>
#include <keyclient/keyclient.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "core/crypto/random.h"
#include "core/exchange/kryptoknight_password.h"
#include "keyd/sqlite_user_store.h"
#include "tests/support/bearable_failures.h"
#include "tests/support/eventually.h"
#include "tests/support/forked.h"
#include "tests/support/private_keyd.h"
#include "tests/support/raw_client.h"
#include "tests/support/wide_limits.h"

namespace keyd::testing {
namespace {

constexpr const char* kCheap = "[kryptoknight]\ncost = 1\n";
using Json = nlohmann::json;

class Kryptoknight : public ::testing::Test {
 protected:
  explicit Kryptoknight(const std::string& configuration = kCheap)
      : keyd_("[historic]\nenabled = true\n" + configuration) {}
  void SetUp() override {
    ASSERT_TRUE(keyd_.start()) << keyd_.log();
    keyd_.enrol("alice", "right", {"--scheme", "kryptoknight"});
    keyd_.set_credential("alice", "token", "the token");
  }
  [[nodiscard]] Json shown(const std::string& user) const {
    return Json::parse(keyd_.keyadm({"user", "show", user, "-o", "json"}).out);
  }
  [[nodiscard]] std::string setting(const std::string& user = "alice") const {
    return shown(user)["crypt_setting"];
  }
  [[nodiscard]] std::string line_of(const std::string& what) const {
    std::istringstream log(keyd_.log());
    for (std::string line; std::getline(log, line);) {
      if (line.find(what) != std::string::npos) return line;
    }
    return {};
  }
  [[nodiscard]] std::size_t count_in_log(const std::string& what) const {
    const std::string log = keyd_.log();
    std::size_t count = 0;
    for (std::size_t at = log.find(what); at != std::string::npos; at = log.find(what, at + 1)) ++count;
    return count;
  }
  // What the store holds of a user, read from a copy while keyd runs.
  [[nodiscard]] exchange::PasswordHash stolen(const std::string& user,
                                              wire::Suite suite = wire::SUITE_MODERN) const {
    const std::string copy = keyd_.directory() + "/stolen";
    std::filesystem::remove_all(copy);
    std::filesystem::copy(keyd_.state_dir(), copy);
    std::filesystem::permissions(copy, std::filesystem::perms::owner_all);
    auto opened = daemon::SqliteUserStore::open(copy);
    EXPECT_TRUE(opened) << opened.error().message();
    const auto record = opened->users->find(user);
    auto hash = daemon::unseal_hash(*opened->sealer, **record, suite);
    EXPECT_TRUE(hash) << hash.error().message();
    return std::move(*hash);
  }
  PrivateKeyd keyd_;
};

struct Client {
  explicit Client(const PrivateKeyd& keyd) {
    keyclient_options options{};
    options.size = sizeof options;
    const std::string directory = keyd.runtime_dir();
    options.runtime_dir = directory.c_str();
    EXPECT_EQ(keyclient_open(&options, &handle), KEYCLIENT_OK) << keyclient_error();
  }
  ~Client() { keyclient_close(handle); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  keyclient_status login(const std::string& user, const std::string& password, const char* suite = "modern",
                         int per_command = 0) {
    keyclient_login login{};
    login.size = sizeof login;
    login.user = user.c_str();
    login.scheme = "kryptoknight";
    login.suite = suite;
    login.password = password.data();
    login.password_size = password.size();
    login.per_command = per_command;
    return keyclient_authenticate(handle, &login);
  }
  std::string credential(const char* name = "token") {
    char value[64];
    std::size_t size = sizeof value;
    return keyclient_credential(handle, name, value, &size) == KEYCLIENT_OK ? std::string(value, size)
                                                                            : std::string();
  }
  keyclient_t* handle = nullptr;
};

// ---- the exchange

TEST_F(Kryptoknight, MarksTheProcessPendingThenCompleteAndForgetsItWhenItIsKilled) {
  Forked client([&](Forked::Child& child) {
    RawClient raw(keyd_.runtime_dir());
    if (!raw.start(RawClient::knight_choice("alice"))) return 1;
    child.say("answered");
    child.hear();
    if (!raw.prove_knight("right")) return 2;
    child.say("proven");
    child.hear();
    return 0;
  });
  ASSERT_EQ(client.hear(), "answered");
  EXPECT_EQ(keyd_.state_of(client.pid()), "PENDING");
  client.say("go on");
  ASSERT_EQ(client.hear(), "proven");
  const auto task = Json::parse(keyd_.keystat({std::to_string(client.pid()), "-o", "json"}).out)["tasks"][0];
  EXPECT_EQ(task["state"], "COMPLETE");
  EXPECT_EQ(task["user"], "alice");
  EXPECT_EQ(task["scheme"], "kryptoknight");
  EXPECT_EQ(task["suite"], "modern");
  client.kill();
  EXPECT_TRUE(keyd_.wait_for_state(client.pid(), "", 10.0));
}

TEST_F(Kryptoknight, KeyrunAndTheLibraryServeItLikeAnyScheme) {
  const std::string before = setting();
  const auto run = testing::run(
      {program("keyrun"), "--runtime-dir", keyd_.runtime_dir(), "--scheme", "kryptoknight", "--user", "alice",
       "--password-fd", "0", "--credential", "token", "--", "/bin/sh", "-c", "cat <&$KEYD_CREDENTIAL_TOKEN"},
      "right\n");
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(run.out, "the token");
  const std::string after = setting();
  EXPECT_TRUE(before.starts_with("$y$")) << before;
  EXPECT_NE(before, after) << "the salt was not renewed";

  Client client(keyd_);
  ASSERT_EQ(client.login("alice", "right"), KEYCLIENT_OK) << keyclient_error();
  EXPECT_EQ(client.credential(), "the token");
  EXPECT_NE(setting(), after);
  EXPECT_EQ(keyclient_rekey(client.handle), KEYCLIENT_OK);
  ASSERT_EQ(client.login("alice", "right"), KEYCLIENT_OK) << "a renewal: " << keyclient_error();
  EXPECT_EQ(client.credential(), "the token");
  EXPECT_EQ(client.login("alice", "wrong"), KEYCLIENT_DENIED);
  EXPECT_EQ(client.credential(), "the token") << "a renewal that fails leaves the session";
}

TEST_F(Kryptoknight, TheExportedSettingIsNotTheHash) {
  const auto hash = stolen("alice");
  const std::string whole(text_of(hash.hash.reveal()));
  EXPECT_TRUE(whole.starts_with(setting()));
  EXPECT_EQ(whole.size(), setting().size() + 43);
  EXPECT_EQ(keyd_.keyadm({"user", "show", "alice"}).out.find(whole.substr(setting().size())),
            std::string::npos);
}

TEST_F(Kryptoknight, AWrongPasswordIsFoundOutByTheClientWhichSendsNothing) {
  RawClient raw(keyd_.runtime_dir());
  ASSERT_TRUE(raw.start(RawClient::knight_choice("alice")));
  EXPECT_TRUE(raw.password_packet("wrong").empty());
  Client client(keyd_);
  // (Its own process has an exchange pending: the raw one goes first.)
  raw = RawClient(keyd_.runtime_dir());
  EXPECT_TRUE(eventually([&] { return client.login("alice", "wrong") == KEYCLIENT_DENIED; }))
      << keyclient_error();
  EXPECT_NE(std::string(keyclient_error()).find("not sent"), std::string::npos) << keyclient_error();
  EXPECT_TRUE(keyd_.wait_for_log("reason=\"given-up\"")) << keyd_.log();
  EXPECT_EQ(keyd_.log().find("alarm"), std::string::npos);
  EXPECT_EQ(client.login("alice", "right"), KEYCLIENT_OK) << keyclient_error();
}

TEST_F(Kryptoknight, AnAnswerThatNobodyMadeUseOfIsATry) {
  for (int i = 0; i < 5; ++i) {
    RawClient raw(keyd_.runtime_dir());
    ASSERT_TRUE(raw.begin_knight(RawClient::knight_choice("nobody"))) << raw.last_packet.ShortDebugString();
  }
  // Told once it is counted for good: it outlives keyd.
  EXPECT_TRUE(eventually([&] { return count_in_log("reason=\"unknown-user\"") == 5; }));
  keyd_.kill();
  const BootTime begun = boot_now();
  ASSERT_TRUE(keyd_.start()) << keyd_.log();
  std::size_t tries = 5;
  for (bool refused = false; !refused; tries += !refused) {
    ASSERT_LE(tries, static_cast<std::size_t>(bearable_failures(begun)));
    EXPECT_TRUE(eventually([&] { return count_in_log("reason=\"unknown-user\"") == tries; }));
    RawClient raw(keyd_.runtime_dir());
    refused = !raw.begin_knight(RawClient::knight_choice("nobody"));
    EXPECT_TRUE(!refused || raw.last_packet.refused().code() == wire::REFUSAL_THROTTLED);
  }
  RawClient other(keyd_.runtime_dir());
  EXPECT_TRUE(other.begin_knight(RawClient::knight_choice("alice")));
}

// A server that does not know the hash: with another one, or none at all.
TEST_F(Kryptoknight, APasswordIsNotSentToAServerThatDoesNotKnowItsHash) {
  const std::string directory = keyd_.directory() + "/impostor";
  std::filesystem::create_directory(directory);
  const UniqueFd listener(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  (directory + "/keyd.sock").copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(listener.get(), 8), 0);
  for (const wire::Suite suite : {wire::SUITE_MODERN, wire::SUITE_HISTORIC}) {
    SCOPED_TRACE(wire::Suite_Name(suite));
    std::size_t came = 0;
    std::thread impostor([&] {
      Bytes buffer(wire::kMaxPacket);
      int connection = -1;
      wire::Received received;
      do {  // the first one only looks whether somebody is there
        ::close(connection);
        connection = ::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC);
        received = wire::receive_packet(connection, buffer);
      } while (received.outcome != wire::ReceiveOutcome::kPacket);
      wire::ClientPacket said;
      (void)wire::decode(ByteView(buffer).first(received.size), said);
      exchange::Resalting resalting;
      resalting.cost = 1;
      auto hash =
          exchange::make_password_hash(suite, bytes_of("another one"), resalting, crypto::fill_random);
      exchange::KryptoknightServer machine;
      const auto reply =
          machine.reply(ByteView(buffer).first(received.size), said.kryptoknight_start(), std::move(*hash),
                        wire::SALT_CARRIAGE_BESIDE_NONCE, crypto::fill_random);
      (void)wire::send_packet(connection, *reply);
      for (;; ++came) {
        received = wire::receive_packet(connection, buffer);
        if (received.outcome != wire::ReceiveOutcome::kPacket) break;
      }
      ::close(connection);
    });
    keyclient_options options{};
    options.size = sizeof options;
    options.runtime_dir = directory.c_str();
    keyclient_t* client = nullptr;
    keyclient_login login{};
    login.size = sizeof login;
    login.user = "alice";
    login.scheme = "kryptoknight";
    login.suite = suite == wire::SUITE_MODERN ? "modern" : "historic";
    login.password = "right";
    login.password_size = 5;
    ASSERT_EQ(keyclient_open(&options, &client), KEYCLIENT_OK);
    EXPECT_EQ(keyclient_authenticate(client, &login), KEYCLIENT_DENIED) << keyclient_error();
    keyclient_close(client);
    impostor.join();
    EXPECT_EQ(came, 0u) << "something was sent after the answer";
  }
}

TEST_F(Kryptoknight, NothingElseIsHeardBeforeThePassword) {
  RawClient raw(keyd_.runtime_dir());
  ASSERT_TRUE(raw.start(RawClient::knight_choice("alice")));
  wire::ClientPacket record;
  record.set_record(std::string(64, 'x'));
  ASSERT_TRUE(raw.send(record));
  EXPECT_EQ(raw.receive_message().refused().code(), wire::REFUSAL_OUT_OF_ORDER);
  EXPECT_TRUE(raw.closed_within(2));
  // Messages of the other exchange are none of this one.
  for (const bool knight : {true, false}) {
    RawClient other(keyd_.runtime_dir());
    if (knight) {
      ASSERT_TRUE(other.begin_knight(RawClient::knight_choice("alice")));
      wire::ClientPacket finished;
      finished.set_finished(std::string(61, 'x'));
      ASSERT_TRUE(other.send(finished));
    } else {
      ASSERT_TRUE(other.begin("alice"));
      wire::ClientPacket password;
      password.mutable_kryptoknight_password()->set_password(std::string(157, 'x'));
      ASSERT_TRUE(other.send(password));
    }
    EXPECT_EQ(other.receive_message().refused().code(), wire::REFUSAL_OUT_OF_ORDER);
    EXPECT_TRUE(other.closed_within(2));
  }
}

// ---- who exists

TEST_F(Kryptoknight, AnUnknownUserIsAnsweredLikeARealOneOverAndOver) {
  keyd_.enrol("challenged", "right");
  keyd_.enrol("disabled", "right", {"--scheme", "kryptoknight"});
  ASSERT_EQ(keyd_.keyadm({"user", "disable", "disabled"}).exit_code, 0);
  const auto answer = [&](const std::string& user, const char* password) {
    Forked client([&](Forked::Child& child) {
      RawClient raw(keyd_.runtime_dir());
      if (!raw.begin_knight(RawClient::knight_choice(user))) return 1;
      if (!raw.password_packet(password).empty()) return 2;
      child.say(to_hex(bytes_of(raw.last_packet.SerializeAsString())));
      return 0;
    });
    Bytes octets;
    const bool said = from_hex(client.hear(), octets);
    EXPECT_EQ(client.wait(), 0) << user;
    wire::ServerPacket packet;
    EXPECT_TRUE(said && packet.ParseFromArray(octets.data(), static_cast<int>(octets.size())));
    return std::pair(octets.size(), packet.kryptoknight_reply());
  };
  std::set<std::size_t> sizes;
  std::map<std::string, std::set<std::string>> salts;
  for (int round = 0; round < 3; ++round) {
    if (round == 2) {
      keyd_.stop();
      ASSERT_TRUE(keyd_.start()) << keyd_.log();
    }
    for (const char* user : {"alice", "nobody", "disabled", "challenged"}) {
      const auto [size, reply] = answer(user, user == std::string("alice") ? "wrong" : "right");
      sizes.insert(size);
      salts[user].insert(reply.salt());
      EXPECT_EQ(reply.setting_head(), "$y$j75$") << user;
      EXPECT_EQ(reply.salt().size(), 22u) << user;
      EXPECT_EQ(reply.wrapped_key().size(), 48u);
    }
  }
  EXPECT_EQ(sizes.size(), 1u);
  for (const auto& [user, seen] : salts)
    EXPECT_EQ(seen.size(), 1u) << user << "'s salt changed over failures";
  EXPECT_TRUE(keyd_.wait_for_log("user-disabled"));
  EXPECT_TRUE(keyd_.wait_for_log("scheme-not-enrolled"));
  EXPECT_TRUE(keyd_.wait_for_log("unknown-user"));
}

class KryptoknightStandIns : public Kryptoknight {
 protected:
  KryptoknightStandIns() : Kryptoknight(std::string(kCheap) + kUnlimitedTries) {}
};
// A name that nobody has could be of a user who was imported: with N such users, so many names in as many.
TEST_F(KryptoknightStandIns, NamesThatNobodyHasHaveTheSettingsThatUsersHave) {
  for (int i = 0; i < 3; ++i) {
    const std::string line = "old" + std::to_string(i) + ":$1$aaaaaaa" + std::to_string(i) +
                             "$PgTpEYMYYDXo1YpzZT5nX0:19000:0:99999:7:::\n";
    ASSERT_EQ(keyd_.keyadm({"user", "import", "--format", "shadow", "-"}, line).exit_code, 0);
  }
  // Three users of four. Which names these are is settled by the store's key: they are the same whenever they are asked
  // for, once keyd has looked at the store again. Out of bounds once in 10^9 keys.
  int old = 0;
  const auto are_as_many = [&] {
    old = 0;
    for (int i = 0; i < 80; ++i) {
      RawClient raw(keyd_.runtime_dir());
      EXPECT_TRUE(raw.begin_knight(RawClient::knight_choice("nobody" + std::to_string(i))))
          << raw.last_packet.ShortDebugString();
      const auto& reply = raw.last_packet.kryptoknight_reply();
      old += reply.setting_head() == "$1$";
      EXPECT_EQ(reply.salt().size(), reply.setting_head() == "$1$" ? 8u : 22u);
    }
    return old > 30 && old < 80;
  };
  EXPECT_TRUE(eventually(are_as_many, 60)) << old;
}

// ---- the stored hash

// A shadow file that the machine's own tools have made, of each kind that they make. Who was locked stays so; who has
// no password is passed over.
TEST_F(Kryptoknight, UsersOfAShadowFileLogInAndGetASaltOfOurOwn) {
  if (::getuid() != 0) GTEST_SKIP() << "needs root, for chpasswd(8)";
  const std::string root = keyd_.directory() + "/root";
  std::filesystem::create_directories(root + "/etc");
  const std::vector<std::pair<std::string, std::string>> kMethods = {
      {"YESCRYPT", "$y$"}, {"SHA512", "$6$"}, {"SHA256", "$5$"}, {"MD5", "$1$"}};
  {
    std::ofstream passwd(root + "/etc/passwd"), shadow(root + "/etc/shadow");
    passwd << "root:x:0:0::/:/bin/sh\n";
    for (const char* user : {"YESCRYPT", "SHA512", "SHA256", "MD5", "locked", "nologin"}) {
      passwd << user << ":x:1000:1000::/:/bin/sh\n";
      shadow << user << ":!:19000:0:99999:7:::\n";
    }
  }
  const auto chpasswd = [&](const std::string& user, const std::string& method) {
    return testing::run({"/usr/sbin/chpasswd", "-R", root, "-c", method}, user + ":right\n").exit_code;
  };
  for (const auto& [method, prefix] : kMethods) ASSERT_EQ(chpasswd(method, method), 0);
  ASSERT_EQ(chpasswd("locked", "YESCRYPT"), 0);
  ASSERT_EQ(testing::run({"/usr/bin/passwd", "-q", "-R", root, "-l", "locked"}).exit_code, 0);
  const auto imported = keyd_.keyadm({"user", "import", "--format", "shadow", root + "/etc/shadow"});
  EXPECT_EQ(imported.exit_code, 0) << imported.out << imported.err;
  for (const auto& [method, prefix] : kMethods) {
    SCOPED_TRACE(method);
    EXPECT_TRUE(setting(method).starts_with(prefix)) << setting(method);
    Client client(keyd_);
    EXPECT_EQ(client.login(method, "wrong"), KEYCLIENT_DENIED);
    EXPECT_EQ(client.login(method, "right"), KEYCLIENT_OK) << keyclient_error();
    EXPECT_TRUE(setting(method).starts_with("$y$j75$")) << setting(method);
    EXPECT_EQ(client.login(method, "right"), KEYCLIENT_OK) << "after re-salting: " << keyclient_error();
  }
  // keyd hears of an earlier client's end in its own time.
  const auto comes_to = [&](const std::string& user, keyclient_status status) {
    return eventually([&] { return Client(keyd_).login(user, "right") == status; });
  };
  EXPECT_TRUE(comes_to("locked", KEYCLIENT_DENIED)) << keyclient_error();
  ASSERT_EQ(keyd_.keyadm({"user", "unlock", "locked"}).exit_code, 0);
  EXPECT_TRUE(comes_to("locked", KEYCLIENT_OK)) << keyclient_error();
  EXPECT_TRUE(comes_to("nologin", KEYCLIENT_DENIED)) << keyclient_error();
  EXPECT_NE(keyd_.keyadm({"user", "show", "nologin"}).exit_code, 0);
}

class KryptoknightSalt : public Kryptoknight, public ::testing::WithParamInterface<const char*> {
 protected:
  KryptoknightSalt() : Kryptoknight(std::string(kCheap) + "salt = \"" + GetParam() + "\"\n") {}
};
TEST_P(KryptoknightSalt, ReachesTheClientAsItIsSetAndIsRenewed) {
  keyd_.enrol("old", "right", {"--scheme", "kryptoknight", "--allow-historic"});
  for (const wire::Suite suite : {wire::SUITE_MODERN, wire::SUITE_HISTORIC}) {
    SCOPED_TRACE(wire::Suite_Name(suite));
    std::set<std::string> salts;
    for (int i = 0; i < 3; ++i) {
      Forked client([&](Forked::Child& child) {
        RawClient raw(keyd_.runtime_dir());
        if (!raw.begin_knight(RawClient::knight_choice("old", suite))) return 1;
        const wire::KryptoknightReply reply = raw.last_packet.kryptoknight_reply();
        const std::string way = GetParam();
        if (reply.salt_carriage() != (way == "nonce"         ? wire::SALT_CARRIAGE_IS_NONCE
                                      : way == "nonce-start" ? wire::SALT_CARRIAGE_STARTS_NONCE
                                                             : wire::SALT_CARRIAGE_BESIDE_NONCE)) {
          return 2;
        }
        if (reply.salt().empty() != (way != "beside")) return 3;
        child.say(to_hex(raw.knight->how().salt) + raw.knight->how().setting.salt);
        return raw.prove_knight("right") ? 0 : 4;
      });
      salts.insert(client.hear());
      EXPECT_EQ(client.wait(), 0);
    }
    EXPECT_EQ(salts.size(), 3u);
  }
}
INSTANTIATE_TEST_SUITE_P(Ways, KryptoknightSalt, ::testing::Values("beside", "nonce", "nonce-start"),
                         [](const auto& way) {
                           std::string name = way.param;
                           std::erase(name, '-');
                           return name;
                         });

TEST_F(Kryptoknight, SixtyFourLoginsOfOneUserAtOnceAllSucceed) {
  std::vector<std::unique_ptr<Forked>> clients;
  for (int i = 0; i < 64; ++i) {
    clients.push_back(std::make_unique<Forked>([&](Forked::Child& child) {
      Client client(keyd_);
      child.say("ready");
      child.hear();
      if (client.login("alice", "right") != KEYCLIENT_OK) {
        child.say(keyclient_error());
        return 1;
      }
      return client.credential() == "the token" ? 0 : 2;
    }));
  }
  for (const auto& client : clients) ASSERT_EQ(client->hear(), "ready");
  for (const auto& client : clients) client->say("go");
  int succeeded = 0;
  for (const auto& client : clients) {
    const int code = client->wait();
    succeeded += code == 0;
    EXPECT_EQ(code, 0) << client->hear();
  }
  EXPECT_EQ(succeeded, 64);
  Client afterwards(keyd_);
  EXPECT_EQ(afterwards.login("alice", "right"), KEYCLIENT_OK) << keyclient_error();
}

// The thief's way: the session opens, for he has what it takes; the password he has not.
TEST_F(Kryptoknight, AStolenHashOpensTheSessionAndNoMoreAndSoundsTheAlarm) {
  keyd_.enrol("old", "right", {"--scheme", "kryptoknight", "--allow-historic"});
  for (const wire::Suite suite : {wire::SUITE_MODERN, wire::SUITE_HISTORIC}) {
    SCOPED_TRACE(wire::Suite_Name(suite));
    const auto hash = stolen("old", suite);
    const Bytes octets(hash.hash.reveal().begin(),
                       hash.hash.reveal().end());  // locked memory is not inherited
    const Forked thief([&](Forked::Child& child) {
      RawClient raw(keyd_.runtime_dir());
      if (!raw.begin_knight(RawClient::knight_choice("old", suite))) return 1;
      if (!raw.knight->open_session(secret::SecretBuffer::copy_of(octets))) return 2;
      const auto packet = raw.knight->send_password(bytes_of("a guess"));
      if (!packet || !raw.send(*packet)) return 3;
      child.say(raw.receive_message().has_denied() ? "denied" : "not denied");
      child.hear();
      return 0;
    });
    EXPECT_EQ(thief.hear(), "denied");
    EXPECT_NE(keyd_.state_of(thief.pid()), "COMPLETE");
  }
  EXPECT_TRUE(keyd_.wait_for_log("alarm.stolen-hash"));
  const std::string alarm = line_of("alarm.stolen-hash");
  EXPECT_NE(alarm.find("user=\"old\""), std::string::npos) << alarm;
  EXPECT_TRUE(keyd_.wait_for_log("reason=\"wrong-password\""));
  Client owner(keyd_);
  EXPECT_EQ(owner.login("old", "right"), KEYCLIENT_OK) << keyclient_error();
}

// What is in the session need not be a password at all: the alarm is about who could open it. Whoever could not sounds
// none, however he writes to us.
TEST_F(Kryptoknight, OnlyAnOpenedSessionSoundsTheAlarm) {
  for (const std::size_t size : {std::size_t{0}, std::size_t{29}, std::size_t{157}, std::size_t{2000}}) {
    Forked stranger([&](Forked::Child& child) {
      RawClient raw(keyd_.runtime_dir());
      if (!raw.begin_knight(RawClient::knight_choice("alice"))) return 1;
      wire::ClientPacket packet;
      packet.mutable_kryptoknight_password()->set_password(std::string(size, '\x04'));
      packet.mutable_kryptoknight_password()->set_finished(std::string(61, '\x01'));
      if (!raw.send(packet)) return 2;
      child.say(raw.receive_message().has_denied() ? "denied" : "not denied");
      return 0;
    });
    EXPECT_EQ(stranger.hear(), "denied") << size;
  }
  EXPECT_EQ(count_in_log("alarm"), 0u) << line_of("alarm");
}

// What an administrator does between the session's opening and the end of the check counts: before the password comes,
// and while it is thought about.
class KryptoknightSlow : public Kryptoknight {
 protected:
  KryptoknightSlow() : Kryptoknight("[kryptoknight]\ncost = 6\n") {}
  struct Change {
    std::vector<std::string> command;
    std::string input;
  };
  // Logs a new user in, and makes the change before the password comes or (`late`) when it has been sent. True when the
  // login was through before the change was; then the change has ended its session.
  bool is_through_before(const Change& change, const std::string& user, bool late) {
    keyd_.enrol(user, "right", {"--scheme", "kryptoknight"});
    Forked client([&](Forked::Child& child) {
      RawClient raw(keyd_.runtime_dir());
      if (!raw.begin_knight(RawClient::knight_choice(user))) return 1;
      const Bytes packet = raw.password_packet("right");
      if (packet.empty()) return 2;
      if (late && !raw.send(packet)) return 3;
      child.say("opened");
      child.hear();
      if (!late) raw.send(packet);
      child.say(raw.receive_message().has_finished() ? "through" : "not");
      child.hear();
      return 0;
    });
    EXPECT_EQ(client.hear(), "opened");
    auto command = change.command;
    std::ranges::replace(command, std::string("USER"), user);
    EXPECT_EQ(keyd_.keyadm(command, change.input).exit_code, 0);
    client.say("go on");
    const std::string said = client.hear();
    EXPECT_TRUE(said == "through" || said == "not") << said;
    EXPECT_TRUE(eventually([&] { return keyd_.state_of(client.pid()) != "COMPLETE"; })) << "undone";
    return said == "through";
  }
  void expect_made(const Change& change, const std::string& user) {
    if (change.command[1] == "disable") {
      EXPECT_EQ(shown(user)["state"], "disabled");
    } else if (change.command[1] == "remove") {
      EXPECT_NE(keyd_.keyadm({"user", "show", user}).exit_code, 0);
    } else {
      Client client(keyd_);  // keyd hears of an earlier client's end in its own time
      EXPECT_TRUE(eventually([&] { return client.login(user, "right") == KEYCLIENT_DENIED; }));
      EXPECT_TRUE(eventually([&] { return client.login(user, "another") == KEYCLIENT_OK; }))
          << keyclient_error();
    }
  }
};
TEST_F(KryptoknightSlow, AChangeInBetweenIsNotUndone) {
  const Change kChanges[] = {{{"user", "passwd", "USER", "--password-fd", "0"}, "another\n"},
                             {{"user", "disable", "USER"}, {}},
                             {{"user", "remove", "USER"}, {}}};
  int number = 0;
  for (const bool late : {false, true}) {
    for (const Change& change : kChanges) {
      // A late change races with the login's hash, and is to win at least once: a new password has no chance to, for it
      // is hashed itself, behind the login's.
      const bool may_lose = late && change.command[1] == "passwd";
      bool won = false;
      for (int tries = 0; tries < (late && !may_lose ? 10 : 1) && !won; ++tries) {
        const std::string user = "user" + std::to_string(++number);
        SCOPED_TRACE(user + ": " + change.command[1]);
        won = !is_through_before(change, user, late);
        expect_made(change, user);
      }
      EXPECT_TRUE(won || may_lose) << change.command[1] << (late ? " late" : "");
    }
  }
  EXPECT_EQ(keyd_.log().find("alarm"), std::string::npos)
      << "an old password is no theft: " << line_of("alarm");
}

// ---- keys for single commands

TEST_F(Kryptoknight, EachCommandHasAKeyOfItsOwnWhereThatIsWanted) {
  Client client(keyd_);
  ASSERT_EQ(client.login("alice", "right", "modern", 1), KEYCLIENT_OK) << keyclient_error();
  std::uint32_t last = 0;
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(client.credential(), "the token") << keyclient_error();
    keyclient_identity me{};
    me.size = sizeof me;
    ASSERT_EQ(keyclient_whoami(client.handle, &me), KEYCLIENT_OK);
    EXPECT_EQ(me.epoch, i == 0 ? 0 : last + 1) << "no new key for the command";
    last = me.epoch;
  }
  int socket = -1, keys = -1;
  EXPECT_EQ(keyclient_plan_exec(client.handle, &socket, &keys), KEYCLIENT_UNSUPPORTED);
  EXPECT_EQ(client.credential(), "the token") << keyclient_error();
}

TEST_F(Kryptoknight, ACommandUnderAUsedKeyIsRefused) {
  RawClient raw(keyd_.runtime_dir());
  auto choice = RawClient::knight_choice("alice");
  choice.set_per_command(true);
  ASSERT_TRUE(raw.authenticate_knight(choice, "right"));
  wire::SessionRequest whoami;
  whoami.mutable_whoami();
  auto reply = raw.ask(whoami);
  ASSERT_TRUE(reply && reply->has_whoami());
  reply = raw.ask(whoami);
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->refused().code(), wire::REFUSAL_OUT_OF_ORDER);
  // A nonce of another size makes no key; a good one does, for one command.
  wire::SessionRequest fresh;
  fresh.mutable_fresh_key()->set_client_nonce("short");
  reply = raw.ask(fresh);
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->refused().code(), wire::REFUSAL_MALFORMED);
  exchange::CommandKeyRequest asked;
  *fresh.mutable_fresh_key() = *asked.ask(crypto::fill_random);
  reply = raw.ask(fresh);
  ASSERT_TRUE(reply && reply->has_fresh_key());
  // Who does not know the hash has nothing of it.
  exchange::CommandKeyRequest other = asked;
  EXPECT_FALSE(other.take(reply->fresh_key(), wire::SUITE_MODERN, bytes_of("another hash"), "localhost"));
  const auto hash = raw.knight->take_hash();
  const auto key = asked.take(reply->fresh_key(), wire::SUITE_MODERN, hash.reveal(), "localhost");
  ASSERT_TRUE(key) << key.error().message();
  raw.channel->advance_with_key(asked.client_nonce(), bytes_of(reply->fresh_key().server_nonce()),
                                key->reveal());
  reply = raw.ask(whoami);
  ASSERT_TRUE(reply && reply->has_whoami());
}

TEST_F(Kryptoknight, KeysForCommandsAreOnlyHadWhereTheLoginSaidSo) {
  RawClient raw(keyd_.runtime_dir());
  ASSERT_TRUE(raw.authenticate_knight(RawClient::knight_choice("alice"), "right"));
  wire::SessionRequest fresh;
  fresh.mutable_fresh_key()->set_client_nonce(std::string(16, 'n'));
  const auto reply = raw.ask(fresh);
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->refused().code(), wire::REFUSAL_OUT_OF_ORDER);
}

// ---- the historic suite

TEST_F(Kryptoknight, TheHistoricSuiteIsByNameByPolicyAndMarked) {
  keyd_.enrol("old", "right", {"--scheme", "kryptoknight", "--allow-historic"});
  Client client(keyd_);
  EXPECT_EQ(client.login("alice", "right", "historic"), KEYCLIENT_DENIED);
  EXPECT_TRUE(keyd_.wait_for_log("historic-not-allowed"));
  const std::string before = shown("old")["md5_salt"], crypt_before = setting("old");
  ASSERT_EQ(client.login("old", "right", "historic"), KEYCLIENT_OK) << keyclient_error();
  keyclient_identity me{};
  me.size = sizeof me;
  ASSERT_EQ(keyclient_whoami(client.handle, &me), KEYCLIENT_OK);
  EXPECT_STREQ(me.suite, "historic");
  EXPECT_STREQ(me.scheme, "kryptoknight");
  EXPECT_NE(shown("old")["md5_salt"], before);
  EXPECT_EQ(setting("old"), crypt_before) << "each suite renews its own salt";
  for (int i = 0; i < 3; ++i) {
    Client more(keyd_);
    ASSERT_EQ(client.login("old", "right", "historic", 1), KEYCLIENT_OK) << keyclient_error();
    keyclient_echo(client.handle, "x", 1, me.user);
  }
}

class KryptoknightUnsalted : public Kryptoknight {
 protected:
  KryptoknightUnsalted() : Kryptoknight(std::string(kCheap) + "historic_salt = false\n") {}
};
// Figures 3 and 4.
TEST_F(KryptoknightUnsalted, TheMd5OfThePasswordAloneServesToo) {
  keyd_.enrol("old", "right", {"--scheme", "kryptoknight", "--allow-historic"});
  RawClient raw(keyd_.runtime_dir());
  ASSERT_TRUE(raw.begin_knight(RawClient::knight_choice("old", wire::SUITE_HISTORIC)));
  EXPECT_EQ(raw.last_packet.kryptoknight_reply().salt_carriage(), wire::SALT_CARRIAGE_NONE);
  EXPECT_TRUE(raw.prove_knight("right"));
}

TEST(KryptoknightPolicy, TheHistoricSuiteIsOffByDefault) {
  PrivateKeyd keyd(kCheap);
  ASSERT_TRUE(keyd.start()) << keyd.log();
  RawClient raw(keyd.runtime_dir());
  EXPECT_FALSE(raw.start(RawClient::knight_choice("alice", wire::SUITE_HISTORIC)));
  EXPECT_EQ(raw.last_packet.refused().code(), wire::REFUSAL_POLICY);
}

}  // namespace
}  // namespace keyd::testing
