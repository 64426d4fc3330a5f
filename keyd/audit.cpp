#include "keyd/audit.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <ctime>
#include <nlohmann/json.hpp>

#include "core/base/clock.h"
#include "core/base/untrusted_text.h"

namespace keyd::daemon {
namespace {

std::string timestamp() {
  const std::uint64_t now = wall_now();
  const auto seconds = static_cast<std::time_t>(now / kSecond);
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  std::array<char, 32> text;
  const std::size_t size = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &utc);
  return fmt::format("{}.{:03}Z", std::string_view(text.data(), size), now % kSecond / kMillisecond);
}

// Calls `add(name, value)` for every field that is there, in a fixed order.
template <typename Add>
void fields_of(const AuditEvent& e, Add add) {
  if (!e.user.empty()) add("user", e.user);
  if (e.uid) add("uid", *e.uid);
  if (e.pid) add("pid", *e.pid);
  if (e.inode) add("inode", *e.inode);
  if (!e.scheme.empty()) add("scheme", e.scheme);
  if (!e.suite.empty()) add("suite", e.suite);
  if (!e.session.empty()) add("session", e.session);
  if (!e.object.empty()) add("object", e.object);
  if (!e.reason.empty()) add("reason", e.reason);
}

std::string as_json(const AuditEvent& event) {
  nlohmann::ordered_json line;
  line["time"] = timestamp();
  line["event"] = event.event;
  fields_of(event, [&line](const char* name, const auto& value) {
    if constexpr (std::is_integral_v<std::decay_t<decltype(value)>>) {
      line[name] = value;
    } else {
      line[name] = escape(value);
    }
  });
  return line.dump();
}

std::string as_text(const AuditEvent& event) {
  std::string line = fmt::format("{} audit {}", timestamp(), event.event);
  fields_of(event, [&line](const char* name, const auto& value) {
    if constexpr (std::is_integral_v<std::decay_t<decltype(value)>>) {
      line += fmt::format(" {}={}", name, value);
    } else {
      line += fmt::format(" {}=\"{}\"", name, escape(value));
    }
  });
  return line;
}

}  // namespace

Result<Audit> Audit::open(AuditFormat format, const std::string& file) {
  if (file.empty()) return Audit(format, UniqueFd());
  UniqueFd fd(::open(file.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd.valid()) return fail_errno(Code::kBroken, "cannot open the audit log " + escape(file));
  return Audit(format, std::move(fd));
}

void Audit::write(const AuditEvent& event) {
  output_.write(render(event), [this](std::uint64_t lost) {
    AuditEvent told;
    told.event = "audit.lost";
    told.reason = fmt::format("{} lines found no reader", lost);
    return render(told);
  });
}

std::string Audit::render(const AuditEvent& event) const {
  return (format_ == AuditFormat::kJson ? as_json(event) : as_text(event)) + '\n';
}

}  // namespace keyd::daemon
