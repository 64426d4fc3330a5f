// The messages of srp as somebody sees them who has never heard of keyd: a whole exchange and a change of password, as
// EAP over Ethernet in a capture, dissected by tshark. And every octet is where docs/protocols/srp.md says: the packets
// are put together here once more from those tables and the numbers, without the codec.
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "tests/support/private_keyd.h"
#include "tests/unit/support/srp_exchange.h"

namespace keyd::testing {
namespace {

using exchange::EapSrpForm;

// Octets, put together.
struct Octets {
  Bytes all;
  Octets& add(ByteView more) {
    all.insert(all.end(), more.begin(), more.end());
    return *this;
  }
  Octets& number(std::uint64_t value, std::size_t octets) {
    for (std::size_t i = octets; i-- > 0;) all.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
    return *this;
  }
  Octets& with_length(ByteView more, std::size_t octets) { return number(more.size(), octets).add(more); }
};

// One EAP packet as it must be, field by field.
struct Expected {
  std::uint8_t code, identifier, type = 0, subtype = 0;  // type 0: Success
  Bytes body;

  [[nodiscard]] Bytes packet() const {
    Octets type_data;
    if (type == 19) type_data.number(19, 1).number(subtype, 1);
    if (type == 254) type_data.number(254, 1).number(32473, 3).number(subtype, 4);
    type_data.add(body);
    return Octets()
        .number(code, 1)
        .number(identifier, 1)
        .number(4 + type_data.all.size(), 2)
        .add(type_data.all)
        .all;
  }
  // A line of tshark's: number, code, identifier, length, type, vendor's id and type, octets, what is wrong.
  [[nodiscard]] std::string line(std::size_t number) const {
    std::ostringstream out;
    out << number << '|' << int{code} << '|' << int{identifier} << '|' << packet().size() << '|';
    if (type != 0) out << int{type};
    out << '|' << (type == 254 ? "0x7ed9" : "") << '|';
    if (type == 254) out << "0x" << to_hex(Bytes{subtype});
    out << '|' << (type == 19 ? to_hex(Octets().number(subtype, 1).add(body).all) : std::string());
    out << '|' << (type == 254 ? to_hex(body) : std::string()) << "||";
    return out.str();
  }
};

// A capture file of the old kind (pcap, link type Ethernet), in which each packet is one frame of EAPOL.
void write_capture(const std::string& path, const std::vector<Bytes>& packets) {
  std::ofstream file(path, std::ios::binary);
  const auto put = [&](const Octets& octets) {
    file.write(reinterpret_cast<const char*>(octets.all.data()),
               static_cast<std::streamsize>(octets.all.size()));
  };
  put(Octets().number(0xa1b2c3d4, 4).number(2, 2).number(4, 2).number(0, 8).number(65535, 4).number(1, 4));
  const Bytes to_all{0x01, 0x80, 0xc2, 0x00, 0x00, 0x03};
  for (const Bytes& packet : packets) {
    Octets frame;
    const bool from_client = packet.at(0) == 2;
    frame.add(to_all).add(Bytes{0x02, 0, 0, 0, 0, static_cast<std::uint8_t>(from_client ? 2 : 1)});
    frame.number(0x888e, 2).number(2, 1).number(0, 1).with_length(packet, 2);
    put(Octets().number(0, 8).number(frame.all.size(), 4).number(frame.all.size(), 4).add(frame.all));
  }
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> out;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) out.push_back(line);
  return out;
}

void expect_tshark_to_see(const std::vector<Bytes>& packets, const std::vector<Expected>& expected) {
  ASSERT_EQ(packets.size(), expected.size());
  for (std::size_t i = 0; i < packets.size(); ++i)
    EXPECT_EQ(to_hex(packets[i]), to_hex(expected[i].packet())) << "packet " << i + 1;
  const PrivateKeyd folder;  // for its directory; it is not started
  const std::string capture = folder.directory() + "/srp.pcap";
  write_capture(capture, packets);
  std::vector<std::string> command{"/usr/bin/tshark", "-n", "-r",         capture, "-T",
                                   "fields",          "-E", "separator=|"};
  for (const char* field :
       {"frame.number", "eap.code", "eap.id", "eap.len", "eap.type", "eap.ext.vendor_id",
        "eap.ext.vendor_type", "eap.data", "data.data", "_ws.malformed", "_ws.expert.message"})
    command.insert(command.end(), {"-e", field});
  const auto said = run(command);
  ASSERT_EQ(said.exit_code, 0) << said.err;
  const auto lines = lines_of(said.out);
  ASSERT_EQ(lines.size(), expected.size()) << said.out;
  for (std::size_t i = 0; i < lines.size(); ++i) EXPECT_EQ(lines[i], expected[i].line(i + 1));
}

// Random octets that are no surprise.
exchange::RandomSource all(std::uint8_t octet) {
  return [octet](MutableByteView out) {
    std::ranges::fill(out, octet);
    return true;
  };
}
constexpr std::uint8_t kOfClient = 0x9a,
                       kOfServer = 0xc5;  // a and b have the highest bit set, so they are just this

constexpr std::string_view kUser = "ada", kServerName = "keyd.example",
                           kPassword = "correct horse battery staple";

std::vector<Bytes> packets_of(const wire::SrpStart& choice, exchange::SrpVerifier verifier) {
  test::SrpEnds ends(choice, std::move(verifier));
  ends.client_random = all(kOfClient);
  ends.server_random = all(kOfServer);
  std::vector<Bytes> packets;
  std::optional<Bytes> said = *ends.client.start(ends.client_random);
  for (std::size_t step = 0; said && step < test::kSrpSteps; ++step) {
    const auto which = static_cast<test::SrpStep>(step);
    if (which != test::kSrpStart) packets.push_back(test::eap_of(*said, test::is_clients(which)));
    said = ends.give(which, *said);
  }
  EXPECT_TRUE(ends.client_channel) << "the exchange was not finished";
  return packets;
}

// What both ends compute, from the passwords and the random octets above.
struct Numbers {
  Bytes A, B, M1, M2;
};
Numbers numbers_of(const exchange::SrpRules& rules, const exchange::SrpVerifier& verifier, ByteView extra) {
  const auto a = exchange::ephemeral_of(verifier.group, secret::SecretBuffer::copy_of(Bytes(32, kOfClient)));
  const auto b = exchange::ephemeral_of(verifier.group, secret::SecretBuffer::copy_of(Bytes(32, kOfServer)));
  const crypto::Number v = crypto::Number::of(verifier.v.reveal());
  const crypto::Number A = crypto::Number::of(a.power.reveal());
  const crypto::Number B = *exchange::B_of(rules, b, v);
  const crypto::Number u = *exchange::u_of(rules, verifier.group, A, B);
  const auto K = exchange::K_of(rules, exchange::server_S(b, v, A, u));
  auto proofs =
      exchange::proofs_of(rules, verifier.group, bytes_of(kUser), verifier.salt, A, B, K.reveal(), extra);
  return {A.public_octets(), B.public_octets(), std::move(proofs.M1), std::move(proofs.M2)};
}

wire::SrpStart choice_of(wire::Suite suite) {
  wire::SrpStart choice;
  choice.set_user(std::string(kUser));
  choice.set_suite(suite);
  choice.set_server_name(std::string(kServerName));
  return choice;
}

// The seven EAP packets by the tables "Packets" and "EAP". `challenge_begin` is what only one form has in front.
std::vector<Expected> expected_exchange(std::uint8_t type, const exchange::SrpVerifier& verifier,
                                        const Numbers& numbers, ByteView challenge_begin) {
  const auto challenge = Octets()
                             .add(challenge_begin)
                             .with_length(bytes_of(kServerName), 1)
                             .with_length(verifier.salt, 1)
                             .with_length(verifier.group.generator_octets(), 1)
                             .add(verifier.group.modulus_octets());
  const auto validator = [](const Bytes& proof) { return Octets().number(1, 4).add(proof).all; };
  return {{1, 1, type, 1, challenge.all},
          {2, 1, type, 1, numbers.A},
          {1, 2, type, 2, numbers.B},
          {2, 2, type, 2, validator(numbers.M1)},
          {1, 3, type, 3, validator(numbers.M2)},
          {2, 3, type, 3, {}},
          {3, 3, 0, 0, {}}};
}

TEST(InteropTshark, SeesAModernExchangeAsExpandedEap) {
  const wire::SrpStart choice = choice_of(wire::SUITE_MODERN);
  const auto verifier = [&] {
    return test::srp_verifier(choice, kPassword, 1024, exchange::kDefaultDerivation);
  };
  const auto rules = exchange::SrpRules::srp6a();
  const Bytes begin =
      Octets().add(Bytes(32, kOfServer)).number(3, 1).number(15, 1).number(8, 1).number(1, 1).all;
  expect_tshark_to_see(packets_of(choice, verifier()),
                       expected_exchange(254, verifier(), numbers_of(rules, verifier(), {}), begin));
}

TEST(InteropTshark, SeesAHistoricExchangeAsEapSrp) {
  const wire::SrpStart choice = choice_of(wire::SUITE_HISTORIC);
  const auto verifier = [&] { return test::srp_verifier(choice, kPassword); };
  const Bytes extra{1, 19};  // the Challenge's Identifier, and the type
  expect_tshark_to_see(
      packets_of(choice, verifier()),
      expected_exchange(19, verifier(), numbers_of(exchange::SrpRules::srp3(), verifier(), extra), {}));
}

// Figure 4 in both forms: a new salt and group, and nothing new.
TEST(InteropTshark, SeesAChangeOfPasswordInBothForms) {
  const auto group = *exchange::SrpGroup::listed(1536);
  const ByteView N = group.modulus_octets(), g = group.generator_octets();
  const Bytes salt(16, 0x5a), mac(32, 0x3c), short_mac(20, 0x3d), verifier(192, 0x77);
  constexpr std::uint64_t kSerial = 0x0102030405060708;
  for (const bool expanded : {false, true}) {
    SCOPED_TRACE(expanded ? "Expanded" : "type 19");
    const EapSrpForm form = expanded ? EapSrpForm::of_vendor() : EapSrpForm::type19();
    const std::uint8_t type = expanded ? 254 : 19;
    const Bytes& seal = expanded ? mac : short_mac;
    const auto packet = [&](exchange::EapCode code, std::uint8_t identifier, const Bytes& body) {
      return *exchange::encode_srp_message(form, {.code = code,
                                                  .identifier = identifier,
                                                  .subtype = exchange::SrpSubtype::kChangePassword,
                                                  .body = body});
    };
    const auto request = exchange::encode_change_request(
        {.serial = kSerial, .flags = 1, .salt = salt, .modulus = N, .generator = g, .mac = seal});
    const auto unchanged = exchange::encode_change_request(
        {.serial = kSerial + 1, .flags = 0, .salt = {}, .modulus = {}, .generator = {}, .mac = seal});
    const auto response =
        exchange::encode_change_response({.serial = kSerial, .verifier = verifier, .mac = seal});
    ASSERT_TRUE(request && unchanged && response);
    const auto expected_request = [&](std::uint64_t serial, int flags, ByteView s, ByteView n,
                                      ByteView generator) {
      return Octets()
          .number(serial, 8)
          .number(static_cast<std::uint64_t>(flags), 1)
          .with_length(s, 2)
          .with_length(n, 2)
          .with_length(generator, 2)
          .add(seal)
          .all;
    };
    expect_tshark_to_see(
        {packet(exchange::EapCode::kRequest, 7, *request), packet(exchange::EapCode::kResponse, 7, *response),
         packet(exchange::EapCode::kRequest, 8, *unchanged)},
        {{1, 7, type, 192, expected_request(kSerial, 1, salt, N, g)},
         {2, 7, type, 192, Octets().number(kSerial, 8).with_length(verifier, 2).add(seal).all},
         {1, 8, type, 192, expected_request(kSerial + 1, 0, {}, {}, {})}});
  }
}

// The dissector does find fault where there is one.
TEST(InteropTshark, SeesAPacketThatIsCutOff) {
  const PrivateKeyd folder;
  const std::string capture = folder.directory() + "/cut.pcap";
  Bytes packet = Expected{1, 1, 254, 1, Bytes(40, 'x')}.packet();
  packet.resize(9);
  write_capture(capture, {packet});
  const auto said = run({"/usr/bin/tshark", "-n", "-r", capture, "-T", "fields", "-e", "_ws.malformed"});
  EXPECT_EQ(said.exit_code, 0) << said.err;
  EXPECT_GT(said.out.size(), 1u) << said.out;
}

}  // namespace
}  // namespace keyd::testing
