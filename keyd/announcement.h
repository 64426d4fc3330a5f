// What keyd tells whoever started it: the terminal, the parent that waits, the service manager. And going to
// the background, for which that parent waits.
#pragma once

#include <string>

#include "core/base/error.h"
#include "core/base/unique_fd.h"
#include "core/table/task_table_layout.h"

namespace keyd::daemon {

class Announcement {
 public:
  // `parent_pipe` is what into_background() gave, or -1 in the foreground.
  explicit Announcement(int parent_pipe) : parent_(parent_pipe) {}

  void ready(table::Tier tier);
  // Between reloading() and serving() the service manager shows a reload.
  void reloading();
  void serving(const std::string& status);
  void stopping();
  // One line; gives the exit code.
  [[nodiscard]] int failed(const Error& error);

 private:
  UniqueFd parent_;
};

// Goes to the background. The parent waits until the child is ready or has failed, says so, and does not
// return; the child gets its end of the pipe.
[[nodiscard]] int into_background();

}  // namespace keyd::daemon
