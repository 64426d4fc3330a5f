#include "libkeyclient/src/password_quality.h"

#include <crack.h>
#include <fcntl.h>
#include <pwquality.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <memory>

#include "core/base/unique_fd.h"
#include "core/base/untrusted_text.h"

namespace keyd::client {
namespace {

constexpr int kLeastLength = 8, kLeastDifference = 5;
// cracklib tries every pair of them with every way of writing each.
constexpr std::size_t kMostGecosWords = 8;

using Settings = std::unique_ptr<pwquality_settings_t, void (*)(pwquality_settings_t*)>;

Failure out_of_memory() { return {KEYCLIENT_BUSY, "the password could not be judged: no memory"}; }

void raise(pwquality_settings_t* settings, int setting, int least) {
  int value = 0;
  ::pwquality_get_int_value(settings, setting, &value);
  if (value < least) ::pwquality_set_int_value(settings, setting, least);
}

const char* text_of_setting(pwquality_settings_t* settings, int setting) {
  const char* value = nullptr;
  return ::pwquality_get_str_value(settings, setting, &value) == 0 ? value : nullptr;
}

Outcome<Settings> settings_for(const Person& person, const char* config) {
  Settings settings(::pwquality_default_settings(), ::pwquality_free_settings);
  if (settings == nullptr) return std::unexpected(out_of_memory());
  void* place = nullptr;
  if (const int error = ::pwquality_read_config(settings.get(), config, &place); error != 0) {
    char room[PWQ_MAX_ERROR_MESSAGE_LEN];
    return failed(KEYCLIENT_REFUSED, std::string("no password is taken while pwquality.conf is not right: ") +
                                         escape_line(::pwquality_strerror(room, sizeof room, error, place)));
  }
  raise(settings.get(), PWQ_SETTING_MIN_LENGTH, kLeastLength);
  raise(settings.get(), PWQ_SETTING_DIFF_OK, kLeastDifference);
  raise(settings.get(), PWQ_SETTING_USER_CHECK, 1);
  // It would compare with the caller's entry in passwd(5), and take nothing from one who has none.
  ::pwquality_set_int_value(settings.get(), PWQ_SETTING_DICT_CHECK, 0);

  const char* const theirs = text_of_setting(settings.get(), PWQ_SETTING_BAD_WORDS);
  std::string bad = theirs == nullptr ? "" : theirs;
  for (const auto words : {person.gecos, person.words}) {
    for (const std::string& word : words) bad += " " + word;
  }
  if (!bad.empty() && ::pwquality_set_str_value(settings.get(), PWQ_SETTING_BAD_WORDS, bad.c_str()) != 0)
    return std::unexpected(out_of_memory());
  return settings;
}

// Of the verdicts that our floor and an administrator's settings can lead to.
std::string text_of_verdict(int verdict) {
  switch (verdict) {
    case PWQ_ERROR_TOO_SIMILAR: return "the password is too similar to the old one";
    case PWQ_ERROR_MIN_DIGITS: return "the password has too few digits";
    case PWQ_ERROR_MIN_UPPERS: return "the password has too few capital letters";
    case PWQ_ERROR_MIN_LOWERS: return "the password has too few small letters";
    case PWQ_ERROR_MIN_OTHERS:
      return "the password has too few characters that are neither letters nor digits";
    case PWQ_ERROR_MIN_LENGTH: return "the password is too short for what it is made of";
    case PWQ_ERROR_PALINDROME: return "the password is the same read backwards";
    case PWQ_ERROR_CASE_CHANGES_ONLY: return "the password is the old one but for capitals";
    case PWQ_ERROR_ROTATED: return "the password is the old one turned round";
    case PWQ_ERROR_MIN_CLASSES: return "the password is made of too few kinds of characters";
    case PWQ_ERROR_MAX_CONSECUTIVE: return "the password repeats a character too often";
    case PWQ_ERROR_MAX_CLASS_REPEAT: return "the password has too many characters of one kind in a row";
    case PWQ_ERROR_MAX_SEQUENCE: return "the password has too long a run of neighbouring characters";
    case PWQ_ERROR_EMPTY_PASSWORD: return "the password is empty";
    case PWQ_ERROR_SAME_PASSWORD: return "the password is the old one";
    case PWQ_ERROR_USER_CHECK: return "the password holds the user name";
    case PWQ_ERROR_GECOS_CHECK: return "the password holds a word about you";
    case PWQ_ERROR_BAD_WORDS: return "the password holds a word that it must not, or nearly";
    default: return "the password is refused by libpwquality, error " + std::to_string(verdict);
  }
}

// cracklib takes a word that it fails to read in its dictionary for one that is not there: so the index has to be whole,
// and the file of words as long as the index says. The index: magic(4) | words(4) | words in a block(2) | 0(2) | offset of
// each block in the file of words(4), in the machine's order.
struct IndexHeader {
  std::uint32_t magic, words;
  std::uint16_t words_in_block, pad;
};
constexpr std::uint32_t kIndexMagic = 0x70775631;

std::string complaint_about(const std::string& file, const char* what) {
  return "no password is taken without a dictionary, and " + file + " " + what +
         ": install cracklib-runtime, or run update-cracklib";
}

Outcome<void> check_dictionary(const std::string& path) {
  const auto unusable = [&](const char* ending, const char* what) {
    return failed(KEYCLIENT_UNSUPPORTED, complaint_about(path + ending, what));
  };
  const UniqueFd index(::open((path + ".pwi").c_str(), O_RDONLY | O_CLOEXEC));
  if (!index.valid()) return unusable(".pwi", "cannot be opened");
  IndexHeader header{};
  if (::pread(index.get(), &header, sizeof header, 0) != sizeof header || header.magic != kIndexMagic ||
      header.words == 0 || header.words_in_block == 0) {
    return unusable(".pwi", "is damaged");
  }
  const std::uint32_t blocks = (header.words - 1) / header.words_in_block + 1;
  std::uint32_t last = 0;
  const auto place = static_cast<off_t>(sizeof header + (std::uint64_t{blocks} - 1) * sizeof last);
  if (::pread(index.get(), &last, sizeof last, place) != sizeof last) return unusable(".pwi", "is damaged");

  struct stat words{};
  if (::stat((path + ".pwd").c_str(), &words) == 0) {
    if (static_cast<std::uint64_t>(words.st_size) <= last) return unusable(".pwd", "is damaged");
    if (::access((path + ".pwd").c_str(), R_OK) != 0) return unusable(".pwd", "cannot be read");
  } else if (::access((path + ".pwd.gz").c_str(), R_OK) != 0) {
    return unusable(".pwd", "is not there");
  }
  return {};
}

Outcome<void> check_with_cracklib(const Person& person, const char* fresh, const std::string& dictionary) {
  if (auto usable = check_dictionary(dictionary); !usable) return usable;
  std::string gecos;
  for (const std::string& word : person.gecos.first(std::min(person.gecos.size(), kMostGecosWords)))
    gecos += word + " ";
  const char* const why = ::FascistCheckUser(fresh, dictionary.c_str(), person.user.c_str(), gecos.c_str());
  if (why == nullptr) return {};
  return failed(KEYCLIENT_INVALID, std::string("the password is too easily guessed: ") + escape_line(why));
}

}  // namespace

Outcome<void> check_quality(const Person& person, const char* fresh, const char* old, const char* config) {
  const auto settings = settings_for(person, config);
  if (!settings) return std::unexpected(settings.error());
  const int verdict =
      ::pwquality_check(settings->get(), fresh, *old == '\0' ? nullptr : old, person.user.c_str(), nullptr);
  if (verdict == PWQ_ERROR_MEM_ALLOC) return std::unexpected(out_of_memory());
  if (verdict < 0) return failed(KEYCLIENT_INVALID, text_of_verdict(verdict));
  const char* const elsewhere = text_of_setting(settings->get(), PWQ_SETTING_DICT_PATH);
  return check_with_cracklib(person, fresh, elsewhere == nullptr ? ::GetDefaultCracklibDict() : elsewhere);
}

}  // namespace keyd::client
