// The audit log: one line for each thing that happened to a user, a process or a secret; text or JSON. It is
// the only place where the reason of a refusal is told. No secret and nothing derived from one; every name
// escaped.
#pragma once

#include <unistd.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/error.h"
#include "core/base/line_output.h"
#include "core/base/unique_fd.h"
#include "keyd/config.h"

namespace keyd::daemon {

// What an event says; fields left empty do not appear.
struct AuditEvent {
  std::string_view event;  // "exchange.complete", "record.ended", "credential.released", …
  std::string user;
  std::optional<std::uint32_t> uid;
  std::optional<std::uint32_t> pid;
  std::optional<std::uint64_t> inode;
  std::string scheme, suite;
  std::string session;  // hexadecimal session id
  std::string reason;
  std::string object;  // the credential's name, the administrator's verb …
};

class Audit {
 public:
  // `file` empty: standard error. kBroken when it cannot be opened.
  [[nodiscard]] static Result<Audit> open(AuditFormat format, const std::string& file);
  // Writes the line, without ever waiting. Lines that find no room (a full disk, a pipe that nobody reads)
  // are counted, and the next one that does is preceded by an "audit.lost" with their number.
  void write(const AuditEvent& event);
  // From now on in the format and the file of `other`; what is lost stays counted.
  void go_on_in(Audit other) {
    format_ = other.format_;
    file_ = std::move(other.file_);
    output_.redirect(file_.valid() ? file_.get() : STDERR_FILENO);
  }
  // Lines that have found no room and are not told yet.
  [[nodiscard]] std::uint64_t lost() const { return output_.lost(); }

 private:
  Audit(AuditFormat format, UniqueFd file)
      : format_(format), file_(std::move(file)), output_(file_.valid() ? file_.get() : STDERR_FILENO) {}
  [[nodiscard]] std::string render(const AuditEvent& event) const;
  AuditFormat format_;
  UniqueFd file_;  // invalid: standard error
  LineOutput output_;
};

}  // namespace keyd::daemon
