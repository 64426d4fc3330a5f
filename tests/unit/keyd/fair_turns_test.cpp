#include "keyd/fair_turns.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <vector>

namespace keyd::daemon {
namespace {

TEST(FairQueue, TakesTheAccountsInTurnAndEachOnesItemsInOrder) {
  FairQueue<int> queue;
  for (const int item : {10, 11, 12, 13}) queue.push(1, item);
  queue.push(2, 20);
  queue.push(3, 30);
  queue.push(2, 21);
  std::vector<int> order;
  while (!queue.empty()) order.push_back(queue.pop());
  EXPECT_EQ(order, (std::vector<int>{10, 20, 30, 11, 21, 12, 13}));
  EXPECT_EQ(queue.accounts(), 0u);
}

TEST(FairTurns, ServesALonelyAccountAtOnce) {
  boost::asio::io_context loop(1);
  FairTurns turns(loop);
  int served = 0;
  turns.run(1, [&] { ++served; });
  EXPECT_EQ(served, 1);
}

TEST(FairTurns, LetsALateComerPastAnAccountWithMuchToDo) {
  boost::asio::io_context loop(1);
  FairTurns turns(loop);
  std::vector<int> order;
  boost::asio::post(loop, [&] {
    for (int i = 0; i < 1000; ++i) turns.run(1, [&order] { order.push_back(1); });
  });
  boost::asio::post(loop, [&] { turns.run(2, [&order] { order.push_back(2); }); });
  loop.run();
  ASSERT_EQ(order.size(), 1001u);
  const auto late = std::ranges::find(order, 2) - order.begin();
  EXPECT_LE(late, 2 * static_cast<int>(FairTurns::kPerTurn));
}

TEST(FairTurns, ServesEverythingInTheAccountsOwnOrder) {
  boost::asio::io_context loop(1);
  FairTurns turns(loop);
  std::vector<int> order;
  for (int i = 0; i < 100; ++i) {
    boost::asio::post(loop, [&turns, &order, i] { turns.run(1, [&order, i] { order.push_back(i); }); });
  }
  loop.run();
  ASSERT_EQ(order.size(), 100u);
  EXPECT_TRUE(std::ranges::is_sorted(order));
}

}  // namespace
}  // namespace keyd::daemon
