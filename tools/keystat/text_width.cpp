#include "tools/keystat/text_width.h"

#include <clocale>
#include <cwchar>

namespace keyd::keystat {
namespace {

// One character from the front of `text`: its octets and columns. wcwidth(3) asks the locale, so one that
// knows UTF-8 is set; where there is none, every character counts as one column.
struct Character {
  std::size_t octets, columns;
};

Character first_of(std::string_view text) {
  static const bool utf8 = std::setlocale(LC_CTYPE, "C.UTF-8") != nullptr;
  std::mbstate_t state{};
  wchar_t wide = 0;
  const std::size_t octets = utf8 ? std::mbrtowc(&wide, text.data(), text.size(), &state) : 0;
  if (octets == 0 || octets > text.size()) {
    std::size_t length = 1;
    while (length < text.size() && (static_cast<unsigned char>(text[length]) & 0xc0) == 0x80) ++length;
    return {length, 1};
  }
  const int columns = ::wcwidth(wide);
  return {octets, columns < 0 ? 1 : static_cast<std::size_t>(columns)};
}

}  // namespace

std::size_t display_width(std::string_view text) {
  std::size_t columns = 0;
  while (!text.empty()) {
    const Character c = first_of(text);
    columns += c.columns;
    text.remove_prefix(c.octets);
  }
  return columns;
}

std::string_view clip(std::string_view text, std::size_t width) {
  std::size_t columns = 0, octets = 0;
  while (octets < text.size()) {
    const Character c = first_of(text.substr(octets));
    if (columns + c.columns > width) break;
    columns += c.columns;
    octets += c.octets;
  }
  return text.substr(0, octets);
}

std::string fit(std::string_view text, std::size_t width, Align align) {
  std::string shown(text);
  std::size_t columns = display_width(text);
  if (columns > width) {
    shown = width == 0 ? std::string() : std::string(clip(text, width - 1)) + "…";
    columns = display_width(shown);
  }
  const std::string blanks(width - columns, ' ');
  return align == Align::kLeft ? shown + blanks : blanks + shown;
}

}  // namespace keyd::keystat
