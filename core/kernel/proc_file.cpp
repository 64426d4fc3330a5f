#include "core/kernel/proc_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <charconv>

#include "core/base/unique_fd.h"

namespace keyd::kernel {
namespace {
constexpr std::size_t kLimit = 16 << 10;
constexpr std::string_view kBlanks = " \t";
}  // namespace

std::optional<std::string> read_proc_file(const std::string& path) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return std::nullopt;
  std::string text(kLimit, '\0');
  std::size_t have = 0;
  while (have < text.size()) {
    const ssize_t got = ::read(file.get(), text.data() + have, text.size() - have);
    if (got < 0) return std::nullopt;
    if (got == 0) break;
    have += static_cast<std::size_t>(got);
  }
  text.resize(have);
  return text;
}

std::optional<std::string_view> proc_field(std::string_view text, std::string_view name) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    std::string_view line = text.substr(at, end - at);
    at = end + 1;
    if (!line.starts_with(name)) continue;
    line.remove_prefix(name.size());
    line.remove_prefix(std::min(line.find_first_not_of(kBlanks), line.size()));
    const std::size_t last = line.find_last_not_of(kBlanks);
    return last == std::string_view::npos ? std::string_view() : line.substr(0, last + 1);
  }
  return std::nullopt;
}

bool parse_numbers(std::string_view text, std::span<std::int64_t> out) {
  for (std::int64_t& number : out) {
    text.remove_prefix(std::min(text.find_first_not_of(kBlanks), text.size()));
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
    if (parsed.ec != std::errc()) return false;
    text.remove_prefix(static_cast<std::size_t>(parsed.ptr - text.data()));
  }
  return text.find_first_not_of(kBlanks) == std::string_view::npos;
}

}  // namespace keyd::kernel
