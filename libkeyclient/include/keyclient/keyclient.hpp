// The C++ face of libkeyclient (keyclient.h has the contracts): owners instead of handles, keyclient::Error
// instead of statuses. C++17.
#pragma once

#include <keyclient/keyclient.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace keyclient {

class Error : public std::runtime_error {
 public:
  explicit Error(keyclient_status status) : std::runtime_error(keyclient_error()), status_(status) {}
  keyclient_status status() const noexcept { return status_; }

 private:
  keyclient_status status_;
};

inline void check(keyclient_status status) {
  if (status != KEYCLIENT_OK) throw Error(status);
}

using Identity = keyclient_identity;

// The process at the other end of a socket (keyclient_peer_t). Its calls return what they find out: no other
// status than these is thrown.
class Peer {
 public:
  enum class Standing {
    kStands,   // the same user, process and program as when it was identified
    kGone,     // not any more, for good: identify the socket again
    kUnknown,  // cannot be told now: refuse
  };
  Standing check() { return standing(keyclient_peer_check(get())); }
  // Never a system call; leaves out what the header says.
  Standing glance() const { return standing(keyclient_peer_glance(get())); }
  // kStands when the time ran out.
  Standing wait(std::uint32_t timeout_ms) {
    const keyclient_status status = keyclient_peer_wait(get(), timeout_ms);
    return status == KEYCLIENT_DEADLINE ? Standing::kStands : standing(status);
  }
  // Readable once the process has exited.
  int descriptor() const noexcept { return keyclient_peer_descriptor(get()); }
  keyclient_peer_t* get() const noexcept { return handle_.get(); }

 private:
  friend class Client;
  explicit Peer(keyclient_peer_t* raw) : handle_(raw) {}
  static Standing standing(keyclient_status status) {
    if (status == KEYCLIENT_GONE) return Standing::kGone;
    if (status == KEYCLIENT_UNKNOWN) return Standing::kUnknown;
    keyclient::check(status);
    return Standing::kStands;
  }
  struct Free {
    void operator()(keyclient_peer_t* peer) const { keyclient_peer_free(peer); }
  };
  std::unique_ptr<keyclient_peer_t, Free> handle_;
};

struct Identified {
  Peer peer;
  Identity who;
};

class Client {
 public:
  // Connects to the keyd of `runtime_dir` (empty: the default one).
  explicit Client(const std::string& runtime_dir = {}) {
    keyclient_options options{};
    options.size = sizeof options;
    options.runtime_dir = runtime_dir.empty() ? nullptr : runtime_dir.c_str();
    keyclient_t* raw = nullptr;
    check(keyclient_open(&options, &raw));
    handle_.reset(raw);
  }

  // The session that keyrun, or another planned exec, left to this image; nothing when there is none.
  static std::optional<Client> adopt() {
    keyclient_t* raw = nullptr;
    const keyclient_status status = keyclient_adopt(nullptr, &raw);
    if (status == KEYCLIENT_NOT_FOUND) return std::nullopt;
    check(status);
    return Client(raw);
  }

  // By srp. `password` writes the password into the buffer it is given and returns its length; 0 cancels.
  using PasswordSource = std::function<std::size_t(char* buffer, std::size_t capacity)>;
  void authenticate(const std::string& user, const PasswordSource& password) {
    keyclient_login login{};
    login.size = sizeof login;
    login.user = user.c_str();
    login.password_callback = [](void* context, char* buffer, std::size_t capacity, std::size_t* length) {
      *length = (*static_cast<const PasswordSource*>(context))(buffer, capacity);
      return *length == 0 ? 1 : 0;
    };
    login.password_context = const_cast<PasswordSource*>(&password);
    check(keyclient_authenticate(get(), &login));
  }
  void authenticate(const keyclient_login& login) { check(keyclient_authenticate(get(), &login)); }
  void rekey() { check(keyclient_rekey(get())); }
  void end() { check(keyclient_end(get())); }

  // The caller wipes it.
  std::vector<std::uint8_t> credential(const std::string& name) {
    std::vector<std::uint8_t> value(65536);
    std::size_t size = value.size();
    check(keyclient_credential(get(), name.c_str(), value.data(), &size));
    value.resize(size);
    return value;
  }
  std::vector<std::uint8_t> export_key(const std::string& label, std::size_t size) {
    std::vector<std::uint8_t> key(size);
    check(keyclient_export_key(get(), label.c_str(), key.data(), key.size()));
    return key;
  }

  // Nothing: nobody is authenticated there. Throws when it cannot be told.
  std::optional<Identity> lookup_pid(std::uint32_t pid) { return found(&keyclient_lookup_pid, pid); }
  std::optional<Identity> lookup_inode(std::uint64_t inode) { return found(&keyclient_lookup_inode, inode); }
  std::optional<Identity> lookup_socket(int socket) { return found(&keyclient_lookup_socket, socket); }
  std::optional<Identified> identify(int socket) {
    Identity who{};
    who.size = sizeof who;
    keyclient_peer_t* raw = nullptr;
    const keyclient_status status = keyclient_identify(get(), socket, &raw, &who);
    if (status == KEYCLIENT_NOT_AUTHENTICATED) return std::nullopt;
    keyclient::check(status);
    return Identified{Peer(raw), who};
  }
  std::optional<Identity> whoami() {
    Identity who{};
    who.size = sizeof who;
    return result(keyclient_whoami(get(), &who), who);
  }

  keyclient_t* get() const noexcept { return handle_.get(); }

 private:
  explicit Client(keyclient_t* raw) : handle_(raw) {}
  static std::optional<Identity> result(keyclient_status status, const Identity& who) {
    if (status == KEYCLIENT_NOT_AUTHENTICATED) return std::nullopt;
    check(status);
    return who;
  }
  template <typename Key>
  std::optional<Identity> found(keyclient_status (*lookup)(keyclient_t*, Key, keyclient_identity*), Key key) {
    Identity who{};
    who.size = sizeof who;
    return result(lookup(get(), key, &who), who);
  }
  struct Close {
    void operator()(keyclient_t* client) const { keyclient_close(client); }
  };
  std::unique_ptr<keyclient_t, Close> handle_;
};

}  // namespace keyclient
