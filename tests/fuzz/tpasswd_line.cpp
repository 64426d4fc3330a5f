// Files of SRP verifiers as they may come from anywhere: each line as a user's or a group's. What one gives keyd can be
// asked with, and written again it is the same; or it gives nothing.
#include "tools/keyadm/tpasswd_line.h"

#include <algorithm>

#include "core/base/untrusted_text.h"
#include "core/exchange/srp_verifier.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/locked_memory_balance.h"
#include "tools/keyadm/tpasswd_groups.h"

namespace keyd::fuzz {
namespace {

using keyadm::SrpBase64;
using keyadm::TpasswdLine;
using Kind = TpasswdLine::Kind;

bool lies_in(std::string_view part, ByteView whole) {
  const ByteView octets = bytes_of(part);
  return octets.data() >= whole.data() && octets.data() + octets.size() <= whole.data() + whole.size();
}

bool is_number(ByteView octets) {
  return !octets.empty() && octets.size() <= exchange::kLargestGroupOctets && octets.front() != 0;
}

void look_at_error(const Error& error) {
  must(error.code == Code::kInvalid && escape_line(error.detail) == error.detail);
}

void look_at_user(const TpasswdLine& line, ByteView octets) {
  must(is_acceptable_name(line.name) && lies_in(line.name, octets) && lies_in(line.group, octets));
  must(!line.group.empty() && line.group.size() <= keyadm::kLongestGroupName);
  must(is_number(line.verifier.reveal()));
  must(!line.salt.empty() && line.salt.size() <= exchange::kLongestSalt);
  must(line.form == SrpBase64::kGnutls || line.salt.front() != 0);
  const auto text = keyadm::write_tpasswd_line(line);
  if (!text) {
    must(text.error().code == Code::kRefused && escape_line(text.error().detail) == text.error().detail);
    return;
  }
  must(std::ranges::count(text->reveal(), std::uint8_t{'\n'}) == 1 && text->reveal().back() == '\n');
  const auto again = keyadm::parse_tpasswd_line(text->reveal().first(text->size() - 1));
  must(again && again->kind == Kind::kUser && again->form == line.form && again->name == line.name);
  must(again->group == line.group && again->salt == line.salt);
  must(std::ranges::equal(again->verifier.reveal(), line.verifier.reveal()));
}

void look_at_group(const TpasswdLine& line) {
  must(is_number(line.modulus) && is_number(line.generator));
  const std::string text = keyadm::write_tpasswd_conf_line(line.group, line.modulus, line.generator);
  must(text.ends_with('\n'));
  const auto again = keyadm::parse_tpasswd_conf_line(bytes_of(text).first(text.size() - 1));
  // A name with a colon, or that begins like a comment, is OpenSSL's alone.
  if (line.group.contains(':') || line.group.starts_with('#')) return;
  must(again && again->modulus == line.modulus && again->generator == line.generator &&
       again->group == line.group);
}

void read_line(ByteView octets, keyadm::TpasswdGroups& groups) {
  const auto line = keyadm::parse_tpasswd_line(octets);
  if (!line) return look_at_error(line.error());
  must((line->kind == Kind::kUser) == !line->verifier.empty());
  if (line->kind == Kind::kUser) {
    look_at_user(*line, octets);
    const auto group = groups.of(*line);
    must(!group || group->bits() >= 1024);
  }
  if (line->kind != Kind::kGroup) return;
  look_at_group(*line);
  (void)groups.add(*line);
}

void read_conf_line(ByteView octets, keyadm::TpasswdGroups& groups) {
  const auto line = keyadm::parse_tpasswd_conf_line(octets);
  if (!line) return look_at_error(line.error());
  must(line->kind == Kind::kNothing || line->kind == Kind::kGroup);
  if (line->kind == Kind::kNothing) return;
  look_at_group(*line);
  (void)groups.add(*line);
}

}  // namespace
}  // namespace keyd::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace keyd;
  if (size > 16384) return 0;
  const fuzz::LockedMemoryBalance balance;
  keyadm::TpasswdGroups groups;
  for (ByteView rest{data, size}; !rest.empty();) {
    const auto newline = std::ranges::find(rest, std::uint8_t{'\n'});
    const auto length = static_cast<std::size_t>(newline - rest.begin());
    fuzz::read_conf_line(rest.first(length), groups);
    fuzz::read_line(rest.first(length), groups);
    rest = rest.subspan(std::min(length + 1, rest.size()));
  }
  return 0;
}
