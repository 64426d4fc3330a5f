// libkeyclient's Session against a keyd that says what the script wants, over a real socket pair: honest
// answers, sealed nonsense, plain nonsense, refusals, descriptors, silence. The library takes nobody for keyd
// who does not know the password, gives out only what was sealed for it, and leaks nothing.
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <optional>

#include "core/wire/packet_socket.h"
#include "libkeyclient/src/session.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/locked_memory_balance.h"
#include "tests/fuzz/scene.h"

namespace keyd::fuzz {
namespace {

const client::Target kTarget{.runtime_dir = "/nonexistent", .server_name = "keyd.example"};

using client::KeydLink;
using client::Outcome;
using client::Session;
using exchange::RecordType;
using exchange::SecureChannel;

// What answers in keyd's place. Every answer is in the socket before the library asks for it.
class FalseKeyd {
 public:
  FalseKeyd(UniqueFd socket, Script& script) : socket_(std::move(socket)), script_(script) {}

  bool answered_honestly = true;  // to everything so far
  std::optional<SecureChannel> channel;

  // An answer in place of `honest`.
  void answer(const Bytes& honest) {
    const std::uint8_t how = script_.octet();
    Bytes packet = honest;
    if (how >= 0xf8) {
      answered_honestly = false;
      const ByteView made_up = script_.octets();
      packet.assign(made_up.begin(), made_up.end());
    } else if (how >= 0xf0 && !packet.empty()) {
      packet[script_.word() % packet.size()] ^= script_.octet();
    } else if (how == 0xef) {
      socket_.reset();
    } else if (how == 0xee) {
      answered_honestly = false;
      return;  // silence
    }
    // An empty packet would be the end of the connection.
    if (socket_.valid() && !packet.empty())
      (void)wire::send_packet(socket_.get(), packet, (how & 0x0f) == 0x0d ? STDERR_FILENO : -1);
    answered_honestly = answered_honestly && packet == honest && socket_.valid();
  }

  std::optional<wire::ClientPacket> hear(Bytes& octets) {
    static Bytes buffer(wire::kMaxPacket);
    const auto received = wire::receive_packet(socket_.get(), buffer);
    wire::ClientPacket packet;
    if (received.outcome != wire::ReceiveOutcome::kPacket) return std::nullopt;
    octets.assign(buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(received.size));
    must(wire::decode(octets, packet) == wire::Decoded::kMessage);
    return packet;
  }
  [[nodiscard]] bool connected() const { return socket_.valid(); }

 private:
  UniqueFd socket_;
  Script& script_;
};

class Play {
 public:
  Play(Script script, UniqueFd ours, UniqueFd theirs)
      : script_(script), keyd_(std::move(theirs), script_), link_(std::move(ours), 0) {}

  void run() {
    auto session = authenticate();
    if (!session) return;
    for (int requests = 0; requests < 12 && !script_.done(); ++requests) {
      if (!request(*session)) return;
    }
  }

 private:
  // keyd's half is played while the library asks for the password: then the start has been heard, and what
  // the proof will be can be told, because a client with the same choices makes the same one.
  Outcome<Session> authenticate() {
    const int variant = script_.octet() % kVariants;
    const bool knows = script_.octet() % 8 != 7;
    client::Login login;
    login.choice = choice(variant);
    login.password = [&]() -> Outcome<secret::SecretBuffer> {
      prepare_confirmation(knows);
      return secret::SecretBuffer::copy_of(bytes_of(kPassword));
    };
    // The numbers do not depend on what the client says beside its choices.
    exchange::ChallengeServer rehearsal;
    FixedRandom random('S');
    wire::ChallengeStart start = choice(variant);
    start.set_client_random(std::string(wire::kClientRandomSize, 'x'));
    const auto numbers =
        rehearsal.challenge({}, start, std::ref(random), [](ByteView, ByteView) { return true; });
    must(numbers.has_value());
    keyd_.answer(*numbers);
    secret::SecretBuffer password;
    auto session = Session::authenticate(link_, kTarget, login, {}, password);
    // What is proved is the whole conversation, but for how the last packet is written.
    must(!session || (knows && proof_was_prepared_));
    must(!keyd_.answered_honestly || !knows || session.has_value() || !keyd_.connected());
    return session;
  }

  void prepare_confirmation(bool knows) {
    Bytes octets;
    const auto heard = keyd_.hear(octets);
    if (!heard || !heard->has_challenge_start()) return;
    const wire::ChallengeStart& start = heard->challenge_start();
    exchange::ChallengeServer server;
    FixedRandom random('S');
    const auto numbers =
        server.challenge(octets, start, std::ref(random), [](ByteView, ByteView) { return true; });
    must(numbers.has_value());
    exchange::ChallengeClient twin(start);
    const auto same = twin.start([&](MutableByteView out) {
      std::ranges::copy(bytes_of(start.client_random()), out.begin());
      return true;
    });
    must(same && *same == octets);
    wire::ServerPacket packet;
    must(wire::decode(*numbers, packet) == wire::Decoded::kMessage);
    must(twin.take_numbers(*numbers, packet.challenge_numbers()).has_value());
    const std::string_view password = knows ? kPassword : "incorrect horse";
    const auto proof = twin.prove(bytes_of(password));
    wire::ClientPacket proving;
    must(proof && wire::decode(*proof, proving) == wire::Decoded::kMessage);
    must(server.verify(*proof, bytes_of(proving.finished()), bytes_of(password)).has_value());
    const auto confirmation = server.confirm();
    must(confirmation.has_value());
    proof_was_prepared_ = true;
    keyd_.channel = server.take_channel();
    keyd_.answer(*confirmation);
  }

  // The sealed answer that an honest keyd would give to `what`, or a plaintext of the script's.
  void prepare_reply(int what, const Bytes& random, ByteView payload) {
    wire::SessionReply reply;
    const std::string octets(random.begin(), random.end());
    switch (what) {
      case 0: reply.mutable_rekey()->set_random(octets); break;
      case 1: reply.mutable_end(); break;
      case 2: reply.mutable_credential(); break;
      case 3: reply.mutable_credential_names()->add_names("db/password"); break;
      case 4: reply.mutable_echo(); break;
      case 5: reply.mutable_plan_exec()->set_random(octets); break;
    }
    const bool nonsense = script_.octet() % 8 == 7;
    const auto sealed =
        nonsense ? keyd_.channel->seal(RecordType::kSession, script_.octets())
                 : keyd_.channel->seal(RecordType::kSession, wire::encode_session(reply, payload).reveal());
    must(sealed.has_value());
    honest_plaintext_ = !nonsense;
    wire::ServerPacket packet;
    packet.set_record(sealed->data(), sealed->size());
    keyd_.answer(wire::encode(packet));
  }

  // One call of the library. False when the session is over.
  bool request(Session& session) {
    const int what = script_.octet() % 6;
    const Bytes theirs = fresh('s');
    const ByteView payload = script_.take(script_.octet());
    prepare_reply(what, theirs, payload);
    bool fine = false;
    switch (what) {
      case 0: fine = session.rekey().has_value(); break;
      case 1: fine = session.end().has_value(); break;
      case 2: {
        const auto value = session.credential("db/password");
        fine = value.has_value();
        if (fine && honest_plaintext_) must(std::ranges::equal(value->reveal(), payload));
        break;
      }
      case 3: fine = session.credential_names().has_value(); break;
      case 4: {
        const auto echoed = session.echo(payload);
        fine = echoed.has_value();
        if (fine && honest_plaintext_) must(std::ranges::equal(echoed->reveal(), payload));
        break;
      }
      case 5: {
        const auto handover = session.plan_exec();
        if (handover) must(handover->size() == Session::kHandoverSize);
        return false;  // over for this image
      }
    }
    must(fine || !honest_plaintext_ || !keyd_.answered_honestly || !keyd_.connected());
    if (!session.link().usable() || !honest_plaintext_ || !keyd_.connected()) return false;
    Bytes octets;
    const auto heard = keyd_.hear(octets);
    if (!heard || !heard->has_record()) return false;
    const auto opened = keyd_.channel->open(RecordType::kSession, bytes_of(heard->record()));
    must(opened.has_value());
    wire::SessionRequest asked;
    ByteView said;
    must(wire::decode_session(opened->reveal(), asked, said));
    if (what == 0) {
      if (!fine) return false;
      keyd_.channel->advance(bytes_of(asked.rekey().random()), theirs);
      must(keyd_.channel->epoch() == session.channel().epoch());
    }
    return fine;
  }

  Script script_;
  FalseKeyd keyd_;
  KeydLink link_;
  bool proof_was_prepared_ = false, honest_plaintext_ = true;
};

}  // namespace
}  // namespace keyd::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace keyd;
  using namespace keyd::fuzz;
  if (size > 4096) return 0;
  const LockedMemoryBalance balance;
  std::array<int, 2> ends{};
  must(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()) == 0);
  Play(Script({data, size}), UniqueFd(ends[0]), UniqueFd(ends[1])).run();
  return 0;
}
