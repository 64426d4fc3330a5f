// Owners of secret octets. Both keep them in the locked pool, wipe them when they go, move but do not copy,
// cannot be compared with == and cannot be printed. The one way in or out is reveal(), so that grep finds
// every use.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "core/base/bytes.h"
#include "core/secret/locked_pool.h"

namespace keyd::secret {

// `N` octets that belong together, e.g. a key. `Tag` makes keys of different purpose different types.
// Starts as zeros. A moved-from Secret is empty: reveal() on it is a view of no octets.
template <std::size_t N, typename Tag>
class Secret {
 public:
  Secret() : data_(static_cast<std::uint8_t*>(LockedPool::instance().allocate(N))) {}
  Secret(Secret&& other) noexcept : data_(std::exchange(other.data_, nullptr)) {}
  Secret& operator=(Secret&& other) noexcept {
    if (this != &other) {
      if (data_ != nullptr) LockedPool::instance().release(data_, N);
      data_ = std::exchange(other.data_, nullptr);
    }
    return *this;
  }
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;
  bool operator==(const Secret&) const = delete;
  // (Without octets there may be no pool either: one that could not be made is not made again here.)
  ~Secret() {
    if (data_ != nullptr) LockedPool::instance().release(data_, N);
  }

  [[nodiscard]] MutableByteView reveal() { return {data_, data_ == nullptr ? 0 : N}; }
  [[nodiscard]] ByteView reveal() const { return {data_, data_ == nullptr ? 0 : N}; }

 private:
  std::uint8_t* data_;
};

// A number of secret octets known at run time: a password, a credential, the plaintext of a record.
class SecretBuffer {
 public:
  SecretBuffer() = default;
  // `size` zero octets; throws PoolExhausted. `size` <= LockedPool::kLargestBlock.
  explicit SecretBuffer(std::size_t size) : capacity_(size), size_(size) {
    if (size > 0) data_ = static_cast<std::uint8_t*>(LockedPool::instance().allocate(size));
  }
  static SecretBuffer copy_of(ByteView octets);
  SecretBuffer(SecretBuffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        capacity_(std::exchange(other.capacity_, 0)),
        size_(std::exchange(other.size_, 0)) {}
  SecretBuffer& operator=(SecretBuffer&& other) noexcept {
    if (this != &other) {
      if (data_ != nullptr) LockedPool::instance().release(data_, capacity_);
      data_ = std::exchange(other.data_, nullptr);
      capacity_ = std::exchange(other.capacity_, 0);
      size_ = std::exchange(other.size_, 0);
    }
    return *this;
  }
  SecretBuffer(const SecretBuffer&) = delete;
  SecretBuffer& operator=(const SecretBuffer&) = delete;
  bool operator==(const SecretBuffer&) const = delete;
  ~SecretBuffer() {
    if (data_ != nullptr) LockedPool::instance().release(data_, capacity_);
  }

  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }
  // Whether this is a forked child, and what was put here stayed with its parent.
  [[nodiscard]] bool lost() const { return data_ != nullptr && !LockedPool::instance().holds(data_); }
  [[nodiscard]] MutableByteView reveal() { return {data_, size_}; }
  [[nodiscard]] ByteView reveal() const { return {data_, size_}; }

  // Keeps the first `size` octets (at most size()) and wipes the rest.
  void truncate(std::size_t size) {
    if (size >= size_) return;
    wipe(data_ + size, size_ - size);
    size_ = size;
  }

 private:
  std::uint8_t* data_ = nullptr;
  std::size_t capacity_ = 0, size_ = 0;
};

}  // namespace keyd::secret
