// Where races are run: a keyd, its task table, and two kinds of processes beside it. Workers make the tries, one
// after the other, each worker with a board of its own; one observer looks at the records of all boards' processes
// without a pause, at the speed of memory.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/base/unique_fd.h"
#include "core/table/table_reader.h"
#include "tests/races/race_board.h"
#include "tests/races/race_report.h"
#include "tests/support/private_keyd.h"
#include "tests/support/raw_client.h"
#include "tests/support/served_table.h"

namespace keyd::races {

inline constexpr const char *kUser = "alice", *kPassword = "right";

class RaceArena {
 public:
  // Starts keyd with kUser, in the tier under test, or with what `daemon` says: lines of keyd.toml's [daemon]. problem()
  // says why it could not.
  explicit RaceArena(const std::string& daemon = {});
  ~RaceArena();
  RaceArena(const RaceArena&) = delete;
  RaceArena& operator=(const RaceArena&) = delete;
  [[nodiscard]] const std::string& problem() const { return problem_; }

  [[nodiscard]] const table::TableReader& reader() const { return *table_.reader; }
  [[nodiscard]] table::Strength strength() const { return reader().header().strength; }
  [[nodiscard]] std::string tier() const;
  [[nodiscard]] testing::PrivateKeyd& keyd() { return keyd_; }
  [[nodiscard]] std::string runtime_dir() const { return keyd_.runtime_dir(); }
  // The image, and a copy that is set-uid root.
  [[nodiscard]] const std::string& image() const { return image_; }
  [[nodiscard]] const std::string& set_uid_image() const { return set_uid_image_; }
  // A file of keyd's directory with this content and mode.
  [[nodiscard]] std::string file(const std::string& name, const std::string& content, unsigned mode) const;

  // In a child that is about to become another program: gives the table and the board the numbers that the image
  // expects, and the connection too where `connection` is not -1. What it had stays close-on-exec.
  void hand_over(int connection) const;
  // Becomes `path`, which is the image, with this act. Returns where execve(2) fails. Nothing is allocated.
  void become(const std::string& path, const char* act, const RaceBoard& board) const;

  // Runs `make` in each of some processes, for a Race that makes one try after the other upon the board; `count`
  // tries in all. A try in trouble is repeated for ten seconds: keyd may be behind with the kernel's events.
  using Race = std::function<Try(RaceBoard&)>;
  [[nodiscard]] CaseReport run(const std::string& name, std::uint64_t count,
                               const std::function<Race()>& make);

 private:
  static constexpr std::size_t kBoards = 4;
  [[nodiscard]] RaceBoard& board(std::size_t i) const;
  void observe() const;

  testing::PrivateKeyd keyd_;
  std::string problem_, image_, set_uid_image_;
  testing::ServedTable table_;
  UniqueFd boards_descriptor_;
  void* boards_ = nullptr;
  std::string size_text_;
  std::vector<std::string> board_numbers_;
};

}  // namespace keyd::races
