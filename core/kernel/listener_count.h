// The reckoning of the process connector: how many listeners the kernel counts at least, by the
// acknowledgements of everybody's operations (proc_connector.cpp says why). Arithmetic only.
#pragma once

#include <algorithm>
#include <cstdint>

namespace keyd::kernel {

class ListenerCount {
 public:
  static constexpr std::int64_t kMargin = 16384;          // what we add
  static constexpr std::int64_t kEnough = kMargin / 2;    // below it we add more
  static constexpr std::int64_t kFewest = kMargin / 4;    // below it the connector may have been silent:
                                                          // operations count before they are acknowledged
  static constexpr std::int64_t kPrepared = kMargin / 4;  // sockets whose last operation is invalid, at most
  static constexpr std::int64_t kRaces = 64;              // of so many successes one may have won a race

  void added() { ++added_; }
  [[nodiscard]] std::int64_t additions() const { return added_; }

  // Acknowledgements of others.
  void success() {
    ++successes_;
    ++taken_;
  }
  void error() { ++errors_; }
  void errors_lost() { errors_known_ = false; }
  // All successes have been read; to be said before more errors are. An error allows a taking away only for as
  // long as its socket is used for nothing else: of those that had not been used by then, kPrepared at most.
  void successes_read() {
    const std::int64_t most = taken_ + kPrepared;
    errors_ = errors_known_ ? std::min(errors_, most) : most;
    errors_known_ = true;
  }
  // All errors have been read, after the successes: what those could have taken, the errors allow only so far.
  void errors_read() {
    if (errors_known_) taken_ = std::min(taken_, errors_);
  }

  // The kernel counts at least so many, when so many were added.
  [[nodiscard]] std::int64_t spare(std::int64_t added) const { return added - taken_ - successes_ / kRaces; }

 private:
  // Since it began: what we have added; what others may have taken away by invalid operations; their
  // successes; their errors, as far as they were read.
  std::int64_t added_ = 0, taken_ = 0, successes_ = 0, errors_ = kPrepared;
  bool errors_known_ = true;  // false: more came than can be told
};

}  // namespace keyd::kernel
