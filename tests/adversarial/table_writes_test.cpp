// Nobody but keyd writes the task table: every way to write through the descriptor that keyd gives its clients, or
// through anything made of it, as an unprivileged user, as root of a user namespace of his own, and as root without
// CAP_BPF. The attempts do not ask what the descriptor is: a sealed memfd or a frozen BPF map, by tier.
#include <fcntl.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/falloc.h>
#include <linux/futex.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstring>
#include <fstream>

#include "core/base/bytes.h"
#include "core/base/unique_fd.h"
#include "tests/adversarial/besieged_keyd.h"
#include "tests/support/content.h"
#include "tests/support/served_table.h"

namespace keyd::testing {
namespace {

constexpr unsigned kStranger = 65534;
constexpr std::array<std::uint8_t, 8> kJunk{'A', 'A', 'A', 'A', 'A', 'A', 'A', 'A'};
// The header's first words never change: magic, version, capacity, namespaces.
constexpr std::size_t kConstantOctets = 40;

struct Target {
  int fd;
  std::size_t size;
};

// True when it is plain from the attempt alone that the table can be written; what it may have written is looked
// for after each.
using Attempt = bool (*)(const Target&);
struct NamedAttempt {
  const char* name;
  Attempt succeeds;
  bool nowhere = false;  // the kernels of today let it change nothing, not even what nobody protects
};

void* mapped(const Target& t, int protection, int flags = MAP_SHARED) {
  return ::mmap(nullptr, t.size, protection, flags, t.fd, 0);
}

// Maps it to be read, and gives the mapping to `use`.
template <typename Use>
bool with_mapping(const Target& t, const Use& use) {
  void* const at = mapped(t, PROT_READ);
  if (at == MAP_FAILED) return false;
  const bool result = use(at);
  ::munmap(at, t.size);
  return result;
}

// Writes where it could, if it could.
bool writable(void* at, std::size_t size) {
  if (at == MAP_FAILED) return false;
  std::memcpy(at, kJunk.data(), kJunk.size());
  ::munmap(at, size);
  return true;
}

bool wrote(ssize_t octets) { return octets > 0; }

int pipe_with_junk() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return -1;
  (void)!::write(ends[1], kJunk.data(), kJunk.size());
  ::close(ends[1]);
  return ends[0];
}

int file_with_junk() {
  const int file = ::memfd_create("junk", MFD_CLOEXEC);
  (void)!::pwrite(file, kJunk.data(), kJunk.size(), 0);
  return file;
}

long bpf(int command, bpf_attr& attributes) {
  return ::syscall(SYS_bpf, command, &attributes, sizeof attributes);
}

std::uint64_t pointer(const void* to) { return reinterpret_cast<std::uint64_t>(to); }

// An element's value is the whole table.
Bytes junk_table(const Target& t) { return Bytes(t.size, 'A'); }

bool update_element(int map, const Bytes& value) {
  const std::uint32_t key = 0;
  bpf_attr attributes{};
  attributes.map_fd = static_cast<std::uint32_t>(map);
  attributes.key = pointer(&key);
  attributes.value = pointer(value.data());
  return bpf(BPF_MAP_UPDATE_ELEM, attributes) == 0;
}

// Another descriptor of the same map, or -1: by its number.
int map_by_id(const Target& t) {
  const std::string info = content_of("/proc/self/fdinfo/" + std::to_string(t.fd));
  const auto at = info.find("map_id:");
  if (at == std::string::npos) return -1;
  bpf_attr attributes{};
  attributes.map_id = static_cast<std::uint32_t>(std::stoul(info.substr(at + 7)));
  return static_cast<int>(bpf(BPF_MAP_GET_FD_BY_ID, attributes));
}

// The same by a pin of the attacker's own: in a bpffs that he mounts himself, or in the machine's.
int map_by_pin(const Target& t) {
  std::string directory = "/tmp/keyd-pin.XXXXXX";
  if (::mkdtemp(directory.data()) == nullptr) return -1;
  const bool own = ::mount("bpf", directory.c_str(), "bpf", 0, "mode=0700") == 0;
  const std::string pin = (own ? directory : "/sys/fs/bpf") + "/keyd-test-" + std::to_string(::getpid());
  bpf_attr attributes{};
  attributes.pathname = pointer(pin.c_str());
  attributes.bpf_fd = static_cast<std::uint32_t>(t.fd);
  int again = -1;
  if (bpf(BPF_OBJ_PIN, attributes) == 0) {
    bpf_attr get{};
    get.pathname = pointer(pin.c_str());
    again = static_cast<int>(bpf(BPF_OBJ_GET, get));
    ::unlink(pin.c_str());
  }
  if (own) ::umount2(directory.c_str(), MNT_DETACH);
  ::rmdir(directory.c_str());
  return again;
}

// Loads a socket filter that stores into the map's value, and sends it a packet. True when it ran.
bool filter_runs(const Target& t) {
  const std::array<bpf_insn, 6> program{
      bpf_insn{BPF_LD | BPF_DW | BPF_IMM, BPF_REG_1, BPF_PSEUDO_MAP_VALUE, 0, t.fd},
      bpf_insn{0, 0, 0, 0, 0},
      bpf_insn{BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_2, 0, 0, 0x41414141},
      bpf_insn{BPF_STX | BPF_MEM | BPF_DW, BPF_REG_1, BPF_REG_2, 0, 0},
      bpf_insn{BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, 0},
      bpf_insn{BPF_JMP | BPF_EXIT, 0, 0, 0, 0},
  };
  bpf_attr attributes{};
  attributes.prog_type = BPF_PROG_TYPE_SOCKET_FILTER;
  attributes.insns = pointer(program.data());
  attributes.insn_cnt = program.size();
  attributes.license = pointer("GPL");
  const int filter = static_cast<int>(bpf(BPF_PROG_LOAD, attributes));
  if (filter < 0) return false;
  std::array<int, 2> pair{};
  if (::socketpair(AF_UNIX, SOCK_DGRAM, 0, pair.data()) != 0) return true;
  const bool attached = ::setsockopt(pair[0], SOL_SOCKET, SO_ATTACH_BPF, &filter, sizeof filter) == 0;
  (void)!::write(pair[1], "x", 1);
  for (const int fd : {pair[0], pair[1], filter}) ::close(fd);
  return attached;
}

bool registers_with_userfaultfd(void* at, std::size_t size) {
  const int uffd = static_cast<int>(::syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY));
  if (uffd < 0) return false;
  uffdio_api api{};
  api.api = UFFD_API;
  uffdio_register range{};
  range.range = {pointer(at), size};
  range.mode = UFFDIO_REGISTER_MODE_MISSING;
  const bool registered = ::ioctl(uffd, UFFDIO_API, &api) == 0 && ::ioctl(uffd, UFFDIO_REGISTER, &range) == 0;
  ::close(uffd);
  return registered;
}

// A tracer may write where the traced program itself may not: into its private pages, never into these.
bool pokes_in_a_child(void* at) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    ::raise(SIGSTOP);
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  const bool poked = WIFSTOPPED(status) && ::ptrace(PTRACE_POKEDATA, child, at, 0x41414141L) == 0;
  ::kill(child, SIGKILL);
  ::waitpid(child, &status, 0);
  return poked;
}

// clang-format off
const NamedAttempt kAttempts[] = {
    {"mmap to be written", [](const Target& t) { return writable(mapped(t, PROT_WRITE), t.size); }},
    {"mmap to be read and written",
     [](const Target& t) { return writable(mapped(t, PROT_READ | PROT_WRITE), t.size); }},
    {"mmap to be written, flags validated",
     [](const Target& t) { return writable(mapped(t, PROT_READ | PROT_WRITE, MAP_SHARED_VALIDATE), t.size); }},
    {"mmap to be written and executed",
     [](const Target& t) { return writable(mapped(t, PROT_READ | PROT_WRITE | PROT_EXEC), t.size); }},
    {"mmap, then mprotect",
     [](const Target& t) {
       return with_mapping(t, [&](void* at) { return ::mprotect(at, t.size, PROT_READ | PROT_WRITE) == 0; });
     }},
    {"mmap, then pkey_mprotect",
     [](const Target& t) {
       return with_mapping(t, [&](void* at) {
         return ::syscall(SYS_pkey_mprotect, at, t.size, PROT_READ | PROT_WRITE, -1) == 0;
       });
     }},
    {"a private mapping",  // copies what it writes, if it can be made: harmless, as is looked for afterwards
     [](const Target& t) {
       (void)writable(mapped(t, PROT_READ | PROT_WRITE, MAP_PRIVATE), t.size);
       return false;
     }, true},
    {"a second mapping by mremap",
     [](const Target& t) {
       return with_mapping(t, [&](void* at) {
         void* const second = ::mremap(at, 0, t.size, MREMAP_MAYMOVE);
         const bool writes = second != MAP_FAILED && ::mprotect(second, t.size, PROT_READ | PROT_WRITE) == 0;
         return writes && writable(second, t.size);
       });
     }},
    {"a mapping that grows",  // beyond the end is nothing
     [](const Target& t) {
       return with_mapping(t, [&](void* at) {
         void* const grown = ::mremap(at, t.size, 2 * t.size, MREMAP_MAYMOVE);
         if (grown == MAP_FAILED) return false;
         const bool writes = ::mprotect(grown, 2 * t.size, PROT_READ | PROT_WRITE) == 0;
         ::munmap(static_cast<std::uint8_t*>(grown) + t.size, t.size);
         (void)::mremap(grown, t.size, t.size, MREMAP_MAYMOVE | MREMAP_FIXED, at);
         return writes;
       });
     }},
    {"remap_file_pages",
     [](const Target& t) {
       return with_mapping(t, [&](void* at) {
         (void)::syscall(SYS_remap_file_pages, at, t.size, 0, 0, 0);
         return ::mprotect(at, t.size, PROT_READ | PROT_WRITE) == 0;
       });
     }},
    {"/proc/self/mem over a mapping",
     [](const Target& t) {
       return with_mapping(t, [](void* at) {
         const int memory = ::open("/proc/self/mem", O_RDWR | O_CLOEXEC);
         const bool done =
             wrote(::pwrite(memory, kJunk.data(), kJunk.size(), static_cast<off_t>(pointer(at))));
         ::close(memory);
         return done;
       });
     }, true},
    {"process_vm_writev",
     [](const Target& t) {
       return with_mapping(t, [](void* at) {
         Bytes junk(kJunk.begin(), kJunk.end());
         const iovec from{junk.data(), junk.size()}, to{at, junk.size()};
         return wrote(::process_vm_writev(::getpid(), &from, 1, &to, 1, 0));
       });
     }, true},
    {"ptrace", [](const Target& t) { return with_mapping(t, [](void* at) { return pokes_in_a_child(at); }); }, true},
    {"a system call that fills it",
     [](const Target& t) {
       return with_mapping(t, [](void* at) {
         const int junk = pipe_with_junk();
         const bool done = wrote(::read(junk, at, kJunk.size()));
         ::close(junk);
         return done;
       });
     }, true},
    {"a futex operation that stores",
     [](const Target& t) {
       return with_mapping(t, [](void* at) {
         return ::syscall(SYS_futex, at, FUTEX_WAKE_OP, 1, 1, at,
                          FUTEX_OP(FUTEX_OP_SET, 0x414, FUTEX_OP_CMP_EQ, 0)) >= 0;
       });
     }, true},
    {"MADV_REMOVE",
     [](const Target& t) {
       return with_mapping(t, [&](void* at) { return ::madvise(at, t.size, MADV_REMOVE) == 0; });
     }},
    {"MADV_POPULATE_WRITE",
     [](const Target& t) {
       return with_mapping(t, [&](void* at) { return ::madvise(at, t.size, MADV_POPULATE_WRITE) == 0; });
     }, true},
    {"MADV_DONTNEED and MADV_PAGEOUT",  // a page that is let go of comes back as it was
     [](const Target& t) {
       return with_mapping(t, [&](void* at) {
         (void)::madvise(at, t.size, MADV_DONTNEED);
         (void)::madvise(at, t.size, MADV_PAGEOUT);
         return false;
       });
     }, true},
    {"userfaultfd",
     [](const Target& t) {
       return with_mapping(t, [&](void* at) { return registers_with_userfaultfd(at, t.size); });
     }},
    {"write", [](const Target& t) { return wrote(::write(t.fd, kJunk.data(), kJunk.size())); }},
    {"pwrite", [](const Target& t) { return wrote(::pwrite(t.fd, kJunk.data(), kJunk.size(), 0)); }},
    {"pwritev2, appending",
     [](const Target& t) {
       Bytes junk(kJunk.begin(), kJunk.end());
       const iovec from{junk.data(), junk.size()};
       return wrote(::pwritev2(t.fd, &from, 1, 0, RWF_APPEND));
     }},
    {"splice",
     [](const Target& t) {
       const int junk = pipe_with_junk();
       loff_t offset = 0;
       const bool done = wrote(::splice(junk, nullptr, t.fd, &offset, kJunk.size(), SPLICE_F_NONBLOCK));
       ::close(junk);
       return done;
     }},
    {"sendfile",
     [](const Target& t) {
       const int junk = file_with_junk();
       off_t offset = 0;
       const bool done = wrote(::sendfile(t.fd, junk, &offset, kJunk.size()));
       ::close(junk);
       return done;
     }},
    {"copy_file_range",
     [](const Target& t) {
       const int junk = file_with_junk();
       loff_t from = 0, to = 0;
       const bool done = wrote(::copy_file_range(junk, &from, t.fd, &to, kJunk.size(), 0));
       ::close(junk);
       return done;
     }},
    {"ftruncate to nothing", [](const Target& t) { return ::ftruncate(t.fd, 0) == 0; }},
    {"ftruncate to more", [](const Target& t) { return ::ftruncate(t.fd, static_cast<off_t>(2 * t.size)) == 0; }},
    {"fallocate of more",
     [](const Target& t) {
       return ::fallocate(t.fd, 0, static_cast<off_t>(t.size), static_cast<off_t>(t.size)) == 0;
     }},
    {"a hole",
     [](const Target& t) { return ::fallocate(t.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) == 0; }},
    {"zeros", [](const Target& t) { return ::fallocate(t.fd, FALLOC_FL_ZERO_RANGE, 0, 4096) == 0; }, true},
    {"a collapsed range",
     [](const Target& t) { return ::fallocate(t.fd, FALLOC_FL_COLLAPSE_RANGE, 0, 4096) == 0; }, true},
    {"another seal", [](const Target& t) { return ::fcntl(t.fd, F_ADD_SEALS, F_SEAL_WRITE) == 0; }},
    {"BPF_MAP_UPDATE_ELEM", [](const Target& t) { return update_element(t.fd, junk_table(t)); }},
    {"BPF_MAP_UPDATE_BATCH",
     [](const Target& t) {
       const Bytes value = junk_table(t);
       const std::uint32_t key = 0;
       bpf_attr attributes{};
       attributes.batch.map_fd = static_cast<std::uint32_t>(t.fd);
       attributes.batch.keys = pointer(&key);
       attributes.batch.values = pointer(value.data());
       attributes.batch.count = 1;
       return bpf(BPF_MAP_UPDATE_BATCH, attributes) == 0;
     }},
    {"BPF_MAP_DELETE_ELEM",
     [](const Target& t) {
       const std::uint32_t key = 0;
       bpf_attr attributes{};
       attributes.map_fd = static_cast<std::uint32_t>(t.fd);
       attributes.key = pointer(&key);
       return bpf(BPF_MAP_DELETE_ELEM, attributes) == 0;
     }, true},
    {"BPF_MAP_LOOKUP_AND_DELETE_ELEM",
     [](const Target& t) {
       Bytes value = junk_table(t);
       const std::uint32_t key = 0;
       bpf_attr attributes{};
       attributes.map_fd = static_cast<std::uint32_t>(t.fd);
       attributes.key = pointer(&key);
       attributes.value = pointer(value.data());
       return bpf(BPF_MAP_LOOKUP_AND_DELETE_ELEM, attributes) == 0;
     }, true},
    {"BPF_MAP_FREEZE",  // or it was not frozen
     [](const Target& t) {
       bpf_attr attributes{};
       attributes.map_fd = static_cast<std::uint32_t>(t.fd);
       return bpf(BPF_MAP_FREEZE, attributes) == 0;
     }},
    {"a socket filter that stores", filter_runs},
};
// clang-format on

// Everything that can be made of the descriptor and might be more than it.
struct NamedOpening {
  const char* name;
  int (*open)(const Target&);
};
const NamedOpening kOpenings[] = {
    {"as given", [](const Target& t) { return ::fcntl(t.fd, F_DUPFD_CLOEXEC, 0); }},
    {"opened again to be read and written",
     [](const Target& t) {
       return ::open(("/proc/self/fd/" + std::to_string(t.fd)).c_str(), O_RDWR | O_CLOEXEC);
     }},
    {"opened again to be cut off",
     [](const Target& t) {
       return ::open(("/proc/self/fd/" + std::to_string(t.fd)).c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC);
     }},
    {"opened again after a change of its mode",
     [](const Target& t) {
       (void)::fchmod(t.fd, 0666);
       return ::open(("/proc/self/fd/" + std::to_string(t.fd)).c_str(), O_RDWR | O_CLOEXEC);
     }},
    {"had by its number", map_by_id},
    {"had by a pin of one's own", map_by_pin},
};

// What the attacker found, for whoever reads the test: empty when every attempt was in vain.
std::string attack(const ServedTable& table) {
  if (!table.reader) return "keyd did not give its table";
  const Target given{table.descriptor.get(), table.size};
  const auto* const header = reinterpret_cast<const std::uint8_t*>(&table.reader->header());
  const Bytes before(header, header + kConstantOctets);
  std::string found;
  int made = 0;
  for (const NamedOpening& opening : kOpenings) {
    const int fd = opening.open(given);
    if (std::memcmp(header, before.data(), before.size()) != 0) return std::string(opening.name) + " wrote";
    if (fd < 0) continue;
    for (const NamedAttempt& attempt : kAttempts) {
      ++made;
      const bool succeeded = attempt.succeeds({fd, table.size});
      const bool changed = std::memcmp(header, before.data(), before.size()) != 0;
      if (succeeded || changed)
        found += std::string(opening.name) + ", " + attempt.name + (changed ? " wrote; " : " succeeded; ");
      if (changed) return found;  // keyd's readers are lost
    }
    ::close(fd);
  }
  if (made < static_cast<int>(std::size(kAttempts))) found += "too few attempts could be made; ";
  return found;
}

// What none of this stops: a memfd without seals, and a map that is not frozen.
UniqueFd weak_memfd(std::size_t size) {
  UniqueFd fd(::memfd_create("weak", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (::ftruncate(fd.get(), static_cast<off_t>(size)) != 0) fd.reset();
  return fd;
}
UniqueFd weak_map(std::size_t size) {
  bpf_attr attributes{};
  attributes.map_type = BPF_MAP_TYPE_ARRAY;
  attributes.key_size = 4;
  attributes.value_size = static_cast<std::uint32_t>(size);
  attributes.max_entries = 1;
  attributes.map_flags = BPF_F_MMAPABLE;
  return UniqueFd(static_cast<int>(bpf(BPF_MAP_CREATE, attributes)));
}

// Whether the attempt does something to a target that nothing protects.
bool works_on(const UniqueFd& fd, std::size_t size, const NamedAttempt& attempt) {
  if (!fd.valid()) return false;
  const Target target{fd.get(), size};
  const Bytes before(kConstantOctets, 0);
  const bool succeeded = attempt.succeeds(target);
  Bytes after(kConstantOctets);
  void* const at = mapped(target, PROT_READ);
  struct stat st{};
  // Cut off, it cannot be read any more.
  if (at == MAP_FAILED || ::fstat(fd.get(), &st) != 0 || (S_ISREG(st.st_mode) && st.st_size == 0))
    return true;
  std::memcpy(after.data(), at, after.size());
  ::munmap(at, size);
  return succeeded || after != before;
}

bool become_stranger() {
  return ::setgroups(0, nullptr) == 0 && ::setresgid(kStranger, kStranger, kStranger) == 0 &&
         ::setresuid(kStranger, kStranger, kStranger) == 0 && ::prctl(PR_SET_DUMPABLE, 1) == 0;
}

bool become_root_of_a_namespace() {
  if (!become_stranger() || ::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return false;
  std::ofstream("/proc/self/setgroups") << "deny";
  std::ofstream("/proc/self/uid_map") << "0 " << kStranger << " 1";
  std::ofstream("/proc/self/gid_map") << "0 " << kStranger << " 1";
  return ::getuid() == 0;
}

// Root, with every capability but these two: CAP_SYS_ADMIN stands for CAP_BPF wherever the kernel asks for that.
bool give_up_bpf() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> sets{};
  if (::syscall(SYS_capget, &header, sets.data()) != 0) return false;
  for (const unsigned capability : {unsigned{CAP_BPF}, unsigned{CAP_SYS_ADMIN}}) {
    const std::uint32_t others = ~(1u << (capability % 32));
    auto& set = sets[capability / 32];
    set.effective &= others;
    set.permitted &= others;
    set.inheritable &= others;
  }
  return ::syscall(SYS_capset, &header, sets.data()) == 0;
}

class TableWrites : public BesiegedKeyd {
 protected:
  void expect_in_vain(bool (*become)()) {
    Forked attacker([&](Forked::Child& child) {
      if (!become()) {
        child.say("cannot become the attacker");
        return 1;
      }
      const std::string found = attack(ask_for_table(runtime_dir()));
      child.say(found.empty() ? "in vain" : found);
      return 0;
    });
    EXPECT_EQ(attacker.hear(), "in vain") << "tier " << keyd_.tier();
    EXPECT_EQ(attacker.wait(), 0);
    expect_unharmed(attacker.pid(), Standing());
    const ServedTable after = ask_for_table(runtime_dir());
    ASSERT_TRUE(after.reader);
    EXPECT_FALSE(after.reader->stale());
  }
};

TEST_F(TableWrites, AnUnprivilegedUserFindsNoWay) { expect_in_vain(become_stranger); }
TEST_F(TableWrites, RootOfAUserNamespaceFindsNoWay) { expect_in_vain(become_root_of_a_namespace); }
TEST_F(TableWrites, RootWithoutBpfFindsNoWay) { expect_in_vain(give_up_bpf); }

// Else they would show nothing.
TEST(TableWritesUpon, WhatIsNeitherSealedNorFrozenSucceed) {
  if (::getuid() != 0) GTEST_SKIP() << "needs root to make a map";
  constexpr std::size_t kSize = 16384;
  if (!weak_map(kSize).valid()) GTEST_SKIP() << "this kernel makes no BPF maps";
  for (const NamedAttempt& attempt : kAttempts) {
    const bool works =
        works_on(weak_memfd(kSize), kSize, attempt) || works_on(weak_map(kSize), kSize, attempt);
    EXPECT_EQ(works, !attempt.nowhere) << attempt.name;
  }
  // And the ways to another descriptor.
  const UniqueFd map = weak_map(kSize), memfd = weak_memfd(kSize);
  for (const NamedOpening& opening : kOpenings) {
    const UniqueFd of_map(opening.open({map.get(), kSize})), of_memfd(opening.open({memfd.get(), kSize}));
    EXPECT_TRUE(of_map.valid() || of_memfd.valid()) << opening.name;
  }
}

}  // namespace
}  // namespace keyd::testing
