// keyd. main() reads as the start-up order; each step says in one line what stands in its way.
#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <boost/asio/signal_set.hpp>
#include <cstdio>
#include <filesystem>
#include <functional>

#include "core/base/log.h"
#include "core/base/untrusted_text.h"
#include "core/crypto/des.h"
#include "core/kernel/capabilities.h"
#include "core/kernel/pidfd.h"
#include "core/secret/locked_pool.h"
#include "core/table/task_terms.h"
#include "keyd/announcement.h"
#include "keyd/options.h"
#include "keyd/runtime_directory.h"
#include "keyd/sandbox.h"
#include "keyd/server.h"
#include "keyd/sqlite_user_store.h"
#include "keyd/tier_ladder.h"

namespace {

using namespace keyd;
using namespace keyd::daemon;

// In the background the diagnostic log goes to a file of ours beside the store. Again: to a new one, where
// the old was moved away.
Result<void> redirect_log(const std::string& state_directory) {
  const std::string path = state_directory + "/keyd.log";
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!file.valid() || !null.valid()) return fail_errno(Code::kBroken, "cannot log to " + escape(path));
  ::dup2(null.get(), STDIN_FILENO);
  ::dup2(null.get(), STDOUT_FILENO);
  ::dup2(file.get(), STDERR_FILENO);
  return {};
}

void raise_descriptor_limit() {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return;
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
}

struct Account {
  uid_t uid = static_cast<uid_t>(-1);
  gid_t gid = static_cast<gid_t>(-1);
};

Result<std::optional<Account>> account_of(const Config& config) {
  if (config.user.empty() || ::geteuid() != 0) return std::nullopt;
  const passwd* const entry = ::getpwnam(config.user.c_str());
  if (entry == nullptr)
    return fail(Code::kNotFound, "no account \"" + escape(config.user) + "\" (daemon.user)");
  return Account{entry->pw_uid, entry->pw_gid};
}

// A directory that root makes for, or hands over to, the account keyd is about to become.
Result<void> provide_directory(const std::string& path, mode_t mode, const Account& account) {
  const bool made = ::mkdir(path.c_str(), mode) == 0;
  if (!made && errno != EEXIST) return fail_errno(Code::kBroken, "cannot make directory " + escape(path));
  const UniqueFd directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  struct stat st{};
  if (!directory.valid() || ::fstat(directory.get(), &st) != 0)
    return fail_errno(Code::kRefused, escape(path) + " is a link or no directory");
  // One that root made beforehand (the service manager's) is handed over while it is still empty; any other
  // is judged as it stands when it is used.
  std::error_code ignored;
  if (!made && (st.st_uid != 0 || !std::filesystem::is_empty(path, ignored))) return {};
  if (::fchown(directory.get(), account.uid, account.gid) != 0 ||
      (made && ::fchmod(directory.get(), mode) != 0)) {
    return fail_errno(Code::kBroken, "cannot give away " + escape(path));
  }
  return {};
}

Result<std::uint32_t> admin_group_of(const Config& config) {
  if (config.admin_group.empty()) return static_cast<std::uint32_t>(-1);
  const group* const entry = ::getgrnam(config.admin_group.c_str());
  if (entry == nullptr)
    return fail(Code::kNotFound, "no group \"" + escape(config.admin_group) + "\" (daemon.admin_group)");
  return entry->gr_gid;
}

// What an account of its own is left with until the tier is reached: to load the table's programs, and to have
// a large buffer for process events.
std::vector<int> rights_for(TierChoice choice) {
  return choice == TierChoice::kPidfd ? std::vector<int>()
                                      : std::vector<int>{CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN};
}

log::Level level_of(const std::string& name) {
  return name == "debug"     ? log::Level::kDebug
         : name == "warning" ? log::Level::kWarning
         : name == "error"   ? log::Level::kError
                             : log::Level::kInfo;
}

struct Prepared {
  ServerParts parts;
  RuntimeDirectory runtime;
};

// All the room that secrets will ever have, while keyd may still lock it and make any system call.
void reserve_locked_pool() {
  auto& pool = secret::LockedPool::instance();
  pool.reserve();
  if (pool.kind() == secret::PageKind::kMemfdSecret) {
    log::info("secrets lie in memfd_secret");
  } else {
    log::warn("secrets lie in mlock: this kernel gives no memfd_secret, so root's tools can read them");
  }
}

// Everything that can fail, in order; nothing is listened on before all of it has worked.
Result<Prepared> prepare(const Options& options, Config config) {
  reserve_locked_pool();
  if (!kernel::process_identity_supported()) {
    return fail(
        Code::kUnsupported,
        "this kernel cannot name processes for good (pidfs, Linux 6.9); keyd makes do with nothing weaker");
  }
  auto admin_group = admin_group_of(config);
  if (!admin_group) return std::unexpected(admin_group.error());
  auto accounts =
      config.subordinate_uids.empty() ? Result<Accounts>() : Accounts::load(config.subordinate_uids);
  if (!accounts) return std::unexpected(accounts.error());
  if (accounts->passed_over() != 0) {
    log::warn(fmt::format("{}: {} lines name no range of uids and owner, or overlap another; passed over",
                          escape(config.subordinate_uids), accounts->passed_over()));
  }
  auto audit = Audit::open(config.audit_format, config.audit_file);
  if (!audit) return std::unexpected(audit.error());

  const auto account = account_of(config);
  if (!account) return std::unexpected(account.error());
  if (*account) {
    if (auto made = provide_directory(options.runtime_directory, 0755, **account); !made)
      return std::unexpected(made.error());
    if (auto made = provide_directory(options.state_directory, 0700, **account); !made)
      return std::unexpected(made.error());
    if (auto became =
            kernel::become_user((*account)->uid, (*account)->gid, *admin_group, rights_for(config.tier));
        !became) {
      return std::unexpected(became.error());
    }
  } else if (::geteuid() != 0) {
    std::error_code ignored;  // an unprivileged user's own directories may lack their parents
    std::filesystem::create_directories(std::filesystem::path(options.state_directory).parent_path(),
                                        ignored);
  }

  auto tier = reach_tier(config);  // with the rights that are left for it
  if (!tier) return std::unexpected(tier.error());
  auto runtime = RuntimeDirectory::claim(options.runtime_directory);
  if (!runtime) return std::unexpected(runtime.error());
  auto store = SqliteUserStore::open(options.state_directory);
  if (!store) return std::unexpected(store.error());
  if (store->created) log::info("made a new store in " + escape(options.state_directory));
  auto tries = store->users->tries();
  if (!tries) return std::unexpected(tries.error());
  auto bell = table::TableBell::create();
  if (!bell) return std::unexpected(bell.error());
  auto clients = runtime->listen("keyd.sock", 0666, static_cast<gid_t>(-1));
  if (!clients) return std::unexpected(clients.error());
  const bool group = *admin_group != static_cast<std::uint32_t>(-1);
  auto admins =
      runtime->listen("admin.sock", group ? 0660 : 0600, group ? *admin_group : static_cast<gid_t>(-1));
  if (!admins) return std::unexpected(admins.error());
  auto placed = PlacedDirectory::open(options.runtime_directory);
  if (!placed) return std::unexpected(placed.error());
  if (options.foreground == false) {
    if (auto redirected = redirect_log(options.state_directory); !redirected)
      return std::unexpected(redirected.error());
  }

  // What the historic suite of kryptoknight needs lies in a file of OpenSSL's.
  if (auto loaded = crypto::load_legacy_ciphers(); !loaded && config.historic_enabled)
    log::warn("kryptoknight's historic suite cannot be had: " + loaded.error().message());

  // From here on as little as possible.
  if (auto confined = enter_sandbox({.config_file = options.config_file,
                                     .runtime_directory = options.runtime_directory,
                                     .state_directory = options.state_directory,
                                     .audit_file = config.audit_file,
                                     .background = !options.foreground,
                                     .raw_noise = config.raw_noise,
                                     .process_connector = tier->connector.has_value(),
                                     .table_program = tier->tier == table::Tier::kKernel});
      !confined) {
    return std::unexpected(confined.error());
  }

  const auto self = kernel::open_pidfd(::getpid());
  const auto inode = self ? kernel::pidfs_inode(self->get()) : std::nullopt;
  if (!inode) return fail(Code::kUnsupported, "keyd cannot name itself");
  return Prepared{
      ServerParts{std::move(config), std::move(*audit), std::move(*accounts), std::move(store->users),
                  std::move(*tries), std::move(store->sealer), std::move(*tier), std::move(*bell), *inode,
                  *admin_group, std::move(*placed), std::move(*clients), std::move(*admins)},
      std::move(*runtime)};
}

// SIGHUP: the configuration is read again, and the logs' files are opened anew.
void reload(const Options& options, Server& server, table::Tier tier, Announcement& announcement) {
  announcement.reloading();
  if (!options.foreground) {
    if (auto reopened = redirect_log(options.state_directory); !reopened)
      log::error(reopened.error().message() + "; the log goes on where it was");
  }
  server.reload(load_config(options.config_file, options.config_given));
  log::set_level(level_of(server.config().log_level));
  const bool refused = !server.reload_state().problem.empty();
  announcement.serving(fmt::format("tier {}{}", table::name_of(tier),
                                   refused ? "; the last reload was refused, see the log" : ""));
}

int serve(int argc, char** argv) {
  Options options;
  if (const int stop = parse_options(argc, argv, options); stop != 0) return stop < 0 ? 0 : stop;
  auto config = load_config(options.config_file, options.config_given);
  if (!config) return Announcement(-1).failed(config.error());
  log::set_level(level_of(config->log_level));

  Announcement announcement(options.foreground ? -1 : into_background());
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGXFSZ, SIG_IGN);  // a file that may not grow is an error of its write
  ::signal(SIGHUP, SIG_IGN);
  ::umask(077);
  raise_descriptor_limit();
  auto prepared = prepare(options, std::move(*config));
  if (!prepared) return announcement.failed(prepared.error());

  boost::asio::io_context loop(1);
  const table::Tier tier = prepared->parts.tier.tier;
  const table::Strength strength = prepared->parts.tier.strength;
  Server server(loop, std::move(prepared->parts));
  boost::asio::signal_set signals(loop, SIGTERM, SIGINT);
  signals.async_wait([&](boost::system::error_code, int) {
    announcement.stopping();
    server.stop();
  });
  boost::asio::signal_set hangups(loop, SIGHUP);
  std::function<void()> await_hangup = [&] {
    hangups.async_wait([&](boost::system::error_code ec, int) {
      if (ec) return;
      reload(options, server, tier, announcement);
      await_hangup();
    });
  };
  await_hangup();
  if (auto started = server.start(); !started) return announcement.failed(started.error());
  log::info(fmt::format("keyd " KEYD_VERSION " on {}: tier {}, exec revoked {}, exit {}, credentials {}",
                        escape(options.runtime_directory), table::name_of(tier),
                        table::name_of(strength.exec), table::name_of(strength.exit),
                        table::name_of(strength.credentials)));
  announcement.ready(tier);
  loop.run();
  prepared->runtime.remove_sockets();
  log::info("stopped");
  return server.failed() ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
  // What runs out is one line too: memory (also locked memory, which says so), threads.
  try {
    return serve(argc, argv);
  } catch (const secret::PoolExhausted& e) {
    std::fprintf(stderr, "keyd: %s (RLIMIT_MEMLOCK)\n", e.what());
  } catch (const std::bad_alloc&) {
    std::fputs("keyd: out of memory\n", stderr);
  } catch (const std::system_error& e) {
    std::fprintf(stderr, "keyd: out of threads or descriptors: %s\n", e.what());
  } catch (const std::exception& e) {
    std::fprintf(stderr, "keyd: cannot go on: %s\n", e.what());
  }
  return 1;
}
