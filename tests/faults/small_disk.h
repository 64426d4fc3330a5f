// A file system of 4 MiB that a test can fill. Needs the right to mount; it is seen by this process and by
// those that it starts afterwards alone.
#pragma once

#include <string>

namespace keyd::testing {

class SmallDisk {
 public:
  // Mounted at a directory of its own, or at `directory`, which must exist.
  explicit SmallDisk(std::string directory = {});
  ~SmallDisk();
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;

  [[nodiscard]] bool mounted() const { return obstacle_.empty(); }
  [[nodiscard]] const std::string& obstacle() const { return obstacle_; }
  [[nodiscard]] const std::string& path() const { return path_; }
  // Takes all the room there is; gives it back.
  void fill() const;
  void free() const;
  [[nodiscard]] bool grow() const;  // to 8 MiB
  [[nodiscard]] bool read_only(bool on) const;

 private:
  std::string path_, obstacle_;
  bool own_directory_ = false;
};

}  // namespace keyd::testing
