// Whether the time of an answer tells why somebody is denied: Welch's t between a wrong password and every
// other reason, over samples in random order, as dudect has it (Reparaz, Balasch, Verbauwhede 2017): on all
// samples and on those below several percentiles of both; the largest |t| counts. Below 4.5 nothing was found
// with so many samples.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <random>
#include <span>

#include "core/crypto/random.h"
#include "core/exchange/eap_srp.h"
#include "core/exchange/secure_channel.h"
#include "core/exchange/srp_numbers.h"
#include "tests/bench/keyd_under_load.h"
#include "tests/support/raw_client.h"
#include "tests/support/refused_users.h"

namespace keyd::bench {
namespace {

using testing::RawClient;
using testing::RefusedUser;

// Samples of each kind. More with KEYD_SOAK: t grows with their root. Of a scheme whose exchange takes milliseconds,
// fewer.
int samples(bool slow) {
  if (std::getenv("KEYD_SOAK") != nullptr) return slow ? 10'000 : 100'000;
  return slow ? 1'000 : 4'000;
}
constexpr int kWarmUp = 500;  // exchanges of all kinds, while caches fill

double welch(const std::vector<double>& a, const std::vector<double>& b) {
  const auto moments = [](const std::vector<double>& v) {
    double mean = 0, squares = 0;
    for (const double x : v) mean += x / static_cast<double>(v.size());
    for (const double x : v) squares += (x - mean) * (x - mean);
    return std::pair{mean, squares / static_cast<double>(v.size() - 1) / static_cast<double>(v.size())};
  };
  const auto [mean_a, error_a] = moments(a);
  const auto [mean_b, error_b] = moments(b);
  return (mean_a - mean_b) / std::sqrt(error_a + error_b);
}

double largest_t(const std::vector<double>& a, const std::vector<double>& b) {
  std::vector<double> both = a;
  both.insert(both.end(), b.begin(), b.end());
  double largest = 0;
  for (const double crop : {100.0, 99.0, 95.0, 90.0, 75.0, 50.0}) {
    const double limit = percentile(both, crop);
    std::vector<double> below_a, below_b;
    std::ranges::copy_if(a, std::back_inserter(below_a), [&](double x) { return x <= limit; });
    std::ranges::copy_if(b, std::back_inserter(below_b), [&](double x) { return x <= limit; });
    if (below_a.size() < 100 || below_b.size() < 100) continue;
    const double t = welch(below_a, below_b);
    if (std::abs(t) > std::abs(largest)) largest = t;
  }
  return largest;
}

// One exchange that is denied: how long each answer takes, in microseconds. What the client computes is not timed,
// and is no more than it takes to be heard to the end.
class DeniedExchange {
 public:
  explicit DeniedExchange(RawClient& raw) : raw_(raw) {}

  // Sends the packet and waits for the answer. False: something is wrong with either, or there is no answer.
  bool ask(const Result<Bytes>& packet) {
    if (!packet || packet->empty()) return false;
    std::optional<Bytes> heard;
    const double wait = times_of(1, [&] {
      const bool sent = raw_.send(*packet);
      heard = raw_.receive();
      return sent && heard.has_value();
    })[0];
    if (wait < 0 || wire::decode(*heard, raw_.last_packet) != wire::Decoded::kMessage) return false;
    answer_ = std::move(*heard);
    waits_.push_back(wait);
    return true;
  }
  bool ask(wire::ClientPacket packet) { return ask(wire::encode(packet)); }
  [[nodiscard]] RawClient& raw() { return raw_; }
  [[nodiscard]] const wire::ServerPacket& message() const { return raw_.last_packet; }
  [[nodiscard]] const Bytes& answer() const { return answer_; }
  [[nodiscard]] const std::vector<double>& waits() const { return waits_; }

 private:
  RawClient& raw_;
  Bytes answer_;
  std::vector<double> waits_;
};

// A scheme's steps by name, and an exchange of it that asks once for each and is denied at the last one.
struct Scheme {
  const char* name;
  std::span<const char* const> steps;
  bool (*deny)(DeniedExchange& exchange, const RefusedUser& who, wire::Suite suite);
  bool slow = false;
};

bool deny_challenge(DeniedExchange& exchange, const RefusedUser& who, wire::Suite suite) {
  auto& machine = exchange.raw().machine;
  machine.emplace(suite == wire::SUITE_MODERN ? testing::modern_choice(who.user)
                                              : testing::historic_choice(who.user));
  return exchange.ask(machine->start(crypto::fill_random)) &&
         machine->take_numbers(exchange.answer(), exchange.message().challenge_numbers()).has_value() &&
         exchange.ask(exchange.raw().proof(who.password));
}

// A client finds out by itself that its hash is a wrong one, and says no more. What somebody sends who goes on all the
// same is, to keyd, a password under a key that nobody has.
bool deny_kryptoknight(DeniedExchange& exchange, const RefusedUser& who, wire::Suite suite) {
  exchange::KryptoknightClient client(RawClient::knight_choice(who.user, suite));
  std::array<std::uint8_t, 32> key{}, hash{};
  const std::array<std::uint8_t, 128> password{};  // short ones are all as long as this
  if (!crypto::fill_random(key) || !exchange.ask(client.start(crypto::fill_random)) ||
      !client.take_reply(exchange.answer(), exchange.message().kryptoknight_reply())) {
    return false;
  }
  exchange::SecureChannel channel(exchange::Role::kClient, key, key, hash);
  const auto record = channel.seal(exchange::RecordType::kPassword, password);
  const auto finished = channel.seal(exchange::RecordType::kFinished, hash);
  if (!record || !finished) return false;
  wire::ClientPacket packet;
  packet.mutable_kryptoknight_password()->set_password(record->data(), record->size());
  packet.mutable_kryptoknight_password()->set_finished(finished->data(), finished->size());
  return exchange.ask(packet);
}

// The same A each time, and a proof of nothing: what the password is makes no difference to keyd's work.
bool deny_srp(DeniedExchange& exchange, const RefusedUser& who, wire::Suite suite) {
  static const auto pair = exchange::draw_ephemeral(*exchange::SrpGroup::listed(exchange::kDefaultGroupBits),
                                                    crypto::fill_random_private);
  const auto form =
      suite == wire::SUITE_MODERN ? exchange::EapSrpForm::of_vendor() : exchange::EapSrpForm::type19();
  const auto respond = [&](exchange::SrpSubtype subtype, const Result<Bytes>& body) {
    const auto request = exchange::decode_srp_message(form, bytes_of(exchange.message().srp().eap()));
    if (!request || request->subtype != subtype || !body) return false;
    const auto eap = exchange::encode_srp_message(form, {.code = exchange::EapCode::kResponse,
                                                         .identifier = request->identifier,
                                                         .subtype = subtype,
                                                         .body = *body});
    if (!eap) return false;
    wire::ClientPacket packet;
    packet.mutable_srp()->set_eap(eap->data(), eap->size());
    return exchange.ask(packet);
  };
  exchange::SrpClient client(RawClient::srp_choice(who.user, suite), {});
  Bytes proof(form.proof_size());
  if (!pair || !crypto::fill_random(proof) || !exchange.ask(client.start(crypto::fill_random))) return false;
  const ByteView A = pair->power.reveal();
  return respond(exchange::SrpSubtype::kKey, Bytes(A.begin(), A.end())) &&
         respond(exchange::SrpSubtype::kValidator,
                 exchange::encode_validator(
                     form, exchange::EapCode::kResponse,
                     {.flags = exchange::kKeyIsForEncryption, .proof = proof, .hidden_pseudonym = {}}));
}

constexpr const char *kChallengeSteps[] = {"numbers", "verdict"},
                     *kKryptoknightSteps[] = {"reply", "verdict"},
                     *kSrpSteps[] = {"challenge", "key", "verdict"};
constexpr Scheme kChallenge{"challenge", kChallengeSteps, deny_challenge};
constexpr Scheme kKryptoknight{"kryptoknight", kKryptoknightSteps, deny_kryptoknight};
constexpr Scheme kSrp{"srp", kSrpSteps, deny_srp, true};

void Uniformity(benchmark::State& state, const Scheme& scheme, wire::Suite suite) {
  testing::PrivateKeyd keyd(testing::refused_users_config() + "[audit]\nfile = \"/dev/null\"\n");
  if (!testing::start_with_refused_users(keyd, scheme.name))
    return state.SkipWithError("keyd does not start");
  std::vector<RefusedUser> kinds(std::begin(testing::kRefusedUsers), std::end(testing::kRefusedUsers));
  if (suite == wire::SUITE_HISTORIC) kinds.push_back(testing::kNoHistoricUser);
  RawClient raw(keyd.runtime_dir());
  // By kind and step.
  std::vector<std::vector<std::vector<double>>> taken(kinds.size(),
                                                      std::vector<std::vector<double>>(scheme.steps.size()));
  std::mt19937 random(std::random_device{}());
  for (auto _ : state) {
    for (int i = -kWarmUp; i < samples(scheme.slow) * static_cast<int>(kinds.size()); ++i) {
      const std::size_t kind = random() % kinds.size();
      DeniedExchange exchange(raw);
      if (!scheme.deny(exchange, kinds[kind], suite) || exchange.waits().size() != scheme.steps.size() ||
          !exchange.message().has_denied()) {
        const std::string heard = raw.last_packet.ShortDebugString();
        return state.SkipWithError((std::string(kinds[kind].kind) + ": " + heard).c_str());
      }
      for (std::size_t step = 0; step < scheme.steps.size() && i >= 0; ++step)
        taken[kind][step].push_back(exchange.waits()[step]);
    }
  }
  for (std::size_t step = 0; step < scheme.steps.size(); ++step) {
    const std::string name = scheme.steps[step];
    for (std::size_t kind = 1; kind < kinds.size(); ++kind) {
      std::string of = kinds[kind].kind;
      std::ranges::replace(of, ' ', '_');
      state.counters["t_" + name + "_" + of] = largest_t(taken[0][step], taken[kind][step]);
    }
    state.counters[name + "_p50_us"] = percentile(taken[0][step], 50);
  }
  state.counters["samples_each"] = static_cast<double>(taken[0][0].size());
}

void once(benchmark::internal::Benchmark* run) {
  run->Iterations(1)->UseRealTime()->Unit(benchmark::kMillisecond);
}
#define IN_EACH_SUITE(name, scheme)                                                      \
  BENCHMARK_CAPTURE(Uniformity, name##_modern, scheme, wire::SUITE_MODERN)->Apply(once); \
  BENCHMARK_CAPTURE(Uniformity, name##_historic, scheme, wire::SUITE_HISTORIC)->Apply(once)
IN_EACH_SUITE(challenge, kChallenge);
IN_EACH_SUITE(kryptoknight, kKryptoknight);
IN_EACH_SUITE(srp, kSrp);

}  // namespace
}  // namespace keyd::bench

BENCHMARK_MAIN();
