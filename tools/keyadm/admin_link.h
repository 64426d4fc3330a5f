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
  // Asks for something that is answered with a secret, which comes in a packet of its own. Errors as of ask().
  struct Answer {
    wire::AdminReply reply;
    secret::SecretBuffer secret;  // 1 octet or more
  };
  [[nodiscard]] Result<Answer> ask_for_secret(const wire::AdminRequest& request);

 private:
  [[nodiscard]] Result<std::size_t> receive(MutableByteView buffer);
  [[nodiscard]] Result<wire::AdminReply> converse(wire::AdminRequest request,
                                                  const secret::SecretBuffer* secret);
  AdminLink(UniqueFd socket, int patience) : socket_(std::move(socket)), patience_(patience) {}
  UniqueFd socket_;
  int patience_;
};

}  // namespace keyd::keyadm
