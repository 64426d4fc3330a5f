// Anonymous memory behind a descriptor.
#pragma once

#include <cstddef>

#include "core/base/bytes.h"
#include "core/base/error.h"
#include "core/base/unique_fd.h"

namespace keyd::kernel {

// A memfd of `size` zero octets, open for writing, its size sealed. Close-on-exec.
[[nodiscard]] Result<UniqueFd> make_memfd(const char* name, std::size_t size);

// From now on nobody can map it writable, write to it or change its seals; mappings made before stay writable
// (F_SEAL_FUTURE_WRITE). Holds for every descriptor of the file, also one reopened through /proc.
[[nodiscard]] Result<void> seal_for_readers(int memfd);

// A memfd that holds `content`, sealed against every change, its offset at 0.
[[nodiscard]] Result<UniqueFd> make_sealed_memfd(const char* name, ByteView content);

}  // namespace keyd::kernel
