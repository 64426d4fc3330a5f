#include "tests/bench/tls_srp.h"

#define OPENSSL_SUPPRESS_DEPRECATED  // SRP is
#include <gnutls/gnutls.h>
#include <openssl/bn.h>
#include <openssl/srp.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "core/exchange/srp_verifier.h"

namespace keyd::bench {
namespace {

constexpr int kMostTurns = 20;  // of a handshake: a step of the client, a step of the server

void need(bool had) {
  if (!had) std::abort();
}

}  // namespace

double thread_cpu() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

TlsSrpUser::TlsSrpUser(std::string user, std::string secret, unsigned group_bits)
    : name(std::move(user)),
      password(std::move(secret)),
      group(exchange::SrpGroup::listed(group_bits).value()),
      salt(16, 's') {
  const auto x = exchange::derive_x(crypto::Hash::kSha1, bytes_of(name), bytes_of(password), salt);
  const auto v = exchange::verifier_of(group, x.reveal());
  verifier.assign(v.reveal().begin(), v.reveal().end());
}

// ---- OpenSSL

namespace {

struct FreeOpenssl {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  void operator()(SSL* end) const { SSL_free(end); }
  void operator()(BIGNUM* number) const { BN_free(number); }
};
template <typename T>
using Openssl = std::unique_ptr<T, FreeOpenssl>;

Openssl<BIGNUM> number(ByteView octets) {
  return Openssl<BIGNUM>(BN_bin2bn(octets.data(), static_cast<int>(octets.size()), nullptr));
}

class OpensslTlsSrp : public TlsSrp {
 public:
  explicit OpensslTlsSrp(const TlsSrpUser& user)
      : name_(user.name),
        password_(user.password),
        modulus_(number(user.group.modulus_octets())),
        generator_(number(user.group.generator_octets())),
        salt_(number(user.salt)),
        verifier_(number(user.verifier)),
        client_(context(TLS_client_method())),
        server_(context(TLS_server_method())) {
    need(SSL_CTX_set_srp_username(client_.get(), name_.data()) == 1);
    need(SSL_CTX_set_srp_password(client_.get(), password_.data()) == 1);
    SSL_CTX_set_srp_username_callback(server_.get(), &OpensslTlsSrp::give_user);
    SSL_CTX_set_srp_cb_arg(server_.get(), this);
  }

  std::optional<double> handshake() override {
    const Openssl<SSL> client(SSL_new(client_.get()));
    SSL_set_connect_state(client.get());
    BIO *here = nullptr, *there = nullptr;
    need(BIO_new_bio_pair(&here, 65536, &there, 65536) == 1);
    SSL_set_bio(client.get(), here, here);
    double before = thread_cpu(), spent = 0;
    Openssl<SSL> server(SSL_new(server_.get()));
    SSL_set_accept_state(server.get());
    SSL_set_bio(server.get(), there, there);
    spent += thread_cpu() - before;
    bool done = false;
    for (int turn = 0; turn < kMostTurns && !done; ++turn) {
      const bool connected = SSL_do_handshake(client.get()) == 1;
      before = thread_cpu();
      const bool accepted = SSL_do_handshake(server.get()) == 1;
      spent += thread_cpu() - before;
      done = connected && accepted;
    }
    before = thread_cpu();
    server.reset();
    spent += thread_cpu() - before;
    return done ? std::optional(spent) : std::nullopt;
  }

 private:
  static Openssl<SSL_CTX> context(const SSL_METHOD* method) {
    Openssl<SSL_CTX> out(SSL_CTX_new(method));
    need(out != nullptr && SSL_CTX_set_max_proto_version(out.get(), TLS1_2_VERSION) == 1);
    need(SSL_CTX_set_cipher_list(out.get(), "SRP-AES-128-CBC-SHA:@SECLEVEL=0") == 1);
    SSL_CTX_set_session_cache_mode(out.get(), SSL_SESS_CACHE_OFF);
    SSL_CTX_set_options(out.get(), SSL_OP_NO_TICKET);
    return out;
  }
  static int give_user(SSL* server, int*, void* self) {
    const auto& us = *static_cast<OpensslTlsSrp*>(self);
    const bool given = SSL_set_srp_server_param(server, us.modulus_.get(), us.generator_.get(),
                                                us.salt_.get(), us.verifier_.get(), nullptr) == 1;
    return given ? SSL_ERROR_NONE : SSL3_AL_FATAL;
  }

  std::string name_, password_;
  Openssl<BIGNUM> modulus_, generator_, salt_, verifier_;
  Openssl<SSL_CTX> client_, server_;
};

}  // namespace

std::unique_ptr<TlsSrp> openssl_tls_srp(const TlsSrpUser& user) {
  return std::make_unique<OpensslTlsSrp>(user);
}

// ---- GnuTLS

namespace {

gnutls_datum_t datum(ByteView octets) {
  gnutls_datum_t out{static_cast<unsigned char*>(gnutls_malloc(octets.size())),
                     static_cast<unsigned>(octets.size())};
  need(out.data != nullptr);
  std::ranges::copy(octets, out.data);
  return out;
}

// One end of a handshake, and what was said to it and it has not read.
struct GnutlsEnd {
  GnutlsEnd(unsigned flags, void* credentials, const TlsSrpUser& user) {
    need(gnutls_init(&session, flags | GNUTLS_NONBLOCK | GNUTLS_NO_TICKETS) == 0);
    need(gnutls_priority_set_direct(
             session, "NONE:+VERS-TLS1.2:+SRP:+AES-128-CBC:+SHA1:+COMP-NULL:+SIGN-ALL:+GROUP-ALL", nullptr) ==
         0);
    need(gnutls_credentials_set(session, GNUTLS_CRD_SRP, credentials) == 0);
    gnutls_session_set_ptr(session, const_cast<TlsSrpUser*>(&user));
    gnutls_transport_set_ptr(session, this);
    gnutls_transport_set_push_function(session, &GnutlsEnd::push);
    gnutls_transport_set_pull_function(session, &GnutlsEnd::pull);
  }
  ~GnutlsEnd() { gnutls_deinit(session); }
  GnutlsEnd(const GnutlsEnd&) = delete;
  GnutlsEnd& operator=(const GnutlsEnd&) = delete;

  bool step() const { return gnutls_handshake(session) == 0; }

  gnutls_session_t session = nullptr;
  GnutlsEnd* peer = nullptr;
  Bytes arrived;

 private:
  static ssize_t push(gnutls_transport_ptr_t self, const void* octets, std::size_t size) {
    Bytes& out = static_cast<GnutlsEnd*>(self)->peer->arrived;
    const auto* const begin = static_cast<const std::uint8_t*>(octets);
    out.insert(out.end(), begin, begin + size);
    return static_cast<ssize_t>(size);
  }
  static ssize_t pull(gnutls_transport_ptr_t self, void* octets, std::size_t size) {
    auto& end = *static_cast<GnutlsEnd*>(self);
    if (end.arrived.empty()) {
      gnutls_transport_set_errno(end.session, EAGAIN);
      return -1;
    }
    const std::size_t taken = std::min(size, end.arrived.size());
    std::memcpy(octets, end.arrived.data(), taken);
    end.arrived.erase(end.arrived.begin(), end.arrived.begin() + static_cast<std::ptrdiff_t>(taken));
    return static_cast<ssize_t>(taken);
  }
};

class GnutlsTlsSrp : public TlsSrp {
 public:
  explicit GnutlsTlsSrp(const TlsSrpUser& user) : user_(user) {
    need(gnutls_srp_allocate_client_credentials(&client_) == 0);
    need(gnutls_srp_set_client_credentials(client_, user_.name.c_str(), user_.password.c_str()) == 0);
    need(gnutls_srp_allocate_server_credentials(&server_) == 0);
    gnutls_srp_set_server_credentials_function(server_, &GnutlsTlsSrp::give_user);
  }
  ~GnutlsTlsSrp() override {
    gnutls_srp_free_client_credentials(client_);
    gnutls_srp_free_server_credentials(server_);
  }
  GnutlsTlsSrp(const GnutlsTlsSrp&) = delete;
  GnutlsTlsSrp& operator=(const GnutlsTlsSrp&) = delete;

  std::optional<double> handshake() override {
    GnutlsEnd client(GNUTLS_CLIENT, client_, user_);
    double before = thread_cpu(), spent = 0;
    std::optional<GnutlsEnd> server(std::in_place, static_cast<unsigned>(GNUTLS_SERVER), server_, user_);
    spent += thread_cpu() - before;
    client.peer = &*server;
    server->peer = &client;
    // An end that is done and is asked again would begin anew.
    bool connected = false, accepted = false;
    for (int turn = 0; turn < kMostTurns && !(connected && accepted); ++turn) {
      connected = connected || client.step();
      before = thread_cpu();
      accepted = accepted || server->step();
      spent += thread_cpu() - before;
    }
    before = thread_cpu();
    server.reset();
    spent += thread_cpu() - before;
    return connected && accepted ? std::optional(spent) : std::nullopt;
  }

 private:
  static int give_user(gnutls_session_t session, const char*, gnutls_datum_t* salt, gnutls_datum_t* verifier,
                       gnutls_datum_t* generator, gnutls_datum_t* prime) {
    const auto& user = *static_cast<const TlsSrpUser*>(gnutls_session_get_ptr(session));
    *salt = datum(user.salt);
    *verifier = datum(user.verifier);
    *generator = datum(user.group.generator_octets());
    *prime = datum(user.group.modulus_octets());
    return 0;
  }

  TlsSrpUser user_;
  gnutls_srp_client_credentials_t client_ = nullptr;
  gnutls_srp_server_credentials_t server_ = nullptr;
};

}  // namespace

std::unique_ptr<TlsSrp> gnutls_tls_srp(const TlsSrpUser& user) {
  return std::make_unique<GnutlsTlsSrp>(user);
}

}  // namespace keyd::bench
