// A keyd that is not to be trusted: it knows the user's password and could answer as the real one would, and
// then says what an attack makes of that. A thread of the test; its sockets stand in a directory of its own.
#pragma once

#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "core/base/unique_fd.h"
#include "core/exchange/challenge.h"

namespace keyd::testing {

// The answer to one packet of a client, for an attack to change.
struct Move {
  std::size_t turn = 0;             // which answer on its connection, from 0
  const std::vector<Bytes>* heard;  // what the client said on this connection, the last one included
  const std::vector<Bytes>* said;   // what it was answered before
  std::vector<Bytes> packets;       // the answer; several are sent one after the other
  std::vector<int> descriptors;     // sent along with the first; stay the attack's
  bool close = false;               // afterwards
};
using Attack = std::function<void(Move&)>;

class HostileKeyd {
 public:
  static constexpr const char* kUser = "alice";
  static constexpr const char* kPassword = "right";
  static constexpr const char* kCredential = "the-value";

  HostileKeyd();
  ~HostileKeyd();
  HostileKeyd(const HostileKeyd&) = delete;
  HostileKeyd& operator=(const HostileKeyd&) = delete;

  [[nodiscard]] const std::string& directory() const { return directory_; }

  // From now on every answer goes through `attack`; none: it behaves.
  void set_attack(Attack attack);
  // How many proofs of a password it has been sent, and whether the password itself was ever in a packet.
  [[nodiscard]] int proofs() const;
  [[nodiscard]] bool has_seen_the_password() const;
  // Connections that it has not closed.
  [[nodiscard]] std::size_t connections() const;

 private:
  struct Client {
    UniqueFd socket;
    bool administrator = false;
    std::vector<Bytes> heard, said;
    exchange::ChallengeServer machine;
    std::optional<exchange::SecureChannel> channel;
  };
  void serve();
  void accept_from(int listener, bool administrator);
  bool answer(Client& client);  // false: it is to be closed
  Bytes honest_answer(Client& client, ByteView packet);
  Bytes honest_reply(Client& client, ByteView record);

  std::string directory_;
  UniqueFd clients_listener_, administrators_listener_, stop_;
  mutable std::mutex mutex_;  // guards what follows
  Attack attack_;
  std::vector<std::unique_ptr<Client>> clients_;
  int proofs_ = 0;
  bool has_seen_the_password_ = false;
  std::thread thread_;  // last: it uses all of the above
};

// Whether a line for people has nothing in it that a terminal would obey.
bool is_printable(const std::string& line);

}  // namespace keyd::testing
