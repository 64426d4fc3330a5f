// An authenticated session with keyd, and how it comes to be. One thread at a time: the handle sees to it.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/exchange/secure_channel.h"
#include "core/secret/secret.h"
#include "libkeyclient/src/keyd_link.h"

namespace keyd::client {

// Fills its argument with the password (truncating it to the length). Asked at most once a login.
using PasswordSource = std::function<Outcome<secret::SecretBuffer>()>;

struct Login {
  wire::ChallengeStart choice;  // without client_random, server_name, renews
  PasswordSource password;
  bool may_retry = false;  // the source may take longer than keyd waits
};

class Session {
 public:
  // Runs the exchange on `link`, which goes into the session when it succeeds and stays the caller's when
  // not. `renews`: the id of the session that it renews, or empty. `password` is filled from the login when
  // it is empty.
  [[nodiscard]] static Outcome<Session> authenticate(KeydLink& link, const std::string& server_name,
                                                     const Login& login, const std::string& renews,
                                                     secret::SecretBuffer& password);
  // Takes over what hand_over() gave, in the image after a planned exec.
  [[nodiscard]] static Outcome<Session> adopt(KeydLink link, ByteView handover);

  [[nodiscard]] Outcome<void> rekey();
  [[nodiscard]] Outcome<void> end();
  [[nodiscard]] Outcome<secret::SecretBuffer> credential(const std::string& name);
  [[nodiscard]] Outcome<std::vector<std::string>> credential_names();
  [[nodiscard]] Outcome<secret::SecretBuffer> echo(ByteView data);
  // Announces an exec; gives what the next image needs. The session is over for this one.
  [[nodiscard]] Outcome<secret::SecretBuffer> plan_exec();

  [[nodiscard]] const exchange::SecureChannel& channel() const { return channel_; }
  [[nodiscard]] const std::string& id() const { return id_; }
  [[nodiscard]] int descriptor() const { return link_.descriptor(); }
  // To run a renewal on. This session stays as it is when that fails.
  [[nodiscard]] KeydLink& link() { return link_; }

  static constexpr std::size_t kHandoverSize =
      16 + wire::kSessionIdSize + exchange::SecureChannel::kHandoverSize;

 private:
  Session(KeydLink link, exchange::SecureChannel channel, std::string id)
      : link_(std::move(link)), channel_(std::move(channel)), id_(std::move(id)) {}

  struct Reply {
    secret::SecretBuffer plaintext;
    wire::SessionReply message;
    ByteView payload;  // into plaintext
  };
  [[nodiscard]] Outcome<Reply> ask(const wire::SessionRequest& request, ByteView payload = {});
  [[nodiscard]] Outcome<Reply> ask_once(const wire::SessionRequest& request, ByteView payload);

  KeydLink link_;
  exchange::SecureChannel channel_;
  std::string id_;
};

}  // namespace keyd::client
