// The runtime directory: one keyd at a time, and the sockets it listens on.
#pragma once

#include <string>

#include "core/base/error.h"
#include "core/base/unique_fd.h"

namespace keyd::daemon {

class RuntimeDirectory {
 public:
  // Opens or makes the directory and takes its lock. kRefused when another keyd holds it, or when the
  // directory is not ours alone to write.
  [[nodiscard]] static Result<RuntimeDirectory> claim(const std::string& path);

  // A listening SEQPACKET socket `name` with file mode `mode` and, unless it is -1, group `group`; its
  // messages carry their sender's credentials and pidfd. A socket left by an earlier keyd is replaced;
  // anything else in the way is refused.
  [[nodiscard]] Result<UniqueFd> listen(const std::string& name, mode_t mode, gid_t group) const;

  // Removes the sockets, at a clean end.
  void remove_sockets() const;

  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  RuntimeDirectory(std::string path, UniqueFd directory, UniqueFd lock)
      : path_(std::move(path)), directory_(std::move(directory)), lock_(std::move(lock)) {}
  std::string path_;
  UniqueFd directory_, lock_;
};

}  // namespace keyd::daemon
