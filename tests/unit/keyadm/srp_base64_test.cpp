#include "tools/keyadm/srp_base64.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace keyd::keyadm {
namespace {

std::string written(SrpBase64 way, const Bytes& octets) {
  Bytes room(srp_base64_size(octets.size()));
  const std::size_t size = write_srp_base64(way, octets, room);
  return std::string(text_of(ByteView(room).last(size)));
}

std::string read(SrpBase64 way, std::string_view text, std::size_t room = 64) {
  Bytes out(room, 0xee);
  const auto size = read_srp_base64(way, text, out);
  return size ? to_hex(ByteView(out).last(*size)) : "none";
}

// Read off GnuTLS 3.7 (gnutls_srp_base64_encode2, _decode2) and OpenSSL 3.0 (t_tob64, t_fromb64).
TEST(SrpBase64, WritesFrontOctetsAsEachProgramDoes) {
  const struct {
    Bytes octets;
    const char *gnutls, *openssl;
  } cases[] = {
      {{0x00}, "0", "00"},
      {{0x3f}, "/", "0/"},
      {{0x40}, "10", "10"},
      {{0xff}, "3/", "3/"},
      {{0x00, 0x05}, "5", "005"},
      {{0x00, 0xff}, "3/", "03/"},
      {{0x0f, 0xff}, "//", "0//"},
      {{0xff, 0xff}, "F//", "F//"},
      {{0x00, 0x00, 0x01}, "0001", "0001"},
      {{0x01, 0x00, 0x00, 0x02}, "10002", "010002"},
  };
  for (const auto& [octets, gnutls, openssl] : cases) {
    EXPECT_EQ(written(SrpBase64::kGnutls, octets), gnutls) << to_hex(octets);
    EXPECT_EQ(written(SrpBase64::kOpenssl, octets), openssl) << to_hex(octets);
    EXPECT_EQ(read(SrpBase64::kOpenssl, openssl), to_hex(octets));
    const bool lost = octets.size() % 3 == 2 && octets[0] == 0;
    EXPECT_EQ(read(SrpBase64::kGnutls, gnutls), lost ? to_hex(ByteView(octets).subspan(1)) : to_hex(octets));
  }
}

TEST(SrpBase64, ReadsTextsThatNoneOfThemWritesAsGnutlsDoesOrNotAtAll) {
  EXPECT_EQ(read(SrpBase64::kGnutls, "00A"), "000a");
  EXPECT_EQ(read(SrpBase64::kGnutls, "05"), "05");
  EXPECT_EQ(read(SrpBase64::kGnutls, "///"), "03ffff");
  EXPECT_EQ(read(SrpBase64::kOpenssl, "5"), "none") << "a single digit in front";
  EXPECT_EQ(read(SrpBase64::kOpenssl, "50005"), "none");
  EXPECT_EQ(read(SrpBase64::kOpenssl, "40"), "none") << "OpenSSL would lose bits";
  EXPECT_EQ(read(SrpBase64::kOpenssl, "G00"), "none");
  for (const SrpBase64 way : {SrpBase64::kGnutls, SrpBase64::kOpenssl}) {
    for (const std::string_view text :
         {"", "+000", "000=", "0 00", "00\n0", "\xff\x30\x30\x30", "-000", "00_0"})
      EXPECT_EQ(read(way, text), "none") << text;
    EXPECT_EQ(read(way, std::string_view("00\0", 3)), "none");
  }
}

TEST(SrpBase64, StaysWithinItsRoom) {
  for (const SrpBase64 way : {SrpBase64::kGnutls, SrpBase64::kOpenssl}) {
    EXPECT_EQ(read(way, "00010002", 6), "000001000002");
    EXPECT_EQ(read(way, "00010002", 5), "none");
    EXPECT_EQ(read(way, "1000010002", 6), "none");
    EXPECT_EQ(read(way, "1000010002", 7), "40000001000002");
    EXPECT_EQ(read(way, std::string(100'000, '0'), 64), "none");
  }
  Bytes out(8, 0xee);
  ASSERT_TRUE(read_srp_base64(SrpBase64::kOpenssl, "0001", out));
  EXPECT_EQ(to_hex(out), "eeeeeeeeee000001");
}

TEST(SrpBase64, OfEverySizeComesBack) {
  for (std::size_t size = 1; size < 70; ++size) {
    Bytes octets(size);
    for (std::size_t i = 0; i < size; ++i) octets[i] = static_cast<std::uint8_t>(37 * (i + 1) + size);
    octets[0] |= 1;
    for (const SrpBase64 way : {SrpBase64::kGnutls, SrpBase64::kOpenssl})
      EXPECT_EQ(read(way, written(way, octets), 70), to_hex(octets));
  }
}

}  // namespace
}  // namespace keyd::keyadm
