// As the two programs read their own files. GnuTLS cuts a line from its end, so that a name could have colons, but looks for a
// name up to the first one: no user of such a name ever logged in. OpenSSL reads its file as a text database, in which a
// backslash before a tab makes it a part of the field.
#include "tools/keyadm/tpasswd_line.h"

#include <algorithm>
#include <array>

#include "core/base/untrusted_text.h"
#include "core/exchange/srp_group.h"
#include "core/exchange/srp_verifier.h"

namespace keyd::keyadm {
namespace {

constexpr std::size_t kFieldsOfUser = 4, kFieldsOfGroup = 3, kFieldsOfOpenssl = 6;

struct Fields {
  std::array<std::string_view, kFieldsOfOpenssl> text;
  std::size_t count = 0;  // may be more than there is room for
};

Fields split(std::string_view line, char separator) {
  Fields fields;
  for (std::size_t from = 0;;) {
    std::size_t end = line.find(separator, from);
    if (separator == '\t') {
      while (end != std::string_view::npos && end > 0 && line[end - 1] == '\\')
        end = line.find('\t', end + 1);
    }
    if (fields.count < fields.text.size()) fields.text[fields.count] = line.substr(from, end - from);
    ++fields.count;
    if (end == std::string_view::npos) return fields;
    from = end + 1;
  }
}

std::unexpected<Error> wrong_count(const Fields& fields, std::size_t wanted) {
  return fail(Code::kInvalid, "it has " + std::to_string(fields.count) +
                                  (fields.count == 1 ? " field" : " fields") + ", not " +
                                  std::to_string(wanted));
}

bool is_group_name(std::string_view name) {
  return !name.empty() && name.size() <= kLongestGroupName &&
         std::ranges::all_of(name, [](char c) { return c > 0x20 && c < 0x7f; });
}

// Without leading zeros, nothing when there is nothing else.
ByteView without_zeros(ByteView octets) {
  const auto first = std::ranges::find_if(octets, [](std::uint8_t octet) { return octet != 0; });
  return octets.subspan(static_cast<std::size_t>(first - octets.begin()));
}

// Octets of `text` in locked memory, secret or not; none when it is no base64 or stands for too many.
secret::SecretBuffer octets_of(SrpBase64 form, std::string_view text, std::size_t most, bool is_number) {
  secret::SecretBuffer room(most);
  const auto size = read_srp_base64(form, text, room.reveal());
  if (!size) return {};
  const ByteView octets = std::as_const(room).reveal().last(*size);
  return secret::SecretBuffer::copy_of(is_number ? without_zeros(octets) : octets);
}

Bytes public_octets_of(SrpBase64 form, std::string_view text, std::size_t most, bool is_number) {
  const auto octets = octets_of(form, text, most, is_number);
  const ByteView view = octets.reveal();
  return {view.begin(), view.end()};
}

Result<TpasswdLine> read_user(SrpBase64 form, std::string_view name, std::string_view verifier,
                              std::string_view salt, std::string_view group) {
  TpasswdLine out;
  out.kind = TpasswdLine::Kind::kUser;
  out.form = form;
  out.name = name;
  out.group = group;
  if (!is_acceptable_name(name)) return fail(Code::kInvalid, "its name is none that keyd takes");
  if (!is_group_name(group)) return fail(Code::kInvalid, "it names no group");
  out.verifier = octets_of(form, verifier, exchange::kLargestGroupOctets, true);
  if (out.verifier.empty()) return fail(Code::kInvalid, "the verifier is no number in SRP's base64");
  // OpenSSL computes with the salt as a number: a zero in front is in its file, and not in x.
  out.salt = public_octets_of(form, salt, exchange::kLongestSalt, form == SrpBase64::kOpenssl);
  if (out.salt.empty()) return fail(Code::kInvalid, "the salt is not 1 to 255 octets in SRP's base64");
  return out;
}

Result<TpasswdLine> read_group(SrpBase64 form, std::string_view name, std::string_view modulus,
                               std::string_view generator) {
  TpasswdLine out;
  out.kind = TpasswdLine::Kind::kGroup;
  out.form = form;
  out.group = name;
  if (!is_group_name(name)) return fail(Code::kInvalid, "it names no group");
  out.modulus = public_octets_of(form, modulus, exchange::kLargestGroupOctets, true);
  out.generator = public_octets_of(form, generator, exchange::kLargestGroupOctets, true);
  if (out.modulus.empty() || out.generator.empty())
    return fail(Code::kInvalid, "its modulus or generator is no number in SRP's base64");
  return out;
}

Result<TpasswdLine> read_openssl(std::string_view line) {
  const Fields fields = split(line, '\t');
  if (fields.count != kFieldsOfOpenssl) return wrong_count(fields, kFieldsOfOpenssl);
  const auto& [type, first, second, name, group, information] = fields.text;
  if (type == "V") return read_user(SrpBase64::kOpenssl, name, first, second, group);
  if (type == "I") return read_group(SrpBase64::kOpenssl, name, first, second);
  if (type != "R") return fail(Code::kInvalid, "it begins with none of V, I and R");
  if (!is_acceptable_name(name)) return fail(Code::kInvalid, "its name is none that keyd takes");
  TpasswdLine out;
  out.kind = TpasswdLine::Kind::kDeleted;
  out.form = SrpBase64::kOpenssl;
  out.name = name;
  return out;
}

bool says_nothing(std::string_view line) {
  return line.find_first_not_of(" \t\r") == std::string_view::npos || line.front() == '#';
}

void append(secret::SecretBuffer& to, std::size_t& size, ByteView octets) {
  std::ranges::copy(octets, to.reveal().subspan(size).begin());
  size += octets.size();
}
void append(secret::SecretBuffer& to, std::size_t& size, std::string_view text) {
  append(to, size, bytes_of(text));
}

void append_base64(secret::SecretBuffer& to, std::size_t& size, SrpBase64 form, ByteView octets) {
  secret::SecretBuffer text(srp_base64_size(octets.size()));
  const std::size_t written = write_srp_base64(form, octets, text.reveal());
  append(to, size, std::as_const(text).reveal().last(written));
}

// kRefused: what is read back from `line` would be another user or salt.
Result<void> check_sayable(const TpasswdLine& line) {
  const bool openssl = line.form == SrpBase64::kOpenssl;
  // A backslash before a tab would hide it.
  if (!is_acceptable_name(line.name) || line.name.starts_with('#') ||
      (openssl ? line.name.ends_with('\\') : line.name.contains(':')))
    return fail(Code::kRefused, "the file has no way to write the name \"" + escape(line.name) + "\"");
  const bool zero_first = !line.salt.empty() && line.salt.front() == 0;
  if (zero_first && (openssl || line.salt.size() % 3 == 2))
    return fail(Code::kRefused, std::string(openssl ? "OpenSSL" : "GnuTLS") +
                                    " would lose the zero that the salt of \"" + escape(line.name) +
                                    "\" begins with");
  return {};
}

}  // namespace

Result<TpasswdLine> parse_tpasswd_line(ByteView octets) {
  const std::string_view line = text_of(octets);
  if (says_nothing(line)) return TpasswdLine();
  if (line.contains('\t')) return read_openssl(line);
  const Fields fields = split(line, ':');
  if (fields.count != kFieldsOfUser) return wrong_count(fields, kFieldsOfUser);
  return read_user(SrpBase64::kGnutls, fields.text[0], fields.text[1], fields.text[2], fields.text[3]);
}

Result<TpasswdLine> parse_tpasswd_conf_line(ByteView octets) {
  const std::string_view line = text_of(octets);
  if (says_nothing(line)) return TpasswdLine();
  const Fields fields = split(line, ':');
  if (fields.count != kFieldsOfGroup) return wrong_count(fields, kFieldsOfGroup);
  return read_group(SrpBase64::kGnutls, fields.text[0], fields.text[1], fields.text[2]);
}

Result<secret::SecretBuffer> write_tpasswd_line(const TpasswdLine& line) {
  if (auto sayable = check_sayable(line); !sayable) return std::unexpected(sayable.error());
  secret::SecretBuffer out(srp_base64_size(line.verifier.size()) + srp_base64_size(line.salt.size()) +
                           line.name.size() + line.group.size() + 8);
  std::size_t size = 0;
  const bool openssl = line.form == SrpBase64::kOpenssl;
  const std::string_view separator = openssl ? "\t" : ":";
  append(out, size, openssl ? "V" : line.name);
  append(out, size, separator);
  append_base64(out, size, line.form, line.verifier.reveal());
  append(out, size, separator);
  append_base64(out, size, line.form, line.salt);
  append(out, size, separator);
  if (openssl) {
    append(out, size, line.name);
    append(out, size, separator);
  }
  append(out, size, line.group);
  append(out, size, openssl ? "\t\n" : "\n");
  out.truncate(size);
  return out;
}

std::string write_tpasswd_conf_line(std::string_view index, ByteView modulus, ByteView generator) {
  std::string out(index);
  for (const ByteView number : {modulus, generator}) {
    Bytes text(srp_base64_size(number.size()));
    const std::size_t written = write_srp_base64(SrpBase64::kGnutls, number, text);
    out += ':';
    out += text_of(ByteView(text).last(written));
  }
  return out + '\n';
}

}  // namespace keyd::keyadm
