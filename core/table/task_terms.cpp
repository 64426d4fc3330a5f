#include "core/table/task_terms.h"

namespace keyd::table {

std::string_view name_of(TaskState state) {
  switch (state) {
    case TaskState::kNone: return "NONE";
    case TaskState::kPending: return "PENDING";
    case TaskState::kComplete: return "COMPLETE";
    case TaskState::kExpired: return "EXPIRED";
    case TaskState::kRevoked: return "REVOKED";
    case TaskState::kFailed: return "FAILED";
  }
  return "UNKNOWN";
}

std::string_view name_of(Reason reason) {
  switch (reason) {
    case Reason::kNone: return "none";
    case Reason::kExchange: return "exchange";
    case Reason::kWrongProof: return "wrong-proof";
    case Reason::kDeadline: return "deadline";
    case Reason::kLifetime: return "lifetime";
    case Reason::kEnded: return "ended";
    case Reason::kConnectionClosed: return "connection-closed";
    case Reason::kExec: return "exec";
    case Reason::kCredentialsChanged: return "credentials-changed";
    case Reason::kAdministrator: return "administrator";
    case Reason::kPlanExpired: return "plan-expired";
    case Reason::kWatchLost: return "watch-lost";
    case Reason::kShutdown: return "shutdown";
  }
  return "unknown";
}

std::string_view name_of(Scheme scheme) {
  switch (scheme) {
    case Scheme::kNone: return "none";
    case Scheme::kChallenge: return "challenge";
    case Scheme::kKryptoknight: return "kryptoknight";
    case Scheme::kSrp: return "srp";
  }
  return "unknown";
}

std::string_view name_of(Suite suite) {
  switch (suite) {
    case Suite::kNone: return "none";
    case Suite::kModern: return "modern";
    case Suite::kHistoric: return "historic";
  }
  return "unknown";
}

std::string_view name_of(Tier tier) {
  switch (tier) {
    case Tier::kNone: return "none";
    case Tier::kPidfd: return "pidfd";
    case Tier::kWatch: return "watch";
    case Tier::kKernelTgid: return "kernel-tgid";
    case Tier::kKernel: return "kernel";
  }
  return "unknown";
}

std::string_view name_of(Revocation revocation) {
  switch (revocation) {
    case Revocation::kNever: return "never";
    case Revocation::kCooperative: return "cooperative";
    case Revocation::kOnContact: return "on-contact";
    case Revocation::kAsynchronous: return "asynchronous";
    case Revocation::kSynchronous: return "synchronous";
  }
  return "unknown";
}

std::vector<std::string_view> names_of_flags(std::uint8_t flags) {
  std::vector<std::string_view> names;
  if ((flags & kChangeDue) != 0) names.emplace_back("CHANGE_DUE");
  if ((flags & kReauthenticating) != 0) names.emplace_back("REAUTHENTICATING");
  if ((flags & kPlannedExec) != 0) names.emplace_back("PLANNED_EXEC");
  return names;
}

Strength strength_of(Tier tier) {
  switch (tier) {
    case Tier::kWatch:
      return {Revocation::kAsynchronous, Revocation::kAsynchronous, Revocation::kAsynchronous};
    case Tier::kPidfd:  // exec: by the end of a connection that the library keeps close-on-exec
      return {Revocation::kCooperative, Revocation::kAsynchronous, Revocation::kOnContact};
    case Tier::kKernel:  // credentials: keyd asks every process, twice a second
      return {Revocation::kSynchronous, Revocation::kSynchronous, Revocation::kAsynchronous};
    case Tier::kKernelTgid:
    case Tier::kNone: break;
  }
  return {Revocation::kNever, Revocation::kNever, Revocation::kNever};
}

}  // namespace keyd::table
