#include "core/crypto/noise.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <sys/random.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

#include "core/base/unique_fd.h"

namespace keyd::crypto {
namespace {

#if defined(__x86_64__)
class Rdseed final : public NoiseSource {
 public:
  static bool available() {
    unsigned a = 0, b = 0, c = 0, d = 0;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (b & bit_RDSEED) != 0;
  }
  [[nodiscard]] std::string_view name() const override { return "rdseed"; }
  [[nodiscard]] Result<void> read(MutableByteView out) override {
    for (std::size_t at = 0; at < out.size(); at += sizeof(unsigned long long)) {
      unsigned long long word = 0;
      if (!draw(word)) return fail(Code::kBroken, "RDSEED gave nothing in 1000 tries");
      std::memcpy(out.data() + at, &word, std::min(sizeof word, out.size() - at));
    }
    return {};
  }

 private:
  // An empty conditioner is normal for a moment (Intel's guide, section 5.3.1).
  [[gnu::target("rdseed")]] static bool draw(unsigned long long& word) {
    for (int i = 0; i < 1000; ++i) {
      if (_rdseed64_step(&word) == 1) return true;
      _mm_pause();
    }
    return false;
  }
};
#endif

class HardwareDevice final : public NoiseSource {
 public:
  explicit HardwareDevice(UniqueFd fd) : fd_(std::move(fd)) {}
  [[nodiscard]] std::string_view name() const override { return "hwrng"; }
  [[nodiscard]] Result<void> read(MutableByteView out) override {
    while (!out.empty()) {
      const ssize_t got = ::read(fd_.get(), out.data(), out.size());
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return fail_errno(Code::kBroken, "cannot read the hardware generator");
      if (got == 0) return fail(Code::kBroken, "the hardware generator is at its end");
      out = out.subspan(static_cast<std::size_t>(got));
    }
    return {};
  }

 private:
  UniqueFd fd_;
};

}  // namespace

bool HealthTest::feed(ByteView samples) {
  for (const std::uint8_t sample : samples) {
    // Section 4.4.1, repetition count.
    repetitions_ = started_ && sample == last_ ? repetitions_ + 1 : 1;
    last_ = sample;
    started_ = true;
    // Section 4.4.2, adaptive proportion: how often a window's first sample comes again within it.
    if (in_window_ == 0) {
      window_first_ = sample;
      matches_ = 1;
    } else if (sample == window_first_) {
      ++matches_;
    }
    in_window_ = (in_window_ + 1) % kWindow;
    if (repetitions_ >= kRepetitionCutoff || matches_ >= kProportionCutoff) failed_ = true;
  }
  return !failed_;
}

Result<void> read_kernel_pool(MutableByteView out) {
  while (!out.empty()) {
    const ssize_t got = ::getrandom(out.data(), out.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return fail_errno(Code::kBroken, "getrandom failed");
    out = out.subspan(static_cast<std::size_t>(got));
  }
  return {};
}

std::vector<std::unique_ptr<NoiseSource>> raw_noise_sources(const std::string& device) {
  std::vector<std::unique_ptr<NoiseSource>> sources;
#if defined(__x86_64__)
  if (Rdseed::available()) sources.push_back(std::make_unique<Rdseed>());
#endif
  UniqueFd fd(::open(device.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (fd.valid()) sources.push_back(std::make_unique<HardwareDevice>(std::move(fd)));
  return sources;
}

NoiseCollector::NoiseCollector(std::vector<std::unique_ptr<NoiseSource>> sources) {
  for (auto& source : sources) entries_.push_back({std::move(source), {}, false});
}

Result<NoiseCollector::Report> NoiseCollector::stir() {
  Report report;
  std::array<std::uint8_t, kSampleOctets> samples{};
  if (auto pool = read_kernel_pool(MutableByteView(samples).first(32)); !pool)
    return std::unexpected(pool.error());
  RAND_add(samples.data(), 32, 32);
  report.mixed.emplace_back("getrandom");
  for (Entry& entry : entries_) {
    if (entry.left_out) continue;
    const auto got = entry.source->read(samples);
    if (!got || !entry.health.feed(samples)) {
      entry.left_out = true;
      report.newly_failed.push_back(std::string(entry.source->name()) + ": " +
                                    (got ? "failed its SP 800-90B health test" : got.error().message()));
      continue;
    }
    // Credited with nothing: it can only add to what getrandom(2) gave.
    RAND_add(samples.data(), static_cast<int>(samples.size()), 0.0);
    report.mixed.emplace_back(entry.source->name());
  }
  OPENSSL_cleanse(samples.data(), samples.size());
  return report;
}

}  // namespace keyd::crypto
