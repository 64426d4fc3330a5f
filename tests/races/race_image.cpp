// The program that a process becomes in a race (race_board.h has its command line). Small and static: between the
// return of execve(2) and its first look lies little else than the kernel's own work. Exits with 0 when it has done
// what it should, whatever it saw.
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "tests/races/own_looks.h"
#include "tests/support/sanitizers.h"

namespace {

using namespace keyd;

std::uint64_t first_statement = 0;

#ifndef KEYD_TEST_SANITIZED
// Before any constructor of this program.
void note_the_moment(int, char**, char**) { first_statement = boot_now(); }
[[gnu::section(".preinit_array"), gnu::used]] void (*const note)(int, char**, char**) = note_the_moment;
#endif

// Takes keyd's answer, if it is there. True when nothing more will come.
bool take_answer(races::RaceBoard& board) {
  pollfd entry{races::kConnectionDescriptor, POLLIN, 0};
  if (::poll(&entry, 1, 0) == 0) return false;
  const ssize_t got =
      ::recv(races::kConnectionDescriptor, board.answer.data(), board.answer.size(), MSG_DONTWAIT);
  if (got > 0) board.answer_size = static_cast<std::uint32_t>(got);
  return true;
}

void await_answer(races::RaceBoard& board, races::OwnLooks& looks, std::uint64_t patience) {
  for (const BootTime end = boot_now() + patience; !take_answer(board) && boot_now() < end;) {
    for (int i = 0; i < 64; ++i) (void)looks.once();
  }
}

// The exec that was announced: the record stands, and goes with the next one.
[[noreturn]] void be_planned(char** arguments, const table::TableReader& reader, races::RaceBoard& board) {
  table::TaskView view{};
  auto outcome = reader.find_by_inode(board.inode, view);
  while (outcome == table::LookupOutcome::kBusy) outcome = reader.find_by_inode(board.inode, view);
  if (outcome != table::LookupOutcome::kFound || view.word.state != table::TaskState::kComplete) {
    ++board.lost;
    if (view.record.reason == table::Reason::kWatchLost) ++board.lost_events;
  }
  char look[] = "look";
  char* next[] = {arguments[0], look, arguments[2], arguments[3], nullptr};
  ::execv("/proc/self/exe", next);
  ::_exit(3);
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 4) return 2;
  if (first_statement == 0) first_statement = boot_now();
  const std::size_t size = std::strtoull(arguments[2], nullptr, 10);
  const auto reader = table::TableReader::map(races::kTableDescriptor, size);
  void* const memory =
      ::mmap(nullptr, races::kBoardSize, PROT_READ | PROT_WRITE, MAP_SHARED, races::kBoardDescriptor,
             static_cast<off_t>(std::strtoull(arguments[3], nullptr, 10) * races::kBoardSize));
  if (memory == MAP_FAILED) return 4;
  auto& board = *static_cast<races::RaceBoard*>(memory);
  if (!reader) return 5;
  races::OwnLooks looks(*reader, board);
  const char act = arguments[1][0];
  board.euid = ::geteuid();
  board.ruid = ::getuid();
  ++board.images;
  if (act == 'p' && std::strcmp(arguments[1], "planned") == 0) be_planned(arguments, *reader, board);
  board.moment = first_statement;
  (void)looks.once();
  if (std::strcmp(arguments[1], "prove") == 0) {
    // A send that fails says that keyd has closed the connection: no answer will come.
    (void)!::send(races::kConnectionDescriptor, board.packet.data(), board.packet_size, MSG_NOSIGNAL);
    await_answer(board, looks, races::kPatience);
  }
  // The proof may never have been sent: then keyd has nothing to say.
  if (std::strcmp(arguments[1], "await") == 0) await_answer(board, looks, 2 * kMillisecond);
  looks.until_it_falls();
  board.complete_since_set = looks.view().record.complete_since != 0;
  return 0;
}
