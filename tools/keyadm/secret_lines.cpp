#include "tools/keyadm/secret_lines.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>

namespace keyd::keyadm {

std::optional<std::size_t> SecretLines::line_end() const {
  const ByteView rest = buffer_.reveal().subspan(start_, end_ - start_);
  const auto newline = std::ranges::find(rest, std::uint8_t{'\n'});
  if (newline == rest.end()) return std::nullopt;
  return start_ + static_cast<std::size_t>(newline - rest.begin());
}

Result<void> SecretLines::read_more() {
  const MutableByteView all = buffer_.reveal();
  if (start_ != 0) {
    std::memmove(all.data(), all.data() + start_, end_ - start_);
    end_ -= start_;
    start_ = 0;
  }
  for (;;) {
    const ssize_t got = ::read(fd_, all.data() + end_, all.size() - end_);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno(Code::kBroken, "cannot read on");
    ended_ = got == 0;
    end_ += static_cast<std::size_t>(got);
    return {};
  }
}

Result<std::optional<ByteView>> SecretLines::next() {
  ++number_;
  bool too_long = false;
  for (;;) {
    auto line = line_end();
    const bool last = !line && ended_;
    if (last && start_ == end_ && !too_long) return std::nullopt;
    if (last) line = end_;
    if (line) {
      const ByteView found = buffer_.reveal().subspan(start_, *line - start_);
      start_ = std::min(*line + 1, end_);
      if (too_long || found.size() > kLongest)
        return fail(Code::kInvalid, "it is longer than " + std::to_string(kLongest) + " octets");
      return found;
    }
    if (end_ - start_ > kLongest) {
      too_long = true;
      start_ = end_;
    }
    if (auto more = read_more(); !more) return std::unexpected(more.error());
  }
}

}  // namespace keyd::keyadm
