// The tier `kernel`: the table's memory as a BPF array that is frozen before anybody else sees it, with the
// programs of core/kernel/task_table.bpf.c as the only ones that write it. docs/kernel.md tells what that
// promises and on what it rests.
#pragma once

#include <boost/interprocess/mapped_region.hpp>
#include <memory>

#include "core/table/table_memory.h"

namespace keyd::table {

struct KernelObjects;  // the loaded programs and maps; libbpf's

class BpfTable final : public TableMemory {
 public:
  struct Wish {
    std::uint32_t capacity = 0;        // slots
    bool watch_every_syscall = false;  // end a record within the system call that changes its process's ids
  };
  // Loads the programs, freezes the map, attaches the hooks, and sees them work on a child that it makes for it.
  // Needs CAP_BPF and CAP_PERFMON, and no other thread yet. kUnsupported, with the reason in one line, where the
  // tier cannot be reached: no such kernel, rights or build, or a system that lets everybody load programs
  // (kernel.unprivileged_bpf_disabled = 0: such a program could write the frozen array).
  [[nodiscard]] static Result<std::unique_ptr<BpfTable>> load(const Wish& wish);
  // Marks the table down: nothing keeps it true any more.
  ~BpfTable() override;

  [[nodiscard]] const void* view() const override { return region_.get_address(); }
  [[nodiscard]] std::size_t size() const override { return region_.get_size(); }
  [[nodiscard]] int reader_descriptor() const override;
  // One bpf(2) call, BPF_PROG_TEST_RUN.
  [[nodiscard]] bool apply(table_change& change) override;

  [[nodiscard]] int event_descriptor() const override;
  void take_events(std::vector<std::uint32_t>& slots) override;
  [[nodiscard]] bool kernel_keeps_down() const override { return true; }
  // Reads the system's switch again.
  [[nodiscard]] bool is_protected() const override;

 private:
  BpfTable() = default;
  [[nodiscard]] Result<void> see_it_work();

  std::unique_ptr<KernelObjects> objects_;
  boost::interprocess::mapped_region region_;
  bool laid_ = false;  // readers could believe it
  UniqueFd switch_;    // /proc/sys/kernel/unprivileged_bpf_disabled, read again and again
};

}  // namespace keyd::table
