// Where the table's memory comes from. Today a sealed memfd; the kernel tier's frozen BPF array is a second
// implementation of the same interface.
#pragma once

#include <boost/interprocess/mapped_region.hpp>
#include <cstddef>
#include <memory>

#include "core/base/error.h"
#include "core/base/unique_fd.h"

namespace keyd::table {

class TableMemory {
 public:
  virtual ~TableMemory() = default;
  // The writer's mapping: size() octets, zero at first.
  [[nodiscard]] virtual void* data() = 0;
  [[nodiscard]] virtual std::size_t size() const = 0;
  // What readers are given: nobody can write through it, nor through anything made from it.
  [[nodiscard]] virtual int reader_descriptor() const = 0;
};

// A descriptor in the shape that Boost.Interprocess maps from.
class MappableDescriptor {
 public:
  explicit MappableDescriptor(int fd) : fd_(fd) {}
  [[nodiscard]] boost::interprocess::mapping_handle_t get_mapping_handle() const { return {fd_, false}; }

 private:
  int fd_;
};

// A memfd sealed with F_SEAL_SHRINK, GROW, FUTURE_WRITE and SEAL after the one writable mapping was made.
class SealedMemfd final : public TableMemory {
 public:
  [[nodiscard]] static Result<std::unique_ptr<SealedMemfd>> create(std::size_t size);

  [[nodiscard]] void* data() override { return region_.get_address(); }
  [[nodiscard]] std::size_t size() const override { return region_.get_size(); }
  [[nodiscard]] int reader_descriptor() const override { return fd_.get(); }

 private:
  SealedMemfd(UniqueFd fd, boost::interprocess::mapped_region region)
      : fd_(std::move(fd)), region_(std::move(region)) {}
  UniqueFd fd_;
  boost::interprocess::mapped_region region_;
};

}  // namespace keyd::table
