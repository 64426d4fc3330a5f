// The processes that race: a client that has led its exchange to a point and stands in the table there.
#pragma once

#include <optional>

#include "tests/races/race_arena.h"

namespace keyd::races {

// For the calling process, which the board is told. Nothing when it did not get there.
[[nodiscard]] std::optional<testing::RawClient> begun(const RaceArena& arena, RaceBoard& board);
[[nodiscard]] std::optional<testing::RawClient> authenticated(const RaceArena& arena, RaceBoard& board);
// Likewise in place, for a child that shares its parent's memory and leaves the client to it.
[[nodiscard]] bool authenticate(const RaceArena& arena, RaceBoard& board,
                                std::optional<testing::RawClient>& client);

// Announces an exec; false when keyd refused.
[[nodiscard]] bool plan_exec(testing::RawClient& client);
// Whether keyd still answers inside the session.
[[nodiscard]] bool session_lives(testing::RawClient& client);

// The descriptor that the next image is to have, or -1: open on purpose, except in a tier that rests on its end.
[[nodiscard]] int left_open(const RaceArena& arena, const testing::RawClient& client);

// What a try showed, from its board. `images` is how many must have begun.
[[nodiscard]] Try judged(const RaceBoard& board, std::uint32_t images);

}  // namespace keyd::races
