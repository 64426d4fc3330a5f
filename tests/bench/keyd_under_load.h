// What the benchmarks of a running keyd share: keyd itself, a client without waste, clients by the hundred,
// and the yardstick, a SEQPACKET echo.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/bytes.h"
#include "core/base/unique_fd.h"
#include "core/exchange/challenge.h"
#include "tests/support/private_keyd.h"
#include "tests/support/wide_limits.h"

namespace keyd::bench {

inline constexpr const char *kUser = "alice", *kPassword = "correct horse battery staple";

// A keyd with kUser enrolled, its audit log in a file; ends the program when it does not start. `more` is
// configuration beside testing::kWideLimits.
std::unique_ptr<testing::PrivateKeyd> started_keyd(const std::string& more = {});

// Of a running process, by /proc.
double cpu_seconds(pid_t process);                              // of all its threads
std::size_t memory_of(pid_t process, const std::string& what);  // octets: "VmRSS", "VmHWM"
std::size_t private_dirty(pid_t process);                       // octets

// A client that does nothing but exchanges: its buffers are made before.
class ExchangeClient {
 public:
  explicit ExchangeClient(std::string runtime_dir);
  bool connect();
  void close() { socket_.reset(); }
  void forget_buffer() { buffer_ = Bytes(); }  // of one that only connects
  // Steps 1 and 2 alone; the proof never comes.
  bool begin(const std::string& user = kUser);
  // A whole exchange: this connection's first, or a renewal of its session. False: refused, or denied.
  bool exchange(const std::string& user = kUser, const std::string& password = kPassword);
  // connect, exchange, close.
  bool visit();
  [[nodiscard]] int descriptor() const { return socket_.get(); }
  [[nodiscard]] const wire::ServerPacket& answer() const { return answer_; }

 private:
  std::optional<ByteView> receive();
  std::string runtime_dir_;
  UniqueFd socket_;
  Bytes buffer_;
  std::optional<exchange::ChallengeClient> machine_;
  std::string session_;  // its id, to be renewed
  wire::ServerPacket answer_;
};

// A single-threaded process that sends back what it gets: one round trip of it is the rtt of the table.
class EchoServer {
 public:
  explicit EchoServer(int clients);
  ~EchoServer();
  EchoServer(const EchoServer&) = delete;
  EchoServer& operator=(const EchoServer&) = delete;
  bool round_trip(int client);  // 128 octets
  [[nodiscard]] pid_t process() const { return process_; }

 private:
  std::vector<UniqueFd> ends_;
  pid_t process_ = -1;
};

struct Rate {
  double per_second = 0;
  int failed = 0;
};
// `processes` processes prepare by `make(i)` and then repeat what that gave, all at the same time, for
// `seconds`.
Rate rate_of(int processes, double seconds, const std::function<std::function<bool()>(int)>& make);

// How long `run` takes, in microseconds, `count` times, with a pause before each; negative where it failed.
std::vector<double> times_of(int count, const std::function<bool()>& run,
                             std::chrono::microseconds pause = std::chrono::microseconds(0));
double percentile(std::vector<double> values, double percent);

// Runs `body` in a child that is `uid`, and gives the numbers that it gave.
std::vector<double> as_uid(uid_t uid, const std::function<std::vector<double>()>& body);

}  // namespace keyd::bench
