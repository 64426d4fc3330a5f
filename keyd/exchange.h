// The exchange that a connection is in, whichever scheme it is of.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "core/exchange/challenge.h"
#include "core/exchange/kryptoknight.h"
#include "core/exchange/srp.h"
#include "core/table/task_table_layout.h"
#include "keyd/quota.h"

namespace keyd::daemon {

// A try that is counted as failed when it goes, unless it was settled before. For schemes whose first answer lets
// its receiver guess offline: whoever asks for it and then proves nothing, by whatever way he leaves, has had a try.
class OpenTry {
 public:
  OpenTry() = default;
  explicit OpenTry(std::move_only_function<void()> count_as_failed)
      : count_as_failed_(std::move(count_as_failed)) {}
  OpenTry(OpenTry&& other) noexcept : count_as_failed_(std::exchange(other.count_as_failed_, nullptr)) {}
  OpenTry& operator=(OpenTry&& other) noexcept {
    std::swap(count_as_failed_, other.count_as_failed_);
    return *this;
  }
  ~OpenTry() {
    if (count_as_failed_) count_as_failed_();
  }
  // It has succeeded, or is counted otherwise.
  void settle() { count_as_failed_ = nullptr; }

 private:
  std::move_only_function<void()> count_as_failed_;
};

struct Exchange {
  std::string user;
  table::Scheme scheme;
  table::Suite suite;
  std::string session_id;  // 16 octets
  std::variant<exchange::ChallengeServer, exchange::KryptoknightServer, exchange::SrpServer> machine;
  OpenTry open_try = {};
  std::string_view obstacle = {};  // why its user could not log in so when it began: for the audit log alone
  Charge verifier = {};            // srp: for what it has in locked memory
  Bytes secret_at_start = {};      // the user's secret, sealed, by which it began
};

}  // namespace keyd::daemon
