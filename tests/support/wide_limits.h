// The configuration of a keyd whose own limits do not stand in a measurement's or a test's way. One place,
// because every new limit has to be named here.
#pragma once

namespace keyd::testing {

inline constexpr const char* kWideLimits = R"(
[session]
pending_deadline = 600

[limits]
connections = 1000000
connections_per_uid = 1000000
pending_per_uid = 100000
records_per_uid = 1000000
octets = 1073741824
octets_per_uid = 1073741824
idle_deadline = 86400
free_tries = 1000000
tries_per_source = 1000000
tries_per_user = 1000000
)";

// For tests that fail on purpose more often than keyd bears with.
inline constexpr const char* kUnlimitedTries = R"(
[limits]
free_tries = 1000000
tries_per_source = 1000000
tries_per_user = 1000000
)";

// For those that take their time over an exchange.
inline constexpr const char* kUnlimitedPending = R"(
[session]
pending_deadline = 600
)";

}  // namespace keyd::testing
