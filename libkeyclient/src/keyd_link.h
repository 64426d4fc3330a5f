// A connection to keyd.sock: packets out and in, each within the deadline. Blocking.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/base/bytes.h"
#include "core/base/unique_fd.h"
#include "core/wire/message_codec.h"
#include "libkeyclient/src/failure.h"

namespace keyd::client {

// How a handle reaches its keyd.
struct Target {
  std::string runtime_dir = "/run/keyd";
  std::string server_name = "localhost";
  std::uint32_t timeout_ms = 10'000;
};

struct ServerAnswer {
  Bytes packet;  // as received, for the transcript
  wire::ServerPacket message;
  UniqueFd descriptor, second_descriptor;
};

class KeydLink {
 public:
  // KEYCLIENT_UNREACHABLE when nobody listens there.
  [[nodiscard]] static Outcome<KeydLink> connect(const Target& target);
  // Over a socket that is connected already (after a planned exec).
  KeydLink(UniqueFd socket, std::uint32_t timeout_ms) : socket_(std::move(socket)), timeout_ms_(timeout_ms) {}

  // The two halves of ask(), neither waiting: send() is false when the packet did not leave at once; poll()
  // gives nothing while there is no answer yet.
  [[nodiscard]] bool send(ByteView packet);
  [[nodiscard]] Outcome<std::optional<ServerAnswer>> poll();

  // Sends a packet and waits for keyd's answer. KEYCLIENT_GONE when keyd has closed the connection; an answer
  // that it left before closing is still delivered.
  [[nodiscard]] Outcome<ServerAnswer> ask(ByteView packet);

  [[nodiscard]] int descriptor() const { return socket_.get(); }
  // False once an answer did not come, or was none: what comes next would be taken for another question's.
  [[nodiscard]] bool usable() const { return usable_; }
  // What came was no answer to what was asked.
  void abandon() { usable_ = false; }
  void resume() { usable_ = true; }

 private:
  [[nodiscard]] Outcome<void> wait_for(short events, std::uint64_t deadline);
  UniqueFd socket_;
  std::uint32_t timeout_ms_;
  bool usable_ = true;
};

}  // namespace keyd::client
