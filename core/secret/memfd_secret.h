// memfd_secret(2): a descriptor of pages that leave the kernel's own map of memory. They can be mapped, but
// not read or written through a descriptor, /proc/PID/mem, ptrace(2) or process_vm_readv(2), by root neither,
// nor by direct input and output. Locked, never in a core file; shared with a child unless MADV_DONTFORK.
// Where any process has such pages, the machine does not hibernate.
#pragma once

#include <cstddef>

#include "core/base/error.h"
#include "core/base/unique_fd.h"

namespace keyd::secret {

// `size` octets, all zero. Close-on-exec. Whoever has the descriptor, or takes it (pidfd_getfd), has the pages:
// close it when they are mapped. kUnsupported where the kernel has none (6.5; before: secretmem.enable=1),
// kExhausted when no descriptor is left.
[[nodiscard]] Result<UniqueFd> make_memfd_secret(std::size_t size);

// Whether a descriptor that somebody else has named is one of at least `size` octets of such pages: nothing else
// is to be mapped, read as a secret and wiped.
[[nodiscard]] bool is_memfd_secret(int fd, std::size_t size);

}  // namespace keyd::secret
