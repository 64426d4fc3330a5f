// The base64 of SRP's password files: digits 0-9 A-Z a-z . / of six bits each, and no padding at the end. What is left
// over of a multiple of three octets stands in front, as Stanford's libsrp had it. There two ways part:
//
//                  first octets, of n mod 3 = 1        of 2                            a leading zero octet
//   GnuTLS         as few digits as hold them: 1, 2    1, 2, 3                         lost where n mod 3 = 2
//   OpenSSL        two digits                          three                           kept (but OpenSSL takes all for
//                                                                                      numbers, docs/protocols/srp.md)
//
// So a quarter of what GnuTLS writes OpenSSL cannot read: a single digit in front.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include "core/base/bytes.h"
#include "core/secret/secret.h"

namespace keyd::keyadm {

enum class SrpBase64 { kGnutls, kOpenssl };

// How many octets `text` stands for, read into the end of `out`, which need not be filled: the rest of it is left as it
// was. Nothing when it is no such text, is empty, or does not fit.
[[nodiscard]] std::optional<std::size_t> read_srp_base64(SrpBase64 way, std::string_view text,
                                                         MutableByteView out);

// Of 1 octet or more, into the end of `out`, which holds srp_base64_size() characters or more. Gives their number.
std::size_t write_srp_base64(SrpBase64 way, ByteView octets, MutableByteView out);
[[nodiscard]] constexpr std::size_t srp_base64_size(std::size_t octets) {
  return (octets * 8 + 5) / 6;
}  // at most

}  // namespace keyd::keyadm
