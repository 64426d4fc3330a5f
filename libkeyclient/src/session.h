// An authenticated session with keyd, and how it comes to be. One thread at a time: the handle sees to it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "libkeyclient/src/login_exchange.h"

namespace keyd::client {

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
  // Whether the image after a planned exec can take it over.
  [[nodiscard]] bool can_be_handed_over() const { return !command_keys_; }
  [[nodiscard]] int descriptor() const { return link_.descriptor(); }
  // To run a renewal on. This session stays as it is when that fails.
  [[nodiscard]] KeydLink& link() { return link_; }

  static constexpr std::size_t kHandoverSize =
      16 + wire::kSessionIdSize + exchange::SecureChannel::kHandoverSize;

 private:
  Session(KeydLink link, Established established)
      : link_(std::move(link)),
        channel_(std::move(established.channel)),
        id_(std::move(established.session_id)),
        command_keys_(std::move(established.command_keys)) {}

  struct Reply {
    secret::SecretBuffer plaintext;
    wire::SessionReply message;
    ByteView payload;  // into plaintext
  };
  [[nodiscard]] Outcome<Reply> ask(const wire::SessionRequest& request, ByteView payload = {});
  [[nodiscard]] Outcome<Reply> ask_once(const wire::SessionRequest& request, ByteView payload);
  [[nodiscard]] Outcome<Reply> exchange_records(const wire::SessionRequest& request, ByteView payload);
  // Where each command has a key of its own: sees to the next one's.
  [[nodiscard]] Outcome<void> provide_command_key();

  KeydLink link_;
  exchange::SecureChannel channel_;
  std::string id_;
  std::optional<CommandKeys> command_keys_;
};

}  // namespace keyd::client
