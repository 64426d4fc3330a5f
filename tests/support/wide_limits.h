// The configuration of a keyd whose own limits do not stand in a measurement's way. One place, because every
// new limit has to be named here.
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
)";

}  // namespace keyd::testing
