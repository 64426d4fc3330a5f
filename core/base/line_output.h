// The lines of a log, into a descriptor that may have a reader who does not read: written whole or not at
// all, without waiting for anybody, and what found no room is counted and told as soon as there is some.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace keyd {

class LineOutput {
 public:
  static constexpr std::size_t kLongest =
      4096;  // octets of a line, PIPE_BUF: lines of several writers do not mix

  // `descriptor` stays the caller's.
  explicit LineOutput(int descriptor) { redirect(descriptor); }

  // From now on into this one; what was lost stays counted.
  void redirect(int descriptor);
  // Lines that have found no room and are not told yet.
  [[nodiscard]] std::uint64_t lost() const { return lost_; }

  // Writes `line`, which ends in a newline. After lines were lost, `lost_line(how many)` gives the line that
  // says so, and goes in front.
  void write(std::string_view line, const std::function<std::string(std::uint64_t)>& lost_line);

 private:
  enum class Kind { kFile, kPipe, kSocket, kOther };
  void look();
  [[nodiscard]] bool put(std::string_view text);
  [[nodiscard]] long write_to_pipe(std::string_view text);

  int descriptor_ = -1;
  Kind kind_ = Kind::kOther;
  std::uint64_t lost_ = 0;
  bool torn_ = false;  // the last write filled the disk in the middle of a line
};

}  // namespace keyd
