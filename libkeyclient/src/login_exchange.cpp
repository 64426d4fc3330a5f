#include "libkeyclient/src/login_exchange.h"

#include "core/crypto/random.h"
#include "core/exchange/challenge.h"
#include "core/exchange/kryptoknight_messages.h"

namespace keyd::client {

Failure unexpected_answer() { return {KEYCLIENT_INVALID, "keyd answered something else than was asked"}; }

namespace {

constexpr const char* kDeniedUnsent =
    "denied: wrong user name or password, or not the server that knows its hash (the password was not sent)";

// The answer to a step of an exchange; what refuses it is a failure.
Outcome<ServerAnswer> unless_refused(Outcome<ServerAnswer> answer) {
  if (!answer) return answer;
  if (answer->message.has_denied()) return failed(KEYCLIENT_DENIED, "denied: wrong user name or password");
  if (answer->message.has_refused()) return std::unexpected(failure_of(answer->message.refused()));
  return answer;
}

Outcome<ServerAnswer> ask(KeydLink& link, ByteView packet) { return unless_refused(link.ask(packet)); }

Outcome<ServerAnswer> ask_srp(const Carrier& carry, ByteView packet) {
  auto answer = unless_refused(carry(packet));
  if (answer && !answer->message.has_srp()) return std::unexpected(unexpected_answer());
  return answer;
}

Outcome<void> provide(const Login& login, secret::SecretBuffer& password) {
  if (!password.empty()) return {};
  auto given = login.password();
  if (!given) return std::unexpected(given.error());
  password = std::move(*given);
  return {};
}

Outcome<Established> run_challenge(KeydLink& link, const wire::ChallengeStart& choice, const Login& login,
                                   secret::SecretBuffer& password) {
  exchange::ChallengeClient machine(choice);
  const auto start = machine.start(crypto::fill_random);
  if (!start) return std::unexpected(failure_of(start.error()));
  const auto numbers = ask(link, *start);
  if (!numbers) return std::unexpected(numbers.error());
  if (!numbers->message.has_challenge_numbers()) return std::unexpected(unexpected_answer());
  if (auto taken = machine.take_numbers(numbers->packet, numbers->message.challenge_numbers()); !taken)
    return std::unexpected(failure_of(taken.error()));

  if (auto given = provide(login, password); !given) return std::unexpected(given.error());
  const auto proof = machine.prove(password.reveal());
  if (!proof) return std::unexpected(failure_of(proof.error()));
  const auto judged = ask(link, *proof);
  if (!judged) return std::unexpected(judged.error());
  if (!judged->message.has_finished()) return std::unexpected(unexpected_answer());
  auto channel = machine.finish(judged->packet, bytes_of(judged->message.finished()));
  if (!channel) return failed(KEYCLIENT_SERVER_UNPROVEN, channel.error().message());
  return Established{std::move(*channel), machine.session_id(), std::nullopt, std::nullopt};
}

Outcome<Established> run_kryptoknight(KeydLink& link, const KryptoknightChoice& choice, const Login& login,
                                      secret::SecretBuffer& password) {
  exchange::KryptoknightClient machine(choice.start, choice.limits);
  const auto start = machine.start(crypto::fill_random);
  if (!start) return std::unexpected(failure_of(start.error()));
  const auto reply = ask(link, *start);
  if (!reply) return std::unexpected(reply.error());
  if (!reply->message.has_kryptoknight_reply()) return std::unexpected(unexpected_answer());
  if (auto taken = machine.take_reply(reply->packet, reply->message.kryptoknight_reply()); !taken)
    return std::unexpected(failure_of(taken.error()));

  if (auto given = provide(login, password); !given) return std::unexpected(given.error());
  if (!exchange::is_possible_password(choice.start.suite(), password.reveal())) {
    return failed(
        KEYCLIENT_INVALID,
        "a password for kryptoknight has 1 to 511 octets, none of them zero: crypt(3) would end at it");
  }
  auto hash = exchange::hash_password(password.reveal(), machine.how());
  if (!hash) {
    // A setting that libcrypt does not take is the server's fault, or its guess.
    if (hash.error().code == Code::kInvalid) return failed(KEYCLIENT_DENIED, kDeniedUnsent);
    return std::unexpected(failure_of(hash.error()));
  }
  if (auto opened = machine.open_session(std::move(*hash)); !opened) {
    // One and the same from here: a wrong password, a user that does not exist, a server that is none.
    return failed(
        KEYCLIENT_DENIED,
        "denied: wrong user name or password, or not the server that knows its hash (the password was "
        "not sent)");
  }
  const auto proof = machine.send_password(password.reveal());
  if (!proof) return std::unexpected(failure_of(proof.error()));
  const auto judged = ask(link, *proof);
  if (!judged) return std::unexpected(judged.error());
  if (!judged->message.has_finished()) return std::unexpected(unexpected_answer());
  auto channel = machine.finish(judged->packet, bytes_of(judged->message.finished()));
  if (!channel) return failed(KEYCLIENT_SERVER_UNPROVEN, channel.error().message());
  Established established{std::move(*channel), machine.session_id(), std::nullopt, std::nullopt};
  if (choice.start.per_command())
    established.command_keys.emplace(
        CommandKeys{choice.start.suite(), machine.take_hash(), choice.start.server_name(), false});
  return established;
}

}  // namespace

Outcome<Established> run_srp(const Carrier& carry, const SrpChoice& choice,
                             const std::function<Outcome<void>(secret::SecretBuffer&)>& provide,
                             secret::SecretBuffer& password) {
  const exchange::SrpClientPolicy policy{
      .groups = choice.groups, .derivations = choice.derivations, .vendor_id = choice.vendor_id};
  exchange::SrpClient machine(choice.start, policy);
  const auto start = machine.start(crypto::fill_random);
  if (!start) return std::unexpected(failure_of(start.error()));
  const auto challenge = ask_srp(carry, *start);
  if (!challenge) return std::unexpected(challenge.error());
  const auto key =
      machine.take_challenge(challenge->packet, challenge->message.srp(), crypto::fill_random_private);
  if (!key) return std::unexpected(failure_of(key.error()));
  const auto servers_key = ask_srp(carry, *key);
  if (!servers_key) return std::unexpected(servers_key.error());
  if (auto taken = machine.take_key(servers_key->packet, servers_key->message.srp()); !taken)
    return std::unexpected(failure_of(taken.error()));

  if (auto given = provide(password); !given) return std::unexpected(given.error());
  const auto proof = machine.prove(password.reveal());
  if (!proof) return std::unexpected(failure_of(proof.error()));
  const auto answer = ask_srp(carry, *proof);
  if (!answer) return std::unexpected(answer.error());
  const auto finished = machine.take_proof(answer->packet, answer->message.srp());
  if (!finished) return failed(KEYCLIENT_SERVER_UNPROVEN, finished.error().message());
  const auto success = ask_srp(carry, *finished);
  if (!success) return std::unexpected(success.error());
  auto channel = machine.finish(success->packet, success->message.srp());
  if (!channel) return failed(KEYCLIENT_SERVER_UNPROVEN, channel.error().message());
  Established established{std::move(*channel), machine.session_id(), std::nullopt, std::nullopt};
  if (choice.start.can_change_password()) {
    established.change.emplace(
        ChangeEnd{exchange::PasswordChangeClient(
                      machine.take_keys(),
                      exchange::ChangeContext{choice.start.user(), choice.start.suite(), policy.vendor_id},
                      machine.parameters(), policy),
                  choice});
  }
  return established;
}

Outcome<Established> run_exchange(KeydLink& link, const std::string& server_name, const Login& login,
                                  const std::string& renews, secret::SecretBuffer& password) {
  return std::visit(
      [&](auto choice) {
        choice.set_server_name(server_name);
        choice.set_renews(renews);
        if constexpr (std::is_same_v<decltype(choice), wire::ChallengeStart>) {
          return run_challenge(link, choice, login, password);
        } else if constexpr (std::is_same_v<decltype(choice), KryptoknightChoice>) {
          return run_kryptoknight(link, choice, login, password);
        } else {
          return run_srp([&link](ByteView packet) { return link.ask(packet); }, choice,
                         [&login](secret::SecretBuffer& into) { return provide(login, into); }, password);
        }
      },
      login.choice);
}

}  // namespace keyd::client
