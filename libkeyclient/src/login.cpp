#include "libkeyclient/src/login.h"

#include "core/base/untrusted_text.h"
#include "core/kernel/pidfd.h"

namespace keyd::client {

namespace {

Outcome<wire::Suite> suite_of(const keyclient_login& login) {
  const std::string_view suite = login.suite == nullptr ? "modern" : login.suite;
  if (suite == "modern") return wire::SUITE_MODERN;
  if (suite == "historic") return wire::SUITE_HISTORIC;
  return failed(KEYCLIENT_INVALID, "unknown suite \"" + escape(suite) + "\": modern or historic");
}

Outcome<Choice> challenge_choice(const keyclient_login& login, wire::Suite suite) {
  const std::string_view transform = login.transform == nullptr ? "" : login.transform;
  if (login.per_command != 0)
    return failed(KEYCLIENT_INVALID, "keys for single commands are of the scheme kryptoknight");
  wire::ChallengeStart choice;
  choice.set_user(login.user);
  choice.set_suite(suite);
  choice.set_key_count(login.key_count == 0 ? 2 : login.key_count);
  if (suite == wire::SUITE_MODERN) {
    if (!transform.empty() && transform != "hmac-sha256")
      return failed(KEYCLIENT_INVALID, "the modern suite has the transform hmac-sha256");
    if (login.nonce_bits != 0 && login.nonce_bits != 256)
      return failed(KEYCLIENT_INVALID, "the modern suite has 256-bit numbers");
    choice.set_transform(wire::TRANSFORM_HMAC_SHA256);
    choice.set_nonce_bits(256);
    return choice;
  }
  choice.set_nonce_bits(login.nonce_bits == 0 ? 16 : login.nonce_bits);
  if (transform.empty() || transform == "hmac-md5" || transform == "keyed-md5") {
    choice.set_transform(wire::TRANSFORM_HMAC_MD5);
  } else if (transform == "md5") {
    choice.set_transform(wire::TRANSFORM_MD5);
  } else if (transform == "keyed-md5-rfc1828") {
    choice.set_transform(wire::TRANSFORM_KEYED_MD5_RFC1828);
  } else {
    return failed(KEYCLIENT_INVALID,
                  "unknown transform \"" + escape(transform) + "\": md5, hmac-md5, keyed-md5-rfc1828");
  }
  return choice;
}

Outcome<Choice> kryptoknight_choice(const keyclient_login& login, wire::Suite suite) {
  if (login.transform != nullptr || login.nonce_bits != 0 || login.key_count != 0)
    return failed(KEYCLIENT_INVALID, "transform, nonce_bits and key_count are of the scheme challenge");
  KryptoknightChoice choice;
  choice.start.set_user(login.user);
  choice.start.set_suite(suite);
  choice.start.set_per_command(login.per_command != 0);
  // A false server chooses the method by which it is easiest to guess what it is then told.
  if (login.accept_weak_hashes == 0) {
    choice.limits.methods = {"yescrypt",    "gost-yescrypt", "scrypt",   "bcrypt", "sha512crypt",
                             "sha256crypt", "sha1crypt",     "md5crypt", "sunmd5"};
  }
  return choice;
}

Outcome<Choice> srp_choice(const keyclient_login& login, wire::Suite suite) {
  if (login.transform != nullptr || login.nonce_bits != 0 || login.key_count != 0 || login.per_command != 0)
    return failed(KEYCLIENT_INVALID, "transform, nonce_bits, key_count and per_command are of other schemes");
  SrpChoice choice;
  choice.start.set_user(login.user);
  choice.start.set_suite(suite);
  const std::string_view interleave = login.interleave == nullptr ? "rfc2945" : login.interleave;
  if (interleave != "rfc2945" && interleave != "stanford")
    return failed(KEYCLIENT_INVALID, "unknown interleave \"" + escape(interleave) + "\": rfc2945, stanford");
  if (interleave == "stanford") {
    if (suite == wire::SUITE_MODERN)
      return failed(KEYCLIENT_INVALID, "the order of interleaving is of the historic suite");
    choice.start.set_interleave(wire::SRP_INTERLEAVE_STANFORD);
  }
  if (login.srp_vendor_id > exchange::kLargestVendor)
    return failed(KEYCLIENT_INVALID, "a vendor id of EAP is below 2^24");
  if (login.srp_vendor_id != 0) choice.vendor_id = login.srp_vendor_id;
  choice.start.set_can_change_password(login.can_change_password != 0);
  if (login.srp_least_group_bits != 0) {
    if (login.srp_least_group_bits < exchange::kLeastGroupBits ||
        login.srp_least_group_bits > exchange::kLargestGroupBits)
      return failed(KEYCLIENT_INVALID, "srp_least_group_bits is 1024 to 8192");
    choice.groups.least_bits = login.srp_least_group_bits;
  }
  choice.derivations.sha1 = choice.derivations.sha256 = login.accept_fast_derivations != 0;
  return choice;
}

}  // namespace

Outcome<Choice> choice_of(const keyclient_login& login) {
  const std::string_view scheme = login.scheme == nullptr ? "srp" : login.scheme;
  if (login.user == nullptr || !is_acceptable_name(login.user))
    return failed(KEYCLIENT_INVALID, "not a user name");
  const auto suite = suite_of(login);
  if (!suite) return std::unexpected(suite.error());
  if (scheme == "challenge") return challenge_choice(login, *suite);
  if (scheme == "kryptoknight") return kryptoknight_choice(login, *suite);
  if (scheme == "srp") return srp_choice(login, *suite);
  return failed(KEYCLIENT_UNSUPPORTED,
                "unknown scheme \"" + escape(scheme) + "\"; this library has: challenge, kryptoknight, srp");
}

Outcome<secret::SecretBuffer> ask_password(const keyclient_login& login) {
  if (login.password != nullptr) {
    if (login.password_size == 0 || login.password_size > wire::kMaxPassword) {
      return failed(KEYCLIENT_INVALID, "a password has 1 to 1024 octets");
    }
    return secret::SecretBuffer::copy_of(
        {static_cast<const std::uint8_t*>(login.password), login.password_size});
  }
  if (login.password_callback == nullptr)
    return failed(KEYCLIENT_INVALID, "neither a password nor a callback");
  secret::SecretBuffer buffer(wire::kMaxPassword);
  std::size_t length = 0;
  const int cancelled = login.password_callback(
      login.password_context, reinterpret_cast<char*>(buffer.reveal().data()), buffer.size(), &length);
  if (cancelled != 0) return failed(KEYCLIENT_CANCELLED, "no password was given");
  if (length == 0 || length > wire::kMaxPassword)
    return failed(KEYCLIENT_INVALID, "a password has 1 to 1024 octets");
  buffer.truncate(length);
  return buffer;
}

namespace {

// The id of the session whose record this process still has, its channel lost in a planned exec; or empty.
std::string orphaned_session(keyclient_t& client) {
  const auto self = kernel::open_pidfd(::getpid());
  const auto inode = self ? kernel::pidfs_inode(self->get()) : std::nullopt;
  const auto table = client.table.current();
  table::TaskView view;
  if (!inode || !table || (*table)->reader.find_by_inode(*inode, view) != table::LookupOutcome::kFound ||
      view.word.state != table::TaskState::kComplete) {
    return {};
  }
  return std::string(text_of(view.record.session_id));
}

}  // namespace

Outcome<Session> authenticate(keyclient_t& client, const Login& login) {
  secret::SecretBuffer password;
  std::string renews = client.session ? client.session->id() : std::string();
  for (int attempt = 0;; ++attempt) {
    std::optional<KeydLink> own_link;
    if (!client.session) {
      auto link = KeydLink::connect(client.target);
      if (!link) return std::unexpected(link.error());
      own_link.emplace(std::move(*link));
    }
    KeydLink& link = client.session ? client.session->link() : *own_link;
    auto session = Session::authenticate(link, client.target, login, renews, password);
    if (session) return session;
    const keyclient_status status = session.error().status;
    // A renewal that failed leaves the session as it was, unless the conversation itself broke.
    if (client.session && (!client.session->link().usable() || status == KEYCLIENT_SERVER_UNPROVEN)) {
      client.session.reset();
      client.descriptor = -1;
    }
    if (attempt > 0) return session;
    // The password took longer than keyd waits: once more, now that it is known.
    if (status == KEYCLIENT_DEADLINE && login.may_retry && !password.empty()) {
      if (!client.session) renews.clear();
      continue;
    }
    // keyd was restarted since the session that was to be renewed.
    if (status == KEYCLIENT_GONE && !renews.empty() && !client.session) {
      renews.clear();
      continue;
    }
    if (status == KEYCLIENT_REFUSED && renews.empty() && !client.session) {
      renews = orphaned_session(client);
      if (!renews.empty()) continue;
    }
    return session;
  }
}

}  // namespace keyd::client
