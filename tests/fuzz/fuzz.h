// What the fuzz targets share: the entry point, a check that stays in every build, and an input cut into
// packets.
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

}  // namespace keyd::fuzz
