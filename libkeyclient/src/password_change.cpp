#include "libkeyclient/src/password_change.h"

#include <time.h>

#include <functional>

#include "core/base/clock.h"
#include "core/crypto/digest.h"
#include "core/exchange/password_history.h"
#include "libkeyclient/src/handle.h"
#include "libkeyclient/src/login.h"
#include "libkeyclient/src/password_rules.h"

namespace keyd::client {
namespace {

constexpr int kOldTries = 3, kNewTries = 10;  // of the user's, in one call
constexpr int kSrpPackets = 4;                // that a client says in an exchange srp

class Change {
 public:
  Change(keyclient_t& client, keyclient_change& how) : client_(client), how_(how) {}

  Outcome<void> run() {
    if (auto stands = let_question_stand(); !stands) return stands;
    if (auto proved = prove_old(); !proved) return proved;
    if (auto answered = answer(); !answered) return answered;
    return reauthenticate();
  }

 private:
  // One step with keyd, under the handle's lock; what leaves the channel in doubt ends the session.
  template <typename Step>
  auto in_session(Step step) -> decltype(step(std::declval<Session&>())) {
    const std::lock_guard lock(client_.mutex);
    return under_lock(step);
  }
  template <typename Step>
  auto under_lock(Step step) -> decltype(step(std::declval<Session&>())) {
    if (!client_.session || (!session_id_.empty() && client_.session->id() != session_id_))
      return failed(KEYCLIENT_GONE, "the session ended meanwhile");
    try {
      auto outcome = step(*client_.session);
      end_if_in_doubt(client_, outcome ? KEYCLIENT_OK : outcome.error().status);
      return outcome;
    } catch (...) {
      end_if_in_doubt(client_, KEYCLIENT_INTERNAL);
      throw;
    }
  }

  Outcome<void> let_question_stand() {
    return in_session([this](Session& session) -> Outcome<void> {
      if (session.change() == nullptr) {
        return failed(KEYCLIENT_UNSUPPORTED,
                      "only a session made by srp with can_change_password can change the password");
      }
      if (!session.change_requested()) {
        if (auto asked = session.ask_for_change(how_.wanted != 0); !asked) return asked;
      }
      session_id_ = session.id();
      choice_ = session.change()->choice;
      choice_.start.set_renews(session_id_);
      serial_ = session.change()->machine.serial();
      fresh_.emplace(session.change()->machine.fresh());
      history_salt_ = session.change()->history_salt;
      return {};
    });
  }

  Outcome<secret::SecretBuffer> ask(keyclient_question question, const std::string& remark) {
    secret::SecretBuffer buffer(wire::kMaxPassword);
    std::size_t length = 0;
    if (how_.ask(how_.context, question, remark.empty() ? nullptr : remark.c_str(),
                 reinterpret_cast<char*>(buffer.reveal().data()), buffer.size(), &length) != 0)
      return failed(KEYCLIENT_CANCELLED, "no password was given");
    if (length == 0 || length > wire::kMaxPassword)
      return failed(KEYCLIENT_INVALID, "a password has 1 to 1024 octets");
    buffer.truncate(length);
    return buffer;
  }

  // An exchange srp nested in the session. The lock is held for one packet at a time, but for the last: until `done`
  // has its outcome, nobody else says anything under keys that the server may have left.
  Outcome<void> nested(wire::NestedPurpose purpose, secret::SecretBuffer& password,
                       const std::function<void(Session&, Established)>& done) {
    std::unique_lock lock(client_.mutex, std::defer_lock);
    int packets = 0;
    const auto carry = [&](ByteView packet) -> Outcome<ServerAnswer> {
      lock.lock();
      auto answer = under_lock([&](Session& session) { return session.ask_nested(purpose, packet); });
      if (++packets < kSrpPackets || !answer) lock.unlock();
      return answer;
    };
    // What keyd said at the end did not hold, or found no memory: it has gone over to keys that are not ours.
    const auto end_if_apart = [&] {
      if (lock.owns_lock() && packets == kSrpPackets && purpose == wire::NESTED_PURPOSE_REAUTHENTICATE)
        end_if_in_doubt(client_, KEYCLIENT_GONE);
    };
    try {
      auto established =
          run_srp(carry, choice_, [](secret::SecretBuffer&) -> Outcome<void> { return {}; }, password);
      if (!established) {
        // (A denial it has said under those that it still has.)
        if (established.error().status != KEYCLIENT_DENIED) end_if_apart();
        return std::unexpected(established.error());
      }
      if (client_.session) done(*client_.session, std::move(*established));
    } catch (const std::bad_alloc&) {
      end_if_apart();
      throw;
    }
    return {};
  }

  Outcome<void> prove_old() {
    std::string remark;
    for (int attempt = 0; attempt < kOldTries; ++attempt) {
      auto given = ask(KEYCLIENT_OLD_PASSWORD, remark);
      if (!given) return std::unexpected(given.error());
      old_ = std::move(*given);
      auto proved = nested(wire::NESTED_PURPOSE_OLD_PASSWORD, old_, [](Session&, Established) {});
      if (proved || proved.error().status != KEYCLIENT_DENIED) return proved;
      remark = "that is not the old password";
    }
    return failed(KEYCLIENT_DENIED, "denied: wrong old password");
  }

  // The new password twice, judged; empty with a remark when another one has to be asked for.
  Outcome<secret::SecretBuffer> choose_new(std::string& remark) {
    auto first = ask(KEYCLIENT_NEW_PASSWORD, remark);
    if (!first) return first;
    const auto second = ask(KEYCLIENT_NEW_PASSWORD_AGAIN, {});
    if (!second) return std::unexpected(second.error());
    remark.clear();
    if (!crypto::constant_time_equal(first->reveal(), second->reveal())) {
      remark = "the two answers differ";
      return secret::SecretBuffer();
    }
    std::vector<std::string> words;
    for (std::size_t i = 0; i < how_.word_count; ++i) words.emplace_back(how_.words[i]);
    const auto judged = judge_password(choice_.start.user(), first->reveal(), old_.reveal(), words);
    if (judged) return first;
    if (judged.error().status != KEYCLIENT_INVALID) return std::unexpected(judged.error());
    remark = judged.error().text;
    return secret::SecretBuffer();
  }

  Outcome<void> answer() {
    std::string remark;
    for (int attempt = 0; attempt < kNewTries; ++attempt) {
      auto chosen = choose_new(remark);
      if (!chosen) return std::unexpected(chosen.error());
      if (chosen->empty()) continue;
      new_ = std::move(*chosen);
      auto answered = say_answer();
      if (!answered && (answered.error().sealed == wire::REFUSAL_OUT_OF_ORDER ||
                        answered.error().sealed == wire::REFUSAL_NOT_FOUND)) {
        // The question is another one by now, or none: another session has answered it. Or the old password's proof has
        // grown old.
        if (auto stands = let_question_stand(); !stands) return stands;
        if (auto proved = prove_old(); !proved) return proved;
        answered = say_answer();
      }
      if (answered) {
        how_.changed = 1;
        return {};
      }
      const bool said_by_keyd = answered.error().sealed != wire::REFUSAL_UNSPECIFIED;
      if (answered.error().sealed == wire::REFUSAL_POLICY) {
        remark = answered.error().text;  // a recent one
      } else if (!said_by_keyd && answer_left_) {
        return find_out(answered.error());
      } else {
        return answered;
      }
    }
    return failed(KEYCLIENT_REFUSED, "no new password would do: " + remark);
  }

  Outcome<void> say_answer() {
    const auto of_new = exchange::history_hash(new_.reveal(), history_salt_);
    const auto of_old = exchange::history_hash(old_.reveal(), history_salt_);
    if (!of_new || !of_old) return std::unexpected(failure_of((of_new ? of_old : of_new).error()));
    const auto v = exchange::make_verifier(*fresh_, bytes_of(choice_.start.user()), new_.reveal());
    if (!v) return std::unexpected(failure_of(v.error()));
    answer_left_ = false;
    return in_session([&](Session& session) -> Outcome<void> {
      answer_left_ = true;  // or may have
      try {
        return session.answer_change(serial_, v->reveal(), of_new->reveal(), of_old->reveal());
      } catch (const std::bad_alloc& e) {
        if (session.link().usable()) throw;  // it has not left
        return failed(KEYCLIENT_GONE, std::string("no room for keyd's answer: ") + e.what());
      }
    });
  }

  // The answer may have arrived or not: which password holds, only keyd can say. The new one first, then the old.
  Outcome<void> find_out(const Failure& lost) {
    const std::uint64_t deadline = boot_now() + std::uint64_t{client_.target.timeout_ms} * 1'000'000;
    for (;;) {
      const auto with_new = log_in_anew(new_);
      if (with_new) {
        how_.changed = 1;
        renewed_ = true;
        return {};
      }
      if (with_new.error().status == KEYCLIENT_DENIED) {
        if (log_in_anew(old_))
          return failed(KEYCLIENT_REFUSED, "the password was not changed, the old one holds: " + lost.text);
        break;
      }
      if (with_new.error().status == KEYCLIENT_UNKNOWN || boot_now() >= deadline) break;
      const timespec pause{0, 100'000'000};
      ::nanosleep(&pause, nullptr);
    }
    return failed(
        KEYCLIENT_UNKNOWN,
        "whether the password was changed cannot be told now; try the new one, then the old: " + lost.text);
  }

  Outcome<void> log_in_anew(const secret::SecretBuffer& password) {
    const std::lock_guard lock(client_.mutex);
    if (client_.session) {
      if (client_.session->id() != session_id_)
        return failed(KEYCLIENT_UNKNOWN, "another session was begun on this handle meanwhile");
      client_.session.reset();
      client_.descriptor = -1;
    }
    auto choice = choice_;
    choice.start.clear_renews();
    try {
      auto session = authenticate(client_, Login{std::move(choice),
                                                 [&password]() -> Outcome<secret::SecretBuffer> {
                                                   return secret::SecretBuffer::copy_of(password.reveal());
                                                 },
                                                 false});
      if (!session) return std::unexpected(session.error());
      client_.session.emplace(std::move(*session));
      client_.descriptor = client_.session->descriptor();
      return {};
    } catch (const std::bad_alloc& e) {  // says nothing of the password; later there may be memory again
      return failed(KEYCLIENT_BUSY, e.what());
    }
  }

  // Steps 320 to 328: until this has succeeded the old keys go on protecting what is said.
  Outcome<void> reauthenticate() {
    if (renewed_) return {};  // find_out() did, with a session of its own
    auto renewed = nested(wire::NESTED_PURPOSE_REAUTHENTICATE, new_,
                          [](Session& session, Established fresh) { session.go_on_with(std::move(fresh)); });
    if (!renewed)
      renewed.error().text =
          "the password was changed, but the session has no keys of it: " + renewed.error().text;
    return renewed;
  }

  keyclient_t& client_;
  keyclient_change& how_;
  std::string session_id_;
  SrpChoice choice_;
  std::optional<exchange::VerifierParameters> fresh_;
  std::uint64_t serial_ = 0;  // of the question that is answered
  Bytes history_salt_;
  secret::SecretBuffer old_, new_;
  bool answer_left_ = false, renewed_ = false;
};

}  // namespace

Outcome<void> change_password(keyclient_t& client, keyclient_change& how) {
  return Change(client, how).run();
}

}  // namespace keyd::client
