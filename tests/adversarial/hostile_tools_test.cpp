// keyrun, keystat and keyadm against a keyd that is not to be trusted: they fail in words that do nothing to
// a terminal, and keyrun runs nothing.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <memory>

#include "core/exchange/srp_group.h"
#include "core/table/table_writer.h"
#include "core/wire/message_codec.h"
#include "tests/adversarial/besieged_keyd.h"
#include "tests/adversarial/hostile_keyd.h"

namespace keyd::testing {
namespace {

// A command line; {} stands for the runtime directory. What it reads is the password.
struct Command {
  const char* name;
  std::vector<std::string> arguments;
};

const Command kCommands[] = {
    {"keyrun",
     {"--runtime-dir", "{}", "--user", "alice", "--scheme", "challenge", "--password-fd", "0", "--",
      "/usr/bin/touch", "{}/ran"}},
    {"keyrun",
     {"--runtime-dir", "{}", "--user", "alice", "--scheme", "challenge", "--password-fd", "0", "--credential",
      "token", "--", "/usr/bin/touch", "{}/ran"}},
    {"keystat", {"--runtime-dir", "{}"}},
    {"keystat", {"--runtime-dir", "{}", "-o", "json"}},
    {"keyadm", {"--runtime-dir", "{}", "health"}},
    {"keyadm", {"--runtime-dir", "{}", "user", "list"}},
    {"keyadm", {"--runtime-dir", "{}", "user", "show", "alice"}},
    {"keyadm", {"--runtime-dir", "{}", "user", "disable", "alice"}},
    {"keyadm", {"--runtime-dir", "{}", "user", "add", "alice", "--password-fd", "0"}},
    {"keyadm", {"--runtime-dir", "{}", "user", "export", "alice", "--to", "{}/exported"}},
    {"keyadm", {"--runtime-dir", "{}", "credential", "list", "alice"}},
    {"keyadm", {"--runtime-dir", "{}", "revoke", "--user", "alice"}},
};

wire::AdminReply refusal_with(const std::string& text) {
  wire::AdminReply reply;
  reply.mutable_refused()->set_code(wire::REFUSAL_POLICY);
  reply.mutable_refused()->set_text(text);
  return reply;
}

const std::string kOfATerminal = "\x1b[2J\x1b]0;owned\a\r\n\u009b31m\u202e";

class HostileTools : public ::testing::Test {
 protected:
  [[nodiscard]] std::vector<std::string> line_of(const Command& command) const {
    std::vector<std::string> line{program(command.name)};
    for (std::string argument : command.arguments) {
      if (const auto at = argument.find("{}"); at != std::string::npos)
        argument.replace(at, 2, keyd_.directory());
      line.push_back(std::move(argument));
    }
    return line;
  }

  CommandResult expect_harmless(const Command& command) {
    const auto result = run(line_of(command), std::string(HostileKeyd::kPassword) + "\n");
    EXPECT_LT(result.exit_code, 128) << "killed by a signal";
    EXPECT_TRUE(is_printable(result.out)) << result.out;
    EXPECT_TRUE(is_printable(result.err)) << result.err;
    return result;
  }

  void expect_all_to_fail(const char* attack_name, const Attack& attack) {
    for (const Command& command : kCommands) {
      SCOPED_TRACE(std::string(command.name) + " " + command.arguments.back() + " against " + attack_name);
      keyd_.set_attack(attack);
      const auto result = expect_harmless(command);
      EXPECT_NE(result.exit_code, 0) << result.out;
      EXPECT_FALSE(std::filesystem::exists(keyd_.directory() + "/ran")) << "keyrun ran its command";
    }
  }

  HostileKeyd keyd_;
};

TEST_F(HostileTools, NoneOfThemTakesNonsenseForAnAnswer) {
  expect_all_to_fail("a closed door", [](Move& move) { move.packets.clear(), move.close = true; });
  expect_all_to_fail("nonsense", [](Move& move) { move.packets = {Bytes(50, 0xff)}; });
  expect_all_to_fail("emptiness", [](Move& move) { move.packets = {Bytes()}; });
  expect_all_to_fail("too much", [](Move& move) { move.packets = {Bytes(wire::kMaxPacket + 1, 0x0a)}; });
  expect_all_to_fail("a version and no more", [](Move& move) { move.packets = {Bytes{0x08, 0x01}}; });
  expect_all_to_fail("another version", [](Move& move) { move.packets = {Bytes{0x08, 0x02}}; });
}

TEST_F(HostileTools, ARefusalsTextDoesNothingToATerminal) {
  expect_all_to_fail("a refusal to administrators", [](Move& move) {
    auto reply = refusal_with(kOfATerminal);
    move.packets = {wire::encode(reply)};
  });
  expect_all_to_fail("a refusal to clients", [](Move& move) {
    auto packet = wire::refusal(wire::REFUSAL_POLICY, kOfATerminal);
    move.packets = {wire::encode(packet)};
  });
}

TEST_F(HostileTools, KeyadmTakesNoOtherAnswerThanTheOneToItsQuestion) {
  const auto reply_with = [](const std::function<void(wire::AdminReply&)>& fill) -> Attack {
    wire::AdminReply reply;
    fill(reply);
    return [packet = wire::encode(reply)](Move& move) { move.packets = {packet}; };
  };
  const std::pair<const char*, Attack> answers[] = {
      {"credentials", reply_with([](auto& r) { r.mutable_credentials(); })},
      {"done", reply_with([](auto& r) { r.mutable_done(); })},
      {"health", reply_with([](auto& r) { r.mutable_health()->set_ready(true); })},
      {"revoked", reply_with([](auto& r) { r.mutable_revoked()->set_count(1); })},
      {"users", reply_with([](auto& r) { r.mutable_users(); })}};
  for (const auto& [name, attack] : answers) {
    int succeeded = 0;
    for (const Command& command : kCommands) {
      if (std::string_view(command.name) != "keyadm") continue;
      SCOPED_TRACE(std::string(command.arguments[2]) + " against " + name);
      keyd_.set_attack(attack);
      succeeded += expect_harmless(command).exit_code == 0;
    }
    // Only the command whose answer it is (two have "done").
    EXPECT_LE(succeeded, std::string_view(name) == "done" ? 2 : 1) << name;
  }
}

// What is no verifier is not written into another program's password file.
TEST_F(HostileTools, KeyadmWritesNothingThatIsNoVerifier) {
  const Command command{"keyadm", {"--runtime-dir", "{}", "user", "export", "alice", "--to", "{}/verifiers"}};
  const auto group = *exchange::SrpGroup::listed(1024);
  const std::string modulus(text_of(group.modulus_octets()));
  const auto answer = [&](const std::function<void(wire::AdminReply&)>& change, std::vector<Bytes> behind) {
    keyd_.set_attack([&, change, behind](Move& move) {
      wire::AdminReply reply;
      reply.set_secret_follows(true);
      reply.mutable_verifier()->set_salt("salt");
      reply.mutable_verifier()->set_modulus(modulus);
      reply.mutable_verifier()->set_generator("\x02");
      change(reply);
      move.packets = {wire::encode(reply)};
      move.packets.insert(move.packets.end(), behind.begin(), behind.end());
      move.close = true;
    });
    const auto result = expect_harmless(command);
    const bool written = std::filesystem::file_size(keyd_.directory() + "/verifiers") != 0;
    EXPECT_EQ(result.exit_code == 0, written) << result.err;
    return written;
  };
  const auto as_it_is = [](wire::AdminReply&) {};
  const Bytes v(128, 5);
  EXPECT_FALSE(answer(as_it_is, {}));
  EXPECT_FALSE(answer(as_it_is, {Bytes()}));
  EXPECT_FALSE(answer(as_it_is, {Bytes(1025, 5)}));
  EXPECT_FALSE(answer(as_it_is, {Bytes(129, 5)})) << "larger than N";
  EXPECT_FALSE(answer(as_it_is, {Bytes(1, 1)}));
  EXPECT_FALSE(answer([](auto& r) { r.set_secret_follows(false); }, {v}));
  EXPECT_FALSE(answer([](auto& r) { r.mutable_verifier()->clear_salt(); }, {v}));
  EXPECT_FALSE(answer([](auto& r) { r.mutable_verifier()->set_salt(std::string(256, 's')); }, {v}));
  EXPECT_FALSE(answer([](auto& r) { r.mutable_verifier()->set_generator("\x03"); }, {v}));
  EXPECT_FALSE(answer([](auto& r) { r.mutable_verifier()->mutable_modulus()->back() ^= 2; }, {v}));
  EXPECT_FALSE(answer([](auto& r) { r.mutable_done(); }, {v}));
  EXPECT_TRUE(answer(as_it_is, {v}));
}

TEST_F(HostileTools, NamesInAnAdministratorsListDoNothingToATerminal) {
  keyd_.set_attack([](Move& move) {
    wire::AdminReply reply;
    auto& user = *reply.mutable_users()->add_users();
    user.set_name(kOfATerminal);
    user.set_state("\x1b[31mactive");
    user.add_schemes("\x1b[32mchallenge");
    move.packets = {wire::encode(reply)};
  });
  EXPECT_EQ(expect_harmless({"keyadm", {"--runtime-dir", "{}", "user", "list"}}).exit_code, 0);
  keyd_.set_attack([](Move& move) {
    wire::AdminReply reply;
    auto& user = *reply.mutable_user();
    user.set_name("\x1b[2J");
    user.set_state("\x1b[31mactive");
    user.add_schemes("\x1b[32mchallenge");
    move.packets = {wire::encode(reply)};
  });
  EXPECT_EQ(expect_harmless({"keyadm", {"--runtime-dir", "{}", "user", "show", "alice"}}).exit_code, 0);
  keyd_.set_attack([](Move& move) {
    wire::AdminReply reply;
    reply.mutable_credentials()->add_credentials()->set_name("\x1b[2J");
    move.packets = {wire::encode(reply)};
  });
  EXPECT_EQ(expect_harmless({"keyadm", {"--runtime-dir", "{}", "credential", "list", "alice"}}).exit_code, 0);
  keyd_.set_attack([](Move& move) {
    wire::AdminReply reply;
    auto& health = *reply.mutable_health();
    health.set_tier("\x1b[2J");
    health.set_version("\x1b[2J");
    health.set_problem("\x1b[2J");
    move.packets = {wire::encode(reply)};
  });
  EXPECT_EQ(expect_harmless({"keyadm", {"--runtime-dir", "{}", "health"}}).exit_code, 1);
}

TEST_F(HostileTools, AListThatHasNoEndIsNotReadForEver) {
  keyd_.set_attack([](Move& move) {
    wire::AdminReply reply;
    reply.mutable_users()->set_more(true);
    if (move.turn % 2 == 0) reply.mutable_users()->add_users()->set_name("alice");
    move.packets = {wire::encode(reply)};
  });
  EXPECT_EQ(expect_harmless({"keyadm", {"--runtime-dir", "{}", "user", "list"}}).exit_code, 1);
}

TEST_F(HostileTools, NamesInATableDoNothingToATerminal) {
  constexpr std::uint32_t kCapacity = 16;
  auto memory = table::SealedMemfd::create(table::table_size(kCapacity));
  ASSERT_TRUE(memory);
  table::TableWriter writer(std::move(*memory), table::TableBell::create().value(), kCapacity,
                            table::Tier::kWatch, 4242);
  table::TaskRecord record;
  record.inode = 1;
  record.pid = static_cast<std::uint32_t>(::getpid());
  record.scheme = static_cast<table::Scheme>(200);
  record.suite = static_cast<table::Suite>(200);
  record.tier = static_cast<table::Tier>(200);
  record.reason = static_cast<table::Reason>(200);
  record.user_size = 10;
  const std::string name = "\x1b[2J\x1b[31m!";
  name.copy(record.user.data(), 10);
  ASSERT_TRUE(writer.bind(record, 0));
  const int descriptor = writer.reader_descriptor();
  keyd_.set_attack([descriptor, bell = writer.bell_descriptor(), size = writer.size()](Move& move) {
    wire::ServerPacket packet;
    packet.mutable_table()->set_size(size);
    move.packets = {wire::encode(packet)};
    move.descriptors = {descriptor, bell};
  });
  for (const char* format : {"pretty", "json"}) {
    writer.heartbeat();
    const auto result = expect_harmless({"keystat", {"--runtime-dir", "{}", "-o", format}});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_NE(result.out.find("[2J"), std::string::npos) << "it was not shown at all: " << result.out;
  }
}

TEST_F(HostileTools, AKeydThatNeverAnswersIsNotWaitedForForEver) {
  // keyadm waits for 30 s, which is too long for every day.
  keyd_.set_attack([](Move& move) { move.packets.clear(); });
  std::vector<std::unique_ptr<BackgroundProcess>> running;
  for (const Command& command : kCommands) {
    if (std::string_view(command.name) == "keyadm" && !is_soak()) continue;
    running.push_back(std::make_unique<BackgroundProcess>(line_of(command)));
    running.back()->write(std::string(HostileKeyd::kPassword) + "\n");
    running.back()->close_input();
  }
  for (const auto& process : running) {
    const int code = process->wait();
    EXPECT_TRUE(code > 0 && code < 128) << code;
  }
  EXPECT_FALSE(std::filesystem::exists(keyd_.directory() + "/ran"));
}

}  // namespace
}  // namespace keyd::testing
