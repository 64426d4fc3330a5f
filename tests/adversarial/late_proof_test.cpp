// A proof that comes after its exchange has timed out, on a connection whose refusal is stuck: the attacker has looked at
// keyd's answers (SO_PEEK_OFF) without taking them, so that there is no room for the refusal, and has begun another
// exchange, as somebody else, on a second connection. The late proof must do nothing to that one.
#include <gtest/gtest.h>
#include <linux/sockios.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fstream>
#include <functional>
#include <ostream>

#include "core/base/clock.h"
#include "core/base/unique_fd.h"
#include "core/crypto/random.h"
#include "tests/support/forked.h"
#include "tests/support/private_keyd.h"
#include "tests/support/raw_client.h"
#include "tests/support/wide_limits.h"

namespace keyd::testing {
namespace {

constexpr int kSendBuffer = 8 * 1024;  // as keyd sets it on its end of each connection (keyd/connection.cpp)

// What packets cost the sender's buffer while they are not received, found out on a pair of sockets like keyd's.
class BufferModel {
 public:
  BufferModel() {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return;
    near_.reset(ends[0]);
    far_.reset(ends[1]);
    ::setsockopt(near_.get(), SOL_SOCKET, SO_SNDBUF, &kSendBuffer, sizeof kSendBuffer);
    socklen_t size = sizeof limit_;
    ::getsockopt(near_.get(), SOL_SOCKET, SO_SNDBUF, &limit_, &size);
  }
  // A packet is sent as long as what lies there is below this.
  [[nodiscard]] int limit() const { return limit_; }
  [[nodiscard]] int cost(std::size_t octets) const {
    const Bytes packet(octets);
    int unread = 0;
    if (::send(near_.get(), packet.data(), packet.size(), 0) < 0) return -1;
    ::ioctl(near_.get(), SIOCOUTQ, &unread);
    Bytes sink(octets);
    (void)::recv(far_.get(), sink.data(), sink.size(), 0);
    return unread;
  }

 private:
  UniqueFd near_, far_;
  int limit_ = 0;
};

// A connection whose answers are read and left where they are.
class Looker {
 public:
  explicit Looker(const std::string& runtime_dir) : raw(runtime_dir) {
    const int from_the_front = 0;
    ::setsockopt(raw.descriptor(), SOL_SOCKET, SO_PEEK_OFF, &from_the_front, sizeof from_the_front);
  }
  // The next answer; nothing within `seconds`, or at the end of the connection.
  std::optional<Bytes> look(double seconds = 5) {
    Bytes packet(wire::kMaxPacket);
    // What was looked at is readable all the same: poll() cannot tell.
    const BootTime deadline = boot_now() + static_cast<std::uint64_t>(seconds * 1e9);
    do {
      const ssize_t size = ::recv(raw.descriptor(), packet.data(), packet.size(), MSG_PEEK | MSG_DONTWAIT);
      if (size > 0) {
        packet.resize(static_cast<std::size_t>(size));
        unread_.push_back(packet.size());
        return packet;
      }
      if (size == 0) return std::nullopt;
      ::poll(nullptr, 0, 2);
    } while (boot_now() < deadline);
    return std::nullopt;
  }
  std::optional<Bytes> ask(const Bytes& packet) {
    if (!raw.send(packet)) return std::nullopt;
    auto answer = look();
    if (!answer || wire::decode(*answer, raw.last_packet) != wire::Decoded::kMessage) return std::nullopt;
    return answer;
  }
  void take_the_oldest() {
    Bytes packet(wire::kMaxPacket);
    (void)::recv(raw.descriptor(), packet.data(), packet.size(), MSG_DONTWAIT);
    unread_.erase(unread_.begin());
  }
  [[nodiscard]] int held(const BufferModel& model) const {
    int sum = 0;
    for (const std::size_t size : unread_) sum += model.cost(size);
    return sum;
  }
  [[nodiscard]] bool refusal_is_stuck() { return !look(0.3); }

  RawClient raw;

 private:
  std::vector<std::size_t> unread_;
};

// Sends a packet, gives the answer, which is the client's last_packet too.
using Ask = std::function<std::optional<Bytes>(const Bytes&)>;
// One scheme's exchange up to its last proof, which is given and not sent. Empty: it went wrong.
using Prove = Bytes (*)(RawClient&, const Ask&, const std::string&, const std::string&);

Bytes challenge_proof(RawClient& raw, const Ask& ask, const std::string& user, const std::string& password) {
  raw.machine.emplace(RawClient::choice(user));
  const auto numbers = ask(*raw.machine->start(crypto::fill_random));
  if (!numbers || !raw.last_packet.has_challenge_numbers() ||
      !raw.machine->take_numbers(*numbers, raw.last_packet.challenge_numbers()))
    return {};
  return raw.proof(password);
}

Bytes kryptoknight_proof(RawClient& raw, const Ask& ask, const std::string& user,
                         const std::string& password) {
  raw.knight.emplace(RawClient::knight_choice(user));
  const auto reply = ask(*raw.knight->start(crypto::fill_random));
  if (!reply || !raw.last_packet.has_kryptoknight_reply() ||
      !raw.knight->take_reply(*reply, raw.last_packet.kryptoknight_reply()))
    return {};
  return raw.password_packet(password);
}

Bytes srp_proof(RawClient& raw, const Ask& ask, const std::string& user, const std::string& password) {
  exchange::SrpClient machine(RawClient::srp_choice(user), {});
  const auto challenge = ask(*machine.start(crypto::fill_random));
  if (!challenge || !raw.last_packet.has_srp()) return {};
  const auto A = machine.take_challenge(*challenge, raw.last_packet.srp(), crypto::fill_random_private);
  const auto B = A ? ask(*A) : std::nullopt;
  if (!B || !raw.last_packet.has_srp() || !machine.take_key(*B, raw.last_packet.srp())) return {};
  const auto validator = ask(*machine.prove(bytes_of(password)));
  if (!validator || !raw.last_packet.has_srp()) return {};
  const auto ack = machine.take_proof(*validator, raw.last_packet.srp());
  return ack ? *ack : Bytes();
}

struct Scheme {
  const char* name;
  Prove prove;
};
std::ostream& operator<<(std::ostream& out, const Scheme& scheme) { return out << scheme.name; }

class LateProof : public ::testing::TestWithParam<Scheme> {
 protected:
  void SetUp() override {
    ASSERT_TRUE(keyd_.start()) << keyd_.log();
    for (const char* user : {"alice", "mallory"}) {
      keyd_.enrol(user, user, {"--scheme", "challenge", "--scheme", "kryptoknight", "--scheme", "srp"});
    }
  }
  // The costs of the answers that come before the last proof, as an exchange on another connection has them.
  std::vector<int> costs_of_answers() {
    std::vector<int> costs;
    Forked other([&](Forked::Child& child) {
      Looker looker(keyd_.runtime_dir());
      const Ask ask = [&](const Bytes& packet) {
        auto answer = looker.ask(packet);
        if (answer) child.say(std::to_string(model_.cost(answer->size())));
        return answer;
      };
      child.say(GetParam().prove(looker.raw, ask, "mallory", "mallory").empty() ? "failed" : "done");
      return 0;
    });
    std::string said;
    while ((said = other.hear()) != "done") {
      if (said.empty() || said == "failed") return {};
      costs.push_back(std::stoi(said));
    }
    return costs;
  }
  // Leaves answers unread, so many that those of an exchange just fit, and nothing behind them.
  [[nodiscard]] bool fill(Looker& looker, const std::vector<int>& costs) {
    const int last = costs.back();
    int before = 0;
    for (std::size_t i = 0; i + 1 < costs.size(); ++i) before += costs[i];
    const auto ask = [&](const Bytes& packet) { return looker.ask(packet); };
    while (looker.held(model_) + before + last < model_.limit()) {
      const Bytes wrong = challenge_proof(looker.raw, ask, "nobody", "wrong");
      if (wrong.empty() || !ask(wrong) || !looker.raw.last_packet.has_denied()) return false;
    }
    while (looker.held(model_) + before >= model_.limit()) looker.take_the_oldest();
    return looker.held(model_) + before + last >= model_.limit();
  }
  // This process is PENDING as alice on `other`; the proof of its first exchange, as mallory, comes too late on `stuck`.
  void try_with(bool spoilt) {
    const auto costs = costs_of_answers();
    ASSERT_FALSE(costs.empty());
    RawClient other(keyd_.runtime_dir());
    Looker stuck(keyd_.runtime_dir());
    ASSERT_TRUE(fill(stuck, costs));
    const Ask ask = [&](const Bytes& packet) { return stuck.ask(packet); };
    Bytes proof = GetParam().prove(stuck.raw, ask, "mallory", "mallory");
    ASSERT_FALSE(proof.empty());
    ASSERT_TRUE(keyd_.wait_for_state(::getpid(), "FAILED", 10)) << "the deadline did not come";
    ASSERT_TRUE(stuck.refusal_is_stuck()) << "the attack does not get as far as it is to be tried";
    // The other exchange may take its time.
    std::ofstream(keyd_.config_file()) << with_deadline(600);
    ::kill(keyd_.pid(), SIGHUP);
    ASSERT_TRUE(keyd_.wait_for_log("config.reloaded"));
    ASSERT_TRUE(other.start(RawClient::choice("alice")));
    ASSERT_EQ(keyd_.state_of(::getpid()), "PENDING");
    if (spoilt) proof.back() ^= 1;
    stuck.raw.send(proof);
    be_heard();
    EXPECT_EQ(keyd_.state_of(::getpid()), "PENDING") << "by the proof of another exchange";
    // And alice's own proof is worth what it was.
    EXPECT_TRUE(other.prove("alice"));
    EXPECT_EQ(keyd_.state_of(::getpid()), "COMPLETE");
  }
  // Whoever of the same account comes later is served: what was sent before has been dealt with.
  void be_heard() {
    Forked honest([&](Forked::Child&) {
      Looker looker(keyd_.runtime_dir());
      const Ask ask = [&](const Bytes& packet) { return looker.ask(packet); };
      const Bytes proof = GetParam().prove(looker.raw, ask, "mallory", "mallory");
      return !proof.empty() && ask(proof) ? 0 : 1;
    });
    EXPECT_EQ(honest.wait(), 0);
  }

  static std::string with_deadline(int seconds) {
    return "[session]\npending_deadline = " + std::to_string(seconds) +
           "\n[kryptoknight]\ncost = 1\n[srp]\ngroup = 2048\n" + kUnlimitedTries;
  }
  PrivateKeyd keyd_{with_deadline(3)};
  BufferModel model_;
};

TEST_P(LateProof, OfATimedOutExchangeDoesNotCompleteAnother) { try_with(false); }
TEST_P(LateProof, ThatIsWrongDoesNotEndAnother) { try_with(true); }

INSTANTIATE_TEST_SUITE_P(OfEachScheme, LateProof,
                         ::testing::Values(Scheme{"challenge", challenge_proof},
                                           Scheme{"kryptoknight", kryptoknight_proof},
                                           Scheme{"srp", srp_proof}),
                         [](const auto& each) { return std::string(each.param.name); });

}  // namespace
}  // namespace keyd::testing
