#include "tools/keyrun/launch.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <set>
#include <sstream>

#include "core/base/untrusted_text.h"
#include "core/kernel/memfd.h"
#include "core/secret/secret.h"
#include "core/wire/limits.h"

namespace keyd::keyrun {
namespace {

bool is_executable_file(const std::string& path) {
  struct stat st{};
  return ::stat(path.c_str(), &st) == 0 && S_ISREG(st.st_mode) && ::access(path.c_str(), X_OK) == 0;
}

}  // namespace

Result<std::string> resolve(const std::string& command) {
  if (command.find('/') != std::string::npos) {
    if (is_executable_file(command)) return command;
    return fail(Code::kNotFound, "cannot run " + escape(command) + ": no such executable file");
  }
  const char* const path = ::getenv("PATH");
  std::istringstream directories(path == nullptr ? "/usr/local/bin:/usr/bin:/bin" : path);
  for (std::string directory; std::getline(directories, directory, ':');) {
    const std::string candidate = (directory.empty() ? "." : directory) + "/" + command;
    if (is_executable_file(candidate)) return candidate;
  }
  return fail(Code::kNotFound, "cannot run " + escape(command) + ": not found in PATH");
}

std::string variable_of(const std::string& name) {
  std::string variable = "KEYD_CREDENTIAL_";
  for (const char c : name) {
    const bool lower = c >= 'a' && c <= 'z', kept = (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    variable += lower ? static_cast<char>(c - 'a' + 'A') : kept ? c : '_';
  }
  return variable;
}

void forget_inherited() {
  std::vector<std::string> names;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view variable(*entry);
    if (variable.starts_with("KEYD_CREDENTIAL_") || variable.starts_with("KEYD_SESSION=")) {
      names.emplace_back(variable.substr(0, variable.find('=')));
    }
  }
  for (const std::string& name : names) ::unsetenv(name.c_str());
}

Result<void> leave_credentials(keyclient_t* client, const std::vector<std::string>& names) {
  std::set<std::string> used;
  for (const std::string& name : names) {
    const std::string variable = variable_of(name);
    if (!used.insert(variable).second)
      return fail(Code::kInvalid, "two credentials would share the variable " + variable);
    secret::SecretBuffer value(wire::kMaxCredential);
    std::size_t size = value.size();
    if (const auto status = keyclient_credential(client, name.c_str(), value.reveal().data(), &size);
        status != KEYCLIENT_OK) {
      return fail(status == KEYCLIENT_NOT_FOUND ? Code::kNotFound : Code::kRefused,
                  fmt::format("credential \"{}\": {}", escape(name), keyclient_error()));
    }
    value.truncate(size);
    auto memfd = kernel::make_sealed_memfd("keyd-credential", value.reveal());
    if (!memfd) return std::unexpected(memfd.error());
    const int fd = memfd->release();  // it is the command's from here on
    if (::fcntl(fd, F_SETFD, 0) != 0)
      return fail_errno(Code::kBroken, "cannot keep a credential over the exec");
    ::setenv(variable.c_str(), std::to_string(fd).c_str(), 1);
  }
  return {};
}

Result<void> leave_session(keyclient_t* client) {
  int socket = -1, keys = -1;
  auto status = keyclient_plan_exec(client, &socket, &keys);
  if (status == KEYCLIENT_UNSUPPORTED) {
    fmt::print(stderr,
               "keyrun: {}; the command cannot take the session over, and keeps its record only where keyd's "
               "tier sees execs (watch)\n",
               keyclient_error());
    status = keyclient_plan_exec(client, nullptr, nullptr);
  }
  if (status != KEYCLIENT_OK) return fail(Code::kRefused, keyclient_error());
  if (socket >= 0) ::setenv("KEYD_SESSION", fmt::format("{}:{}", socket, keys).c_str(), 1);
  return {};
}

}  // namespace keyd::keyrun
