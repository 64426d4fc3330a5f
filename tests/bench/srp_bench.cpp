// What srp costs a server, held against one exponentiation in the same group (the unit of the table) and against the
// servers of TLS with SRP. All in processor time of the server's end; a client's scrypt is nobody's here.
#include <benchmark/benchmark.h>
#include <openssl/bn.h>

#include <cstdlib>
#include <memory>

#include "core/crypto/random.h"
#include "core/exchange/srp.h"
#include "core/wire/message_codec.h"
#include "tests/bench/keyd_under_load.h"
#include "tests/bench/srp_renewer.h"
#include "tests/bench/tls_srp.h"

namespace keyd::bench {
namespace {

void report_server(benchmark::State& state, double seconds) {
  state.counters["server_us"] = benchmark::Counter(seconds * 1e6, benchmark::Counter::kAvgIterations);
}

// ---- the unit

struct FreeNumber {
  void operator()(BIGNUM* number) const { BN_free(number); }
  void operator()(BN_CTX* context) const { BN_CTX_free(context); }
  void operator()(BN_MONT_CTX* context) const { BN_MONT_CTX_free(context); }
};
template <typename T>
using Owned = std::unique_ptr<T, FreeNumber>;

// One exponentiation as every SRP makes them: constant-time, by an exponent of 256 bits, everything prepared.
void Modexp(benchmark::State& state) {
  const auto group = exchange::SrpGroup::listed(static_cast<unsigned>(state.range(0))).value();
  const ByteView octets = group.modulus_octets();
  const Owned<BIGNUM> modulus(BN_bin2bn(octets.data(), static_cast<int>(octets.size()), nullptr));
  const Owned<BIGNUM> base(BN_new()), exponent(BN_new()), power(BN_new());
  const Owned<BN_CTX> context(BN_CTX_new());
  const Owned<BN_MONT_CTX> montgomery(BN_MONT_CTX_new());
  if (BN_rand_range(base.get(), modulus.get()) != 1 ||
      BN_rand(exponent.get(), 256, BN_RAND_TOP_ONE, 0) != 1 ||
      BN_MONT_CTX_set(montgomery.get(), modulus.get(), context.get()) != 1)
    return state.SkipWithError("numbers");
  double spent = 0;
  for (auto _ : state) {
    const double before = thread_cpu();
    if (BN_mod_exp_mont_consttime(power.get(), base.get(), exponent.get(), modulus.get(), context.get(),
                                  montgomery.get()) != 1)
      return state.SkipWithError("exponentiation");
    spent += thread_cpu() - before;
  }
  report_server(state, spent);
}

// ---- keyd's machine

// Counts the processor time that passes while it lives.
class Spent {
 public:
  explicit Spent(double& sum) : sum_(sum), began_(thread_cpu()) {}
  ~Spent() { sum_ += thread_cpu() - began_; }
  Spent(const Spent&) = delete;
  Spent& operator=(const Spent&) = delete;

 private:
  double& sum_;
  double began_;
};

// A user of srp, and exchanges with the machines of both ends: what the server's end took is counted.
class Exchanges {
 public:
  explicit Exchanges(unsigned group_bits) : group_(exchange::SrpGroup::listed(group_bits).value()) {
    // Without scrypt, which is the client's alone.
    policy_.derivations.sha256 = true;
    const auto x = exchange::derive_x(kDerivation, bytes_of(kUser), bytes_of(kPassword), salt_);
    verifier_ = exchange::verifier_of(group_, x.value().reveal());
  }
  enum class Pairs { kDrawnAhead, kDrawnNow };
  // One more. False: an end has refused.
  bool run(Pairs pairs, double& spent);

 private:
  static constexpr exchange::XDerivation kDerivation{exchange::DerivationKind::kSha256, {}};
  template <typename Message>
  static Message decoded(ByteView packet) {
    Message out;
    if (wire::decode(packet, out) != wire::Decoded::kMessage) std::abort();
    return out;
  }
  [[nodiscard]] exchange::EphemeralPair pair() const {
    return exchange::draw_ephemeral(group_, crypto::fill_random_private).value();
  }

  exchange::SrpGroup group_;
  Bytes salt_ = Bytes(16, 's');
  secret::SecretBuffer verifier_;
  exchange::SrpClientPolicy policy_;
};

bool Exchanges::run(Pairs pairs, double& spent) {
  exchange::SrpClient client(testing::RawClient::srp_choice(kUser), policy_);
  const auto start = client.start(crypto::fill_random).value();
  std::optional<exchange::EphemeralPair> ready;
  if (pairs == Pairs::kDrawnAhead) ready = pair();

  std::unique_ptr<exchange::SrpServer> server;
  const auto serve = [&](auto step) {
    const Spent counted(spent);
    return step();
  };
  const auto challenge = serve([&] {
    server = std::make_unique<exchange::SrpServer>();
    return server->challenge(start, decoded<wire::ClientPacket>(start).srp_start(),
                             {group_, salt_, kDerivation, secret::SecretBuffer::copy_of(verifier_.reveal())},
                             crypto::fill_random);
  });
  if (!challenge) return false;
  const auto client_key = client.take_challenge(*challenge, decoded<wire::ServerPacket>(*challenge).srp(),
                                                crypto::fill_random_private);
  if (!client_key) return false;
  const auto server_key = serve([&] {
    return server->take_key(*client_key, decoded<wire::ClientPacket>(*client_key).srp(),
                            ready ? std::move(*ready) : pair());
  });
  if (!server_key || !client.take_key(*server_key, decoded<wire::ServerPacket>(*server_key).srp()))
    return false;
  const auto proof = client.prove(bytes_of(kPassword));
  if (!proof) return false;
  const auto validator =
      serve([&] { return server->verify(*proof, decoded<wire::ClientPacket>(*proof).srp()); });
  if (!validator) return false;
  const auto ack = client.take_proof(*validator, decoded<wire::ServerPacket>(*validator).srp());
  if (!ack) return false;
  const bool confirmed = serve([&] {
    if (!server->take_finished(*ack, decoded<wire::ClientPacket>(*ack).srp()) || !server->confirm())
      return false;
    benchmark::DoNotOptimize(server->take_channel());
    return true;
  });
  serve([&] {
    server.reset();
    return true;
  });
  return confirmed;
}

void serve_srp(benchmark::State& state, Exchanges::Pairs pairs) {
  Exchanges exchanges(static_cast<unsigned>(state.range(0)));
  double spent = 0;
  for (auto _ : state) {
    if (!exchanges.run(pairs, spent)) return state.SkipWithError("an exchange failed");
  }
  report_server(state, spent);
}
void SrpServer(benchmark::State& state) { serve_srp(state, Exchanges::Pairs::kDrawnNow); }
void SrpServerWithPool(benchmark::State& state) { serve_srp(state, Exchanges::Pairs::kDrawnAhead); }

// ---- others

void serve_tls(benchmark::State& state, std::unique_ptr<TlsSrp> (*make)(const TlsSrpUser&)) {
  const auto tls = make(TlsSrpUser(kUser, kPassword, static_cast<unsigned>(state.range(0))));
  double spent = 0;
  for (auto _ : state) {
    const auto took = tls->handshake();
    if (!took) return state.SkipWithError("a handshake failed");
    spent += *took;
  }
  report_server(state, spent);
}
void OpensslServer(benchmark::State& state) { serve_tls(state, openssl_tls_srp); }
void GnutlsServer(benchmark::State& state) { serve_tls(state, gnutls_tls_srp); }

// ---- keyd, whole

// What a login costs the daemon: sockets, table, store, workers, and the pair that is drawn for the next one.
void SrpLogin(benchmark::State& state) {
  const auto keyd = started_keyd();
  keyd->enrol("bob", kPassword, {"--scheme", "srp"});
  SrpRenewer bob(keyd->runtime_dir(), "bob", kPassword);
  for (int i = 0; i < 10; ++i) {
    if (!bob.log_in()) return state.SkipWithError("a login failed");
  }
  const double before = cpu_seconds(keyd->pid());
  for (auto _ : state) {
    if (!bob.log_in()) return state.SkipWithError("a login failed");
  }
  report_server(state, cpu_seconds(keyd->pid()) - before);
}

BENCHMARK(Modexp)->Arg(2048)->Arg(3072);
BENCHMARK(SrpServer)->Arg(2048)->Arg(3072);
BENCHMARK(SrpServerWithPool)->Arg(2048)->Arg(3072);
BENCHMARK(OpensslServer)->Arg(2048)->Arg(3072);
BENCHMARK(GnutlsServer)->Arg(2048)->Arg(3072);
BENCHMARK(SrpLogin)->Iterations(100);

}  // namespace
}  // namespace keyd::bench

BENCHMARK_MAIN();
