// In place of bpf_table.cpp in a build that has no clang, bpftool or libbpf: the tier `kernel` is never reached.
#include "core/table/bpf_table.h"

namespace keyd::table {

struct KernelObjects {};

BpfTable::~BpfTable() = default;
Result<std::unique_ptr<BpfTable>> BpfTable::load(const Wish&) {
  return fail(Code::kUnsupported, "this keyd was built without it (clang, bpftool and libbpf were missing)");
}
Result<void> BpfTable::see_it_work() { return {}; }
int BpfTable::reader_descriptor() const { return -1; }
bool BpfTable::apply(table_change&) { return false; }
int BpfTable::event_descriptor() const { return -1; }
void BpfTable::take_events(std::vector<std::uint32_t>&) {}
bool BpfTable::is_protected() const { return false; }

}  // namespace keyd::table
