#include "libkeyclient/src/password_rules.h"

#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <ranges>
#include <vector>

#include "core/base/untrusted_text.h"
#include "core/wire/limits.h"
#include "libkeyclient/src/judgement_apart.h"
#include "libkeyclient/src/password_quality.h"

namespace keyd::client {
namespace {

constexpr std::size_t kShortestWord = 3, kShortestOldPassword = 4;  // characters

// Not those of <cctype>, which depend on the locale.
constexpr bool is_digit(std::uint8_t octet) { return octet >= '0' && octet <= '9'; }
constexpr std::uint8_t small(std::uint8_t octet) {
  return octet >= 'A' && octet <= 'Z' ? static_cast<std::uint8_t>(octet - 'A' + 'a') : octet;
}
constexpr bool is_letter(std::uint8_t octet) {
  return octet >= 0x80 || (small(octet) >= 'a' && small(octet) <= 'z');
}

// Of what is not UTF-8, octets.
std::size_t characters_in(ByteView text) {
  if (!is_utf8(text_of(text))) return text.size();
  const auto begins = [](std::uint8_t octet) { return (octet & 0xc0) != 0x80; };
  return static_cast<std::size_t>(std::ranges::count_if(text, begins));
}

bool holds(ByteView text, ByteView word) {
  return !std::ranges::search(text, word, {}, small, small).empty();
}
bool holds_either_way(ByteView text, ByteView word) {
  return holds(text, word) ||
         !std::ranges::search(text, word | std::views::reverse, {}, small, small).empty();
}

Outcome<void> check_characters(ByteView fresh) {
  const auto bad = [](const char* why) { return failed(KEYCLIENT_INVALID, why); };
  if (fresh.empty()) return bad("the password is empty");
  if (fresh.size() > wire::kMaxPassword) return bad("the password is longer than 1024 octets");
  if (std::ranges::find(fresh, 0) != fresh.end()) return bad("the password holds a zero octet");
  if (characters_in(fresh) < kLeastCharacters) return bad("the password is shorter than 8 characters");
  if (std::ranges::none_of(fresh, is_letter)) return bad("the password has no letter");
  if (std::ranges::none_of(fresh, is_digit)) return bad("the password has no digit");
  return {};
}

Outcome<void> check_against_old(ByteView fresh, ByteView old) {
  if (std::ranges::equal(fresh, old)) return failed(KEYCLIENT_INVALID, "the password is the old one");
  if (!old.empty() && characters_in(old) >= kShortestOldPassword && (holds(fresh, old) || holds(old, fresh)))
    return failed(KEYCLIENT_INVALID, "the password is too similar to the old one");
  return {};
}

Outcome<void> check_words(ByteView fresh, std::span<const std::string> words, const char* why) {
  for (const std::string& word : words) {
    if (characters_in(bytes_of(word)) >= kShortestWord && holds_either_way(fresh, bytes_of(word)))
      return failed(KEYCLIENT_INVALID, why);
  }
  return {};
}

// What the caller's entry in passwd(5) says of a person.
struct PasswdEntry {
  std::string name;
  std::vector<std::string> gecos;  // its words, none shorter than kShortestWord, at most kMostPersonalWords
};

std::vector<std::string> words_in(std::string_view text) {
  std::vector<std::string> words(1);
  for (const char c : text) {
    const auto octet = static_cast<std::uint8_t>(c);
    if (is_letter(octet) || is_digit(octet)) {
      words.back() += c;
    } else if (!words.back().empty()) {
      words.emplace_back();
    }
  }
  std::erase_if(words, [](const std::string& word) { return characters_in(bytes_of(word)) < kShortestWord; });
  if (words.size() > kMostPersonalWords) words.resize(kMostPersonalWords);
  return words;
}

// A user without an entry has no such words. That nobody can tell is something else.
Outcome<PasswdEntry> passwd_entry() {
  std::vector<char> room(4096);
  passwd entry{}, *found = nullptr;
  int error = 0;
  while ((error = ::getpwuid_r(::getuid(), &entry, room.data(), room.size(), &found)) == ERANGE &&
         room.size() < (1u << 20)) {
    room.resize(room.size() * 2);
  }
  if (error != 0 && error != ENOENT && error != ESRCH && error != EBADF && error != EPERM)
    return failed(KEYCLIENT_BUSY, "cannot read who you are: " + std::string(std::strerror(error)));
  if (found == nullptr) return {};
  return PasswdEntry{found->pw_name, words_in(found->pw_gecos == nullptr ? "" : found->pw_gecos)};
}

Outcome<void> check_sizes(std::span<const std::string> words) {
  const auto is_too_long = [](const std::string& word) { return word.size() > kLongestPersonalWord; };
  if (words.size() > kMostPersonalWords || std::ranges::any_of(words, is_too_long))
    return failed(KEYCLIENT_REFUSED, "more than 64 personal words, or one of more than 64 octets");
  return {};
}

}  // namespace

Outcome<void> judge_password(const std::string& user, ByteView fresh, ByteView old,
                             std::span<const std::string> words) {
  if (auto few = check_sizes(words); !few) return few;
  if (auto good = check_characters(fresh); !good) return good;
  if (auto good = check_against_old(fresh, old); !good) return good;
  const auto entry = passwd_entry();
  if (!entry) return std::unexpected(entry.error());
  const std::string names[] = {user, entry->name};
  if (auto good = check_words(fresh, names, "the password holds the user name"); !good) return good;
  constexpr const char* kPersonal = "the password holds a word about you";
  if (auto good = check_words(fresh, words, kPersonal); !good) return good;
  if (auto good = check_words(fresh, entry->gecos, kPersonal); !good) return good;

  return judge_apart(fresh, old.first(std::min(old.size(), wire::kMaxPassword)),
                     [&](const char* its_fresh, const char* its_old) {
                       return check_quality({.user = user, .gecos = entry->gecos, .words = words}, its_fresh,
                                            its_old);
                     });
}

}  // namespace keyd::client
