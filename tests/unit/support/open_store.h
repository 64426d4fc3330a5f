// A store of users on disk, of one test, and what two of its tests need of it.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "keyd/sqlite_user_store.h"

namespace keyd::daemon {

class WithOpenStore : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::remove_all(directory_);
    auto opened = SqliteUserStore::open(directory_);
    ASSERT_TRUE(opened) << opened.error().message();
    store_ = std::move(*opened);
  }
  void TearDown() override {
    store_ = {};
    std::filesystem::remove_all(directory_);
  }
  UserStore& users() { return *store_.users; }
  const StoreSealer& sealer() { return *store_.sealer; }
  StoredUser found(const std::string& name) { return users().find(name).value().value(); }

  const std::string directory_ = ::testing::TempDir() + "keyd-store-" + std::to_string(::getpid());
  OpenedStore store_;
};

}  // namespace keyd::daemon
