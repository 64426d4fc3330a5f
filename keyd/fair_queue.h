// Work that waits, one queue an account, served in turn: who has much waiting does not delay who has little.
#pragma once

#include <deque>
#include <list>
#include <unordered_map>
#include <utility>

#include "keyd/accounts.h"

namespace keyd::daemon {

template <typename Item>
class FairQueue {
 public:
  void push(AccountId account, Item item) {
    const auto [entry, fresh] = by_account_.try_emplace(account);
    if (fresh) entry->second = queues_.insert(queues_.end(), Queue{account, {}});
    entry->second->items.push_back(std::move(item));
  }

  // The oldest item of the account whose turn it is; with more of them the account goes to the back. The
  // queue must not be empty.
  [[nodiscard]] Item pop() {
    Queue& queue = queues_.front();
    Item item = std::move(queue.items.front());
    queue.items.pop_front();
    if (queue.items.empty()) {
      by_account_.erase(queue.account);
      queues_.pop_front();
    } else {
      queues_.splice(queues_.end(), queues_, queues_.begin());
    }
    return item;
  }

  [[nodiscard]] bool empty() const { return queues_.empty(); }
  [[nodiscard]] bool has(AccountId account) const { return by_account_.contains(account); }
  [[nodiscard]] std::size_t accounts() const { return by_account_.size(); }
  void clear() {
    queues_.clear();
    by_account_.clear();
  }

 private:
  struct Queue {
    AccountId account;
    std::deque<Item> items;
  };
  std::list<Queue> queues_;  // those with work; the front is next
  std::unordered_map<AccountId, typename std::list<Queue>::iterator> by_account_;
};

}  // namespace keyd::daemon
