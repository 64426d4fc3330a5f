// What may fail in normal life returns std::expected<T, Error> (alias Result<T>). A broken invariant aborts.
// An Error names what happened, the errno if a system call said so, and where; it never carries secret data.
#pragma once

#include <cerrno>
#include <cstring>
#include <expected>
#include <source_location>
#include <string>
#include <string_view>

namespace keyd {

enum class Code {
  kRefused,      // policy, state or authorization says no
  kNotFound,     // the thing asked for is not there
  kInvalid,      // malformed input: of a peer, a file, an argument
  kUnreachable,  // the other end is not there
  kDeadline,     // time ran out
  kExhausted,    // a bound was reached: quota, table, memory, disk
  kUnsupported,  // this kernel or build lacks it
  kInDoubt,      // whether it was done cannot be told before a restart
  kConflict,     // what was to be changed has changed in the meantime
  kBroken,       // damaged data, or a system call failed in a way nobody expects
};

struct Error {
  Code code;
  std::string detail;  // one line, for people; says what to do where that is known
  int system = 0;      // errno, or 0
  std::source_location where = std::source_location::current();

  // `detail`, with the system's reason appended where there is one.
  [[nodiscard]] std::string message() const {
    return system == 0 ? detail : detail + ": " + std::strerror(system);
  }
};

template <typename T>
using Result = std::expected<T, Error>;

[[nodiscard]] inline std::unexpected<Error> fail(
    Code code, std::string detail, std::source_location where = std::source_location::current()) {
  return std::unexpected(Error{code, std::move(detail), 0, where});
}

// A failed system call: takes errno as it stands.
[[nodiscard]] inline std::unexpected<Error> fail_errno(
    Code code, std::string detail, std::source_location where = std::source_location::current()) {
  const int system = errno;
  return std::unexpected(Error{code, std::move(detail), system, where});
}

}  // namespace keyd
