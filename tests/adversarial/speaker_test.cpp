// Every message in the mouth of everybody who could get hold of the connection: only the process that made it
// is heard, as it was when it made it.
#include <fcntl.h>
#include <sys/fsuid.h>
#include <unistd.h>

#include "tests/adversarial/admin_messages.h"
#include "tests/adversarial/besieged_keyd.h"
#include "tests/adversarial/client_messages.h"
#include "tests/adversarial/speakers.h"

namespace keyd::testing {
namespace {

constexpr Answer kForeignSender{Said::kRefused, wire::REFUSAL_SENDER};

class Speaking : public BesiegedKeyd {
 protected:
  void say_through(const ClientMessage& message, const Speaker& speaker) {
    if (HasFailure()) return;
    Conversation conversation(runtime_dir(), message.home);
    ASSERT_TRUE(conversation.reached());
    const Standing before = standing_of(::getpid());
    const Bytes good = message.make(conversation);
    const bool sent = speaker.speak(conversation.raw.descriptor(), good);
    const Answer at_home = message.answers[static_cast<std::size_t>(message.home)];
    if (speaker.verdict == Verdict::kRefused) {
      EXPECT_TRUE(sent);
      EXPECT_EQ(conversation.hear(), kForeignSender);
      expect_unharmed(::getpid(), before);
      EXPECT_TRUE(conversation.is_closed());
      return;
    }
    EXPECT_TRUE(speaker.verdict == Verdict::kNotOrHeard || sent == (speaker.verdict == Verdict::kHeard));
    if (!sent) {
      expect_unharmed(::getpid(), before);
      EXPECT_EQ(standing_of(::getpid()), before);
      ASSERT_TRUE(conversation.raw.send(good));  // nothing has happened: it is heard from whom it should be
    }
    EXPECT_EQ(conversation.hear(), at_home);
    expect_unharmed_but_for(::getpid());
  }

  void administer_through(const AdminMessage& message, const Speaker& speaker) {
    if (HasFailure()) return;
    AdminConversation conversation(runtime_dir());
    const Standing before = standing_of(::getpid());
    const bool sent = speaker.speak(conversation.raw.descriptor(), packet_of(message));
    if (speaker.verdict == Verdict::kRefused) {
      EXPECT_TRUE(sent);
      EXPECT_EQ(conversation.hear_last_refusal(), wire::REFUSAL_SENDER);
    } else {
      ASSERT_TRUE(sent || conversation.raw.send(packet_of(message)));
      ASSERT_TRUE(message.secret == nullptr || conversation.raw.send(secret_of(message)));
      const auto reply = conversation.hear();
      EXPECT_TRUE(reply && reply->body_case() == message.answer);
    }
    expect_unharmed(::getpid(), before);
  }
};

TEST_F(Speaking, EachMessageIsHeardFromTheProcessThatConnectedAndFromNobodyElse) {
  for (const ClientMessage& message : client_messages()) {
    for (const Speaker& speaker : speakers()) {
      SCOPED_TRACE(std::string(message.name) + " said by " + speaker.name);
      say_through(message, speaker);
    }
  }
}

TEST_F(Speaking, EachRequestOfAnAdministratorIsHeardFromItsProcessAndFromNobodyElse) {
  for (const AdminMessage& message : admin_messages()) {
    for (const Speaker& speaker : speakers()) {
      SCOPED_TRACE(std::string(message.name) + " said by " + speaker.name);
      administer_through(message, speaker);
    }
  }
}

TEST_F(Speaking, ASecretFromSomebodyElseIsNotTaken) {
  for (const AdminMessage& message : admin_messages()) {
    if (message.secret == nullptr) continue;
    for (const Speaker& speaker : speakers()) {
      if (speaker.verdict != Verdict::kRefused || HasFailure()) continue;
      SCOPED_TRACE(std::string(message.name) + " with a secret of " + speaker.name);
      AdminConversation conversation(runtime_dir());
      ASSERT_TRUE(conversation.raw.send(packet_of(message)));
      const Standing before = standing_of(::getpid());
      EXPECT_TRUE(speaker.speak(conversation.raw.descriptor(), bytes_of("planted")));
      EXPECT_EQ(conversation.hear_last_refusal(), wire::REFUSAL_SENDER);
      expect_unharmed(::getpid(), before);
    }
  }
  EXPECT_TRUE(RawClient(runtime_dir()).authenticate("victim", "victim")) << "somebody's secret was taken";
}

// ---- the process itself, changed

struct ChangeOfIds {
  const char* name;
  bool real;  // what the kernel marks messages with
  bool (*change)();
};
const ChangeOfIds kChanges[] = {
    {"uid", true, [] { return ::setresuid(65534, 65534, 65534) == 0; }},
    {"gid", true, [] { return ::setresgid(65534, 65534, 65534) == 0; }},
    {"effective uid", false, [] { return ::seteuid(65534) == 0; }},
    {"effective gid", false, [] { return ::setegid(65534) == 0; }},
    {"file system uid", false,
     [] {
       ::setfsuid(65534);
       return true;
     }},
    {"saved uid", false, [] { return ::setresuid(0, 0, 65534) == 0; }},
};

TEST_F(Speaking, AProcessWhoseIdsHaveChangedIsGivenNothing) {
  for (const ClientMessage& message : client_messages()) {
    for (const ChangeOfIds& ids : kChanges) {
      if (HasFailure()) return;
      SCOPED_TRACE(std::string(message.name) + " after a change of the " + ids.name);
      Forked client([&](Forked::Child& child) {
        Conversation conversation(runtime_dir(), message.home);
        if (!conversation.reached()) return 2;
        const Bytes good = message.make(conversation);
        child.say("there");
        child.hear();
        if (!ids.change()) return 3;
        Answer answer = conversation.say(good);
        // Numbers are nothing yet: where keyd is not told of a change, it looks when the proof comes.
        if (answer.said == Said::kNumbers && message.home == Stage::kEstablished) {
          answer = conversation.prove_all_the_same();
        }
        const bool begins = answer.said == Said::kNumbers || answer.said == Said::kTable;
        // Before there is anything of an exchange, changed ids that mark no message are the process's own
        // affair: the next exchange is with those it has then.
        if (answer.said == Said::kRefused || answer.said == Said::kNothing) return 0;
        return begins && message.home == Stage::kFresh && !ids.real ? 0 : 4 + static_cast<int>(answer.said);
      });
      ASSERT_EQ(client.hear(), "there");
      const Standing before = standing_of(client.pid());
      client.say("change");
      const pid_t pid = client.pid();
      EXPECT_EQ(client.wait(), 0);
      expect_unharmed(pid, before);
    }
  }
}

TEST_F(Speaking, AnImageThatInheritedTheConnectionOverAnExecHasNothingOfTheSession) {
  if (keyd_.tier() == "pidfd") GTEST_SKIP() << "this tier does not see execs";
  for (const ClientMessage& message : client_messages()) {
    SCOPED_TRACE(message.name);
    std::array<int, 2> out{};
    ASSERT_EQ(::pipe2(out.data(), O_CLOEXEC), 0);
    Forked client([&](Forked::Child&) {
      Conversation conversation(runtime_dir(), message.home);
      if (!conversation.reached()) return 2;
      const std::string packet = to_hex(message.make(conversation));
      const std::string socket = std::to_string(conversation.raw.descriptor());
      ::dup2(out[1], STDOUT_FILENO);
      ::fcntl(conversation.raw.descriptor(), F_SETFD, 0);
      const std::string image = program("speaking_image");
      ::execl(image.c_str(), image.c_str(), socket.c_str(), packet.c_str(), static_cast<char*>(nullptr));
      return 3;
    });
    ::close(out[1]);
    std::string hex;
    char c = 0;
    while (::read(out[0], &c, 1) == 1) hex += c;
    ::close(out[0]);
    const pid_t pid = client.pid();
    EXPECT_EQ(client.wait(), 0);
    Bytes octets;
    wire::ServerPacket answer;
    ASSERT_TRUE(from_hex(hex, octets));
    ASSERT_EQ(wire::decode(octets, answer), wire::Decoded::kMessage) << hex;
    if (message.home == Stage::kFresh) {
      EXPECT_TRUE(answer.has_challenge_numbers() || answer.has_kryptoknight_reply() || answer.has_table())
          << answer.ShortDebugString();
    } else if (message.home == Stage::kHandedOver) {
      EXPECT_TRUE(answer.has_record()) << answer.ShortDebugString();  // this exec was announced
    } else {
      EXPECT_EQ(answer.refused().code(), wire::REFUSAL_GONE) << answer.ShortDebugString();
    }
    expect_unharmed(pid, Standing());
  }
}

}  // namespace
}  // namespace keyd::testing
