// Looks for marked secrets, and pieces of them, in the memory of a process, in files and in texts: as they
// are, reversed, in hexadecimal, base64 and UTF-16, and as hash functions lay out their input.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <deque>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/base/bytes.h"

namespace keyd::testing {

struct Finding {
  std::string secret, form;
  std::string where;    // mapping or file, and how far in
  bool locked = false;  // in a mapping that is locked and left out of core files
};
std::string text_of(const std::vector<Finding>& findings);

class Hunt {
 public:
  // Any piece of this many octets is found.
  static constexpr std::size_t kPiece = 8;

  // At least kPiece octets, which should be random: what is common is found everywhere.
  void mark(const std::string& name, ByteView octets);

  // Every mapping that can be read, which excludes memfd_secret(2). One finding a secret, form and mapping. Needs root when it is not the caller's
  // own; the process should be at rest.
  [[nodiscard]] std::vector<Finding> in_process(pid_t pid) const;
  [[nodiscard]] std::vector<Finding> in_file(const std::string& path) const;
  // Every file below, and their names.
  [[nodiscard]] std::vector<Finding> in_directory(const std::string& path) const;

 private:
  struct Pattern {
    std::string secret, form;
    std::string octets;
    std::size_t piece;  // so many octets of it are a finding
  };
  struct Place {
    const Pattern* pattern;
    std::size_t offset;
  };
  void add(const std::string& name, const std::string& form, std::string octets, std::size_t piece);
  void search(ByteView octets, const std::string& where, std::uint64_t base, bool locked,
              std::vector<Finding>& out) const;

  std::deque<Pattern> patterns_;
  std::unordered_multimap<std::uint64_t, Place> windows_;
  std::vector<bool> maybe_ = std::vector<bool>(1 << 20);  // by a hash of the window: most are not in it
};

}  // namespace keyd::testing
