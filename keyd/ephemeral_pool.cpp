#include "keyd/ephemeral_pool.h"

#include <new>

#include "core/base/log.h"
#include "core/crypto/random.h"

namespace keyd::daemon {
namespace {

Result<exchange::EphemeralPair> draw_one(const exchange::SrpGroup& group) {
  try {
    return exchange::draw_ephemeral(group, crypto::fill_random_private);
  } catch (const std::bad_alloc& e) {
    return fail(Code::kExhausted, e.what());
  }
}

}  // namespace

void EphemeralPool::draw(AccountId account, const exchange::SrpGroup& group,
                         std::move_only_function<void(Result<exchange::EphemeralPair>)> done) {
  if (group_ && group == *group_ && !pairs_.empty()) {
    exchange::EphemeralPair pair = std::move(pairs_.front());
    pairs_.pop_front();
    refill();
    done(std::move(pair));
    return;
  }
  refill();
  workers_.post(
      account, [group] { return draw_one(group); },
      [done = std::move(done)](Result<exchange::EphemeralPair> pair) mutable { done(std::move(pair)); });
}

void EphemeralPool::refill() {
  if (drawing_ || !group_ || pairs_.size() >= size_) return;
  try {
    workers_.post(
        kAhead, [group = *group_] { return draw_one(group); },
        [this](Result<exchange::EphemeralPair> pair) { keep(std::move(pair)); });
    drawing_ = true;
  } catch (const std::bad_alloc&) {
    log::error("no memory to draw numbers ahead");
  }
}

void EphemeralPool::keep(Result<exchange::EphemeralPair> pair) {
  drawing_ = false;
  if (!pair) {
    log::error(pair.error().message());
    return;
  }
  try {
    pairs_.push_back(std::move(*pair));
  } catch (const std::bad_alloc&) {
    log::error("no memory to keep a number drawn ahead");
    return;
  }
  refill();
}

}  // namespace keyd::daemon
