#include "core/table/bpf_table.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "core/base/clock.h"
#include "core/kernel/pidfd.h"
#include "task_table.skel.h"

namespace keyd::table {

namespace ipc = boost::interprocess;

struct KernelObjects {
  KernelObjects() = default;
  KernelObjects(const KernelObjects&) = delete;
  KernelObjects& operator=(const KernelObjects&) = delete;
  ~KernelObjects() {
    ring_buffer__free(events);
    task_table_bpf__destroy(programs);
  }
  task_table_bpf* programs = nullptr;
  ring_buffer* events = nullptr;
  std::vector<std::uint32_t> changed;  // slots, as they come out of `events`
};

namespace {

constexpr std::size_t kEvents =
    (1 << 16) / 16;  // what the ring has room for: 8 octets each, and 8 of its own
constexpr const char* kSwitch = "/proc/sys/kernel/unprivileged_bpf_disabled";

// What libbpf complains of while it loads, its last line.
std::string& complaint() {
  static std::string line;
  return line;
}
// Called by C: nothing may be thrown through it.
int keep_complaint(libbpf_print_level level, const char* format, va_list arguments) noexcept {
  if (level != LIBBPF_WARN) return 0;
  std::array<char, 512> line{};
  std::vsnprintf(line.data(), line.size(), format, arguments);
  complaint() = line.data();
  while (!complaint().empty() && complaint().back() == '\n') complaint().pop_back();
  return 0;
}

std::unexpected<Error> cannot(std::string what, int error) {
  if (error == EPERM || error == EACCES) what += ": it takes CAP_BPF and CAP_PERFMON";
  if (!complaint().empty()) what += " (" + complaint() + ")";
  return std::unexpected(Error{Code::kUnsupported, std::move(what), error});
}

// Only where nobody else can load programs at all is a frozen array one that nobody else can write.
bool others_load_no_programs(int file) {
  char value = 0;
  return ::pread(file, &value, 1, 0) == 1 && (value == '1' || value == '2');
}

bool is_traced_hook(const char* name) { return libbpf_find_vmlinux_btf_id(name, BPF_TRACE_RAW_TP) > 0; }

// Called by C, likewise: take_events() has made room for all that the ring can hold.
int keep_slot(void* context, void* event, std::size_t size) noexcept {
  std::uint64_t slot = 0;
  if (size < sizeof slot) return 0;
  std::memcpy(&slot, event, sizeof slot);
  static_cast<std::vector<std::uint32_t>*>(context)->push_back(static_cast<std::uint32_t>(slot));
  return 0;
}

// A child of ours with a record, to see what happens to it.
class Probe {
 public:
  // Waits for an octet, and then executes this very program (silenced), or for its end.
  Probe() {
    std::array<int, 2> go{};
    if (::pipe2(go.data(), O_CLOEXEC) != 0) return;
    const UniqueFd reading(go[0]);
    go_ = UniqueFd(go[1]);
    child_ = ::fork();
    if (child_ != 0) return;
    char order = 0;
    ::close(go[1]);
    if (::read(go[0], &order, 1) == 1) {
      const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
      for (int fd = 0; fd < 3; ++fd) ::dup2(null, fd);
      ::execl("/proc/self/exe", "keyd", "--version", static_cast<char*>(nullptr));
    }
    ::_exit(1);
  }
  ~Probe() { kill(); }
  Probe(const Probe&) = delete;
  Probe& operator=(const Probe&) = delete;

  [[nodiscard]] std::optional<TaskRecord> record() const {
    const auto pidfd = child_ > 0 ? kernel::open_pidfd(child_) : fail(Code::kBroken, "no child");
    const auto inode = pidfd ? kernel::pidfs_inode(pidfd->get()) : std::nullopt;
    if (!inode) return std::nullopt;
    TaskRecord record;
    record.inode = *inode;
    record.pid = static_cast<std::uint32_t>(child_);
    return record;
  }
  void execute() { (void)!::write(go_.get(), "x", 1); }
  void kill() {
    if (child_ <= 0) return;
    ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
    child_ = -1;
  }

 private:
  UniqueFd go_;
  pid_t child_ = -1;
};

}  // namespace

// With the objects go the hooks, and readers wait for no heartbeat in this tier. Where the table does not take
// it, our own end does it, as long as the exit hook is there. Before there is a header nobody can read it.
BpfTable::~BpfTable() {
  if (!laid_) return;
  table_change change{};
  change.kind = TABLE_CHANGE_DOWN;
  if (!apply(change)) std::abort();
}

Result<std::unique_ptr<BpfTable>> BpfTable::load(const Wish& wish) {
  libbpf_set_print(keep_complaint);
  complaint().clear();
  std::unique_ptr<BpfTable> table(new BpfTable);
  table->switch_ = UniqueFd(::open(kSwitch, O_RDONLY | O_CLOEXEC));
  if (!table->switch_.valid() || !others_load_no_programs(table->switch_.get())) {
    return fail(
        Code::kUnsupported,
        std::string("every user may load BPF programs here, and could write the table with one; set ") +
            "kernel.unprivileged_bpf_disabled to 1");
  }
  for (const char* hook : {"sched_prepare_exec", "sched_process_exec", "sched_process_exit"}) {
    if (!is_traced_hook(hook))
      return fail(Code::kUnsupported,
                  std::string("this kernel has no hook ") + hook + " (Linux 6.10, with BTF)");
  }

  table->objects_ = std::make_unique<KernelObjects>();
  KernelObjects& objects = *table->objects_;
  objects.programs = task_table_bpf__open();
  if (objects.programs == nullptr) return cannot("cannot open its programs", errno);
  const std::size_t size = table_size(wish.capacity);
  static_assert(table_size(kBucketWidth) % TASK_TABLE_LINE_SIZE == 0);
  bpf_map__set_max_entries(objects.programs->maps.keyd_tasks,
                           static_cast<std::uint32_t>(size / TASK_TABLE_LINE_SIZE));
  bpf_map__set_max_entries(objects.programs->maps.keyd_ids, wish.capacity);
  objects.programs->rodata->capacity = wish.capacity;
  bpf_program__set_autoload(objects.programs->progs.on_syscall_exit, wish.watch_every_syscall);
  if (const int error = task_table_bpf__load(objects.programs); error != 0)
    return cannot("cannot load its programs", -error);

  const int map = bpf_map__fd(objects.programs->maps.keyd_tasks);
  if (bpf_map_freeze(map) != 0) return cannot("cannot freeze the table", errno);
  try {
    table->region_ = ipc::mapped_region(MappableDescriptor(map), ipc::read_only, 0, size);
  } catch (const ipc::interprocess_exception& e) {
    return fail(Code::kUnsupported, std::string("cannot map the table: ") + e.what());
  }
  objects.events =
      ring_buffer__new(bpf_map__fd(objects.programs->maps.keyd_events), keep_slot, &objects.changed, nullptr);
  if (objects.events == nullptr) return cannot("cannot map its events", errno);
  if (const int error = task_table_bpf__attach(objects.programs); error != 0)
    return cannot("cannot attach its hooks", -error);
  if (auto works = table->see_it_work(); !works) return std::unexpected(works.error());
  std::vector<std::uint32_t> ours;
  table->take_events(ours);
  return table;
}

// A child with a record executes a program, another one is killed: the table must say each.
Result<void> BpfTable::see_it_work() {
  const std::uint32_t capacity = objects_->programs->rodata->capacity;
  const TableArrays arrays = TableArrays::at(region_.get_address(), capacity);
  for (const TaskFlag cause : {kEndedByExec, kEndedByExit}) {
    Probe probe;
    const auto record = probe.record();
    if (!record) return fail(Code::kUnsupported, "no child can be made to try its hooks on");
    table_change change{};
    change.kind = TABLE_CHANGE_BIND;
    change.slot = static_cast<std::uint32_t>(bucket_of(record->inode, capacity) * kBucketWidth);
    change.pid_entry = static_cast<std::uint32_t>(bucket_of(record->pid, capacity) * kBucketWidth);
    const auto& word = arrays.slots[change.slot].word;
    change.word = word.load();
    std::memcpy(change.record, &*record, sizeof *record);
    if (!apply(change)) return fail(Code::kUnsupported, "its program does not write the table");
    if (cause == kEndedByExec) {
      probe.execute();
      const BootTime end = boot_now() + 5 * kSecond;
      while (StateWord::unpack(word.load()).state == TaskState::kPending && boot_now() < end) ::usleep(100);
    }
    probe.kill();
    const StateWord after = StateWord::unpack(word.load());
    if (cause == kEndedByExec && after.flags == kEndedByExit)
      return fail(Code::kUnsupported, "a child cannot execute this very program, to try its hooks on");
    if (after.state != TaskState::kRevoked || after.flags != cause) {
      return fail(Code::kUnsupported,
                  cause == kEndedByExec ? "its hooks do not see an exec" : "its hooks do not see an exit");
    }
    change.kind = TABLE_CHANGE_FREE;
    if (!apply(change)) return fail(Code::kUnsupported, "its program does not free a record");
  }
  return {};
}

int BpfTable::reader_descriptor() const { return bpf_map__fd(objects_->programs->maps.keyd_tasks); }

bool BpfTable::apply(table_change& change) {
  bpf_test_run_opts options{};
  options.sz = sizeof options;
  options.ctx_in = &change;
  options.ctx_size_in = sizeof change;
  change.applied = 0;
  const int program = bpf_program__fd(objects_->programs->progs.apply_change);
  const bool applied = bpf_prog_test_run_opts(program, &options) == 0 && change.applied != 0;
  laid_ = laid_ || (applied && change.kind == TABLE_CHANGE_LAY);
  return applied;
}

int BpfTable::event_descriptor() const { return bpf_map__fd(objects_->programs->maps.keyd_events); }

void BpfTable::take_events(std::vector<std::uint32_t>& slots) {
  objects_->changed.clear();
  objects_->changed.reserve(kEvents);
  ring_buffer__consume(objects_->events);
  slots.insert(slots.end(), objects_->changed.begin(), objects_->changed.end());
}

bool BpfTable::is_protected() const { return others_load_no_programs(switch_.get()); }

}  // namespace keyd::table
