#include "tests/fuzz/corpus_of_scripts.h"

#include <linux/cn_proc.h>
#include <linux/connector.h>
#include <linux/netlink.h>

#include <cstddef>
#include <cstring>
#include <initializer_list>
#include <string_view>

#include "core/exchange/srp_group.h"
#include "core/wire/message_codec.h"
#include "tests/fuzz/scene.h"

namespace keyd::fuzz {
namespace {

// Octets written one after another.
class Seed {
 public:
  Seed(std::initializer_list<int> octets = {}) { *this << octets; }
  Seed& operator<<(std::initializer_list<int> octets) {
    for (const int octet : octets) octets_.push_back(static_cast<std::uint8_t>(octet));
    return *this;
  }
  Seed& operator<<(std::string_view text) {
    octets_.insert(octets_.end(), text.begin(), text.end());
    return *this;
  }
  // With its length before it, in two octets.
  Seed& with_length(ByteView octets) {
    *this << std::initializer_list<int>{static_cast<int>(octets.size() >> 8),
                                        static_cast<int>(octets.size() & 0xff)};
    return *this << text_of(octets);
  }
  // With its length before it, in one octet.
  Seed& with_size(std::string_view text) {
    *this << std::initializer_list<int>{static_cast<int>(text.size())};
    return *this << text;
  }
  operator ByteView() const { return octets_; }

 private:
  Bytes octets_;
};

// keyd_server: who | step | its arguments.
void save_server_scripts(const SaveSeed& save) {
  const auto server = [&](const char* name, const Seed& seed) { save("keyd_server", name, seed); };
  for (int variant = 0; variant < kVariants; ++variant) {
    const std::string name = "session_" + std::to_string(variant);
    server(name.c_str(),
           Seed{0, 0, variant, 0, 1, 0, 3, 0, 0, 3, 3, 0, 3, 4, 0, 3, 1, 0, 3, 0x17, 'x', 0, 3, 2});
  }
  server("wrong_password", {0, 0, 0, 0, 2, 0, 0, 0, 0, 1});
  server("unknown_user", {0, 0, 0x60, 0, 1});
  server("altered_proof", {0, 0, 0, 0, 9, 1, 40});
  server("planned_exec", {0, 0, 0, 0, 1, 0, 3, 5, 0, 3, 0, 0, 3, 6, 0, 3, 0});
  server("renewal", {0, 0, 0, 0, 1, 0, 0, 0x80, 0, 1, 0, 3, 0});
  server("renewal_given_up", {0, 0, 0, 0, 1, 0, 0, 0x80, 0, 3, 0});
  server("repeated_record", {0, 0, 0, 0, 1, 0, 3, 0, 0, 5});
  server("proof_before_start", {0, 1, 0, 0, 0, 0, 1});
  server("two_connections", {0, 0, 0, 1, 0, 0, 0, 1, 1, 0, 0, 1, 6, 0, 3, 0});
  server("record_without_session", Seed{0, 7}.with_length(bytes_of("\x08\x01\xaa\x01\x01x")));
  server("out_of_order", {0, 10, 4, 0, 10, 5, 0, 10, 6});
  server("repeated_proof", {0, 0, 0, 0, 1, 0, 11});
  server("too_long", {0, 8, 1, 0});
  server("table_twice", {0, 6, 0, 6});
  const auto administer = [&](const char* name, wire::AdminRequest request, std::string_view secret) {
    request.set_secret_follows(!secret.empty());
    Seed seed{0xf0};
    seed.with_length(wire::encode(request));
    if (!secret.empty()) seed.with_length(bytes_of(secret));
    server(name, seed << std::initializer_list<int>{0, 0, 0, 0, 1});
  };
  wire::AdminRequest add, add_hashed, import, passwd, list, set, revoke, health, remove;
  add.mutable_user_add()->set_name("grace");
  add.mutable_user_add()->add_schemes("challenge");
  add_hashed.mutable_user_add()->set_name("grace");
  add_hashed.mutable_user_add()->add_schemes("kryptoknight");
  add_hashed.mutable_user_add()->set_allow_historic(true);
  import.mutable_user_import()->set_name("grace");
  import.mutable_user_import()->set_password_changed(86400);
  passwd.mutable_user_passwd()->set_name("ada");
  list.mutable_user_list();
  set.mutable_credential_set()->set_user("ada");
  set.mutable_credential_set()->set_name("api");
  revoke.mutable_revoke_user()->set_name("ada");
  health.mutable_health();
  remove.mutable_user_remove()->set_name("ada");
  administer("admin_add", add, "secret");
  administer("admin_add_hashed", add_hashed, "secret");
  administer("admin_import", import, "$1$saltsalt$qjXMvbEw8oaL.CzflDtaK/");
  wire::AdminRequest verifier, give;
  verifier.mutable_verifier_import()->set_name("grace");
  verifier.mutable_verifier_import()->set_salt("salt");
  verifier.mutable_verifier_import()->set_modulus(
      std::string(text_of(exchange::SrpGroup::listed(1024)->modulus_octets())));
  verifier.mutable_verifier_import()->set_generator("\x02");
  give.mutable_verifier_export()->set_name("grace");
  administer("admin_verifier", verifier, "a verifier");
  Seed both{0xf0};
  verifier.set_secret_follows(true);
  both.with_length(wire::encode(verifier)).with_length(bytes_of("a verifier"));
  server("admin_verifier_there_and_back",
         (both << std::initializer_list<int>{0xf0}).with_length(wire::encode(give)));
  administer("admin_passwd", passwd, "another");
  administer("admin_list", list, {});
  administer("admin_credential", set, "value");
  administer("admin_revoke", revoke, {});
  administer("admin_health", health, {});
  administer("admin_remove", remove, {});
}

// exchange_steps: variant | steps; and client_session: variant | knows | answers.
void save_exchange_scripts(const SaveSeed& save) {
  for (int variant = 0; variant < kVariants; ++variant) {
    const std::string number = std::to_string(variant);
    const Seed exchange{variant, 0, 1,   0, 2, 0, 3, 0, 4, 0, 5,   0, 6, 1,
                        0,       1, 'x', 0, 0, 7, 6, 0, 0, 1, 'y', 0, 3};
    save("exchange_steps", "exchange_" + number, exchange);
    const Seed session{variant, 0, 0, 0, 2, 2, 'v', 'w', 0, 0, 0, 0, 0, 0,
                       3,       0, 0, 0, 4, 1, 'x', 0,   0, 5, 0, 0, 0};
    save("client_session", "session_" + number, session);
  }
  save("exchange_steps", "wrong_password", Seed{0, 0, 1, 0, 2, 0, 3, 3, 4, 0, 5, 0});
  save("exchange_steps", "altered_start", Seed{0, 0, 1, 0xf0, 0, 8, 1, 2, 0, 3, 0, 4, 0, 5, 0});
  save("exchange_steps", "cut_record", Seed{0, 0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 1, 0, 1, 'x', 0xe0, 1, 0});
  save("client_session", "unproven", Seed{0, 7, 0, 0});
  save("client_session", "silence", Seed{0, 0, 0xee});
  save("client_session", "hung_up", Seed{0, 0, 0, 0, 1, 0, 0, 0xef});
  save("client_session", "nonsense_sealed", Seed{0, 0, 0, 0, 2, 0, 7, 0, 4, 0, 0, 0, 0, 0});
}

void save_stored_values(const SaveSeed& save) {
  Seed honest{1};
  (honest << std::string(16, 'i')).with_size("db/password").with_size("a value")
      << std::initializer_list<int>{0, 0, 0};
  Seed changed{1};
  (changed << std::string(16, 'i')).with_size("api").with_size("v")
      << std::initializer_list<int>{1, 0, 3, 0x80, 0, 0};
  save("sealed_value", "as_it_was", honest);
  save("sealed_value", "one_octet_changed", changed);
  save("sealed_value", "made_up", Seed{0} << std::string(48, 's'));
  save("sealed_value", "too_short", Seed{0} << std::string(27, 's'));
  const auto row = [](int state, int reason = 0) {
    Seed seed{0};
    seed.with_size("ada").with_size(std::string(16, 'i')) << std::initializer_list<int>{state, 2, 0, 1, 1};
    seed.with_size(std::string(40, 's')) << std::initializer_list<int>{reason, 1, 3, 2, 1, 1};
    seed.with_size(std::string(16, 'a'));
    (seed << std::initializer_list<int>{2, 1}).with_size("$6$ 8 $").with_size(std::string(40, 'h'));
    (seed << std::initializer_list<int>{2}).with_size("").with_size(std::string(40, 'm'));
    seed.with_size("db/password") << std::initializer_list<int>{3, 1};
    seed.with_size(std::string(31, 'v')) << std::initializer_list<int>{2, 1};
    (seed.with_size(std::string(60, 'p')) << std::initializer_list<int>{2}).with_size(std::string(60, 'q'));
    return seed;
  };
  save("store_rows", "user", row(0));
  save("store_rows", "state_that_does_not_exist", row(3));
  save("store_rows", "change_that_is_due", row(0, 2));
  save("store_rows", "modern_hash", Seed{0xff, 0, 1, 1, 0} << "$6$saltsalt$" + std::string(86, 'h'));
  save("store_rows", "historic_hash", Seed{0xff, 1, 1, 2, 3} << "sss" + std::string(16, 'm'));
}

void save_shadow_files(const SaveSeed& save) {
  const auto file = [&](const char* name, const std::string& text) {
    save("shadow_line", name, bytes_of(text));
  };
  const std::string hash = "$6$saltsalt$" + std::string(86, 'h');
  file("file", "root:*:19000:0:99999:7:::\nalice:" + hash + ":20000:0:99999:7:::\nbob:!" + hash +
                   ":20000:0:99999:7::1:\n\n# comment\ndaemon:!*:19000:0:99999:7:::\n");
  file("lines", "alice:$y$j9T$cvj7xTZ.v1OI4Sc.TVS1J/$" + std::string(43, 'h') + "\nbob:$1$saltsalt$" +
                    std::string(22, 'h') + "\ncarl:ab" + std::string(11, 'h'));
  file("malformed",
       "alice\nbob::1:\n:" + hash + "\ndora:" + hash + ":-1:0:99999:7:::\n" + std::string(5000, 'x') + "\n");
}

// Made by GnuTLS 3.7's srptool and OpenSSL 3.0's srp, both for a password "right".
void save_verifier_files(const SaveSeed& save) {
  const auto file = [&](const char* name, const std::string& text) {
    save("tpasswd_line", name, bytes_of(text));
  };
  file("gnutls",
       "user2:0aqxrP.M6msHBLsrBrfJtQBOu7/Wu7OVyW8hVJA3vRc/jvlMbrWtYZ/skhC9gtkLPBG7tftAx2badvS7vG34QH"
       "MaQZMs7.8cmUtR/YZlMOqilWjPuyyMX3qpB2sk2yanUt2xYy4feTHU2unLDsEECL2l5ZaudiphEt1ReKPxQ.svZKmdRj"
       "AqRY6TpKSD653d18C7qfaVNsHvVUVK0/etSavjyUDt9.edwGHR1YYo2pnivYPBxcgFJxu6v8nipR7g:2NHwUv2Caot71"
       "w5n798/dQ:2\n");
  file("gnutls_conf",
       "2:dUyyhxav9tgnyIg65wHxkzkb7VIPh4o0lkwfOKiPp4rVJrzLRYVBtb76gKlaO7ef5LYGEw3G.4E0jbMxcYBetDy2Yd"
       "piP/3GWJInoBbvYHIRO9uBuxgsFKTKWu7RnR7yTau/IrFTdQ4LY/q.AvoCzMxV0PKvD9Odso/LFIItn8PbTov3VMn/ZE"
       "H2SqhtpBUkWtmcIkEflhX/YY/fkBKfBbe27/zUaKUUZEUYZ2H2nlCL60.JIPeZJSzsu/xHDVcx:2\n");
  file("openssl",
       "V\tCseIfJDANpYfln5jN0pGGmKG18lhAD/CQq/WNVuxa/sGv3CUSIlMrzA.DIS3UYpVYNF4npcWAcFU4hkAgiVY8nIWf"
       "GYJJZKbAtLdEQJEtuVE/NTRRx7WNIOeZ3I9TlrPLveNc7yHRYatUbAHZAgFGeY8tH7SOwDURVkkhEgxa3u\t1ONL6Bq5"
       "sgNczq/42clONeXlQ9u\talice\t1024\tsome info\n");
  file("openssl_groups",
       "I\t2iQzj1\t02\tmine\t\t\nV\t010002\t0A\talice\tmine\tx\\\ty\nR\t010002\t0A\tbob\t2048\t\n# no\n");
  file("malformed",
       "alice\n:1:1:1\nalice:+:1:1\nalice:1:1:\nV\t5\t5\talice\t2048\t\nalice:0:salt:3\nalice:15:0:1:5\n");
}

void save_kernel_texts(const SaveSeed& save) {
  const auto text = [&](const char* name, std::string_view octets) {
    save("proc_text", name, bytes_of(octets));
  };
  text("status", "Name:\tUid:\t0\nPid:\t4711\nUid:\t1000\t1000\t0\t1000\nGid:\t5\t5\t5\t5\nCapPrm:\t00ff\n");
  text("fdinfo", "pos:\t0\nflags:\t02000002\nPid:\t-1\nNSpid:\t-1\n");
  text("process", "4711:184467440737095516");
  text("numbers", "1\t-2  3 9223372036854775807");
  text("session", "3:4");
  for (const auto what :
       {proc_event::PROC_EVENT_EXEC, proc_event::PROC_EVENT_UID, proc_event::PROC_EVENT_GID}) {
    proc_event event{};
    event.what = what;
    event.event_data.exec.process_pid = 4712;
    event.event_data.exec.process_tgid = 4711;
    Bytes datagram(NLMSG_HDRLEN + sizeof(cn_msg) + sizeof event);
    std::memcpy(datagram.data() + NLMSG_HDRLEN + sizeof(cn_msg), &event, sizeof event);
    save("process_event", "what_" + std::to_string(static_cast<unsigned>(what)), datagram);
    datagram.resize(NLMSG_HDRLEN + sizeof(cn_msg) + offsetof(proc_event, event_data) + 8);
    save("process_event", "what_" + std::to_string(static_cast<unsigned>(what)) + "_short", datagram);
  }
  save("control_data", "marked", Seed{1, 0x80, 0, 3, 'a', 'b', 'c', 0, 16, 0xff, 0, 1, 'x', 0, 16});
  save("control_data", "descriptors",
       Seed{1, 4, 0, 1, 'x', 0, 16, 8, 0, 1, 'x', 0, 16, 0x31, 0, 2, 'x', 'y', 0, 1});
  save("control_data", "unmarked", Seed{0, 0x22, 0, 1, 'x', 0, 16, 0, 0, 0, 0, 16});
}

void save_configurations(const SaveSeed& save) {
  const auto config = [&](const char* name, std::string_view text) {
    save("config_file", name, bytes_of(text));
  };
  config("daemon", "[daemon]\nserver_name = \"here\"\nlog_level = \"debug\"\ntier = \"pidfd\"\n");
  config("table", "[table]\ncapacity = 1024\naccess = \"administrators\"\n");
  config("session", "[session]\npending_deadline = 30\nlifetime = 60\nplan_deadline = 5\nlinger = 0\n");
  config("limits", "[limits]\nconnections = 8\nconnections_per_uid = 1\n[historic]\nenabled = true\n");
  config("out_of_range", "[limits]\nconnections = 99999999999999999999\n");
  config("not_a_section", "daemon = 1\n");
  config("unknown_key", "[audit]\nformat = \"json\"\nfi\\u006ce = 1\n");
  config("ill_formed", "[noise]\nraw_sources = \xff\n");
}

}  // namespace

void save_script_seeds(const SaveSeed& save) {
  save_server_scripts(save);
  save_exchange_scripts(save);
  save_stored_values(save);
  save_shadow_files(save);
  save_verifier_files(save);
  save_kernel_texts(save);
  save_configurations(save);
}

}  // namespace keyd::fuzz
