// Every message that keyd.sock takes, one line each: how a good one is made, where it belongs, and what it
// comes to at every stage. A new message is a new line; all attacks of this directory then run on it.
#pragma once

#include <span>

#include "tests/adversarial/conversation.h"

namespace keyd::testing {

struct ClientMessage {
  const char* name;
  Stage home;  // where it is in order
  Bytes (*make)(Conversation&);
  // What keyd answers to a good one at each stage, in the order of kStages.
  std::array<Answer, kStages.size()> answers;
  // Asks for nothing that is given once: the same octets may be said again.
  bool repeatable = false;
};

std::span<const ClientMessage> client_messages();

}  // namespace keyd::testing
