// What was typed, out of the octets that a terminal sends (ECMA-48 control sequences, as every terminal in
// use sends them).
#pragma once

#include <optional>
#include <string>

namespace keyd::keystat {

struct Key {
  enum Kind { kText, kUp, kDown, kPageUp, kPageDown, kHome, kEnd, kEnter, kEscape, kBackspace, kOther };
  Kind kind = kOther;
  std::string text;  // of kText: one character, UTF-8
};

// Takes one key from the front of `typed`. Nothing when there is none, or only a beginning of one; with
// `idle` (nothing more came for a while) a beginning is taken for what it is: the escape key.
[[nodiscard]] std::optional<Key> take_key(std::string& typed, bool idle);

}  // namespace keyd::keystat
