// How much room text takes on a terminal: a column is not an octet and not a character.
#pragma once

#include <string>
#include <string_view>

namespace keyd::keystat {

// Columns that `text` takes; UTF-8 that went through escape(). Wide characters take two, combining ones none.
[[nodiscard]] std::size_t display_width(std::string_view text);

// The longest beginning of `text` that takes at most `width` columns.
[[nodiscard]] std::string_view clip(std::string_view text, std::size_t width);

enum class Align { kLeft, kRight };
// `text` in exactly `width` columns: filled up with blanks, or cut and ended with "…".
[[nodiscard]] std::string fit(std::string_view text, std::size_t width, Align align = Align::kLeft);

}  // namespace keyd::keystat
