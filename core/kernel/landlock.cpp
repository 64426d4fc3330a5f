// The constants are those of linux/landlock.h; Debian 12's header ends at version 2 of the interface.
#include "core/kernel/landlock.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <cstdint>

#include "core/base/unique_fd.h"
#include "core/base/untrusted_text.h"

namespace keyd::kernel {
namespace {

constexpr std::uint64_t kTruncate = 1ULL << 14;            // since version 3
constexpr std::uint64_t kTcp = 3;                          // bind and connect; since version 4
constexpr std::uint64_t kDeviceControl = 1ULL << 15;       // since version 5
constexpr std::uint64_t kAbstractSocket = 1, kSignal = 2;  // scopes; since version 6

// struct landlock_ruleset_attr as of version 6. An older kernel takes it as long as what it does not know is
// zero.
struct RulesetAttribute {
  std::uint64_t files, network, scopes;
};

std::uint64_t file_rights(int version) {
  std::uint64_t rights = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1;  // version 1: all up to this one
  if (version >= 2) rights |= LANDLOCK_ACCESS_FS_REFER;
  if (version >= 3) rights |= kTruncate;
  if (version >= 5) rights |= kDeviceControl;
  return rights;
}

std::uint64_t rights_of(unsigned access, bool directory) {
  std::uint64_t rights = 0;
  if ((access & kReadFiles) != 0) rights |= LANDLOCK_ACCESS_FS_READ_FILE;
  if ((access & kWriteFiles) != 0) rights |= LANDLOCK_ACCESS_FS_WRITE_FILE | kTruncate | kDeviceControl;
  if (!directory) return rights;
  if ((access & kListFiles) != 0) rights |= LANDLOCK_ACCESS_FS_READ_DIR;
  if ((access & kMakeFiles) != 0) rights |= LANDLOCK_ACCESS_FS_MAKE_REG;
  if ((access & kRemoveFiles) != 0) rights |= LANDLOCK_ACCESS_FS_REMOVE_FILE;
  return rights;
}

Result<void> add(int ruleset, const PathRule& rule, std::uint64_t handled) {
  const UniqueFd path(::open(rule.path.c_str(), O_PATH | O_CLOEXEC));
  if (!path.valid()) {
    if (errno == ENOENT || errno == ENOTDIR || errno == EACCES || errno == ELOOP) return {};
    return fail_errno(Code::kBroken, "cannot look at " + escape(rule.path));
  }
  struct stat st{};
  if (::fstat(path.get(), &st) != 0) return fail_errno(Code::kBroken, "cannot look at " + escape(rule.path));
  landlock_path_beneath_attr beneath{};
  beneath.allowed_access = rights_of(rule.access, S_ISDIR(st.st_mode)) & handled;
  beneath.parent_fd = path.get();
  if (::syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) != 0)
    return fail_errno(Code::kBroken, "cannot keep " + escape(rule.path) + " open (Landlock)");
  return {};
}

}  // namespace

Result<int> restrict_files(const LandlockRules& rules) {
  const auto version =
      static_cast<int>(::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION));
  // Not built in, switched off, or hidden by the filter of a container.
  if (version <= 0) return 0;
  RulesetAttribute attribute{file_rights(version), 0, 0};
  if (version >= 4) attribute.network = kTcp;
  if (version >= 6) attribute.scopes = kSignal | (rules.abstract_sockets ? 0 : kAbstractSocket);
  const UniqueFd ruleset(
      static_cast<int>(::syscall(SYS_landlock_create_ruleset, &attribute, sizeof attribute, 0)));
  if (!ruleset.valid()) return fail_errno(Code::kBroken, "cannot make a Landlock ruleset");
  for (const PathRule& rule : rules.paths) {
    if (auto added = add(ruleset.get(), rule, attribute.files); !added) return std::unexpected(added.error());
  }
  if (::syscall(SYS_landlock_restrict_self, ruleset.get(), 0) != 0)
    return fail_errno(Code::kBroken, "cannot restrict the files (Landlock)");
  return version;
}

}  // namespace keyd::kernel
