#include "libkeyclient/src/placed_parameters.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/unique_fd.h"
#include "core/exchange/srp_password_change.h"

namespace keyd::client {

Result<Bytes> read_placed(const std::string& runtime_dir, std::string_view name) {
  if (!exchange::is_place_name(name)) return fail(Code::kInvalid, "no place of parameters");
  const std::string path = runtime_dir + "/params/" + std::string(name);
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  struct stat st{};
  if (!file.valid() || ::fstat(file.get(), &st) != 0)
    return fail_errno(Code::kNotFound, "nothing is placed there");
  if (!S_ISREG(st.st_mode) || st.st_size < 0 || static_cast<std::size_t>(st.st_size) > exchange::kMostPlaced)
    return fail(Code::kInvalid, "what is placed there are no parameters");
  Bytes octets(static_cast<std::size_t>(st.st_size));
  if (::pread(file.get(), octets.data(), octets.size(), 0) != static_cast<ssize_t>(octets.size()))
    return fail(Code::kInvalid, "what is placed there cannot be read");
  return octets;
}

}  // namespace keyd::client
