#include "tests/bench/keyd_under_load.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <thread>

#include "core/crypto/random.h"
#include "core/wire/message_codec.h"
#include "core/wire/packet_socket.h"
#include "tests/support/raw_client.h"

namespace keyd::bench {
namespace {

using Clock = std::chrono::steady_clock;

[[noreturn]] void give_up(const std::string& why) {
  std::fprintf(stderr, "bench: %s\n", why.c_str());
  std::_Exit(1);
}

pid_t forked(const std::function<void()>& body) {
  const pid_t child = ::fork();
  if (child < 0) give_up("cannot fork");
  if (child != 0) return child;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  body();
  ::_exit(0);
}

}  // namespace

std::unique_ptr<testing::PrivateKeyd> started_keyd(const std::string& more) {
  auto keyd = std::make_unique<testing::PrivateKeyd>();
  std::ofstream(keyd->config_file()) << more << testing::kWideLimits << "[audit]\nfile = \""
                                     << keyd->directory() << "/audit.log\"\n";
  if (!keyd->start()) give_up("keyd does not start: " + keyd->log());
  keyd->enrol(kUser, kPassword);
  return keyd;
}

// ---- /proc

double cpu_seconds(pid_t process) {
  double sum = 0;
  const std::string tasks = "/proc/" + std::to_string(process) + "/task";
  for (const auto& task : std::filesystem::directory_iterator(tasks)) {
    double nanoseconds = 0;
    std::ifstream(task.path() / "schedstat") >> nanoseconds;
    sum += nanoseconds / 1e9;
  }
  return sum;
}

namespace {
std::size_t field(const std::string& path, const std::string& what) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(what + ":")) return std::stoul(line.substr(what.size() + 1)) * 1024;
  }
  give_up(path + " has no " + what);
}
}  // namespace

std::size_t memory_of(pid_t process, const std::string& what) {
  return field("/proc/" + std::to_string(process) + "/status", what);
}
std::size_t private_dirty(pid_t process) {
  return field("/proc/" + std::to_string(process) + "/smaps_rollup", "Private_Dirty");
}

// ---- a client

ExchangeClient::ExchangeClient(std::string runtime_dir)
    : runtime_dir_(std::move(runtime_dir)), buffer_(wire::kMaxPlainPacket) {}

bool ExchangeClient::connect() {
  session_.clear();
  socket_.reset(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  (runtime_dir_ + "/keyd.sock").copy(address.sun_path, sizeof address.sun_path - 1);
  return ::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

std::optional<ByteView> ExchangeClient::receive() {
  const auto received = wire::receive_packet(socket_.get(), buffer_);
  answer_.Clear();
  if (received.outcome != wire::ReceiveOutcome::kPacket) return std::nullopt;
  const ByteView packet = ByteView(buffer_).first(received.size);
  if (wire::decode(packet, answer_) != wire::Decoded::kMessage) return std::nullopt;
  return packet;
}

bool ExchangeClient::begin(const std::string& user) {
  wire::ChallengeStart start = testing::RawClient::choice(user);
  if (!session_.empty()) start.set_renews(session_);
  machine_.emplace(std::move(start));
  const auto packet = machine_->start(crypto::fill_random);
  if (!packet || !wire::send_packet(socket_.get(), *packet)) return false;
  const auto numbers = receive();
  return numbers && answer_.has_challenge_numbers() &&
         machine_->take_numbers(*numbers, answer_.challenge_numbers()).has_value();
}

bool ExchangeClient::exchange(const std::string& user, const std::string& password) {
  if (!begin(user)) return false;
  const auto proof = machine_->prove(bytes_of(password));
  if (!proof || !wire::send_packet(socket_.get(), *proof)) return false;
  const auto finished = receive();
  if (!finished || !answer_.has_finished() || !machine_->finish(*finished, bytes_of(answer_.finished())))
    return false;
  session_ = machine_->session_id();
  return true;
}

bool ExchangeClient::visit() {
  const bool in = connect() && exchange();
  close();
  return in;
}

// ---- the yardstick

namespace {
constexpr std::size_t kEchoOctets = 128;

void serve_echo(const std::vector<UniqueFd>& sockets) {
  const UniqueFd poll(::epoll_create1(EPOLL_CLOEXEC));
  for (const UniqueFd& socket : sockets) {
    epoll_event wanted{};
    wanted.events = EPOLLIN;
    wanted.data.fd = socket.get();
    ::epoll_ctl(poll.get(), EPOLL_CTL_ADD, socket.get(), &wanted);
  }
  std::array<epoll_event, 128> events;
  std::array<std::uint8_t, kEchoOctets> packet;
  for (;;) {
    const int count = ::epoll_wait(poll.get(), events.data(), static_cast<int>(events.size()), -1);
    for (int i = 0; i < count; ++i) {
      const int socket = events[static_cast<std::size_t>(i)].data.fd;
      const ssize_t got = ::recv(socket, packet.data(), packet.size(), 0);
      if (got <= 0) ::_exit(0);
      (void)!::send(socket, packet.data(), static_cast<std::size_t>(got), MSG_NOSIGNAL);
    }
  }
}
}  // namespace

EchoServer::EchoServer(int clients) {
  std::vector<UniqueFd> theirs;
  for (int i = 0; i < clients; ++i) {
    std::array<int, 2> pair{};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()) != 0) give_up("socketpair");
    ends_.emplace_back(pair[0]);
    theirs.emplace_back(pair[1]);
  }
  process_ = forked([&] { serve_echo(theirs); });
}

EchoServer::~EchoServer() {
  ::kill(process_, SIGKILL);
  ::waitpid(process_, nullptr, 0);
}

bool EchoServer::round_trip(int client) {
  std::array<std::uint8_t, kEchoOctets> packet{};
  const int socket = ends_[static_cast<std::size_t>(client)].get();
  return ::send(socket, packet.data(), packet.size(), MSG_NOSIGNAL) == kEchoOctets &&
         ::recv(socket, packet.data(), packet.size(), 0) == kEchoOctets;
}

// ---- many, and how long

namespace {
struct Common {
  std::atomic<int> ready{0}, failed{0};
  std::atomic<bool> go{false}, stop{false};
  std::atomic<std::uint64_t> done{0};
};

void take_part(Common& common, const std::function<bool()>& once) {
  ++common.ready;
  while (!common.go) ::usleep(1000);
  while (!common.stop) {
    if (once()) {
      ++common.done;
    } else {
      ++common.failed;
      return;
    }
  }
}
}  // namespace

Rate rate_of(int processes, double seconds, const std::function<std::function<bool()>(int)>& make) {
  void* const shared =
      ::mmap(nullptr, sizeof(Common), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) give_up("mmap");
  auto& common = *new (shared) Common;
  std::vector<pid_t> children;
  for (int i = 0; i < processes; ++i) children.push_back(forked([&] { take_part(common, make(i)); }));
  while (common.ready + common.failed < processes) ::usleep(1000);
  common.go = true;
  ::usleep(100'000);  // until all are at it
  const std::uint64_t before = common.done;
  const auto start = Clock::now();
  ::usleep(static_cast<useconds_t>(seconds * 1e6));
  const std::uint64_t after = common.done;
  const double lasted = std::chrono::duration<double>(Clock::now() - start).count();
  common.stop = true;
  for (const pid_t child : children) ::waitpid(child, nullptr, 0);
  const Rate rate{static_cast<double>(after - before) / lasted, common.failed};
  ::munmap(shared, sizeof(Common));
  return rate;
}

std::vector<double> times_of(int count, const std::function<bool()>& run, std::chrono::microseconds pause) {
  std::vector<double> times;
  for (int i = 0; i < count; ++i) {
    if (pause.count() > 0) std::this_thread::sleep_for(pause);
    const auto start = Clock::now();
    const bool done = run();
    const double took = std::chrono::duration<double, std::micro>(Clock::now() - start).count();
    times.push_back(done ? took : -took);
  }
  return times;
}

double percentile(std::vector<double> values, double percent) {
  if (values.empty()) return std::nan("");
  std::ranges::sort(values);
  const auto at = static_cast<std::size_t>(percent / 100 * static_cast<double>(values.size()));
  return values[std::min(at, values.size() - 1)];
}

std::vector<double> as_uid(uid_t uid, const std::function<std::vector<double>()>& body) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) give_up("pipe");
  const pid_t child = forked([&] {
    ::close(ends[0]);
    if (::geteuid() == 0 && (::setresgid(uid, uid, uid) != 0 || ::setresuid(uid, uid, uid) != 0)) ::_exit(1);
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    const auto numbers = body();
    (void)!::write(ends[1], numbers.data(), numbers.size() * sizeof(double));
  });
  ::close(ends[1]);
  std::vector<double> numbers;
  double number = 0;
  while (::read(ends[0], &number, sizeof number) == sizeof number) numbers.push_back(number);
  ::close(ends[0]);
  ::waitpid(child, nullptr, 0);
  return numbers;
}

}  // namespace keyd::bench
