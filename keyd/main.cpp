// keyd. main() reads as the start-up order; each step says in one line what stands in its way.
#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <boost/asio/signal_set.hpp>
#include <cstdio>
#include <filesystem>
#include <functional>

#ifdef KEYD_HAVE_SYSTEMD
#include <systemd/sd-daemon.h>
#endif

#include "core/base/log.h"
#include "core/base/untrusted_text.h"
#include "core/kernel/capabilities.h"
#include "core/kernel/hardening.h"
#include "core/kernel/pidfd.h"
#include "core/secret/locked_pool.h"
#include "core/table/task_terms.h"
#include "keyd/runtime_directory.h"
#include "keyd/server.h"
#include "keyd/sqlite_user_store.h"

namespace {

using namespace keyd;
using namespace keyd::daemon;

struct Options {
  std::string config_file, runtime_directory, state_directory;
  bool config_given = false, foreground = false;
};

// Where an unprivileged user's keyd lives when nothing else was asked for; root's is system-wide.
std::string private_directory(const char* variable, const std::string& below_home) {
  if (const char* base = ::getenv(variable); base != nullptr && *base == '/')
    return std::string(base) + "/keyd";
  const char* const home = ::getenv("HOME");
  return home == nullptr || below_home.empty() ? std::string() : std::string(home) + below_home;
}

int parse_options(int argc, char** argv, Options& options) {
  const bool root = ::geteuid() == 0;
  options.config_file = "/etc/keyd/keyd.toml";
  options.runtime_directory = root ? "/run/keyd" : private_directory("XDG_RUNTIME_DIR", "");
  options.state_directory =
      root ? "/var/lib/keyd" : private_directory("XDG_STATE_HOME", "/.local/state/keyd");

  CLI::App app(
      "Proves which user stands behind a process, and tells it to whoever may ask.\n"
      "Clients link libkeyclient or run under keyrun; keyadm administers; keystat shows.",
      "keyd");
  app.set_version_flag("--version", "keyd " KEYD_VERSION, "print the version and exit");
  app.set_help_flag("-h,--help", "print this help and exit");
  app.add_flag("-F,--foreground", options.foreground,
               "stay in the foreground and log to standard error\n"
               "(default: the background, log to keyd.log in the state directory)");
  auto* const config = app.add_option("--config", options.config_file,
                                      "the configuration, and FILE.d/*.toml after it\n"
                                      "(default: /etc/keyd/keyd.toml, which may be missing)")
                           ->option_text("FILE");
  app.add_option("--runtime-dir", options.runtime_directory,
                 "the sockets and the lock\n"
                 "(default: /run/keyd; not as root $XDG_RUNTIME_DIR/keyd)")
      ->option_text("DIR");
  app.add_option("--state-dir", options.state_directory,
                 "the user store and its key\n"
                 "(default: /var/lib/keyd; not as root $XDG_STATE_HOME/keyd,\n"
                 "else ~/.local/state/keyd)")
      ->option_text("DIR");
  app.footer(
      "Signals: SIGHUP reads the configuration again and opens the logs anew; SIGTERM, SIGINT stop.\n"
      "\n"
      "Examples:\n"
      "  keyd                                           the system's, as root\n"
      "  keyd -F --runtime-dir /tmp/k/run --state-dir /tmp/k/state     one to try\n"
      "\n"
      "Exit status: 0 stopped by a signal, or started in the background; 1 could not start, one\n"
      "line says why; 2 wrong usage. See keyd(8), keyd.toml(5).");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() != 0) {
      std::fprintf(stderr, "keyd: %s (see --help)\n", escape_line(e.what()).c_str());
      return 2;
    }
    app.exit(e, std::cout, std::cerr);
    return -1;
  }
  options.config_given = config->count() > 0;
  if (options.runtime_directory.empty() || options.state_directory.empty()) {
    std::fputs(
        "keyd: without root and XDG_RUNTIME_DIR it needs a directory of its own: give --runtime-dir and "
        "--state-dir\n",
        stderr);
    return 2;
  }
  return 0;
}

// Says to whoever started us how it went: the terminal, the parent that waits, the service manager.
class Announcement {
 public:
  explicit Announcement(int parent_pipe) : parent_(parent_pipe) {}

  void ready(table::Tier tier) {
    if (parent_.valid()) {
      (void)!::write(parent_.get(), "R", 1);
      parent_.reset();
    } else {
      std::puts("keyd: ready");
      std::fflush(stdout);
    }
    serving(fmt::format("tier {}", table::name_of(tier)));
  }
  // Between reloading() and serving() the service manager shows a reload.
  void reloading() {
#ifdef KEYD_HAVE_SYSTEMD
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    ::sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%lld",
                 static_cast<long long>(now.tv_sec) * 1'000'000 + now.tv_nsec / 1000);
#endif
  }
  void serving(const std::string& status) {
#ifdef KEYD_HAVE_SYSTEMD
    ::sd_notifyf(0, "READY=1\nSTATUS=%s", status.c_str());
#else
    (void)status;
#endif
  }
  void stopping() {
#ifdef KEYD_HAVE_SYSTEMD
    ::sd_notify(0, "STOPPING=1");
#endif
  }
  int failed(const Error& error) {
    std::fprintf(stderr, "keyd: %s\n", error.message().c_str());
    return 1;
  }

 private:
  UniqueFd parent_;
};

// Goes to the background. The parent waits until the child is ready or has failed, and says so. Returns the
// child's end of the pipe; the parent does not return.
int into_background() {
  std::array<int, 2> ends{};
  const pid_t child = ::pipe2(ends.data(), O_CLOEXEC) != 0 ? -1 : ::fork();
  if (child < 0) {
    std::fprintf(stderr, "keyd: cannot go to the background: %s\n", std::strerror(errno));
    std::exit(1);
  }
  if (child == 0) {
    ::close(ends[0]);
    ::setsid();
    return ends[1];
  }
  ::close(ends[1]);
  char said = 0;
  const bool ready = ::read(ends[0], &said, 1) == 1;
  if (ready) std::puts("keyd: ready");
  std::fflush(stdout);
  ::_exit(ready ? 0 : 1);
}

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

// The best tier that this machine and our rights reach, or the one that was asked for, or an error: never a
// weaker one than was asked for.
Result<std::pair<table::Tier, std::optional<kernel::ProcConnector>>> reach_tier(TierChoice choice) {
  if (choice == TierChoice::kPidfd)
    return std::pair{table::Tier::kPidfd, std::optional<kernel::ProcConnector>()};
  auto connector = kernel::ProcConnector::open();
  if (connector) return std::pair{table::Tier::kWatch, std::optional(std::move(*connector))};
  if (choice == TierChoice::kWatch) {
    connector.error().detail = "tier watch cannot be reached: " + connector.error().detail;
    return std::unexpected(connector.error());
  }
  log::info("tier watch cannot be reached: " + connector.error().message());
  return std::pair{table::Tier::kPidfd, std::optional<kernel::ProcConnector>()};
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

// Everything that can fail, in order; nothing is listened on before all of it has worked.
Result<Prepared> prepare(const Options& options, Config config) {
  if (!kernel::process_identity_supported()) {
    return fail(
        Code::kUnsupported,
        "this kernel cannot name processes for good (pidfs, Linux 6.9); keyd makes do with nothing weaker");
  }
  auto tier = reach_tier(config.tier);  // with the privileges we started with
  if (!tier) return std::unexpected(tier.error());
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
    if (auto became = kernel::become_user((*account)->uid, (*account)->gid, *admin_group); !became)
      return std::unexpected(became.error());
  } else if (::geteuid() != 0) {
    std::error_code ignored;  // an unprivileged user's own directories may lack their parents
    std::filesystem::create_directories(std::filesystem::path(options.state_directory).parent_path(),
                                        ignored);
  }

  auto runtime = RuntimeDirectory::claim(options.runtime_directory);
  if (!runtime) return std::unexpected(runtime.error());
  auto store = SqliteUserStore::open(options.state_directory);
  if (!store) return std::unexpected(store.error());
  if (store->created) log::info("made a new store in " + escape(options.state_directory));
  auto tries = store->users->tries();
  if (!tries) return std::unexpected(tries.error());
  auto memory = table::SealedMemfd::create(table::table_size(config.table_capacity));
  if (!memory) return std::unexpected(memory.error());
  auto clients = runtime->listen("keyd.sock", 0666, static_cast<gid_t>(-1));
  if (!clients) return std::unexpected(clients.error());
  const bool group = *admin_group != static_cast<std::uint32_t>(-1);
  auto admins =
      runtime->listen("admin.sock", group ? 0660 : 0600, group ? *admin_group : static_cast<gid_t>(-1));
  if (!admins) return std::unexpected(admins.error());
  if (options.foreground == false) {
    if (auto redirected = redirect_log(options.state_directory); !redirected)
      return std::unexpected(redirected.error());
  }

  // From here on as little as possible: no capability, no way back to one, nothing to look into.
  if (auto dropped = kernel::drop_all_capabilities(); !dropped) return std::unexpected(dropped.error());
  if (auto forbidden = kernel::forbid_new_privileges(); !forbidden) return std::unexpected(forbidden.error());
  if (auto hidden = kernel::forbid_inspection(); !hidden) return std::unexpected(hidden.error());

  const auto self = kernel::open_pidfd(::getpid());
  const auto inode = self ? kernel::pidfs_inode(self->get()) : std::nullopt;
  if (!inode) return fail(Code::kUnsupported, "keyd cannot name itself");
  return Prepared{
      ServerParts{std::move(config), std::move(*audit), std::move(*accounts), std::move(store->users),
                  std::move(*tries), std::move(store->sealer), std::move(*memory), std::move(tier->second),
                  tier->first, *inode, *admin_group, std::move(*clients), std::move(*admins)},
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
  const table::Tier tier = prepared->parts.tier;
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
  log::info(fmt::format(
      "keyd " KEYD_VERSION " on {}: tier {}, exec revoked {}, exit {}, credentials {}",
      escape(options.runtime_directory), table::name_of(tier), table::name_of(table::strength_of(tier).exec),
      table::name_of(table::strength_of(tier).exit), table::name_of(table::strength_of(tier).credentials)));
  announcement.ready(tier);
  loop.run();
  prepared->runtime.remove_sockets();
  log::info("stopped");
  return 0;
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
  } catch (const std::exception& e) {
    std::fprintf(stderr, "keyd: out of memory, threads or descriptors: %s\n", e.what());
  }
  return 1;
}
