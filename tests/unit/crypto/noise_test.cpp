// Raw noise sources may be stuck, biased, absent or broken: the health tests say so, and the collector goes
// on without them, by name.
#include "core/crypto/noise.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <fstream>
#include <random>

#include "core/crypto/random.h"

namespace keyd::crypto {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// ---- SP 800-90B section 4.4

TEST(HealthTest, PassesTheKernelsPool) {
  HealthTest health;
  Bytes samples(1 << 20);
  ASSERT_TRUE(read_kernel_pool(samples));
  EXPECT_TRUE(health.feed(samples));
  EXPECT_FALSE(health.failed());
}

TEST(HealthTest, FailsASourceThatIsStuck) {
  HealthTest health;
  EXPECT_FALSE(health.feed(Bytes(512, 0x00)));
  EXPECT_TRUE(health.failed());
}

TEST(HealthTest, FailsAtExactlyTheRepetitionCutoff) {
  Bytes samples{0x11};
  samples.insert(samples.end(), HealthTest::kRepetitionCutoff - 1, 0x22);
  HealthTest health;
  EXPECT_TRUE(health.feed(samples));
  EXPECT_FALSE(health.feed(Bytes{0x22}));
}

TEST(HealthTest, CountsRepetitionsAcrossCalls) {
  HealthTest health;
  for (unsigned i = 1; i < HealthTest::kRepetitionCutoff; ++i) ASSERT_TRUE(health.feed(Bytes{0x42})) << i;
  EXPECT_FALSE(health.feed(Bytes{0x42}));
}

// A window whose first sample comes `count` times in it, never twice in a row beyond need.
Bytes window_with(unsigned count) {
  Bytes samples(HealthTest::kWindow);
  std::mt19937 shuffle(1);
  for (std::size_t i = 1; i < samples.size(); ++i) {
    samples[i] = i < count ? std::uint8_t{0} : static_cast<std::uint8_t>(1 + i % 255);
  }
  std::shuffle(samples.begin() + 1, samples.end(), shuffle);
  return samples;
}

TEST(HealthTest, FailsASourceThatIsBiased) {
  // Two in three samples are the same, yet never 31 in a row: only the proportion shows it.
  Bytes samples(HealthTest::kWindow);
  for (std::size_t i = 0; i < samples.size(); ++i)
    samples[i] = i % 3 == 2 ? static_cast<std::uint8_t>(i) | 1 : 0;
  HealthTest health;
  EXPECT_FALSE(health.feed(samples));
}

TEST(HealthTest, FailsAtExactlyTheProportionCutoff) {
  HealthTest below, at;
  EXPECT_TRUE(below.feed(window_with(HealthTest::kProportionCutoff - 1)));
  EXPECT_FALSE(at.feed(window_with(HealthTest::kProportionCutoff)));
}

TEST(HealthTest, StartsAnewWithEachWindow) {
  // As many matches as one window may have, again and again: they do not add up over windows.
  HealthTest health;
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(health.feed(window_with(HealthTest::kProportionCutoff - 1))) << i;
}

TEST(HealthTest, StaysFailed) {
  HealthTest health;
  ASSERT_FALSE(health.feed(Bytes(64, 1)));
  Bytes good(4096);
  ASSERT_TRUE(read_kernel_pool(good));
  EXPECT_FALSE(health.feed(good));
  EXPECT_TRUE(health.failed());
}

// ---- the sources

TEST(NoiseSources, LeaveOutADeviceThatIsNotThere) {
  for (const auto& source : raw_noise_sources("/nonexistent/hwrng")) EXPECT_NE(source->name(), "hwrng");
}

TEST(NoiseSources, FollowNoLinkToTheDevice) {
  const std::string link = testing::TempDir() + "keyd_hwrng_" + std::to_string(::getpid());
  ASSERT_EQ(::symlink("/dev/urandom", link.c_str()), 0);
  for (const auto& source : raw_noise_sources(link)) EXPECT_NE(source->name(), "hwrng");
  ::unlink(link.c_str());
}

TEST(NoiseSources, ReadTheDeviceThatIsThere) {
  // The kernel's pool in the place of a hardware generator: same interface, always there.
  const auto sources = raw_noise_sources("/dev/urandom");
  ASSERT_FALSE(sources.empty());
  EXPECT_EQ(sources.back()->name(), "hwrng");
  HealthTest health;
  Bytes samples(65536);
  ASSERT_TRUE(sources.back()->read(samples));
  EXPECT_TRUE(health.feed(samples));
}

TEST(NoiseSources, SayWhyADeviceGivesNothing) {
  const auto sources = raw_noise_sources("/dev/null");
  ASSERT_FALSE(sources.empty());
  Bytes samples(16);
  const auto got = sources.back()->read(samples);
  ASSERT_FALSE(got);
  EXPECT_THAT(got.error().message(), HasSubstr("at its end"));
}

TEST(NoiseSources, GiveHealthyNoiseFromTheProcessor) {
  auto sources = raw_noise_sources("/nonexistent/hwrng");
  if (sources.empty()) GTEST_SKIP() << "this processor has no RDSEED";
  EXPECT_EQ(sources[0]->name(), "rdseed");
  for (const std::size_t size : {1u, 7u, 8u, 9u, 512u, 8192u}) {
    HealthTest health;
    Bytes samples(size);
    ASSERT_TRUE(sources[0]->read(samples));
    EXPECT_TRUE(health.feed(samples)) << size;
  }
}

// ---- the collector

class FakeSource : public NoiseSource {
 public:
  enum class Kind { kHealthy, kStuck, kBroken };
  FakeSource(std::string name, Kind kind, int* reads) : name_(std::move(name)), kind_(kind), reads_(reads) {}
  [[nodiscard]] std::string_view name() const override { return name_; }
  [[nodiscard]] Result<void> read(MutableByteView out) override {
    ++*reads_;
    if (kind_ == Kind::kBroken) return fail(Code::kBroken, "the cable is out");
    std::ranges::fill(out, std::uint8_t{0xff});
    return kind_ == Kind::kStuck ? Result<void>() : read_kernel_pool(out);
  }

 private:
  std::string name_;
  Kind kind_;
  int* reads_;
};

std::vector<std::unique_ptr<NoiseSource>> sources_of(
    std::initializer_list<std::pair<const char*, FakeSource::Kind>> kinds, int& reads) {
  std::vector<std::unique_ptr<NoiseSource>> out;
  for (const auto& [name, kind] : kinds) out.push_back(std::make_unique<FakeSource>(name, kind, &reads));
  return out;
}

TEST(NoiseCollector, MixesTheKernelsPoolWhenThereIsNothingElse) {
  NoiseCollector collector({});
  const auto report = collector.stir();
  ASSERT_TRUE(report);
  EXPECT_THAT(report->mixed, ElementsAre("getrandom"));
  EXPECT_THAT(report->newly_failed, IsEmpty());
}

TEST(NoiseCollector, LeavesOutASourceThatFailsItsHealthTestAndNamesIt) {
  int reads = 0;
  NoiseCollector collector(
      sources_of({{"good", FakeSource::Kind::kHealthy}, {"stuck", FakeSource::Kind::kStuck}}, reads));
  const auto report = collector.stir();
  ASSERT_TRUE(report);
  EXPECT_THAT(report->mixed, ElementsAre("getrandom", "good"));
  EXPECT_THAT(report->newly_failed,
              ElementsAre(testing::AllOf(HasSubstr("stuck: "), HasSubstr("SP 800-90B"))));
}

TEST(NoiseCollector, LeavesOutASourceThatCannotBeReadAndSaysWhy) {
  int reads = 0;
  NoiseCollector collector(sources_of({{"serial", FakeSource::Kind::kBroken}}, reads));
  const auto report = collector.stir();
  ASSERT_TRUE(report);
  EXPECT_THAT(report->mixed, ElementsAre("getrandom"));
  EXPECT_THAT(report->newly_failed, ElementsAre("serial: the cable is out"));
}

TEST(NoiseCollector, NamesAFailedSourceOnceAndNeverAsksItAgain) {
  int reads = 0;
  NoiseCollector collector(sources_of({{"stuck", FakeSource::Kind::kStuck}}, reads));
  ASSERT_TRUE(collector.stir());
  for (int i = 0; i < 3; ++i) {
    const auto report = collector.stir();
    ASSERT_TRUE(report);
    EXPECT_THAT(report->mixed, ElementsAre("getrandom"));
    EXPECT_THAT(report->newly_failed, IsEmpty());
  }
  EXPECT_EQ(reads, 1);
}

TEST(NoiseCollector, GoesOnWorkingWhenEverySourceFailed) {
  int reads = 0;
  NoiseCollector collector(
      sources_of({{"a", FakeSource::Kind::kBroken}, {"b", FakeSource::Kind::kStuck}}, reads));
  const auto report = collector.stir();
  ASSERT_TRUE(report);
  EXPECT_EQ(report->newly_failed.size(), 2u);
  Bytes first(32), second(32);
  EXPECT_TRUE(fill_random(first));
  ASSERT_TRUE(collector.stir());
  EXPECT_TRUE(fill_random(second));
  EXPECT_NE(first, second);
}

TEST(NoiseCollector, TakesTheMachinesOwnSources) {
  NoiseCollector collector(raw_noise_sources());
  for (int i = 0; i < 10; ++i) {
    const auto report = collector.stir();
    ASSERT_TRUE(report);
    EXPECT_EQ(report->mixed.front(), "getrandom");
  }
}

}  // namespace
}  // namespace keyd::crypto
