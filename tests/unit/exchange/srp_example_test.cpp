// The worked example of docs/protocols/srp.md, said by the machines: octet for octet what is printed there. (What is
// printed there comes from another program, docs/protocols/srp_worked_example.py.)
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <fstream>
#include <iterator>

#include "tests/unit/support/srp_exchange.h"

namespace keyd::exchange {
namespace {

using namespace keyd::test;  // the conversation and its words

std::string document() {
  std::ifstream file(KEYD_SOURCE_DIR "/docs/protocols/srp.md");
  std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  std::erase_if(text, [](unsigned char c) { return std::isspace(c) != 0; });
  return text;
}

// Gives runs of octets that begin at these values, one a call.
RandomSource runs(std::vector<std::uint8_t> first) {
  return [first, next = std::size_t{0}](MutableByteView out) mutable {
    if (next == first.size()) return false;
    std::ranges::copy(run(first[next++], out.size()), out.begin());
    return true;
  };
}

TEST(SrpExample, IsWhatTheMachinesSay) {
  const std::string text = document();
  wire::SrpStart choice;
  choice.set_user("alice");
  choice.set_suite(wire::SUITE_MODERN);
  choice.set_server_name("localhost");
  const SrpGroup group = *SrpGroup::listed(2048);
  const Bytes salt = run(0x20, 16);
  const auto x = derive_x(kDefaultDerivation, bytes_of("alice"), bytes_of(kSrpPassword), salt);
  ASSERT_TRUE(x);
  SrpEnds ends(choice, {group, salt, kDefaultDerivation, verifier_of(group, x->reveal())}, SrpClientPolicy{});
  EXPECT_NE(text.find(to_hex(ends.verifier.v.reveal())), std::string::npos);
  ends.group_bits = 2048;
  ends.client_random = runs({0x00, 0x80});
  ends.server_random = runs({0x40, 0x60, 0xc0});
  std::optional<Bytes> said = *ends.client.start(ends.client_random);
  for (std::size_t step = 0; step < kSrpSteps; ++step) {
    ASSERT_TRUE(said) << step;
    EXPECT_NE(text.find(to_hex(*said)), std::string::npos)
        << "packet " << step + 1 << " is " << to_hex(*said);
    said = ends.give(static_cast<SrpStep>(step), *said);
  }
  ASSERT_TRUE(ends.client_channel);
  const SrpKeys keys = ends.client.take_keys();
  EXPECT_NE(text.find(to_hex(keys.encrypt_client_to_server.reveal())), std::string::npos);
  EXPECT_NE(text.find(to_hex(keys.authenticate_server_to_client.reveal())), std::string::npos);
}

}  // namespace
}  // namespace keyd::exchange
