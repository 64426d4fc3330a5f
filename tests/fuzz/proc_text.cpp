// Text from /proc, part of which the process it is about has written, and the two texts of numbers that
// people and programs hand over: a process (PID or PID:INODE) and a session left over an exec
// (SOCKET:KEYS).
#include <algorithm>
#include <array>

#include "core/kernel/proc_file.h"
#include "libkeyclient/src/planned_exec.h"
#include "tests/fuzz/fuzz.h"
#include "tools/console/process_name.h"

namespace keyd::fuzz {
namespace {

bool lies_in(std::string_view part, std::string_view whole) {
  return part.empty() ||
         (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}

template <std::size_t N>
void read_numbers(std::string_view text) {
  std::array<std::int64_t, N> numbers{};
  if (!kernel::parse_numbers(text, numbers)) return;
  // Written again and read again they are the same.
  std::string again;
  for (const std::int64_t number : numbers) again += std::to_string(number) + '\t';
  std::array<std::int64_t, N> back{};
  must(kernel::parse_numbers(again, back) && back == numbers);
  must(text.find_first_not_of("0123456789- \t") == std::string_view::npos);
}

void read_status(std::string_view text) {
  for (const char* name : {"Pid:", "Uid:", "Gid:", "CapPrm:"}) {
    const auto field = kernel::proc_field(text, name);
    if (!field) continue;
    must(lies_in(*field, text) && field->find('\n') == std::string_view::npos);
    must(field->empty() || (std::string_view(" \t").find(field->front()) == std::string_view::npos &&
                            std::string_view(" \t").find(field->back()) == std::string_view::npos));
    read_numbers<1>(*field);
    read_numbers<4>(*field);
  }
}

void read_process(std::string_view text) {
  const auto process = console::parse_process(text);
  if (!process) return;
  must(process->pid != 0);
  must(text.find_first_not_of("0123456789:") == std::string_view::npos);
  must((text.find(':') == std::string_view::npos) == (process->inode == 0));
  const std::string again =
      std::to_string(process->pid) + (process->inode == 0 ? "" : ":" + std::to_string(process->inode));
  must(console::parse_process(again) == process);
}

void read_session(std::string_view text) {
  const auto session = client::parse_session_variable(text);
  if (!session) return;
  must(session->socket > 2 && session->keys > 2 && session->socket != session->keys);
}

}  // namespace
}  // namespace keyd::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 16384) return 0;
  const std::string_view text = keyd::text_of({data, size});
  keyd::fuzz::read_status(text);
  keyd::fuzz::read_numbers<1>(text);
  keyd::fuzz::read_process(text);
  keyd::fuzz::read_session(text);
  return 0;
}
