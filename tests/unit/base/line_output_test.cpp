// A log's lines never wait for their reader, arrive whole, and say how many did not.
#include "core/base/line_output.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <pty.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <fstream>

#include "core/base/unique_fd.h"

namespace keyd {
namespace {

using testing::HasSubstr;

std::string lost_line(std::uint64_t lost) { return std::to_string(lost) + " lost\n"; }

std::string drained(int fd) {
  std::string text;
  std::array<char, 65536> buffer;
  ::fcntl(fd, F_SETFL, O_NONBLOCK);
  for (ssize_t got; (got = ::read(fd, buffer.data(), buffer.size())) > 0;)
    text.append(buffer.data(), static_cast<std::size_t>(got));
  return text;
}

// Writes far more than any buffer takes; comes back at all only when nothing waits. Then reads, writes one
// line more, and judges.
void overflow_and_recover(int in, int out) {
  LineOutput output(in);
  const std::string line = std::string(99, 'x') + "\n";
  for (int i = 0; i < 20000; ++i) output.write(line, lost_line);
  const std::string first = drained(out);
  EXPECT_EQ(first.size() % line.size(), 0u) << "a line was torn";
  const std::size_t arrived = first.size() / line.size();
  EXPECT_GT(arrived, 0u);
  output.write("after\n", lost_line);
  EXPECT_EQ(drained(out), std::to_string(20000 - arrived) + " lost\nafter\n");
  output.write("and on\n", lost_line);
  EXPECT_EQ(drained(out), "and on\n");
}

TEST(LineOutput, DoesNotWaitForTheReaderOfAPipe) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
  const UniqueFd out(ends[0]), in(ends[1]);
  overflow_and_recover(in.get(), out.get());
  EXPECT_EQ(::fcntl(in.get(), F_GETFL) & O_NONBLOCK, 0) << "the descriptor is shared: its flags are not ours";
}

TEST(LineOutput, DoesNotWaitForTheReaderOfASocket) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
  const UniqueFd out(ends[0]), in(ends[1]);
  overflow_and_recover(in.get(), out.get());
}

TEST(LineOutput, DoesNotWaitForAStoppedTerminal) {
  int controller = -1, terminal = -1;
  ASSERT_EQ(::openpty(&controller, &terminal, nullptr, nullptr, nullptr), 0);
  const UniqueFd out(controller), in(terminal);
  termios raw{};
  ASSERT_EQ(::tcgetattr(in.get(), &raw), 0);
  ::cfmakeraw(&raw);
  ASSERT_EQ(::tcsetattr(in.get(), TCSANOW, &raw), 0);
  ASSERT_EQ(::tcflow(in.get(), TCOOFF), 0);
  LineOutput output(in.get());
  for (int i = 0; i < 100; ++i) output.write("nobody sees this\n", lost_line);
  ASSERT_EQ(::tcflow(in.get(), TCOON), 0);
  output.write("after\n", lost_line);
  EXPECT_THAT(drained(out.get()), HasSubstr("100 lost\nafter\n"));
}

TEST(LineOutput, DropsALineThatIsTooLongToArriveWhole) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
  const UniqueFd out(ends[0]), in(ends[1]);
  LineOutput output(in.get());
  output.write(std::string(LineOutput::kLongest, 'x') + "\n", lost_line);
  output.write("after\n", lost_line);
  EXPECT_EQ(drained(out.get()), "1 lost\nafter\n");
}

TEST(LineOutput, ALineThatTheDiskTookHalfOfIsEndedBeforeTheNext) {
  std::string path = "/tmp/keyd-test.XXXXXX";
  const UniqueFd file(::mkostemp(path.data(), O_APPEND | O_CLOEXEC));
  LineOutput output(file.get());
  // A limit on the file's size stands for the full disk: the write that crosses it is cut.
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small{15, before.rlim_max};
  const auto handler = ::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  for (int i = 0; i < 3; ++i) output.write("0123456789\n", lost_line);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  ::signal(SIGXFSZ, handler);
  output.write("after\n", lost_line);
  std::ifstream reader(path);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(reader), {}), "0123456789\n0123\n2 lost\nafter\n");
  ::unlink(path.c_str());
}

}  // namespace
}  // namespace keyd
