// keyd is killed while kryptoknight gives a user's stored hash another salt (seed 001, figure 6, 612): whenever it
// happens, the record is the old one or the new one, whole, and the password works. 60 kills; with KEYD_SOAK 500.
#include <gtest/gtest.h>
#include <keyclient/keyclient.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <string_view>

#include "tests/support/forked.h"
#include "tests/support/private_keyd.h"

namespace keyd::testing {
namespace {

keyclient_status login(const PrivateKeyd& keyd, const char* password) {
  keyclient_options options{};
  options.size = sizeof options;
  const std::string directory = keyd.runtime_dir();
  options.runtime_dir = directory.c_str();
  keyclient_t* client = nullptr;
  if (const auto opened = keyclient_open(&options, &client); opened != KEYCLIENT_OK) return opened;
  const std::unique_ptr<keyclient_t, void (*)(keyclient_t*)> owner(client, keyclient_close);
  keyclient_login with{};
  with.size = sizeof with;
  with.user = "alice";
  with.scheme = "kryptoknight";
  with.password = password;
  with.password_size = std::string_view(password).size();
  return keyclient_authenticate(client, &with);
}

TEST(ResaltingKill, ThePasswordWorksAfterEachKill) {
  const char* const soak = ::getenv("KEYD_SOAK");
  const int kills = soak != nullptr && std::string_view(soak) == "1" ? 500 : 60;
  PrivateKeyd keyd(
      "[kryptoknight]\ncost = 1\n[limits]\nfree_tries = 1000000\ntries_per_source = 1000000\ntries_per_user = 1000000\n");
  ASSERT_TRUE(keyd.start()) << keyd.log();
  keyd.enrol("alice", "right", {"--scheme", "kryptoknight"});
  const auto setting = [&] {
    return nlohmann::json::parse(keyd.keyadm({"user", "show", "alice", "-o", "json"}).out)["crypt_setting"]
        .get<std::string>();
  };
  std::mt19937 random(static_cast<unsigned>(::getpid()));
  int finished = 0, old_salt = 0, new_salt = 0, i = 0;
  const auto seen = [&] { return old_salt > 0 && new_salt > finished; };
  // Steered to where the change becomes durable, however long a login takes here.
  int pause = 4000;
  for (; i < kills || (i < 20 * kills && !seen()); ++i) {
    const std::string before = setting();
    Forked client([&](Forked::Child& child) {
      child.say("going");
      return static_cast<int>(login(keyd, "right"));
    });
    ASSERT_EQ(client.hear(), "going");
    ::usleep(static_cast<useconds_t>(random() % static_cast<unsigned>(2 * pause)));
    keyd.kill();
    const int said = client.wait();
    finished += said == KEYCLIENT_OK;
    EXPECT_TRUE(said == KEYCLIENT_OK || said == KEYCLIENT_UNREACHABLE || said == KEYCLIENT_GONE) << said;
    ASSERT_TRUE(keyd.start()) << keyd.log();
    const std::string after = setting();
    (after == before ? old_salt : new_salt) += 1;
    pause = std::clamp(pause + (after == before ? 200 : said == KEYCLIENT_OK ? -200 : 0), 500, 500'000);
    // Who was told of success was told after the new salt was there for good.
    EXPECT_TRUE(said != KEYCLIENT_OK || after != before);
    ASSERT_EQ(login(keyd, "right"), KEYCLIENT_OK) << "after kill " << i << ": " << keyclient_error();
    EXPECT_NE(setting(), after);
  }
  EXPECT_EQ(login(keyd, "wrong"), KEYCLIENT_DENIED);
  RecordProperty("finished", finished);
  RecordProperty("old_salt", old_salt);
  RecordProperty("new_salt", new_salt);
  std::printf("%d kills: %d logins had finished; the old salt stood %d times, the new one %d times\n", i,
              finished, old_salt, new_salt);
  EXPECT_GT(old_salt, 0);
  EXPECT_GT(new_salt, finished) << "no kill fell between the change and the answer";
}

}  // namespace
}  // namespace keyd::testing
