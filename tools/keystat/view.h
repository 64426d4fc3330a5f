// What the person at the screen has chosen to see, and how keys change it.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "tools/keystat/keys.h"
#include "tools/keystat/snapshot.h"

namespace keyd::keystat {

enum class SortBy { kPid, kUser, kState, kAge, kRecords, kOctets };

// The states there are, in the order of the keys 1 to 5.
inline constexpr std::array kStates{KEYCLIENT_STATE_PENDING, KEYCLIENT_STATE_COMPLETE,
                                    KEYCLIENT_STATE_EXPIRED, KEYCLIENT_STATE_REVOKED, KEYCLIENT_STATE_FAILED};

class View {
 public:
  // False: the person wants to leave.
  [[nodiscard]] bool press(const Key& key);

  // The tasks to be shown, in order; names those whose names it needs to know.
  [[nodiscard]] std::vector<Task*> arrange(Snapshot& snapshot) const;
  // The first row to be shown of `rows`, where `room` fit. Keeps the scrolling within them.
  [[nodiscard]] std::size_t first_row(std::size_t rows, std::size_t room);

  [[nodiscard]] SortBy sorted_by() const { return sort_; }
  [[nodiscard]] bool descending() const { return descending_; }
  [[nodiscard]] bool shows(std::size_t state) const { return !hidden_[state]; }  // index in kStates
  [[nodiscard]] const std::string& filter() const { return filter_; }
  [[nodiscard]] bool typing() const { return typing_; }
  [[nodiscard]] bool help() const { return help_; }
  // Whether anything keeps rows from being shown.
  [[nodiscard]] bool filters() const;

 private:
  void type(const Key& key);
  void command(char key);
  void sort(SortBy by);

  SortBy sort_ = SortBy::kPid;
  bool descending_ = false;
  std::array<bool, kStates.size()> hidden_{};
  std::string filter_;
  bool typing_ = false, help_ = false;
  std::size_t top_ = 0, room_ = 1;
};

}  // namespace keyd::keystat
