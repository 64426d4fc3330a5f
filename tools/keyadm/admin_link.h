// keyadm's end of admin.sock.
#pragma once

#include <string>

#include "core/base/unique_fd.h"
#include "core/secret/secret.h"
#include "core/wire/message_codec.h"

namespace keyd::keyadm {

class AdminLink {
 public:
  // kUnreachable: nobody listens. kRefused: not an administrator.
  [[nodiscard]] static Result<AdminLink> connect(const std::string& runtime_dir);

  // Asks, with `secret` in a packet of its own where the request takes one. keyd's refusal is an Error:
  // kNotFound or kRefused. Waits at most 30 s.
  [[nodiscard]] Result<wire::AdminReply> ask(wire::AdminRequest request,
                                             const secret::SecretBuffer* secret = nullptr);

 private:
  explicit AdminLink(UniqueFd socket) : socket_(std::move(socket)) {}
  UniqueFd socket_;
};

}  // namespace keyd::keyadm
