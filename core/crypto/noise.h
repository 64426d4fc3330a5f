// Physical noise for the random numbers (seed 000, claims 7 and 20): raw sources, each behind the continuous
// health tests of NIST SP 800-90B section 4.4, mixed into OpenSSL's DRBG and never used instead of it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/bytes.h"
#include "core/base/error.h"

namespace keyd::crypto {

// The two continuous health tests over octet samples, for a source credited with at least one bit of entropy
// an octet and a false-alarm rate of 2^-30 (SP 800-90B sections 4.4.1 and 4.4.2). Once failed, it stays
// failed.
class HealthTest {
 public:
  static constexpr unsigned kRepetitionCutoff = 31;   // 1 + ceil(30 / H), H = 1
  static constexpr unsigned kWindow = 512;            // samples
  static constexpr unsigned kProportionCutoff = 325;  // critbinom(512, 2^-1, 1 - 2^-30) + 1

  // Takes samples in order; false as soon as either test has failed.
  [[nodiscard]] bool feed(ByteView samples);
  [[nodiscard]] bool failed() const { return failed_; }

 private:
  bool failed_ = false, started_ = false;
  std::uint8_t last_ = 0, window_first_ = 0;
  unsigned repetitions_ = 0, in_window_ = 0, matches_ = 0;
};

// A raw source. read() may block on hardware: call it off the event loop.
class NoiseSource {
 public:
  virtual ~NoiseSource() = default;
  [[nodiscard]] virtual std::string_view name() const = 0;
  // Fills `out` or says why not.
  [[nodiscard]] virtual Result<void> read(MutableByteView out) = 0;
};

// getrandom(2), the kernel's pool. Its failure is a refusal, not a source left out.
[[nodiscard]] Result<void> read_kernel_pool(MutableByteView out);

// The raw sources this machine has: RDSEED and /dev/hwrng (`device`). Absent ones are not in the list.
[[nodiscard]] std::vector<std::unique_ptr<NoiseSource>> raw_noise_sources(
    const std::string& device = "/dev/hwrng");

// One stirring: the kernel's pool and every source that is healthy. What happened, for the log.
class NoiseCollector {
 public:
  static constexpr std::size_t kSampleOctets = 512;  // a source gives at each stirring

  explicit NoiseCollector(std::vector<std::unique_ptr<NoiseSource>> sources);

  struct Report {
    std::vector<std::string> mixed;         // names of the sources that went in
    std::vector<std::string> newly_failed;  // "name: reason", told once and left out from then on
  };
  // An error only when getrandom(2) fails: then no number may be generated.
  [[nodiscard]] Result<Report> stir();

 private:
  struct Entry {
    std::unique_ptr<NoiseSource> source;
    HealthTest health;
    bool left_out = false;
  };
  std::vector<Entry> entries_;
};

}  // namespace keyd::crypto
