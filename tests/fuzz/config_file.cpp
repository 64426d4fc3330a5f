// A configuration file by somebody else: refused with one printable line that names the file, or every value
// is in the range that keyd.toml(5) promises.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>

#include "core/base/untrusted_text.h"
#include "core/kernel/memfd.h"
#include "keyd/config.h"
#include "tests/fuzz/fuzz.h"

namespace keyd::fuzz {
namespace {

using std::chrono::seconds;

template <typename Value>
bool within(Value value, Value low, Value high) {
  return low <= value && value <= high;
}

void judge(const daemon::Config& c) {
  const std::array<std::string_view, 4> levels{"debug", "info", "warning", "error"};
  must(std::ranges::find(levels, c.log_level) != levels.end());
  must(!c.server_name.empty() && c.server_name.size() <= 255);
  must(c.user.size() <= 64 && c.admin_group.size() <= 64 && c.audit_file.size() <= 4096);
  must(within(c.table_capacity, 16u, 1048576u) && std::has_single_bit(c.table_capacity));
  must(within(c.pending_deadline, seconds(1), seconds(600)));
  must(within(c.lifetime, seconds(1), seconds(30 * 86400)));
  must(within(c.plan_deadline, seconds(1), seconds(60)));
  must(within(c.linger, seconds(0), seconds(86400)));
  must(within(c.connections, 8u, 1000000u) && within(c.connections_per_uid, 1u, 1000000u));
  must(within(c.pending_per_uid, 1u, 100000u) && within(c.records_per_uid, 1u, 1000000u));
}

}  // namespace
}  // namespace keyd::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace keyd;
  using namespace keyd::fuzz;
  if (size > 4096) return 0;
  const auto file = kernel::make_memfd("keyd.toml", size);
  must(file && ::pwrite(file->get(), data, size, 0) == static_cast<ssize_t>(size));
  const std::string path = "/proc/self/fd/" + std::to_string(file->get());
  const auto config = daemon::load_config(path, true);
  if (config) {
    judge(*config);
  } else {
    const std::string& line = config.error().detail;
    must(line.starts_with(path) && escape_line(line) == line);
  }
  return 0;
}
