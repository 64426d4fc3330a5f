// A program that has a new password judged, for its memory to be searched: reads the old password and the new one, a
// line each, says the verdict, forgets both, says so, and waits. usage: judging_client DIRECTORY (which is left in its heap)
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <string>

#include "core/secret/secret.h"
#include "libkeyclient/src/password_rules.h"

namespace {

keyd::secret::SecretBuffer read_line() {
  keyd::secret::SecretBuffer line(256);
  std::size_t size = 0;
  while (size < line.size() && ::read(0, &line.reveal()[size], 1) == 1 && line.reveal()[size] != '\n') ++size;
  line.truncate(size);
  return line;
}

void say(const std::string& line) { (void)!::write(1, (line + "\n").data(), line.size() + 1); }

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const auto known = std::make_unique<std::string>(argv[1]);
  {
    const auto old = read_line(), fresh = read_line();
    const auto verdict = keyd::client::judge_password("wilma", fresh.reveal(), old.reveal(), {});
    say(verdict ? "good" : verdict.error().text);
    read_line();
  }
  say("forgotten");
  read_line();
  return known->empty();
}
