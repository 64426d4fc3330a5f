#include "core/table/table_memory.h"

#include "core/kernel/memfd.h"

namespace keyd::table {

namespace ipc = boost::interprocess;

Result<std::unique_ptr<SealedMemfd>> SealedMemfd::create(std::size_t size) {
  auto fd = kernel::make_memfd("keyd-task-table", size);
  if (!fd) return std::unexpected(fd.error());
  ipc::mapped_region region;
  try {
    region = ipc::mapped_region(MappableDescriptor(fd->get()), ipc::read_write, 0, size);
  } catch (const ipc::interprocess_exception& e) {
    return fail(Code::kExhausted, std::string("cannot map the task table: ") + e.what());
  }
  if (auto sealed = kernel::seal_for_readers(fd->get()); !sealed) return std::unexpected(sealed.error());
  return std::unique_ptr<SealedMemfd>(new SealedMemfd(std::move(*fd), std::move(region)));
}

}  // namespace keyd::table
