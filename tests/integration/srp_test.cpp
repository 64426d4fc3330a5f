// The exchange srp against a real keyd: what is marked when, who is denied, and that denials are alike.
#include <gtest/gtest.h>
#include <keyclient/keyclient.h>
#include <unistd.h>

#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "core/crypto/random.h"
#include "keyd/sqlite_user_store.h"
#include "tests/support/eventually.h"
#include "tests/support/forked.h"
#include "tests/support/library_client.h"
#include "tests/support/private_keyd.h"
#include "tests/support/raw_client.h"
#include "tests/support/wide_limits.h"

namespace keyd::testing {
namespace {

using Json = nlohmann::json;

class Srp : public ::testing::Test {
 protected:
  Srp() : keyd_("[historic]\nenabled = true\n" + std::string(kUnlimitedTries)) {}
  void SetUp() override {
    ASSERT_TRUE(keyd_.start()) << keyd_.log();
    keyd_.enrol("alice", "right", {"--scheme", "srp"});
    keyd_.set_credential("alice", "token", "the token");
  }
  keyclient_status login(const std::string& user, const std::string& password, const char* suite = "modern",
                         const char* interleave = nullptr) {
    client_.suite = suite;
    client_.interleave = interleave;
    return client_.login(user, password);
  }
  bool comes_to(const std::string& user, const std::string& password, keyclient_status status,
                const char* suite = "modern", const char* interleave = nullptr) {
    return eventually([&] { return login(user, password, suite, interleave) == status; });
  }
  PrivateKeyd keyd_;
  LibraryClient client_{keyd_.runtime_dir()};
};

TEST_F(Srp, MarksTheProcessPendingThenCompleteAndForgetsItWhenItIsKilled) {
  Forked client([&](Forked::Child& child) {
    RawClient raw(keyd_.runtime_dir());
    if (!raw.start(RawClient::srp_choice("alice"))) return 1;
    child.say("keyed");
    child.hear();
    // Both proofs are verified, and still it is not complete: the client's Finished is.
    if (!raw.ask_srp(raw.srp->prove(bytes_of("right")))) return 2;
    child.say("proven");
    child.hear();
    return 0;
  });
  ASSERT_EQ(client.hear(), "keyed");
  EXPECT_EQ(keyd_.state_of(client.pid()), "PENDING");
  client.say("go on");
  ASSERT_EQ(client.hear(), "proven");
  EXPECT_EQ(keyd_.state_of(client.pid()), "PENDING");
  Forked whole([&](Forked::Child& child) {
    RawClient raw(keyd_.runtime_dir());
    if (!raw.start(RawClient::srp_choice("alice")) || !raw.prove_srp("right")) return 1;
    child.say("established");
    child.hear();
    return 0;
  });
  ASSERT_EQ(whole.hear(), "established");
  const auto task = Json::parse(keyd_.keystat({std::to_string(whole.pid()), "-o", "json"}).out)["tasks"][0];
  EXPECT_EQ(task["state"], "COMPLETE");
  EXPECT_EQ(task["scheme"], "srp");
  EXPECT_EQ(task["suite"], "modern");
  whole.kill();
  EXPECT_TRUE(keyd_.wait_for_state(whole.pid(), "", 10.0));
}

// Its number in the EAP packets is a setting that both ends have to have.
TEST(SrpVendor, AKeydWithAnotherNumberServesWhoWasToldItAndNobodyElse) {
  constexpr std::uint32_t kVendor = 0xabcdef;
  PrivateKeyd keyd("[srp]\nvendor_id = 11259375\n" + std::string(kUnlimitedTries));
  ASSERT_TRUE(keyd.start()) << keyd.log();
  keyd.enrol("alice", "right", {"--scheme", "srp"});
  const auto keyrun = [&](const std::vector<std::string>& more) {
    std::vector<std::string> command{program("keyrun"), "--runtime-dir", keyd.runtime_dir(),
                                     "--scheme",        "srp",           "--user",
                                     "alice",           "--password-fd", "0"};
    command.insert(command.end(), more.begin(), more.end());
    command.insert(command.end(), {"--", "/bin/true"});
    return testing::run(command, "right\n").exit_code;
  };
  EXPECT_EQ(keyrun({"--vendor-id", std::to_string(kVendor)}), 0);
  EXPECT_NE(keyrun({}), 0);
  EXPECT_NE(keyrun({"--vendor-id", "1"}), 0);
  EXPECT_EQ(keyrun({"--vendor-id", "16777216"}), 2);

  const auto changed = testing::run(
      {program("keypasswd"), "--runtime-dir", keyd.runtime_dir(), "--user", "alice", "--vendor-id",
       std::to_string(kVendor), "--old-password-fd", "0", "--new-password-fd", "0"},
      "right\ntwelve-6-otters\n");
  EXPECT_EQ(changed.exit_code, 0) << changed.err;

  keyclient_options options{};
  options.size = sizeof options;
  const std::string directory = keyd.runtime_dir();
  options.runtime_dir = directory.c_str();
  keyclient_t* client = nullptr;
  ASSERT_EQ(keyclient_open(&options, &client), KEYCLIENT_OK);
  const std::string password = "twelve-6-otters";
  keyclient_login login{};
  login.size = sizeof login;
  login.user = "alice";
  login.scheme = "srp";
  login.password = password.data();
  login.password_size = password.size();
  login.srp_vendor_id = 0x1000000;
  EXPECT_EQ(keyclient_authenticate(client, &login), KEYCLIENT_INVALID);
  login.srp_vendor_id = kVendor;
  EXPECT_EQ(keyclient_authenticate(client, &login), KEYCLIENT_OK) << keyclient_error();
  keyclient_close(client);
}

TEST_F(Srp, ServesTheLibraryAndKeyrun) {
  const auto run = testing::run(
      {program("keyrun"), "--runtime-dir", keyd_.runtime_dir(), "--scheme", "srp", "--user", "alice",
       "--password-fd", "0", "--credential", "token", "--", "/bin/sh", "-c", "cat <&$KEYD_CREDENTIAL_TOKEN"},
      "right\n");
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(run.out, "the token");
  ASSERT_EQ(login("alice", "right"), KEYCLIENT_OK) << keyclient_error();
  char value[16];
  std::size_t size = sizeof value;
  ASSERT_EQ(keyclient_credential(client_.handle(), "token", value, &size), KEYCLIENT_OK);
  EXPECT_EQ(std::string(value, size), "the token");
  EXPECT_EQ(keyclient_rekey(client_.handle()), KEYCLIENT_OK);
  EXPECT_TRUE(comes_to("alice", "wrong", KEYCLIENT_DENIED)) << keyclient_error();
}

TEST_F(Srp, TheHistoricSuiteIsByNameByPolicyAndMarkedInBothOrders) {
  keyd_.enrol("old", "right", {"--scheme", "srp", "--allow-historic"});
  EXPECT_EQ(login("alice", "right", "historic"), KEYCLIENT_DENIED);
  EXPECT_TRUE(keyd_.wait_for_log("historic-not-allowed"));
  for (const char* order : {"rfc2945", "stanford"}) {
    ASSERT_TRUE(comes_to("old", "right", KEYCLIENT_OK, "historic", order)) << keyclient_error();
    keyclient_identity me{};
    me.size = sizeof me;
    ASSERT_EQ(keyclient_whoami(client_.handle(), &me), KEYCLIENT_OK);
    EXPECT_STREQ(me.suite, "historic");
    EXPECT_STREQ(me.scheme, "srp");
    EXPECT_TRUE(comes_to("old", "wrong", KEYCLIENT_DENIED, "historic", order));
  }
  EXPECT_TRUE(comes_to("old", "right", KEYCLIENT_OK)) << "and the modern one: " << keyclient_error();
}

// Of everybody who is denied: the same sizes, and a salt that stays over failures and a restart.
TEST_F(Srp, AnUnknownUserIsAnsweredLikeARealOneOverAndOver) {
  keyd_.enrol("challenged", "right", {"--scheme", "challenge"});
  keyd_.enrol("disabled", "right", {"--scheme", "srp"});
  ASSERT_EQ(keyd_.keyadm({"user", "disable", "disabled"}).exit_code, 0);
  std::set<std::string> shapes;
  std::map<std::string, std::set<std::string>> salts;
  for (int round = 0; round < 3; ++round) {
    if (round == 2) {
      keyd_.stop();
      ASSERT_TRUE(keyd_.start()) << keyd_.log();
    }
    for (const char* user : {"alice", "nobody", "disabled", "challenged"}) {
      Forked client([&](Forked::Child& child) {
        RawClient raw(keyd_.runtime_dir());
        exchange::SrpClient machine(RawClient::srp_choice(user), {});
        if (!raw.ask_srp(machine.start(crypto::fill_random))) return 1;
        const std::string eap = raw.last_packet.srp().eap();
        // Expanded header 12, server random 32, derivation 4, name, salt.
        const std::size_t name = static_cast<unsigned char>(eap[48]),
                          salt = static_cast<unsigned char>(eap[49 + name]);
        child.say(to_hex(bytes_of(eap.substr(50 + name, salt))));
        std::string rest = eap.substr(44, 4) + eap.substr(50 + name + salt);
        child.say(std::to_string(eap.size()) + " " + std::to_string(salt) + " " + to_hex(bytes_of(rest)));
        raw = RawClient(keyd_.runtime_dir());
        if (!raw.begin_srp(RawClient::srp_choice(user))) return 2;
        return raw.prove_srp(user == std::string("alice") ? "wrong" : "right") ||
                       !raw.last_packet.has_denied()
                   ? 3
                   : 0;
      });
      salts[user].insert(client.hear());
      shapes.insert(client.hear());
      EXPECT_EQ(client.wait(), 0) << user;
    }
  }
  EXPECT_EQ(shapes.size(), 1u);
  for (const auto& [user, seen] : salts) EXPECT_EQ(seen.size(), 1u) << user << "'s salt changed";
  for (const char* reason : {"unknown-user", "user-disabled", "scheme-not-enrolled", "wrong-proof"})
    EXPECT_TRUE(keyd_.wait_for_log(reason)) << reason;
}

// What a login may not change of a user, from the store of a keyd that is stopped for it. Each sealing has a nonce of its
// own: the same octets were not written again.
auto record_in_store(PrivateKeyd& keyd, const std::string& name) {
  keyd.stop();
  daemon::StoredUser user;
  {
    const auto opened = daemon::SqliteUserStore::open(keyd.state_dir());
    const auto found = opened ? opened->users->find(name) : std::unexpected(opened.error());
    EXPECT_TRUE(found && *found);
    if (found && *found) user = **found;
  }
  EXPECT_TRUE(keyd.start()) << keyd.log();
  return std::tuple(user.id, user.version, user.state, user.schemes, user.password_changed,
                    to_hex(user.sealed_verifier), to_hex(user.sealed_historic_verifier));
}

TEST_F(Srp, ValuesThatMakeTheKeyKnownAreATryAndNoMore) {
  const auto shown = [&] { return Json::parse(keyd_.keyadm({"user", "show", "alice", "-o", "json"}).out); };
  const auto stored = record_in_store(keyd_, "alice");
  Json expected = shown();
  int tries = 0;
  const auto group = *exchange::SrpGroup::listed(exchange::kDefaultGroupBits);
  const Bytes n(group.modulus_octets().begin(), group.modulus_octets().end());
  const std::vector<Bytes> hostile = {{}, {0}, Bytes(384, 0), n, Bytes(385, 1), Bytes(390, 0xff)};
  for (const Bytes& A : hostile) {
    Forked attacker([&](Forked::Child& child) {
      RawClient raw(keyd_.runtime_dir());
      exchange::SrpClient machine(RawClient::srp_choice("alice"), {});
      if (!raw.ask_srp(machine.start(crypto::fill_random))) return 1;
      const auto eap = exchange::encode_srp_message(
          exchange::EapSrpForm::of_vendor(),
          {.code = exchange::EapCode::kResponse,
           .identifier = static_cast<std::uint8_t>(raw.last_packet.srp().eap()[1]),
           .subtype = exchange::SrpSubtype::kKey,
           .body = A});
      wire::ClientPacket packet;
      packet.mutable_srp()->set_eap(eap->data(), eap->size());
      if (!raw.send(packet)) return 2;
      child.say(raw.receive_message().has_denied() ? "denied" : "not denied");
      return 0;
    });
    EXPECT_EQ(attacker.hear(), "denied") << A.size() << " octets";
    EXPECT_EQ(attacker.wait(), 0);
    expected["failed_tries"] = ++tries;
    EXPECT_EQ(shown(), expected) << A.size() << " octets";
  }
  EXPECT_TRUE(keyd_.wait_for_log("bad-key"));
  EXPECT_EQ(record_in_store(keyd_, "alice"), stored);
}

// At each stage every message that is not the next one, the earlier ones again among them.
TEST_F(Srp, AMessageOutOfItsPlaceEndsTheExchangeAndMarksNobody) {
  enum Stage { kChallenged, kKeyed, kProven };
  const auto packet_of = [](auto fill) {
    wire::ClientPacket packet;
    fill(packet);
    return wire::encode(packet);
  };
  for (const Stage stage : {kChallenged, kKeyed, kProven}) {
    for (int message = 0; message < 8; ++message) {
      SCOPED_TRACE(std::to_string(stage) + " " + std::to_string(message));
      Forked client([&](Forked::Child& child) {
        RawClient raw(keyd_.runtime_dir());
        exchange::SrpClient machine(RawClient::srp_choice("alice"), {});
        const auto start = machine.start(crypto::fill_random);
        if (!raw.ask_srp(start)) return 1;
        const auto key =
            machine.take_challenge(raw.last_octets(), raw.last_packet.srp(), crypto::fill_random_private);
        if (stage >= kKeyed &&
            (!raw.ask_srp(key) || !machine.take_key(raw.last_octets(), raw.last_packet.srp())))
          return 2;
        Result<Bytes> proof = fail(Code::kRefused, "none yet"), finished = fail(Code::kRefused, "none yet");
        if (stage >= kProven) {
          proof = machine.prove(bytes_of("right"));
          if (!raw.ask_srp(proof)) return 3;
          finished = machine.take_proof(raw.last_octets(), raw.last_packet.srp());
        }
        Bytes said;
        switch (message) {
          case 0: said = *start; break;
          case 1: said = stage == kChallenged ? Bytes{} : *key; break;
          case 2: said = stage == kProven ? *proof : Bytes{}; break;
          case 3:
            said = packet_of([](wire::ClientPacket& p) { p.set_finished(std::string(61, '\x01')); });
            break;
          case 4:
            said = packet_of([](wire::ClientPacket& p) { p.set_record(std::string(64, '\x02')); });
            break;
          case 5:
            said = packet_of([](wire::ClientPacket& p) {
              p.mutable_kryptoknight_password()->set_password(std::string(157, '\x04'));
            });
            break;
          case 6:
            said = packet_of([](wire::ClientPacket& p) {
              p.mutable_srp()->set_eap(std::string("\x02\x01\x00\x05\x13", 5));
            });
            break;
          default:
            // The next one itself, with one bit of its last octet changed.
            said = stage == kChallenged ? *key
                   : stage == kKeyed    ? *machine.prove(bytes_of("right"))
                                        : *finished;
            said.back() ^= 1;
            break;
        }
        if (!said.empty() && !raw.send(said)) return 4;
        wire::ServerPacket answer = said.empty() ? wire::ServerPacket() : raw.receive_message();
        // A changed A is no mistake that keyd could know of: the proof will be.
        const bool goes_on = stage == kChallenged && message == 7 && answer.has_srp();
        child.say(said.empty() || goes_on || answer.has_denied() || answer.has_refused()
                      ? "out"
                      : answer.ShortDebugString());
        child.hear();
        return 0;
      });
      EXPECT_EQ(client.hear(), "out");
      EXPECT_NE(keyd_.state_of(client.pid()), "COMPLETE");
      client.say("done");
      EXPECT_EQ(client.wait(), 0);
    }
  }
  EXPECT_TRUE(comes_to("alice", "right", KEYCLIENT_OK)) << keyclient_error();
}

TEST_F(Srp, APasswordThatIsChangedMeanwhileLetsNobodyIn) {
  Forked client([&](Forked::Child& child) {
    RawClient raw(keyd_.runtime_dir());
    if (!raw.begin_srp(RawClient::srp_choice("alice"))) return 1;
    child.say("keyed");
    child.hear();
    return raw.prove_srp("right") ? 2 : 0;
  });
  ASSERT_EQ(client.hear(), "keyed");
  ASSERT_EQ(keyd_.keyadm({"user", "passwd", "alice", "--password-fd", "0"}, "another\n").exit_code, 0);
  client.say("go on");
  EXPECT_EQ(client.wait(), 0);
  EXPECT_TRUE(comes_to("alice", "right", KEYCLIENT_DENIED));
  EXPECT_TRUE(comes_to("alice", "another", KEYCLIENT_OK)) << keyclient_error();
}

TEST_F(Srp, ManyProcessesAtOnceAllGetIn) {
  std::vector<std::unique_ptr<Forked>> clients;
  for (int i = 0; i < 16; ++i) {
    clients.push_back(std::make_unique<Forked>([&](Forked::Child&) {
      RawClient raw(keyd_.runtime_dir());
      return raw.start(RawClient::srp_choice("alice")) && raw.prove_srp("right") ? 0 : 1;
    }));
  }
  for (const auto& client : clients) EXPECT_EQ(client->wait(), 0);
}

TEST_F(Srp, IsLeftInTheMiddleWithoutATrace) {
  for (int i = 0; i < 20; ++i) {
    Forked client([&](Forked::Child& child) {
      RawClient raw(keyd_.runtime_dir());
      if (!raw.begin_srp(RawClient::srp_choice("alice"))) return 1;
      // While a worker has its proof, too.
      const auto proof = raw.srp->prove(bytes_of("right"));
      if (!proof || !raw.send(*proof)) return 2;
      child.say("sent");
      return 0;
    });
    EXPECT_EQ(client.hear(), "sent");
    EXPECT_EQ(client.wait(), 0);
  }
  EXPECT_TRUE(eventually([&] { return Json::parse(keyd_.keystat({"-o", "json"}).out)["tasks"].empty(); }));
  EXPECT_EQ(login("alice", "right"), KEYCLIENT_OK) << keyclient_error();
}

}  // namespace
}  // namespace keyd::testing
