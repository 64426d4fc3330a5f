#include "tools/keystat/keys.h"

#include "core/base/untrusted_text.h"

namespace keyd::keystat {
namespace {

constexpr std::size_t kLongestSequence = 32;  // a longer one is none

// ESC [ parameters final, or ESC O final; `octets` is 0 while it is not complete.
struct Sequence {
  std::size_t octets = 0;
  std::string parameters;
  char final = 0;
};

Sequence sequence_at_front(const std::string& typed) {
  for (std::size_t i = 2; i < typed.size() && i < kLongestSequence; ++i) {
    if (typed[i] >= 0x40 && typed[i] <= 0x7e) return {i + 1, typed.substr(2, i - 2), typed[i]};
  }
  return {};
}

Key::Kind kind_of(const Sequence& sequence) {
  switch (sequence.final) {
    case 'A': return Key::kUp;
    case 'B': return Key::kDown;
    case 'H': return Key::kHome;
    case 'F': return Key::kEnd;
    case '~': break;
    default: return Key::kOther;
  }
  if (sequence.parameters == "5") return Key::kPageUp;
  if (sequence.parameters == "6") return Key::kPageDown;
  if (sequence.parameters == "1" || sequence.parameters == "7") return Key::kHome;
  if (sequence.parameters == "4" || sequence.parameters == "8") return Key::kEnd;
  return Key::kOther;
}

std::size_t utf8_length(unsigned char first) {
  return first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 1;
}

std::optional<Key> take_escape(std::string& typed, bool idle) {
  const bool introduced = typed.size() > 1 && (typed[1] == '[' || typed[1] == 'O');
  if (introduced) {
    if (const Sequence sequence = sequence_at_front(typed); sequence.octets != 0) {
      typed.erase(0, sequence.octets);
      return Key{kind_of(sequence), {}};
    }
    if (!idle && typed.size() < kLongestSequence) return std::nullopt;
  } else if (typed.size() == 1 && !idle) {
    return std::nullopt;
  }
  typed.erase(0, 1);
  return Key{Key::kEscape, {}};
}

}  // namespace

std::optional<Key> take_key(std::string& typed, bool idle) {
  if (typed.empty()) return std::nullopt;
  const auto first = static_cast<unsigned char>(typed.front());
  if (first == 0x1b) return take_escape(typed, idle);
  if (first < 0x20 || first == 0x7f) {
    typed.erase(0, 1);
    if (first == '\r' || first == '\n') return Key{Key::kEnter, {}};
    if (first == 0x7f || first == 0x08) return Key{Key::kBackspace, {}};
    return Key{};
  }
  const std::size_t length = utf8_length(first);
  if (typed.size() < length && !idle) return std::nullopt;
  const std::string character = typed.substr(0, length);
  if (!is_utf8(character)) {
    typed.erase(0, 1);
    return Key{};
  }
  typed.erase(0, length);
  return Key{Key::kText, character};
}

}  // namespace keyd::keystat
