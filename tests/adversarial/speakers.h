// Everybody who might speak on a connection, one line each, and whether keyd is to hear them.
#pragma once

#include <span>

#include "core/base/bytes.h"

namespace keyd::testing {

enum class Verdict {
  kHeard,       // the process that connected
  kRefused,     // anybody else: the connection ends
  kNotLetOut,   // the kernel does not send it: nothing has happened
  kNotOrHeard,  // either of the two, by the kernel's version
};

struct Speaker {
  const char* name;
  Verdict verdict;
  // Sends the packet on the socket, which this process has connected. False when the kernel refused to.
  bool (*speak)(int socket, ByteView packet);
};

std::span<const Speaker> speakers();

// Sends with the given credentials in SCM_CREDENTIALS, and `descriptors` times standard input along.
bool send_as(int socket, ByteView packet, int pid, unsigned uid, unsigned gid, int descriptors = 0);

}  // namespace keyd::testing
