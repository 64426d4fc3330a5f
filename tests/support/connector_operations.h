// An operation on the process connector as anybody can say it: valid ones are LISTEN (1) and IGNORE (2).
#pragma once

#include <linux/cn_proc.h>
#include <linux/connector.h>
#include <linux/netlink.h>
#include <sys/socket.h>

#include <cstdint>

namespace keyd::testing {

[[nodiscard]] inline bool say_to_connector(int socket, std::uint32_t operation) {
  struct {
    nlmsghdr netlink;
    std::uint32_t body[6];  // cn_msg: idx, val, seq, ack, len and flags; the operation
  } request{};
  request.netlink.nlmsg_len = sizeof request;
  request.netlink.nlmsg_type = NLMSG_DONE;
  request.body[0] = CN_IDX_PROC;
  request.body[1] = CN_VAL_PROC;
  request.body[4] = sizeof operation;
  request.body[5] = operation;
  return ::send(socket, &request, sizeof request, 0) == static_cast<ssize_t>(sizeof request);
}

}  // namespace keyd::testing
