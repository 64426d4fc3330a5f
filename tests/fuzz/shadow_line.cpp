// A shadow file as it may come from anywhere: through SecretLines, whose lines are what stands between its newlines, and
// each of them through parse_shadow_line, which gives parts of the line that keyd can be asked with, or nothing.
#include "tools/keyadm/shadow_line.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <string>

#include "core/base/unique_fd.h"
#include "core/base/untrusted_text.h"
#include "core/crypto/password_hash.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/locked_memory_balance.h"
#include "tools/keyadm/secret_lines.h"

namespace keyd::fuzz {
namespace {

constexpr std::uint64_t kToday = 20000;

bool lies_in(ByteView part, ByteView whole) {
  return part.empty() ||
         (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}

void read_line(ByteView octets) {
  using Kind = keyadm::ShadowLine::Kind;
  const auto line = keyadm::parse_shadow_line(octets, kToday);
  if (!line) {
    must(line.error().code == Code::kInvalid);
    must(escape_line(line.error().detail) == line.error().detail);
    return;
  }
  if (line->kind == Kind::kNothing) {
    must(line->name.empty() && line->hash.empty());
    return;
  }
  must(is_acceptable_name(line->name) && lies_in(bytes_of(line->name), octets));
  must(line->name.find(':') == std::string_view::npos);
  must(line->password_changed % 86400 == 0 && line->password_changed < 253402300800);
  must((line->kind == Kind::kHash) == !line->hash.empty());
  if (line->kind == Kind::kNoPassword) return;
  must(lies_in(line->hash, octets) && line->hash.size() <= crypto::kMaxCryptString);
  must(line->hash[0] != '!' && line->hash[0] != '*');
  must(std::ranges::all_of(line->hash, [](std::uint8_t c) { return c > 0x20 && c < 0x7f && c != ':'; }));
  // What it says without the marks of a lock is the same for a user who has none.
  const std::string plain = std::string(line->name) + ":" + std::string(text_of(line->hash));
  const auto again = keyadm::parse_shadow_line(bytes_of(plain), kToday);
  must(again && again->kind == Kind::kHash && !again->locked && again->name == line->name);
  must(std::ranges::equal(again->hash, line->hash));
}

void read_file(ByteView content) {
  const UniqueFd file(::memfd_create("shadow", MFD_CLOEXEC));
  must(::write(file.get(), content.data(), content.size()) == static_cast<ssize_t>(content.size()));
  must(::lseek(file.get(), 0, SEEK_SET) == 0);
  keyadm::SecretLines lines(file.get());
  std::uint64_t number = 0;
  for (ByteView rest = content; !rest.empty();) {
    const auto newline = std::ranges::find(rest, std::uint8_t{'\n'});
    const auto size = static_cast<std::size_t>(newline - rest.begin());
    const auto line = lines.next();
    must(lines.number() == ++number);
    if (size > keyadm::SecretLines::kLongest) {
      must(!line && line.error().code == Code::kInvalid);
    } else {
      must(line && *line && std::ranges::equal(**line, rest.first(size)));
      read_line(**line);
    }
    rest = rest.subspan(std::min(size + 1, rest.size()));
  }
  const auto end = lines.next();
  must(end && !*end);
}

}  // namespace
}  // namespace keyd::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 65536) return 0;
  const keyd::fuzz::LockedMemoryBalance balance;
  keyd::fuzz::read_file({data, size});
  return 0;
}
