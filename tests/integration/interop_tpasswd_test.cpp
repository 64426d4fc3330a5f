// SRP verifiers from and to the programs that others have: srptool, gnutls-serv and gnutls-cli of GnuTLS, openssl srp.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <keyclient/keyclient.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/base/unique_fd.h"
#include "core/crypto/random.h"
#include "core/exchange/srp.h"
#include "tests/support/content.h"
#include "tests/support/eventually.h"
#include "tests/support/library_client.h"
#include "tests/support/private_keyd.h"
#include "tests/support/raw_client.h"
#include "tests/support/terminal_session.h"
#include "tests/support/wide_limits.h"

namespace keyd::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using Json = nlohmann::json;

constexpr const char* kPriority = "NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+SRP";

class InteropTpasswd : public ::testing::Test {
 protected:
  explicit InteropTpasswd(const std::string& configuration = {})
      : keyd_("[historic]\nenabled = true\n" + std::string(kUnlimitedTries) + configuration) {}
  void SetUp() override { ASSERT_TRUE(keyd_.start()) << keyd_.log(); }

  [[nodiscard]] std::string path(const std::string& name) const { return keyd_.directory() + "/" + name; }
  void write(const std::string& name, const std::string& content) const {
    std::ofstream(path(name), std::ios::binary) << content;
  }
  // A line of `file` for `user`, made by GnuTLS; its groups stand in tpasswd.conf.
  void add_by_srptool(const std::string& file, const std::string& user, int index) const {
    if (!std::filesystem::exists(path("tpasswd.conf"))) {
      ASSERT_EQ(run({"/usr/bin/srptool", "--create-conf", path("tpasswd.conf")}).exit_code, 0);
    }
    if (!std::filesystem::exists(path(file))) write(file, "");
    const auto added = run({"/usr/bin/srptool", "--passwd", path(file), "--passwd-conf", path("tpasswd.conf"),
                            "--username", user, "--index", std::to_string(index)},
                           "right\n");
    ASSERT_EQ(added.exit_code, 0) << added.err;
  }
  void add_by_openssl(const std::string& file, const std::string& user, unsigned bits) const {
    if (!std::filesystem::exists(path(file))) write(file, "");
    const auto added = run({"/usr/bin/openssl", "srp", "-srpvfile", path(file), "-add", "-gn",
                            std::to_string(bits), "-passout", "pass:right", user});
    ASSERT_EQ(added.exit_code, 0) << added.err;
  }
  CommandResult import(const std::string& file, std::vector<std::string> more = {}) const {
    std::vector<std::string> line{"user", "import", "--format", "tpasswd", path(file)};
    line.insert(line.end(), more.begin(), more.end());
    return keyd_.keyadm(line);
  }
  CommandResult export_to(const std::string& file, std::vector<std::string> more = {}) const {
    std::vector<std::string> line{"user", "export", "--to", path(file)};
    line.insert(line.end(), more.begin(), more.end());
    return keyd_.keyadm(line);
  }

  [[nodiscard]] CommandResult keyrun(const std::string& user, const std::string& password,
                                     const std::vector<std::string>& more) const {
    std::vector<std::string> line{program("keyrun"),
                                  "--runtime-dir",
                                  keyd_.runtime_dir(),
                                  "--scheme",
                                  "srp",
                                  "--user",
                                  user,
                                  "--password-fd",
                                  "0"};
    line.insert(line.end(), more.begin(), more.end());
    line.insert(line.end(), {"--", "/bin/echo", "in"});
    return run(line, password + "\n");
  }
  // By libkeyclient. keyd hears of an earlier client's end in its own time.
  bool comes_to(const std::string& user, const std::string& password, keyclient_status status,
                const char* suite = "modern") {
    client_.suite = suite;
    client_.accept_fast = true;
    return eventually([&] { return client_.login(user, password) == status; });
  }
  bool comes_in_by_a_small_group(const std::string& user, const std::string& password) {
    EXPECT_TRUE(comes_to(user, password, KEYCLIENT_REFUSED)) << "nobody has asked for its group";
    EXPECT_THAT(keyclient_error(), HasSubstr("fewer than the 2048"));
    client_.least_group_bits = 1024;
    const bool in = comes_to(user, password, KEYCLIENT_OK);
    client_.close();
    client_.least_group_bits = 0;
    const auto run = keyrun(user, password, {"--accept-fast-derivations", "--least-group-bits", "1024"});
    return in && run.exit_code == 0;
  }
  void expect_to_log_in(const std::string& user) {
    SCOPED_TRACE(user);
    EXPECT_THAT(keyrun(user, "right", {}).err, HasSubstr("SHA-1, and fast derivations are not accepted"))
        << "without being asked to take it";
    const auto in = keyrun(user, "right", {"--accept-fast-derivations"});
    EXPECT_EQ(in.exit_code, 0) << in.err;
    EXPECT_EQ(in.out, "in\n");
    EXPECT_NE(keyrun(user, "wrong", {"--accept-fast-derivations"}).exit_code, 0);
    EXPECT_TRUE(comes_to(user, "right", KEYCLIENT_OK)) << keyclient_error();
    EXPECT_TRUE(comes_to(user, "wrong", KEYCLIENT_DENIED)) << keyclient_error();
  }

  PrivateKeyd keyd_;
  LibraryClient client_{keyd_.runtime_dir()};
};

// ---- in

TEST_F(InteropTpasswd, WhomSrptoolHasEnrolledLogsIn) {
  for (const int index : {2, 3, 4, 5}) add_by_srptool("tpasswd", "gnutls" + std::to_string(index), index);
  ASSERT_FALSE(HasFatalFailure());
  const auto imported = import("tpasswd", {"--conf", path("tpasswd.conf")});
  EXPECT_EQ(imported.exit_code, 0) << imported.err;
  EXPECT_THAT(imported.out, HasSubstr("4 imported"));
  for (const char* user : {"gnutls3", "gnutls4", "gnutls5"}) expect_to_log_in(user);
  EXPECT_TRUE(comes_in_by_a_small_group("gnutls2", "right")) << "1536 bits";
  EXPECT_TRUE(comes_to("gnutls3", "right", KEYCLIENT_DENIED, "historic")) << "nobody has allowed it";
}

TEST_F(InteropTpasswd, WhomOpensslHasEnrolledLogsIn) {
  for (const unsigned bits : {1024u, 1536u, 2048u, 3072u, 4096u, 6144u, 8192u})
    add_by_openssl("verifiers", "openssl" + std::to_string(bits), bits);
  ASSERT_FALSE(HasFatalFailure());
  const auto imported = import("verifiers", {"--allow-historic"});
  EXPECT_EQ(imported.exit_code, 0) << imported.err;
  EXPECT_THAT(imported.out, HasSubstr("7 imported"));
  for (const char* user : {"openssl2048", "openssl3072"}) expect_to_log_in(user);
  for (const char* user : {"openssl4096", "openssl6144", "openssl8192"})
    EXPECT_TRUE(comes_to(user, "right", KEYCLIENT_OK)) << user << ": " << keyclient_error();
  for (const char* user : {"openssl1024", "openssl1536"})
    EXPECT_TRUE(comes_in_by_a_small_group(user, "right")) << user;
  EXPECT_TRUE(comes_to("openssl2048", "right", KEYCLIENT_OK, "historic")) << keyclient_error();
  EXPECT_TRUE(comes_to("openssl2048", "wrong", KEYCLIENT_DENIED, "historic"));
}

TEST_F(InteropTpasswd, WhoWasDeletedByOpensslIsNotImported) {
  add_by_openssl("verifiers", "gone", 2048);
  ASSERT_EQ(run({"/usr/bin/openssl", "srp", "-srpvfile", path("verifiers"), "-delete", "gone"}).exit_code, 0);
  const auto imported = import("verifiers");
  EXPECT_EQ(imported.exit_code, 0) << imported.err;
  EXPECT_THAT(imported.out, AllOf(HasSubstr("0 imported"), HasSubstr("1 without a password")));
}

TEST_F(InteropTpasswd, LinesThatCannotBeTakenAreNamedAndTheOthersGoOn) {
  add_by_srptool("tpasswd", "good", 3);
  add_by_openssl("verifiers", "fine", 2048);
  ASSERT_FALSE(HasFatalFailure());
  const std::string good = content_of(path("tpasswd")), lines = good + content_of(path("verifiers"));
  const std::string verifier = good.substr(5, good.size() - 8);  // verifier:salt
  write("mixed", lines + good + "al\x1b[31mice:" + verifier + ":3\n" + "nogroup:" + verifier + ":9\n" +
                     "\n# comment\n" + "plus:+" + verifier + ":3\n" + "big:" + std::string(5000, '1') + "\n" +
                     "large:z" + verifier + ":2\n" + "I\t" + std::string(342, '1') + "\t02\tmine\t\t\n" +
                     "V\t05\t0A\tmine\tmine\t\n");
  for (const bool dry : {true, false}) {
    std::vector<std::string> more{"--conf", path("tpasswd.conf"), "-o", "json"};
    if (dry) more.emplace_back("--dry-run");
    const auto imported = import("mixed", more);
    EXPECT_EQ(imported.exit_code, 1) << imported.err;
    const Json json = Json::parse(imported.out);
    EXPECT_EQ(json["imported"], 2);
    EXPECT_EQ(json["dry_run"], dry);
    std::map<int, std::string> reasons;
    for (const auto& each : json["refused"]) reasons[each["line"]] = each["reason"];
    ASSERT_EQ(reasons.size(), 7u) << imported.out;
    EXPECT_THAT(reasons[3], HasSubstr("\"good\" is enrolled already"));
    EXPECT_THAT(reasons[4], HasSubstr("name"));
    EXPECT_THAT(reasons[5], HasSubstr("group \"9\""));
    EXPECT_THAT(reasons[8], HasSubstr("verifier"));
    EXPECT_THAT(reasons[9], HasSubstr("4096"));
    EXPECT_THAT(reasons[10], HasSubstr("no number of its group"));
    EXPECT_THAT(reasons[12], HasSubstr("group \"mine\""));
    EXPECT_THAT(imported.err, AllOf(Not(HasSubstr("\x1b")), Not(HasSubstr(verifier.substr(0, 20)))));
    EXPECT_EQ(keyd_.keyadm({"user", "show", "good"}).exit_code == 0, !dry);
  }
  EXPECT_EQ(import("mixed").exit_code, 1) << "all of GnuTLS's without their groups";
  EXPECT_EQ(import("mixed", {"--conf", path("none")}).exit_code, 1);
  write("conf", "3:1:2:3\n");
  EXPECT_THAT(import("mixed", {"--conf", path("conf")}).err, HasSubstr("line 1 of the groups' file"));
  EXPECT_EQ(keyd_.keyadm({"user", "import", path("mixed"), "--allow-historic"}).exit_code, 2)
      << "of a shadow file";
}

// ---- out

int free_port() {
  const UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  EXPECT_EQ(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), size), 0);
  EXPECT_EQ(::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  return ntohs(address.sin_port);
}

bool is_listening(int port) {
  const UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

// A server of GnuTLS that knows its users by SRP alone.
class GnutlsServer {
 public:
  GnutlsServer(const std::string& passwd, const std::string& conf)
      : port_(free_port()),
        process_({"/usr/bin/gnutls-serv", "--quiet", "--echo", "--port", std::to_string(port_), "--priority",
                  kPriority, "--srppasswd", passwd, "--srppasswdconf", conf}) {
    EXPECT_TRUE(eventually([this] { return is_listening(port_); }));
  }
  [[nodiscard]] CommandResult handshake(const std::string& user, const std::string& password) const {
    return run({"/usr/bin/gnutls-cli", "--port", std::to_string(port_), "--priority", kPriority,
                "--srpusername", user, "--srppasswd", password, "localhost"});
  }
  void expect_to_know(const std::string& user) const {
    const auto right = handshake(user, "right"), wrong = handshake(user, "wrong");
    EXPECT_EQ(right.exit_code, 0) << user << ": " << right.out << right.err;
    EXPECT_THAT(right.out, AllOf(HasSubstr("Handshake was completed"), HasSubstr("(SRP)"))) << user;
    EXPECT_NE(wrong.exit_code, 0) << user;
    EXPECT_THAT(wrong.out, Not(HasSubstr("Handshake was completed"))) << user;
  }

 private:
  int port_;
  BackgroundProcess process_;
};

// Users of keyd's own enrolment, whose historic verifier is by SHA-1.
TEST_F(InteropTpasswd, GnutlsAuthenticatesWhomKeydHasEnrolled) {
  for (const char* user : {"alice", "carol d"})
    keyd_.enrol(user, "right", {"--scheme", "srp", "--allow-historic"});
  const auto exported = export_to("tpasswd", {"--conf", path("tpasswd.conf")});
  ASSERT_EQ(exported.exit_code, 0) << exported.err;
  EXPECT_THAT(exported.out, HasSubstr("2 exported"));
  const auto piped = keyd_.keyadm({"user", "export", "--format", "tpasswd"});
  EXPECT_EQ(piped.exit_code, 0);
  EXPECT_EQ(piped.out, content_of(path("tpasswd"))) << "and no summary between";
  EXPECT_THAT(piped.err, HasSubstr("2 exported"));
  const GnutlsServer server(path("tpasswd"), path("tpasswd.conf"));
  for (const char* user : {"alice", "carol d"}) server.expect_to_know(user);
  EXPECT_NE(server.handshake("nobody", "right").exit_code, 0);
}

TEST_F(InteropTpasswd, AnExportGoesToNoFileThatOthersMayRead) {
  keyd_.enrol("alice", "right", {"--scheme", "srp", "--allow-historic"});
  const std::string exporting =
      program("keyadm") + " --runtime-dir " + keyd_.runtime_dir() + " user export > ";
  const auto readable = run({"/bin/sh", "-c", "umask 022; " + exporting + path("readable")});
  EXPECT_EQ(readable.exit_code, 2);
  EXPECT_THAT(readable.err, HasSubstr("umask 077"));
  EXPECT_EQ(content_of(path("readable")), "");
  EXPECT_EQ(run({"/bin/sh", "-c", "umask 077; " + exporting + path("private")}).exit_code, 0);
  EXPECT_THAT(content_of(path("private")), HasSubstr("alice:"));
}

TEST_F(InteropTpasswd, AnExportIsNotShownOnATerminal) {
  keyd_.enrol("alice", "right", {"--scheme", "srp", "--allow-historic"});
  TerminalSession session({program("keyadm"), "--runtime-dir", keyd_.runtime_dir(), "user", "export"}, 24,
                          100);
  EXPECT_TRUE(session.until_shows("not for a terminal"));
  EXPECT_EQ(session.wait(), 2);
}

// Also with the groups' file that srptool makes, which calls them the same.
TEST_F(InteropTpasswd, GnutlsAuthenticatesInItsGroupsWhomOpensslHasEnrolledAndKeydHandedOn) {
  for (const unsigned bits : {1024u, 1536u, 2048u, 3072u, 4096u, 6144u, 8192u})
    add_by_openssl("verifiers", "user" + std::to_string(bits), bits);
  add_by_srptool("tpasswd", "other", 3);
  ASSERT_FALSE(HasFatalFailure());
  ASSERT_EQ(import("verifiers").exit_code, 0);
  ASSERT_EQ(import("tpasswd", {"--conf", path("tpasswd.conf")}).exit_code, 0);
  const auto exported = export_to("exported", {"--conf", path("exported.conf")});
  ASSERT_EQ(exported.exit_code, 0) << exported.err;
  {
    const GnutlsServer server(path("exported"), path("exported.conf"));
    for (const unsigned bits : {1024u, 1536u, 2048u, 3072u, 4096u, 8192u})
      server.expect_to_know("user" + std::to_string(bits));
    server.expect_to_know("other");
    // The server gives it out; its own client has not heard of it.
    const auto unknown = server.handshake("user6144", "right");
    EXPECT_NE(unknown.exit_code, 0);
    EXPECT_THAT(unknown.out + unknown.err, HasSubstr("not in the white list"));
  }
  const GnutlsServer server(path("exported"), path("tpasswd.conf"));
  for (const unsigned bits : {1536u, 2048u, 3072u, 4096u, 8192u})
    server.expect_to_know("user" + std::to_string(bits));
}

// About one in 256 of OpenSSL's salts begins with a zero octet, which is in its file and not in x: `openssl srp` itself
// is asked until it makes one. (Handed on as it stands GnuTLS would not know the user: it puts the zero into x.)
TEST_F(InteropTpasswd, OpensslsSaltThatBeginsWithAZeroIsTakenWithoutIt) {
  const auto salt_of_last = [&] {
    std::istringstream lines(content_of(path("verifiers")));
    std::string line, salt;
    for (std::string each; std::getline(lines, each);) line = each;
    std::istringstream fields(line);
    for (int field = 0; field < 3; ++field) std::getline(fields, salt, '\t');
    return salt;
  };
  for (int i = 0; i < 5000; ++i) {
    std::filesystem::remove(path("verifiers"));
    add_by_openssl("verifiers", "zero", 1024);
    ASSERT_FALSE(HasFatalFailure());
    const std::string salt = salt_of_last();
    ASSERT_EQ(salt.size(), 27u);
    if (salt[0] == '0' && salt[1] < '4') break;
  }
  ASSERT_EQ(salt_of_last()[0], '0');
  ASSERT_EQ(import("verifiers").exit_code, 0);
  EXPECT_TRUE(comes_in_by_a_small_group("zero", "right")) << salt_of_last();
  ASSERT_EQ(export_to("exported", {"--conf", path("exported.conf")}).exit_code, 0);
  GnutlsServer(path("exported"), path("exported.conf")).expect_to_know("zero");
}

// `openssl srp -modify` computes the verifier of the old password, and compares.
TEST_F(InteropTpasswd, OpensslKnowsThePasswordOfWhomKeydHasEnrolled) {
  add_by_srptool("tpasswd", "gnutls", 3);
  ASSERT_FALSE(HasFatalFailure());
  ASSERT_EQ(import("tpasswd", {"--conf", path("tpasswd.conf")}).exit_code, 0);
  std::size_t known = 0;
  for (const std::string user : {"alice", "bob", "gnutls"}) {
    if (user != "gnutls") keyd_.enrol(user, "right", {"--scheme", "srp", "--allow-historic"});
    const auto exported = export_to("of-" + user, {"--format", "openssl", user});
    // One salt in 256 begins with a zero, which OpenSSL would lose.
    if (exported.exit_code == 1) {
      EXPECT_THAT(exported.err, HasSubstr("would lose the zero"));
      continue;
    }
    const auto modify = [&](const std::string& password) {
      return run({"/usr/bin/openssl", "srp", "-srpvfile", path("of-" + user), "-modify", "-passin",
                  "pass:" + password, "-passout", "pass:another", user})
          .exit_code;
    };
    EXPECT_NE(modify("wrong"), 0) << user;
    EXPECT_EQ(modify("right"), 0) << user;
    EXPECT_EQ(modify("another"), 0) << user;
    ++known;
  }
  EXPECT_GT(known, 0u);
}

TEST_F(InteropTpasswd, WhoCannotBeExportedIsNamed) {
  keyd_.enrol("scrypt", "right", {"--scheme", "srp"});
  keyd_.enrol("challenged", "right");
  keyd_.enrol("disabled", "right", {"--scheme", "srp", "--allow-historic"});
  keyd_.enrol("colon:ed", "right", {"--scheme", "srp", "--allow-historic"});
  keyd_.enrol("good", "right", {"--scheme", "srp", "--allow-historic"});
  ASSERT_EQ(keyd_.keyadm({"user", "disable", "disabled"}).exit_code, 0);
  const auto all = export_to("all");
  EXPECT_EQ(all.exit_code, 1);
  EXPECT_THAT(all.out, HasSubstr("1 exported, 4 refused"));
  EXPECT_THAT(
      all.err,
      AllOf(HasSubstr("\"scrypt\" is not by SHA-1"), HasSubstr("\"challenged\" has no verifier"),
            HasSubstr("\"disabled\" is disabled"), HasSubstr("no way to write the name \"colon:ed\"")));
  EXPECT_TRUE(content_of(path("all")).starts_with("good:"));
  const auto named = export_to("named", {"nobody", "good"});
  EXPECT_EQ(named.exit_code, 1);
  EXPECT_THAT(named.err, HasSubstr("no user \"nobody\""));
  EXPECT_EQ(content_of(path("named")), content_of(path("all")));
  EXPECT_TRUE(keyd_.wait_for_log("admin.verifier-export user=\"good\""));
  EXPECT_TRUE(keyd_.wait_for_log("admin.verifier-export user=\"scrypt\""));
}

TEST_F(InteropTpasswd, AnExportIsItsOwnersAloneAndOverwritesNothing) {
  keyd_.enrol("good", "right", {"--scheme", "srp", "--allow-historic"});
  ASSERT_EQ(export_to("new", {"--conf", path("new.conf")}).exit_code, 0);
  for (const char* name : {"new", "new.conf"}) {
    struct stat status{};
    ASSERT_EQ(::stat(path(name).c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777, 0600u) << name;
  }
  write("victim", "");
  std::filesystem::create_symlink(path("victim"), path("link"));
  std::filesystem::create_symlink(path("nothing"), path("dangling"));
  std::filesystem::create_hard_link(path("victim"), path("hard"));
  std::filesystem::create_directory(path("folder"));
  ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
  write("full", "something");
  write("open", "");  // whoever may read it may have it open already
  std::filesystem::permissions(path("open"), std::filesystem::perms(0644));
  for (const char* name :
       {"link", "dangling", "hard", "folder", "pipe", "full", "open", "new", "no/such/folder"}) {
    const auto exported = export_to(name);
    EXPECT_EQ(exported.exit_code, 1) << name;
    EXPECT_FALSE(exported.err.empty()) << name;
    EXPECT_EQ(export_to("other", {"--conf", path(name)}).exit_code, 1) << name;
    EXPECT_EQ(content_of(path("other")), "") << name;
  }
  EXPECT_EQ(content_of(path("victim")), "");
  EXPECT_EQ(content_of(path("full")), "something");
  EXPECT_FALSE(std::filesystem::exists(path("nothing")));
  EXPECT_EQ(export_to("other").exit_code, 0) << "an empty file of one's own";
}

TEST_F(InteropTpasswd, AnExportThatCannotGoOnLeavesAnEmptyFile) {
  keyd_.enrol("good", "right", {"--scheme", "srp", "--allow-historic"});
  keyd_.stop();
  EXPECT_EQ(export_to("new").exit_code, 3);
  EXPECT_EQ(content_of(path("new")), "");
}

// Each secret stands behind its own answer, also where they wait for their reader.
TEST_F(InteropTpasswd, AnswersAndTheirSecretsKeepTheirOrderForALateReader) {
  for (const unsigned bits : {1024u, 8192u}) add_by_openssl("verifiers", "user" + std::to_string(bits), bits);
  ASSERT_FALSE(HasFatalFailure());
  ASSERT_EQ(import("verifiers").exit_code, 0);
  constexpr std::size_t kRequests = 60;
  RawClient raw(keyd_.runtime_dir(), "admin.sock");
  for (std::size_t i = 0; i < kRequests; ++i) {
    wire::AdminRequest request;
    request.mutable_verifier_export()->set_name(i % 2 == 0 ? "user8192" : "user1024");
    ASSERT_TRUE(raw.send(wire::encode(request)));
  }
  // keyd is at the end of what the socket takes long before the last one.
  ASSERT_TRUE(keyd_.wait_for_log("verifier-export user=\"user8192\""));
  for (std::size_t i = 0; i < kRequests; ++i) {
    const auto packet = raw.receive();
    wire::AdminReply reply;
    ASSERT_TRUE(packet && wire::decode(*packet, reply) == wire::Decoded::kMessage) << i;
    ASSERT_TRUE(reply.has_verifier() && reply.secret_follows()) << reply.ShortDebugString();
    const std::size_t size = i % 2 == 0 ? 1024 : 128;
    EXPECT_EQ(reply.verifier().modulus().size(), size);
    const auto secret = raw.receive();
    ASSERT_TRUE(secret);
    EXPECT_LE(secret->size(), size);
    EXPECT_GT(secret->size(), size - 8);
  }
}

}  // namespace
}  // namespace keyd::testing
