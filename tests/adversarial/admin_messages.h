// Every request that admin.sock takes, one line each, about the user "victim" or nobody. A new request is a
// new line; all attacks of this directory then run on it.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "tests/support/raw_client.h"

namespace keyd::testing {

struct AdminMessage {
  const char* name;
  void (*fill)(wire::AdminRequest&);
  wire::AdminReply::BodyCase answer;
  const char* secret = nullptr;  // follows in a packet of its own
};

std::span<const AdminMessage> admin_messages();

// The request's packet, and its secret's.
Bytes packet_of(const AdminMessage& message);
Bytes secret_of(const AdminMessage& message);

// A connection to admin.sock.
class AdminConversation {
 public:
  explicit AdminConversation(const std::string& runtime_dir) : raw(runtime_dir, "admin.sock") {}
  // The next answer; nothing when the connection ends, or what came is none.
  std::optional<wire::AdminReply> hear();
  // The whole request, and its answer.
  std::optional<wire::AdminReply> ask(const AdminMessage& message);
  // The code of an answer that must be a refusal, and the end of the connection.
  wire::RefusalCode hear_last_refusal();

  RawClient raw;
};

}  // namespace keyd::testing
