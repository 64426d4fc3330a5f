// Where salt and group of a new verifier lie when a change request only names them (seed 002, claims 5, 23, 37): files in
// `params` in the runtime directory, readable by everybody. They are no secret, and the request's MAC is over them.
#pragma once

#include <string>

#include "core/base/bytes.h"
#include "core/base/error.h"
#include "core/base/unique_fd.h"

namespace keyd::daemon {

class PlacedDirectory {
 public:
  static constexpr const char* kName = "params";
  // Opens or makes it in the runtime directory and empties it: no question outlives its keyd.
  [[nodiscard]] static Result<PlacedDirectory> open(const std::string& runtime_directory);

  // A new file of that name (exchange::is_place_name), whole or not at all.
  [[nodiscard]] Result<void> place(const std::string& name, ByteView contents) const;
  void remove(const std::string& name) const;

 private:
  explicit PlacedDirectory(UniqueFd directory) : directory_(std::move(directory)) {}
  UniqueFd directory_;
};

}  // namespace keyd::daemon
