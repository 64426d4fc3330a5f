// libkeyclient against a keyd that is not to be trusted: whatever it says or does not say, the client never
// takes it for the truth, gives no proof upon what is no challenge, and comes back in time.
#include <gtest/gtest.h>
#include <keyclient/keyclient.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <atomic>
#include <cstring>
#include <memory>

#include "core/wire/message_codec.h"
#include "tests/adversarial/hostile_keyd.h"
#include "tests/support/descriptors.h"
#include "tests/support/eventually.h"

namespace keyd::testing {
namespace {

using Handle = std::unique_ptr<keyclient_t, void (*)(keyclient_t*)>;

Handle open_at(const std::string& directory, std::uint32_t timeout_ms) {
  keyclient_options options{};
  options.size = sizeof options;
  options.runtime_dir = directory.c_str();
  options.timeout_ms = timeout_ms;
  keyclient_t* client = nullptr;
  (void)keyclient_open(&options, &client);
  return {client, keyclient_close};
}

int times_asked = 0;  // for the password

keyclient_status authenticate(keyclient_t* client) {
  keyclient_login login{};
  login.size = sizeof login;
  login.user = HostileKeyd::kUser;
  login.scheme = "challenge";
  login.password_callback = [](void*, char* buffer, std::size_t, std::size_t* size) {
    ++times_asked;
    *size = std::strlen(HostileKeyd::kPassword);
    std::memcpy(buffer, HostileKeyd::kPassword, *size);
    return 0;
  };
  return keyclient_authenticate(client, &login);
}

// Every call that believes something keyd says, and which answer on its connection that is. A call that is
// new is a new line.
struct Exposed {
  const char* name;
  std::size_t turn;
  keyclient_status (*call)(keyclient_t*);
  [[nodiscard]] bool in_session() const { return turn >= 2; }
};

const Exposed kExposed[] = {
    {"the numbers", 0, authenticate},
    {"keyd's proof", 1, authenticate},
    {"a renewal's numbers", 2, authenticate},
    {"a renewal's proof", 3, authenticate},
    {"rekey", 2, keyclient_rekey},
    {"end", 2, keyclient_end},
    {"credential", 2,
     [](keyclient_t* client) {
       char value[64];
       std::size_t size = sizeof value;
       return keyclient_credential(client, "token", value, &size);
     }},
    {"credential names", 2,
     [](keyclient_t* client) {
       return keyclient_credential_names(client, [](void*, const char*) {}, nullptr);
     }},
    {"echo", 2,
     [](keyclient_t* client) {
       char back[5];
       return keyclient_echo(client, "hello", 5, back);
     }},
    {"plan-exec", 2, [](keyclient_t* client) { return keyclient_plan_exec(client, nullptr, nullptr); }},
};

bool are_numbers(ByteView packet) {
  wire::ServerPacket message;
  if (wire::decode(packet, message) != wire::Decoded::kMessage || !message.has_challenge_numbers())
    return false;
  const wire::ChallengeNumbers& numbers = message.challenge_numbers();
  return numbers.server_random().size() == 32 && numbers.session_id().size() == 16 &&
         numbers.nonce1().size() == 32 && numbers.nonce2().size() == 32 &&
         numbers.nonce1() != numbers.nonce2();
}

class HostileExchange : public ::testing::Test {
 protected:
  // Lets everything go well up to the exposed answer, which `change` makes hostile; all that comes after is
  // silence and closed doors.
  keyclient_status expose(const Exposed& exposed, const Attack& change, std::uint32_t timeout_ms = 5000) {
    const Handle client = open_at(keyd_.directory(), timeout_ms);
    EXPECT_TRUE(client);
    keyd_.set_attack({});
    EXPECT_TRUE(!exposed.in_session() || eventually([&] {
      return authenticate(client.get()) == KEYCLIENT_OK;
    })) << keyclient_error();
    std::atomic<bool> done = false;  // set by the false keyd's thread, behind `numbers`
    bool numbers = true;
    keyd_.set_attack([&](Move& move) {
      if (done) {  // upon numbers that could be some it goes on, as it would
        if (!numbers || move.turn == 0) move.packets.clear(), move.close = true;
      } else if (move.turn == exposed.turn) {
        change(move);
        numbers = !move.packets.empty() && are_numbers(move.packets.front());
        done = true;
      }
    });
    const int proofs = keyd_.proofs(), asked = times_asked;
    const keyclient_status status = exposed.call(client.get());
    EXPECT_TRUE(eventually([&] { return done.load(); })) << "the call asked nothing";
    EXPECT_TRUE(status == KEYCLIENT_OK || is_printable(keyclient_error())) << keyclient_error();
    if (exposed.call == authenticate && exposed.turn % 2 == 0 && !numbers) {
      EXPECT_EQ(keyd_.proofs(), proofs) << "it proved the password upon what is no challenge";
      EXPECT_EQ(times_asked, asked) << "it asked for the password upon what is no challenge";
    }
    if (status != KEYCLIENT_OK && !exposed.in_session()) {
      char back = 0;
      EXPECT_EQ(keyclient_echo(client.get(), "x", 1, &back), KEYCLIENT_NOT_AUTHENTICATED);
    }
    EXPECT_FALSE(keyd_.has_seen_the_password());
    keyd_.set_attack({});
    return status;
  }

  // All calls under one attack: none succeeds.
  void expect_disbelieved(const char* name, const Attack& change, std::uint32_t timeout_ms = 5000) {
    const std::size_t before = descriptors_of();
    for (const Exposed& exposed : kExposed) {
      SCOPED_TRACE(std::string(name) + " in place of " + exposed.name);
      EXPECT_NE(expose(exposed, change, timeout_ms), KEYCLIENT_OK);
    }
    EXPECT_TRUE(eventually([&] { return descriptors_of() <= before; }))
        << "the client keeps what it was sent";
  }

  static Bytes encoded(const std::function<void(wire::ServerPacket&)>& fill) {
    wire::ServerPacket packet;
    fill(packet);
    return wire::encode(packet);
  }
  static Attack instead(Bytes packet) {
    return [packet = std::move(packet)](Move& move) { move.packets = {packet}; };
  }

  HostileKeyd keyd_;
};

TEST_F(HostileExchange, WithoutAnAttackEverythingIsBelieved) {
  for (const Exposed& exposed : kExposed) {
    EXPECT_EQ(expose(exposed, [](Move&) {}), KEYCLIENT_OK) << exposed.name << ": " << keyclient_error();
  }
}

TEST_F(HostileExchange, AnAnswerWithOneBitChangedIsNotBelieved) {
  for (const Exposed& exposed : kExposed) {
    std::size_t bits = 1;
    for (std::size_t bit = 0; bit < bits && !HasFailure(); ++bit) {
      SCOPED_TRACE(std::string(exposed.name) + " bit " + std::to_string(bit));
      EXPECT_NE(expose(exposed,
                       [&](Move& move) {
                         Bytes& packet = move.packets.front();
                         bits = packet.size() * 8;
                         packet[bit / 8] = static_cast<std::uint8_t>(packet[bit / 8] ^ (1u << (bit % 8)));
                       }),
                KEYCLIENT_OK);
    }
    EXPECT_GT(bits, 200u);
  }
}

TEST_F(HostileExchange, AnAnswerThatIsCutIsNotBelieved) {
  for (const Exposed& exposed : kExposed) {
    std::size_t size = 1;
    for (std::size_t length = 0; length < size && !HasFailure(); ++length) {
      SCOPED_TRACE(std::string(exposed.name) + " cut to " + std::to_string(length));
      EXPECT_NE(expose(exposed,
                       [&](Move& move) {
                         size = move.packets.front().size();
                         move.packets.front().resize(length);
                       }),
                KEYCLIENT_OK);
    }
  }
}

TEST_F(HostileExchange, AnotherAnswerIsNotBelieved) {
  expect_disbelieved("nothing, and the end", [](Move& move) { move.packets.clear(), move.close = true; });
  expect_disbelieved("an empty packet", [](Move& move) { move.packets = {Bytes()}; });
  expect_disbelieved("a packet that is too long", instead(Bytes(wire::kMaxPacket + 1, 0x0a)));
  expect_disbelieved("the longest packet", instead(Bytes(wire::kMaxPacket, 0xff)));
  expect_disbelieved("a packet without a body", instead(encoded([](auto&) {})));
  expect_disbelieved("what the client said", [](Move& move) { move.packets = {move.heard->back()}; });
  expect_disbelieved("what the client said first", [](Move& move) { move.packets = {move.heard->front()}; });
  expect_disbelieved("the answer before",
                     [](Move& move) { move.packets = {move.said->empty() ? Bytes() : move.said->back()}; });
  expect_disbelieved("the first answer",
                     [](Move& move) { move.packets = {move.said->empty() ? Bytes() : move.said->front()}; });
  expect_disbelieved("something else ahead of the answer", [](Move& move) {
    move.packets.insert(move.packets.begin(), encoded([](auto& p) { p.mutable_table(); }));
  });
  expect_disbelieved("numbers",
                     instead(encoded([](auto& p) { p.mutable_challenge_numbers()->set_nonce1("1"); })));
  expect_disbelieved("two equal numbers", instead(encoded([](auto& p) {
                       auto& numbers = *p.mutable_challenge_numbers();
                       numbers.set_server_random(std::string(32, 'r'));
                       numbers.set_session_id(std::string(16, 's'));
                       numbers.set_nonce1(std::string(32, 'n'));
                       numbers.set_nonce2(std::string(32, 'n'));
                     })));
  expect_disbelieved("an empty proof", instead(encoded([](auto& p) { p.set_finished(""); })));
  expect_disbelieved("an empty record", instead(encoded([](auto& p) { p.set_record(""); })));
  expect_disbelieved("a record of zeros",
                     instead(encoded([](auto& p) { p.set_record(std::string(65536, '\0')); })));
  expect_disbelieved("a denial", instead(encoded([](auto& p) { p.mutable_denied(); })));
}

TEST_F(HostileExchange, ARefusalOfAnyCodeIsOneAndItsTextDoesNothingToATerminal) {
  for (int code = 0; code < 40; ++code) {
    SCOPED_TRACE(code);
    expect_disbelieved("a refusal", instead(encoded([&](auto& p) {
                         p.mutable_refused()->set_code(static_cast<wire::RefusalCode>(code));
                         p.mutable_refused()->set_text("\x1b[2J\r\n\a" + std::string(3000, 'a'));
                       })));
  }
}

TEST_F(HostileExchange, AKeydThatDoesNotKnowThePasswordIsNotBelieved) {
  // Numbers of its own, and a proof under keys from another password.
  exchange::ChallengeServer impostor;
  const auto random = [](MutableByteView out) {
    static std::uint8_t next = 0;
    for (auto& octet : out) octet = next++;
    return true;
  };
  const Attack pretend = [&](Move& move) {
    wire::ClientPacket message;
    if (wire::decode(move.heard->back(), message) != wire::Decoded::kMessage) return;
    if (move.turn == 0) {
      impostor = exchange::ChallengeServer();
      move.packets = {*impostor.challenge(move.heard->back(), message.challenge_start(), random,
                                          [](ByteView, ByteView) { return true; })};
    } else {
      exchange::SecureChannel guessed(exchange::Role::kServer, bytes_of("k1"), bytes_of("k2"),
                                      bytes_of("th"));
      const auto sealed = guessed.seal(exchange::RecordType::kFinished, Bytes(32, 't'));
      move.packets = {encoded([&](auto& p) { p.set_finished(sealed->data(), sealed->size()); })};
    }
  };
  const Handle client = open_at(keyd_.directory(), 5000);
  keyd_.set_attack(pretend);
  EXPECT_EQ(authenticate(client.get()), KEYCLIENT_SERVER_UNPROVEN);
  char back = 0;
  EXPECT_EQ(keyclient_echo(client.get(), "x", 1, &back), KEYCLIENT_NOT_AUTHENTICATED);
  EXPECT_FALSE(keyd_.has_seen_the_password());
}

TEST_F(HostileExchange, AnAnswerThatDoesNotComeIsADeadline) {
  for (const Exposed& exposed : kExposed) {
    SCOPED_TRACE(exposed.name);
    const auto status = expose(exposed, [](Move& move) { move.packets.clear(); }, 1000);
    // With a password from a callback it tries once more, and finds the door closed.
    EXPECT_TRUE(status == KEYCLIENT_DEADLINE || status == KEYCLIENT_GONE) << keyclient_error();
  }
}

TEST_F(HostileExchange, DescriptorsThatComeAlongAreNotKept) {
  const std::size_t before = descriptors_of();
  for (const Exposed& exposed : kExposed) {
    SCOPED_TRACE(exposed.name);
    EXPECT_EQ(expose(exposed, [](Move& move) { move.descriptors.assign(20, STDIN_FILENO); }), KEYCLIENT_OK);
  }
  EXPECT_TRUE(eventually([&] { return descriptors_of() <= before; }));
}

TEST_F(HostileExchange, AnAnswerThatComesTwiceIsNotTheNextQuestions) {
  const Handle client = open_at(keyd_.directory(), 5000);
  ASSERT_EQ(authenticate(client.get()), KEYCLIENT_OK);
  keyd_.set_attack([](Move& move) { move.packets.push_back(move.packets.front()); });
  char back[6] = {};
  ASSERT_EQ(keyclient_echo(client.get(), "first", 5, back), KEYCLIENT_OK);
  EXPECT_EQ(keyclient_echo(client.get(), "other", 5, back), KEYCLIENT_GONE);
  EXPECT_STREQ(back, "first") << "filled with another question's answer";
  keyd_.set_attack({});
  EXPECT_EQ(authenticate(client.get()), KEYCLIENT_OK);
}

TEST_F(HostileExchange, AKeydThatAcceptsNobodyIsNotWaitedForForEver) {
  const std::string directory = keyd_.directory() + "/deaf";
  ASSERT_EQ(::mkdir(directory.c_str(), 0700), 0);
  const UniqueFd deaf(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  (directory + "/keyd.sock").copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(::bind(deaf.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(deaf.get(), 0), 0);
  const Handle first = open_at(directory, 100);  // takes the one place in the backlog
  ASSERT_TRUE(first);
  const Handle client = open_at(directory, 100);
  EXPECT_TRUE(!client || authenticate(client.get()) != KEYCLIENT_OK);
  EXPECT_NE(authenticate(first.get()), KEYCLIENT_OK);
}

}  // namespace
}  // namespace keyd::testing
