// A call of the generator costs half a microsecond however little it gives, and an exchange needs four
// numbers: what is going to be sent is drawn ahead. What is left waits in memory that a forked child does not
// have, so that it never repeats its parent's numbers.
#include "core/crypto/random.h"

#include <openssl/rand.h>

#include <algorithm>
#include <cstring>

#include "core/secret/secret.h"

namespace keyd::crypto {
namespace {

bool draw(MutableByteView out) { return RAND_bytes(out.data(), static_cast<int>(out.size())) == 1; }

class DrawnAhead {
 public:
  static constexpr std::size_t kLargest = 64;  // octets; more are drawn directly

  // `out` holds kLargest octets at most. Throws PoolExhausted.
  bool take(MutableByteView out) {
    if (block_.empty() || block_.lost()) block_ = secret::SecretBuffer(kSize);
    std::uint32_t left = 0;
    std::memcpy(&left, block_.reveal().data(), sizeof left);
    const MutableByteView octets = block_.reveal().subspan(sizeof left);
    if (left < out.size()) {
      if (!draw(octets)) return false;
      left = static_cast<std::uint32_t>(octets.size());
    }
    left -= static_cast<std::uint32_t>(out.size());
    const MutableByteView given = octets.subspan(left, out.size());
    std::ranges::copy(given, out.begin());
    secret::wipe(given.data(), given.size());
    std::memcpy(block_.reveal().data(), &left, sizeof left);
    return true;
  }

 private:
  static constexpr std::size_t kSize = 512;  // the count of what is left, and the octets
  secret::SecretBuffer block_;
};

}  // namespace

bool fill_random(MutableByteView out) {
  if (out.size() > DrawnAhead::kLargest) return draw(out);
  thread_local DrawnAhead ahead;
  try {
    return ahead.take(out);
  } catch (const secret::PoolExhausted&) {
    return draw(out);
  }
}

bool fill_random_private(MutableByteView out) {
  return RAND_priv_bytes(out.data(), static_cast<int>(out.size())) == 1;
}

}  // namespace keyd::crypto
