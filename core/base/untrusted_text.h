// Names and other text that came from outside: which of it is acceptable as a name, and how any of it is
// shown.
#pragma once

#include <string>
#include <string_view>

namespace keyd {

// Longest user or credential name, in octets of UTF-8 (a table record holds exactly this many).
inline constexpr std::size_t kMaxNameOctets = 64;

// True for 1..kMaxNameOctets octets of well-formed UTF-8 without control characters, direction overrides or
// leading/trailing blanks, and not starting with '-'. Holds for user names and credential names alike.
[[nodiscard]] bool is_acceptable_name(std::string_view name);

// `text` made safe for a terminal, a log line or a message: control characters, direction overrides,
// ill-formed UTF-8, quotes and backslashes become \xNN or \u{NNNN}; other UTF-8 stays.
[[nodiscard]] std::string escape(std::string_view text);

// The same for a whole line of text, such as a message that quotes escaped names already: quotes and
// backslashes stay.
[[nodiscard]] std::string escape_line(std::string_view text);

// True when the whole of `text` is well-formed UTF-8 (RFC 3629), whatever its characters.
[[nodiscard]] bool is_utf8(std::string_view text);

}  // namespace keyd
