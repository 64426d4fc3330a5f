// Lines of a file that are secrets: read straight into locked memory, one at a time.
#pragma once

#include <cstdint>
#include <optional>

#include "core/base/error.h"
#include "core/secret/secret.h"

namespace keyd::keyadm {

class SecretLines {
 public:
  static constexpr std::size_t kLongest = 4096;  // octets of a line, without its newline

  // Reads from `fd`, which stays its owner's, and as far ahead as it likes.
  explicit SecretLines(int fd) : fd_(fd), buffer_(2 * kLongest) {}

  // The next line, without its newline; good until the next call. Nothing at the end. A last line needs no newline.
  // kInvalid: the line is longer than kLongest, and was passed over. kBroken: the file cannot be read.
  [[nodiscard]] Result<std::optional<ByteView>> next();
  // Of the line that next() gave last, or said something about: 1, 2, …
  [[nodiscard]] std::uint64_t number() const { return number_; }

 private:
  [[nodiscard]] Result<void> read_more();
  // Whether a whole line stands in the buffer, and where it ends.
  [[nodiscard]] std::optional<std::size_t> line_end() const;

  int fd_;
  secret::SecretBuffer buffer_;
  std::size_t start_ = 0, end_ = 0;  // what was read and not given yet
  std::uint64_t number_ = 0;
  bool ended_ = false;
};

}  // namespace keyd::keyadm
