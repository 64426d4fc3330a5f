// Clients, attackers and keyd itself in pid and user namespaces: who can be named is served under keyd's
// numbering, who cannot is turned away, and what is forged inside a namespace harms nobody outside.
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <fstream>

#include "tests/adversarial/besieged_keyd.h"
#include "tests/adversarial/client_messages.h"
#include "tests/adversarial/speakers.h"
#include "tests/support/tier_under_test.h"

namespace keyd::testing {
namespace {

constexpr unsigned kStranger = 65534;

// Runs `body` as the first process of a new pid namespace; its exit code. `told` is given its number out
// here.
int in_pid_namespace(
    const std::function<int()>& body, const std::function<void(pid_t)>& told = [](pid_t) {}) {
  if (::unshare(CLONE_NEWPID) != 0) return 100;
  const pid_t child = ::fork();
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::_exit(body());
  }
  told(child);
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 101;
}

// Becomes root of a user namespace that any user can make, with nobody but itself in it.
bool become_root_of_a_user_namespace() {
  if (::setgroups(0, nullptr) != 0 || ::setresgid(kStranger, kStranger, kStranger) != 0 ||
      ::setresuid(kStranger, kStranger, kStranger) != 0) {
    return false;
  }
  ::prctl(PR_SET_DUMPABLE, 1);  // else its files in /proc are root's
  if (::unshare(CLONE_NEWUSER) != 0) return false;
  std::ofstream("/proc/self/setgroups") << "deny";
  std::ofstream("/proc/self/uid_map") << "0 " << kStranger << " 1";
  std::ofstream("/proc/self/gid_map") << "0 " << kStranger << " 1";
  return ::getuid() == 0;
}

class Namespaces : public BesiegedKeyd {};

TEST_F(Namespaces, AProcessOfAChildNamespaceIsKnownByKeydsNumberAndIsTheOnlyOneThatIsMarked) {
  Forked inside([&](Forked::Child& child) {
    return in_pid_namespace(
        [&] {
          Conversation conversation(runtime_dir(), Stage::kEstablished);
          if (::getpid() != 1 || !conversation.reached()) return 1;
          child.say("in");
          child.hear();
          wire::SessionRequest whoami;
          whoami.mutable_whoami();
          return conversation.say(conversation.record(whoami)) == Answer{Said::kReply} ? 0 : 2;
        },
        [&](pid_t outside) { child.say(std::to_string(outside)); });
  });
  const std::string first = inside.hear(), second = inside.hear();  // in either order
  const pid_t pid = std::stoi(first == "in" ? second : first);
  EXPECT_EQ(standing_of(pid).state, KEYCLIENT_STATE_COMPLETE);
  accept_descriptors();  // it is there by right
  expect_unharmed_but_for(pid);
  inside.say("go on");
  EXPECT_EQ(inside.wait(), 0);
}

TEST_F(Namespaces, AConnectionThatWasMadeInsideAndHandedOutIsWorthNothingOutside) {
  std::array<int, 2> pair{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()), 0);
  for (const ClientMessage& message : client_messages()) {
    if (HasFailure()) return;
    SCOPED_TRACE(message.name);
    Forked inside([&](Forked::Child& child) {
      if (!become_root_of_a_user_namespace()) return 1;
      return in_pid_namespace([&] {
        auto conversation = std::make_unique<Conversation>(runtime_dir(), message.home, "bob", "other");
        const Bytes packet = message.make(*conversation);
        if (!wire::send_packet(pair[1], packet, conversation->raw.descriptor())) return 2;
        child.hear();
        ::_exit(0);
      });
    });
    Bytes packet(wire::kMaxPacket);
    auto received = wire::receive_packet(pair[0], packet);
    ASSERT_TRUE(received.descriptor.valid());
    packet.resize(received.size);
    ASSERT_TRUE(wire::send_packet(received.descriptor.get(), packet));
    Bytes answer(wire::kMaxPacket);
    const auto heard = wire::receive_packet(received.descriptor.get(), answer);
    wire::ServerPacket said;
    ASSERT_EQ(wire::decode(ByteView(answer).first(heard.size), said), wire::Decoded::kMessage);
    EXPECT_EQ(said.refused().code(), wire::REFUSAL_SENDER) << said.ShortDebugString();
    inside.say("end");
    EXPECT_EQ(inside.wait(), 0);
    expect_unharmed(::getpid(), Standing());
  }
  ::close(pair[0]);
  ::close(pair[1]);
}

TEST_F(Namespaces, RootOfAnUnprivilegedNamespaceCanSpeakInNobodysNameOutside) {
  const pid_t target = ::getpid();
  for (const ClientMessage& message : client_messages()) {
    if (HasFailure()) return;
    for (const pid_t claimed : {pid_t{1}, pid_t{2}, pid_t{0}, target, keyd_.pid()}) {
      SCOPED_TRACE(std::string(message.name) + " in the name of " + std::to_string(claimed));
      Conversation conversation(runtime_dir(), message.home);
      ASSERT_TRUE(conversation.reached());
      const Standing before = standing_of(target);
      const Bytes good = message.make(conversation);
      Forked attacker([&](Forked::Child&) {
        if (!become_root_of_a_user_namespace()) return 2;
        return in_pid_namespace(
            [&] { return send_as(conversation.raw.descriptor(), good, claimed, 0, 0) ? 0 : 1; });
      });
      const int outcome = attacker.wait();
      ASSERT_LT(outcome, 2) << "there is no such namespace";
      if (outcome == 0) {
        EXPECT_EQ(conversation.hear(), (Answer{Said::kRefused, wire::REFUSAL_SENDER}));
        expect_unharmed(target, before);
      } else {
        EXPECT_EQ(standing_of(target), before);
        EXPECT_EQ(conversation.say(good), message.answers[static_cast<std::size_t>(message.home)]);
        expect_unharmed_but_for(target);
      }
    }
  }
}

TEST_F(Namespaces, WhatIsForgedInsideANamespaceMarksNobodyOutside) {
  // Inside, its root may speak for its own processes (docs/threat-model.md): what comes of it stays there.
  Forked inside([&](Forked::Child& child) {
    if (!become_root_of_a_user_namespace()) return 1;
    return in_pid_namespace(
        [&] {
          Conversation conversation(runtime_dir(), Stage::kChallenged, "bob", "other");
          if (!conversation.reached()) return 2;
          const Bytes proof = conversation.proof();
          Forked forger(
              [&](Forked::Child&) { return send_as(conversation.raw.descriptor(), proof, 1, 0, 0) ? 0 : 1; });
          if (forger.wait() != 0) return 3;
          (void)conversation.hear();
          child.say("forged");
          child.hear();
          ::_exit(0);
        },
        [&](pid_t outside) { child.say(std::to_string(outside)); });
  });
  const std::string first = inside.hear(), second = inside.hear();
  const pid_t pid = std::stoi(first == "forged" ? second : first);
  accept_descriptors();
  expect_unharmed_but_for(pid);  // nobody else
  inside.say("end");
  EXPECT_EQ(inside.wait(), 0);
  expect_unharmed(::getpid(), Standing());
}

TEST(NamespacesOfKeyd, WhoLivesOutsideOrBesideItsNamespaceIsTurnedAwayAndWhoIsInsideIsServed) {
  if (::getuid() != 0) GTEST_SKIP() << "needs root to make a pid namespace";
  PrivateKeyd place(lenient_config(in_a_steady_tier()));
  const std::string at = " --runtime-dir " + place.runtime_dir();
  // The shell is the namespace's first process: everything inside ends with it.
  const std::string script =
      program("keyd") + " --config " + place.config_file() + at + " --state-dir " + place.state_dir() +
      " >/dev/null && echo right | " + program("keyadm") + at +
      " user add alice --scheme challenge --password-fd 0 >/dev/null && echo up; while read line; do echo right | " +
      program("keyrun") + at +
      " --user alice --scheme challenge --password-fd 0 -- /bin/echo in || echo out; done";
  BackgroundProcess inside({"/usr/bin/unshare", "--pid", "--fork", "--kill-child", "/bin/sh", "-c", script});
  ASSERT_EQ(inside.read_line(), "up");
  const auto turned_away = [&](const std::string& socket) {
    RawClient raw(place.runtime_dir(), socket);
    const auto packet = raw.receive();
    if (!packet) return false;
    wire::ServerPacket client;
    wire::AdminReply administrator;
    const bool refused = socket == "keyd.sock"
                             ? wire::decode(*packet, client) == wire::Decoded::kMessage &&
                                   client.refused().code() == wire::REFUSAL_SENDER
                             : wire::decode(*packet, administrator) == wire::Decoded::kMessage &&
                                   administrator.refused().code() == wire::REFUSAL_SENDER;
    return refused && raw.closed_within(2);
  };
  EXPECT_TRUE(turned_away("keyd.sock")) << "from the namespace around it";
  EXPECT_TRUE(turned_away("admin.sock"));
  Forked sibling([&](Forked::Child&) {
    return in_pid_namespace([&] { return turned_away("keyd.sock") && turned_away("admin.sock") ? 0 : 1; });
  });
  EXPECT_EQ(sibling.wait(), 0) << "from a namespace beside it";
  inside.write("go\n");
  EXPECT_EQ(inside.read_line(), "in");
}

}  // namespace
}  // namespace keyd::testing
