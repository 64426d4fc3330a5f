#include "tests/fuzz/server_scene.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <barrier>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "core/base/log.h"
#include "core/kernel/pidfd.h"
#include "keyd/runtime_directory.h"
#include "keyd/sqlite_user_store.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/locked_memory_balance.h"
#include "tests/fuzz/scene.h"

namespace keyd::fuzz {
namespace {

constexpr std::uint32_t kCapacity = 64;
constexpr std::uint64_t kPatience = 5 * kSecond;

std::string make_directory() {
  std::string pattern =
      ::access("/dev/shm", W_OK) == 0 ? "/dev/shm/keyd-fuzz.XXXXXX" : "/tmp/keyd-fuzz.XXXXXX";
  must(::mkdtemp(pattern.data()) != nullptr);
  static std::string made;
  made = pattern;
  std::atexit([] {
    std::error_code ignored;
    std::filesystem::remove_all(made, ignored);
  });
  return pattern;
}

daemon::Config configuration() {
  daemon::Config config;
  config.server_name = "keyd.example";
  config.table_capacity = kCapacity;
  config.historic_enabled = true;
  config.raw_noise = false;
  config.lifetime = std::chrono::seconds(10);  // short numbers come free again
  config.linger = std::chrono::seconds(1);
  config.free_tries = config.tries_per_source = config.tries_per_user = 1u << 30;  // nobody has to wait
  config.srp_pool = 0;  // what is drawn ahead is drawn at any time: locked memory would not balance
  return config;
}

}  // namespace

ServerScene& ServerScene::instance() {
  static ServerScene* const scene = new ServerScene;
  return *scene;
}

ServerScene::ServerScene() : directory_(make_directory()) {
  log::set_level(log::Level::kError);
  auto runtime = daemon::RuntimeDirectory::claim(directory_ + "/run");
  must(runtime.has_value());
  auto clients = runtime->listen("keyd.sock", 0600, static_cast<gid_t>(-1));
  auto administrators = runtime->listen("admin.sock", 0600, static_cast<gid_t>(-1));
  auto store = daemon::SqliteUserStore::open(directory_ + "/state");
  auto audit = daemon::Audit::open(daemon::AuditFormat::kText, "/dev/null");
  auto memory = table::SealedMemfd::create(table::table_size(kCapacity));
  auto bell = table::TableBell::create();
  must(clients && administrators && store && audit && memory && bell);
  const auto self = kernel::open_pidfd(::getpid());
  const auto inode = self ? kernel::pidfs_inode(self->get()) : std::nullopt;
  must(inode.has_value());
  own_inode_ = *inode;
  server_.emplace(loop_, daemon::ServerParts{.config = configuration(),
                                             .audit = std::move(*audit),
                                             .accounts = {},
                                             .store = std::move(store->users),
                                             .tries = {},
                                             .sealer = std::move(store->sealer),
                                             .tier = {.tier = table::Tier::kPidfd,
                                                      .strength = table::strength_of(table::Tier::kPidfd),
                                                      .memory = std::move(*memory),
                                                      .connector = std::nullopt},
                                             .table_bell = std::move(*bell),
                                             .own_inode = own_inode_,
                                             .admin_group = static_cast<std::uint32_t>(-1),
                                             .client_listener = std::move(*clients),
                                             .admin_listener = std::move(*administrators)});
  must(server_->start().has_value());
  // Only a table that was written has a header.
  auto mapped =
      table::TableReader::map(server_->tasks().table().reader_descriptor(), server_->tasks().table().size());
  must(mapped.has_value());
  table_.emplace(std::move(*mapped));
  warm_workers();
  enrol();
}

// Each thread of the pool makes what it keeps: as many jobs as threads, none of which ends before all have begun.
void ServerScene::warm_workers() {
  const unsigned threads = std::max(1u, std::thread::hardware_concurrency());
  std::barrier<> all(static_cast<std::ptrdiff_t>(threads));
  unsigned done = 0;
  for (unsigned i = 0; i < threads; ++i) {
    server_->workers().post(
        0,
        [&all] {
          LockedMemoryBalance::warm_up();
          all.arrive_and_wait();
          return true;
        },
        [&done](bool) { ++done; });
  }
  must(run_until([&] { return done == threads; }));
}

void ServerScene::enrol() {
  daemon::StoredUser user;
  user.id = std::string(16, 'i');
  user.name = "ada";
  user.schemes = daemon::scheme_bit(table::Scheme::kChallenge);
  user.allow_historic = true;
  auto password = daemon::seal_password(server_->sealer(), user.id, bytes_of(kPassword));
  must(password.has_value());
  user.sealed_password = std::move(*password);
  bool done = false;
  server_->store().post(
      0,
      [user, &sealer = server_->sealer()](daemon::UserStore& store) {
        for (;;) {
          const auto left = store.list({}, 100);
          must(left.has_value());
          if (left->empty()) break;
          for (const daemon::StoredUser& each : *left) must(store.remove(each.name).has_value());
        }
        must(store.add(user).has_value());
        // Sealed here: it is this thread's first, and its cipher context stays (LockedMemoryBalance).
        const auto value = daemon::seal_credential(sealer, user.id, kCredential, bytes_of(kCredentialValue));
        must(value.has_value());
        return store.set_credential(user.name, std::string(kCredential), *value, kCredentialValue.size());
      },
      [&](const Result<void>& result) {
        must(result.has_value());
        server_->users().forget("ada");
        server_->passwords().forget();
        done = true;
      });
  must(run_until([&] { return done; }));
}

UniqueFd ServerScene::connect(daemon::Door door) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path =
      directory_ + (door == daemon::Door::kClients ? "/run/keyd.sock" : "/run/admin.sock");
  path.copy(address.sun_path, path.size());
  UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  must(::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  run_ready();
  return socket;
}

void ServerScene::run_ready() {
  while (loop_.poll() != 0) {
  }
}

bool ServerScene::run_until(const std::function<bool()>& holds) {
  run_ready();
  for (const std::uint64_t deadline = boot_now() + kPatience; !holds();) {
    if (boot_now() > deadline) return false;
    loop_.run_one_for(std::chrono::milliseconds(100));
  }
  return true;
}

table::TaskState ServerScene::own_state() {
  table::TaskView view;
  return table_->find_by_inode(own_inode_, view) == table::LookupOutcome::kFound ? view.word.state
                                                                                 : table::TaskState::kNone;
}

void ServerScene::settle(bool administered, bool changed) {
  // An administrator's work may be on its way through the worker pool and the store yet.
  must(run_until([&] {
    return server_->quota().total(daemon::Resource::kConnection) == 0 &&
           server_->quota().total(daemon::Resource::kAdminConnection) == 0;
  }));
  const auto state = own_state();
  must(state != table::TaskState::kPending && state != table::TaskState::kComplete);
  must(server_->quota().total(daemon::Resource::kPending) == 0);
  if (administered && !changed) {
    bool done = false;
    server_->store().post(
        0, [](daemon::UserStore&) { return Result<void>(); }, [&](const Result<void>&) { done = true; });
    must(run_until([&] { return done; }));
  }
  if (changed) enrol();
}

}  // namespace keyd::fuzz
