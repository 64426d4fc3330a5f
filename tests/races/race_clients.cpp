#include "tests/races/race_clients.h"

#include <unistd.h>

#include <algorithm>

#include "core/kernel/pidfd.h"

namespace keyd::races {
namespace {

using testing::RawClient;

// Tells the board who this is, and whether the table has it in `state`.
bool stands(const RaceArena& arena, RaceBoard& board, table::TaskState state) {
  const auto pidfd = kernel::open_pidfd(::getpid());
  const std::uint64_t inode = pidfd ? kernel::pidfs_inode(pidfd->get()).value_or(0) : 0;
  table::TaskView view{};
  if (inode == 0 || arena.reader().find_by_inode(inode, view) != table::LookupOutcome::kFound ||
      view.word.state != state) {
    return false;
  }
  board.inode.store(inode, std::memory_order_release);
  board.ready = 1;
  return true;
}

}  // namespace

std::optional<RawClient> begun(const RaceArena& arena, RaceBoard& board) {
  std::optional<RawClient> client(std::in_place, arena.runtime_dir());
  if (!client->connected() || !client->start(RawClient::choice(kUser)) ||
      !stands(arena, board, table::TaskState::kPending)) {
    client.reset();
  }
  return client;
}

bool authenticate(const RaceArena& arena, RaceBoard& board, std::optional<RawClient>& client) {
  client.emplace(arena.runtime_dir());
  return client->connected() && client->start(RawClient::choice(kUser)) && client->prove(kPassword) &&
         stands(arena, board, table::TaskState::kComplete);
}

std::optional<RawClient> authenticated(const RaceArena& arena, RaceBoard& board) {
  std::optional<RawClient> client;
  if (!authenticate(arena, board, client)) client.reset();
  return client;
}

bool plan_exec(RawClient& client) {
  wire::SessionRequest plan;
  plan.mutable_plan_exec()->set_random(std::string(32, 'p'));
  const auto reply = client.ask(plan);
  return reply && reply->has_plan_exec();
}

bool session_lives(RawClient& client) {
  wire::SessionRequest echo;
  echo.mutable_echo();
  const auto reply = client.ask(echo);
  return reply && reply->has_echo();
}

int left_open(const RaceArena& arena, const RawClient& client) {
  return arena.strength().exec == table::Revocation::kCooperative ? -1 : client.descriptor();
}

Try judged(const RaceBoard& board, std::uint32_t images) {
  Try result;
  const auto trouble = [&](std::uint32_t step) {
    result.outcome = Outcome::kTrouble;
    result.step = step;
    return result;
  };
  if (board.ready == 0) return trouble(1);
  if (board.images < images || board.moment == 0) return trouble(2);
  if (board.lost_events != 0) return trouble(3);
  const std::uint64_t seen = board.seen_living, moment = board.moment, fell = board.fell;
  if (board.lost != 0) {
    result.outcome = Outcome::kLost;
  } else if (fell == 0) {
    result.outcome = Outcome::kNever;
  } else if (board.living != 0 || seen > moment) {
    result.outcome = Outcome::kStale;
    result.window = std::max(fell, seen) - moment;
  } else {
    result.outcome = Outcome::kClean;
  }
  return result;
}

}  // namespace keyd::races
