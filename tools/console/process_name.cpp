#include "tools/console/process_name.h"

#include <charconv>

namespace keyd::console {
namespace {

template <typename Number>
bool parse(std::string_view text, Number& out) {
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), out);
  return parsed.ec == std::errc() && parsed.ptr == text.data() + text.size() && out != 0;
}

}  // namespace

std::optional<ProcessName> parse_process(std::string_view text) {
  ProcessName name;
  const std::size_t colon = text.find(':');
  if (!parse(text.substr(0, colon), name.pid)) return std::nullopt;
  if (colon != std::string_view::npos && !parse(text.substr(colon + 1), name.inode)) return std::nullopt;
  return name;
}

}  // namespace keyd::console
