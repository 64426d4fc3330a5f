// Sealed records and handed-over channels as an attacker writes them. The first octet says what the rest is.
#include <algorithm>

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/scene.h"

namespace keyd::fuzz {
namespace {

using exchange::RecordType;
using exchange::Role;
using exchange::SecureChannel;

// Records to the server's end; the first one that does not open must end the channel.
void open_all(ByteView input, RecordType type, bool next_epoch) {
  SecureChannel server = channel(Role::kServer);
  if (next_epoch) server.advance(fresh('c'), fresh('s'));
  Packets packets(input);
  bool dead = false;
  while (!packets.done()) {
    const ByteView record = packets.next();
    const auto plaintext = server.open(type, record);
    must(!(dead && plaintext));
    if (plaintext) must(plaintext->size() + exchange::kRecordOverhead == record.size());
    dead = dead || !plaintext;
  }
  must(server.seal(type, {}).has_value() != dead);
}

void take_over(ByteView input) {
  auto taken = SecureChannel::take_over(input);
  if (!taken) return;
  must(input.size() == SecureChannel::kHandoverSize && taken->epoch() != 0);
  const auto back = taken->hand_over();
  must(std::ranges::equal(back.reveal(), input));
  must(taken->seal(RecordType::kSession, input).has_value());
  must(!taken->open(RecordType::kSession, input).has_value());
}

}  // namespace
}  // namespace keyd::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace keyd::fuzz;
  if (size == 0 || size > 70'000) return 0;
  const keyd::ByteView rest(data + 1, size - 1);
  if (data[0] == 0xff) {
    take_over(rest);
  } else {
    open_all(rest, static_cast<RecordType>(1 + data[0] % 3), (data[0] & 0x80) != 0);
  }
  return 0;
}
