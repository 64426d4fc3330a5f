// Any octets at all as a name and as text to show: what is accepted is short and clean, what is shown is
// printable.
#include "core/base/untrusted_text.h"

#include <algorithm>

#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace keyd;
  using namespace keyd::fuzz;
  const std::string_view text = text_of({data, size});
  const std::string shown = escape(text);
  const auto is_control = [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7f || c == '"';
  };
  must(std::ranges::none_of(shown, is_control));
  // Shown text is well-formed: once its backslashes are gone, showing it again changes nothing.
  std::string plain = shown;
  std::ranges::replace(plain, '\\', '/');
  must(escape(plain) == plain);
  if (is_acceptable_name(text)) {
    must(!text.empty() && text.size() <= kMaxNameOctets && text.front() != '-');
    must(
        std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) >= 0x20 && c != 0x7f; }));
    must(shown.size() >= text.size());
    must(text.find_first_of("\"\\") != std::string_view::npos || shown == text);
  }
  return 0;
}
