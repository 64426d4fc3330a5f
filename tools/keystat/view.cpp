#include "tools/keystat/view.h"

#include <algorithm>
#include <cctype>
#include <cstring>

#include "tools/keystat/render.h"

namespace keyd::keystat {
namespace {

constexpr std::size_t kLongestFilter = 64;

// Letters of ASCII match in either case.
bool contains(std::string_view text, std::string_view what) {
  const auto same = [](char a, char b) {
    return std::tolower(static_cast<unsigned char>(a)) == std::tolower(static_cast<unsigned char>(b));
  };
  return std::ranges::search(text, what, same).begin() != text.end() || what.empty();
}

// Negative: a stands before b.
int compare(SortBy by, const keyclient_identity& a, const keyclient_identity& b) {
  const auto three_way = [](auto x, auto y) { return x < y ? -1 : x > y ? 1 : 0; };
  switch (by) {
    case SortBy::kPid: return three_way(a.pid, b.pid);
    case SortBy::kUser: return std::strcmp(a.user, b.user);
    case SortBy::kState: return three_way(a.state, b.state);
    case SortBy::kAge: return three_way(since(b), since(a));
    case SortBy::kRecords: return three_way(a.records, b.records);
    case SortBy::kOctets: return three_way(a.octets, b.octets);
  }
  return 0;
}

}  // namespace

bool View::press(const Key& key) {
  if (typing_) {
    type(key);
    return true;
  }
  const std::size_t page = std::max<std::size_t>(room_, 2) - 1;
  switch (key.kind) {
    case Key::kUp: top_ -= std::min<std::size_t>(top_, 1); break;
    case Key::kDown: ++top_; break;
    case Key::kPageUp: top_ -= std::min(top_, page); break;
    case Key::kPageDown: top_ += page; break;
    case Key::kHome: top_ = 0; break;
    case Key::kEnd: top_ = static_cast<std::size_t>(-1) / 2; break;
    case Key::kEscape: help_ = false; break;
    case Key::kText:
      if (key.text == "q") return false;
      if (key.text.size() == 1) command(key.text.front());
      break;
    default: break;
  }
  return true;
}

void View::type(const Key& key) {
  switch (key.kind) {
    case Key::kText:
      if (filter_.size() + key.text.size() <= kLongestFilter) filter_ += key.text;
      break;
    case Key::kBackspace:
      while (!filter_.empty() && (static_cast<unsigned char>(filter_.back()) & 0xc0) == 0x80)
        filter_.pop_back();
      if (!filter_.empty()) filter_.pop_back();
      break;
    case Key::kEscape: filter_.clear(); [[fallthrough]];
    case Key::kEnter: typing_ = false; break;
    default: break;
  }
  top_ = 0;
}

void View::command(char key) {
  switch (key) {
    case 'p': return sort(SortBy::kPid);
    case 'u': return sort(SortBy::kUser);
    case 's': return sort(SortBy::kState);
    case 'a': return sort(SortBy::kAge);
    case 'r': return sort(SortBy::kRecords);
    case 'b': return sort(SortBy::kOctets);
    case 'h':
    case '?': help_ = !help_; return;
    case '/':
      typing_ = true;
      help_ = false;
      return;
    case 'c':
      filter_.clear();
      hidden_.fill(false);
      top_ = 0;
      return;
    default: break;
  }
  if (key >= '1' && key <= '5') {
    bool& hidden = hidden_[static_cast<std::size_t>(key - '1')];
    hidden = !hidden;
    top_ = 0;
  }
}

// The same key again turns the order round. Of counters the large ones come first: they are looked for.
void View::sort(SortBy by) {
  descending_ = sort_ == by ? !descending_ : by == SortBy::kRecords || by == SortBy::kOctets;
  sort_ = by;
}

bool View::filters() const { return !filter_.empty() || std::ranges::count(hidden_, true) != 0; }

std::vector<Task*> View::arrange(Snapshot& snapshot) const {
  std::vector<Task*> rows;
  for (Task& task : snapshot.tasks) {
    const auto state = std::ranges::find(kStates, task.identity.state);
    if (state != kStates.end() && hidden_[static_cast<std::size_t>(state - kStates.begin())]) continue;
    if (!filter_.empty()) {
      name_command(task);
      if (!contains(task.identity.user, filter_) && !contains(task.command, filter_)) continue;
    }
    rows.push_back(&task);
  }
  std::ranges::sort(rows, [this](const Task* a, const Task* b) {
    const int order = compare(sort_, a->identity, b->identity);
    if (order != 0) return descending_ ? order > 0 : order < 0;
    return a->identity.pid < b->identity.pid;
  });
  return rows;
}

std::size_t View::first_row(std::size_t rows, std::size_t room) {
  room_ = room;
  top_ = std::min(top_, rows > room ? rows - room : 0);
  return top_;
}

}  // namespace keyd::keystat
