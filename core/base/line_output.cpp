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

// For what is never stopped by its reader (a file), and for kernels whose pipes do not know RWF_NOWAIT:
// between the two calls another writer may take the room.
ssize_t write_when_ready(int fd, std::string_view text) {
  pollfd entry{fd, POLLOUT, 0};
  int ready = 0;
  do {
    ready = ::poll(&entry, 1, 0);
  } while (ready < 0 && errno == EINTR);  // a signal to keyd is no full log
  if (ready != 1 || (entry.revents & POLLOUT) == 0) return -1;
  return ::write(fd, text.data(), text.size());
}

ssize_t write_to_pipe(int fd, std::string_view text) {
  iovec piece{const_cast<char*>(text.data()), text.size()};
  const ssize_t written = ::pwritev2(fd, &piece, 1, -1, RWF_NOWAIT);
  return written < 0 && errno == EOPNOTSUPP ? write_when_ready(fd, text) : written;
}

ssize_t write_without_waiting(int fd, std::string_view text) {
  struct stat st{};
  if (::fstat(fd, &st) != 0) return -1;
  if (S_ISSOCK(st.st_mode)) return ::send(fd, text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  return S_ISFIFO(st.st_mode) ? write_to_pipe(fd, text) : write_when_ready(fd, text);
}

}  // namespace

bool LineOutput::put(std::string_view text) {
  if (text.size() > kLongest) return false;
  const ssize_t written = write_without_waiting(descriptor_, text);
  if (written == static_cast<ssize_t>(text.size())) return true;
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
