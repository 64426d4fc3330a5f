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
  [[nodiscard]] static Outcome<Session> authenticate(KeydLink& link, const Target& target, const Login& login,
                                                     const std::string& renews,
                                                     secret::SecretBuffer& password);
  // Takes over what hand_over() gave, in the image after a planned exec.
  [[nodiscard]] static Outcome<Session> adopt(KeydLink link, ByteView handover);

  [[nodiscard]] Outcome<void> rekey();
  [[nodiscard]] Outcome<void> end();
  [[nodiscard]] Outcome<secret::SecretBuffer> credential(const std::string& name);
  [[nodiscard]] Outcome<std::vector<std::string>> credential_names();
  [[nodiscard]] Outcome<secret::SecretBuffer> echo(ByteView data);
  // ---- a change of the password (libkeyclient/src/password_change.cpp has the order)
  // Whether keyd's question stands, which came with some reply.
  [[nodiscard]] bool change_requested() const { return change_ && change_->machine.serial() != 0; }
  // Null: this login did not declare that it can ask its user, or was not made by srp.
  [[nodiscard]] const ChangeEnd* change() const { return change_ ? &*change_ : nullptr; }
  // Has keyd ask what is due or, when nothing is, what is `wanted`. Then a question stands.
  [[nodiscard]] Outcome<void> ask_for_change(bool wanted);
  // One packet of an exchange srp within this session.
  [[nodiscard]] Outcome<ServerAnswer> ask_nested(wire::NestedPurpose purpose, ByteView packet);
  // The answer to the question of this serial: the verifier, and for the history the hashes of the new password and the
  // old one. Failure::sealed: POLICY, another password is to be chosen; OUT_OF_ORDER, it is asked otherwise now, or the
  // old password's proof has grown old; NOT_FOUND, it is asked no more, and no question stands here.
  [[nodiscard]] Outcome<void> answer_change(std::uint64_t serial, ByteView v, ByteView of_new,
                                            ByteView of_old);
  // The nested re-authentication has succeeded: the next record goes under its keys.
  void go_on_with(Established renewed);

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
  Session(KeydLink link, std::string runtime_dir, Established established)
      : link_(std::move(link)),
        runtime_dir_(std::move(runtime_dir)),
        channel_(std::move(established.channel)),
        id_(std::move(established.session_id)),
        command_keys_(std::move(established.command_keys)),
        change_(std::move(established.change)) {}

  struct Reply {
    secret::SecretBuffer plaintext;
    wire::SessionReply message;
    ByteView payload;  // into plaintext
  };
  [[nodiscard]] Outcome<Reply> ask(const wire::SessionRequest& request, ByteView payload = {});
  [[nodiscard]] Outcome<Reply> ask_once(const wire::SessionRequest& request, ByteView payload);
  [[nodiscard]] Outcome<Reply> exchange_records(const wire::SessionRequest& request, ByteView payload);
  [[nodiscard]] wire::SessionRequest with_receipt(const wire::SessionRequest& request);
  // keyd's question, come with a reply: ignored unless it holds (seed 002, step 314).
  void take_question(const wire::ChangeRequest& question);
  // Where each command has a key of its own: sees to the next one's.
  [[nodiscard]] Outcome<void> provide_command_key();

  KeydLink link_;
  std::string runtime_dir_;  // where keyd may place parameters
  exchange::SecureChannel channel_;
  std::string id_;
  std::optional<CommandKeys> command_keys_;
  std::optional<ChangeEnd> change_;
  std::uint64_t received_ = 0;  // serial of the question that keyd is told of
};

}  // namespace keyd::client
