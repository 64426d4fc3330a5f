// Each kind of file has its own way not to wait, and none has one that touches the flags of the descriptor:
// it is shared with whoever started us.
#include "core/base/line_output.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <climits>

namespace keyd {
namespace {

static_assert(LineOutput::kLongest == PIPE_BUF);

// For terminals, and for kernels whose pipes do not know RWF_NOWAIT: between the two calls another writer may
// take the room.
ssize_t write_when_ready(int fd, std::string_view text) {
  pollfd entry{fd, POLLOUT, 0};
  int ready = 0;
  do {
    ready = ::poll(&entry, 1, 0);
  } while (ready < 0 && errno == EINTR);  // a signal to keyd is no full log
  if (ready != 1 || (entry.revents & POLLOUT) == 0) return -1;
  return ::write(fd, text.data(), text.size());
}

}  // namespace

void LineOutput::redirect(int descriptor) {
  descriptor_ = descriptor;
  look();
}

void LineOutput::look() {
  struct stat st{};
  if (::fstat(descriptor_, &st) != 0) {
    kind_ = Kind::kOther;
    return;
  }
  kind_ = S_ISREG(st.st_mode)    ? Kind::kFile
          : S_ISFIFO(st.st_mode) ? Kind::kPipe
          : S_ISSOCK(st.st_mode) ? Kind::kSocket
                                 : Kind::kOther;
}

long LineOutput::write_to_pipe(std::string_view text) {
  iovec piece{const_cast<char*>(text.data()), text.size()};
  const ssize_t written = ::pwritev2(descriptor_, &piece, 1, -1, RWF_NOWAIT);
  if (written >= 0 || errno != EOPNOTSUPP) return written;
  kind_ = Kind::kOther;
  return write_when_ready(descriptor_, text);
}

bool LineOutput::put(std::string_view text) {
  if (text.size() > kLongest) return false;
  if (descriptor_ == STDERR_FILENO) look();  // which file that is can change (dup2)
  long written = -1;
  switch (kind_) {
    case Kind::kFile: written = ::write(descriptor_, text.data(), text.size()); break;
    case Kind::kPipe: written = write_to_pipe(text); break;
    case Kind::kOther: written = write_when_ready(descriptor_, text); break;
    case Kind::kSocket:
      written = ::send(descriptor_, text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
      break;
  }
  if (written == static_cast<long>(text.size())) return true;
  torn_ = torn_ || written > 0;
  return false;
}

void LineOutput::write(std::string_view line, const std::function<std::string(std::uint64_t)>& lost_line) {
  std::string text = torn_ ? "\n" : "";
  if (lost_ != 0) text += lost_line(lost_);
  text += line;
  if (put(text)) {
    lost_ = 0;
    torn_ = false;
  } else {
    ++lost_;
  }
}

}  // namespace keyd
