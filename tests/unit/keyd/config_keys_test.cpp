// The table of keys in keyd/config.cpp, the manual page and the example file say the same.
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <set>
#include <string>

#include "keyd/config.h"

namespace keyd::daemon {
namespace {

std::string between(const std::string& text, const std::string& before, const std::string& after) {
  const std::size_t from = text.find(before);
  if (from == std::string::npos) return {};
  const std::size_t start = from + before.size();
  return text.substr(start, text.find(after, start) - start);
}

// What keyd.toml.5 says of each key: "live" or "restart".
std::map<std::string, std::string> keys_of_the_manual() {
  std::ifstream file(KEYD_SOURCE_DIR "/docs/man/keyd.toml.5");
  std::map<std::string, std::string> keys;
  std::string section;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(".Ss [")) section = between(line, "[", "]");
    if (!line.starts_with(".It Cm ")) continue;
    const std::string name = between(line, ".It Cm ", " ");
    keys[section + "." + name] = line.ends_with("; live")      ? "live"
                                 : line.ends_with("; restart") ? "restart"
                                                               : line;
  }
  return keys;
}

std::set<std::string> keys_of_the_example() {
  std::ifstream file(KEYD_SOURCE_DIR "/docs/examples/keyd.toml");
  std::set<std::string> keys;
  std::string section;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("[")) section = between(line, "[", "]");
    if (line.starts_with("#") && line.find(" = ") != std::string::npos)
      keys.insert(section + "." + between(line, "#", " = "));
  }
  return keys;
}

TEST(ConfigKeys, TheManualSaysOfEachWhenAChangeTakesEffect) {
  std::map<std::string, std::string> keys;
  for (const ConfigKey& key : config_keys())
    keys[key.name] = key.applies == Applies::kLive ? "live" : "restart";
  EXPECT_EQ(keys_of_the_manual(), keys);
}

TEST(ConfigKeys, TheExampleHasThemAll) {
  std::set<std::string> keys;
  for (const ConfigKey& key : config_keys()) keys.insert(key.name);
  EXPECT_EQ(keys_of_the_example(), keys);
}

TEST(ConfigKeys, AReloadTakesTheLiveOnesAndNamesTheOthers) {
  Config running, loaded;
  loaded.lifetime = std::chrono::seconds(5);
  loaded.audit_file = "/elsewhere";
  loaded.server_name = "other";
  loaded.raw_noise = false;
  const ConfigChanges changes = take_live_keys(running, loaded);
  EXPECT_EQ(changes.taken, (std::vector<std::string>{"audit.file", "session.lifetime"}));
  EXPECT_EQ(changes.kept, (std::vector<std::string>{"daemon.server_name", "noise.raw_sources"}));
  EXPECT_EQ(running.lifetime, std::chrono::seconds(5));
  EXPECT_EQ(running.audit_file, "/elsewhere");
  EXPECT_EQ(running.server_name, "localhost");
  EXPECT_TRUE(running.raw_noise);
}

}  // namespace
}  // namespace keyd::daemon
