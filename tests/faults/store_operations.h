// What can be done to a user store, as a table: every sweep goes through all of it, so that a new operation
// of the store is one more line here.
#pragma once

#include <functional>
#include <span>
#include <string>

#include "keyd/sqlite_user_store.h"

namespace keyd::testing {

struct StoreOperation {
  const char* name;
  // On a store that holds what make_sample_store() made.
  Result<void> (*run)(daemon::UserStore& users, const daemon::StoreSealer& sealer);
};
[[nodiscard]] std::span<const StoreOperation> store_operations();

// A store with three users, their hashes and credentials in `directory`.
void make_sample_store(const std::string& directory);
// Takes back what the versions of the schema after `version`, 1 to 4, have brought.
void make_version(int version, const std::string& directory);
// Everything that is in the store, secrets opened, times left out; or the error that stands in the way.
[[nodiscard]] std::string content_of_store(daemon::UserStore& users, const daemon::StoreSealer& sealer);
// The same, of a directory that is opened for it.
[[nodiscard]] std::string content_of_store(const std::string& directory);

// A directory that goes with its owner, in memory where the machine has such a place.
class ScratchDirectory {
 public:
  ScratchDirectory();
  ~ScratchDirectory();
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }
  // Makes `copy` a fresh copy of the store directory `original`.
  static void copy_store(const std::string& original, const std::string& copy);

 private:
  std::string path_;
};

}  // namespace keyd::testing
