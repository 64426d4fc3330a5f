// Everybody whom keyd denies, one of each kind, all with names of one length: to be treated alike, in what it
// says (the uniformity test) and in how long it takes (the uniformity benchmark).
#pragma once

#include <string>
#include <vector>

#include "core/exchange/challenge.h"
#include "tests/support/private_keyd.h"
#include "tests/support/wide_limits.h"

namespace keyd::testing {

// A configuration that offers the historic suite too.
std::string refused_users_config();

struct RefusedUser {
  const char* kind;
  const char* user;
  const char* password;
  const char* reason;  // in the audit log alone
};

inline constexpr RefusedUser kRefusedUsers[] = {
    {"wrong password", "alice", "wrong", "wrong-proof"},
    {"unknown", "ghost", "right", "unknown-user"},
    {"disabled", "dinah", "right", "user-disabled"},
    {"locked", "lucie", "right", "user-locked"},
    {"scheme not enrolled", "nelly", "right", "scheme-not-enrolled"},
};
// In the historic suite beside them.
inline constexpr RefusedUser kNoHistoricUser = {"historic not allowed", "monty", "right",
                                                "historic-not-allowed"};

// Makes these users, for one scheme, in a keyd that is not running yet, and starts it. False when that failed.
bool start_with_refused_users(PrivateKeyd& keyd, const std::string& scheme = "challenge");

wire::ChallengeStart modern_choice(const std::string& user);
wire::ChallengeStart historic_choice(const std::string& user);

}  // namespace keyd::testing
