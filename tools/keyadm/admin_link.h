// keyadm's end of admin.sock.
#pragma once

#include <string>

#include "core/base/unique_fd.h"
#include "core/secret/secret.h"
#include "core/wire/message_codec.h"

namespace keyd::keyadm {

class AdminLink {
 public:
  static constexpr int kPatience = 30;  // seconds
  // kUnreachable: nobody listens. kRefused: not an administrator. ask() will wait `patience` seconds at most.
  [[nodiscard]] static Result<AdminLink> connect(const std::string& runtime_dir, int patience = kPatience);

  // Asks, with `secret` in a packet of its own where the request takes one. keyd's refusal is an Error:
  // kNotFound or kRefused. kDeadline when patience ran out.
  [[nodiscard]] Result<wire::AdminReply> ask(wire::AdminRequest request,
                                             const secret::SecretBuffer* secret = nullptr);

 private:
  AdminLink(UniqueFd socket, int patience) : socket_(std::move(socket)), patience_(patience) {}
  UniqueFd socket_;
  int patience_;
};

}  // namespace keyd::keyadm
