// What the fuzz targets share: the entry point, a check that stays in every build, and an input cut into
// packets or read as a script of steps.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <source_location>

#include "core/base/bytes.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace keyd::fuzz {

// Something that must hold whatever the input is.
inline void must(bool holds, std::source_location where = std::source_location::current()) {
  if (holds) return;
  std::fprintf(stderr, "%s:%u: an invariant does not hold\n", where.file_name(),
               static_cast<unsigned>(where.line()));
  std::abort();
}

// An input that is a conversation: be16(length) | packet, again and again; a cut last packet is what is left.
class Packets {
 public:
  explicit Packets(ByteView input) : rest_(input) {}

  [[nodiscard]] bool done() const { return rest_.size() < 2; }
  ByteView next() {
    if (done()) return {};
    const std::size_t length = std::size_t{rest_[0]} << 8 | rest_[1];
    rest_ = rest_.subspan(2);
    const ByteView packet = rest_.first(length < rest_.size() ? length : rest_.size());
    rest_ = rest_.subspan(packet.size());
    return packet;
  }

 private:
  ByteView rest_;
};

// An input that is a script: octets taken one by one; past its end they are zeros.
class Script {
 public:
  explicit Script(ByteView input) : rest_(input) {}

  [[nodiscard]] bool done() const { return rest_.empty(); }
  std::uint8_t octet() {
    if (done()) return 0;
    const std::uint8_t value = rest_[0];
    rest_ = rest_.subspan(1);
    return value;
  }
  std::uint16_t word() {
    const unsigned high = octet();
    return static_cast<std::uint16_t>(high << 8 | octet());
  }
  // be16(length) | octets; at most what is left.
  ByteView octets() { return take(word()); }
  ByteView take(std::size_t size) {
    const ByteView taken = rest_.first(size < rest_.size() ? size : rest_.size());
    rest_ = rest_.subspan(taken.size());
    return taken;
  }

 private:
  ByteView rest_;
};

}  // namespace keyd::fuzz
