#include "tools/keyadm/line_import.h"

#include <fmt/format.h>
#include <unistd.h>

#include "core/base/untrusted_text.h"

namespace keyd::keyadm {

Progress::Progress() : terminal_(::isatty(STDERR_FILENO) == 1) {}

void Progress::tell(std::uint64_t lines) {
  const auto now = Clock::now();
  if (!terminal_ || now < next_) return;
  next_ = now + std::chrono::milliseconds(250);
  fmt::print(stderr, "\r{} lines", lines);
  shown_ = true;
}

void Progress::clear() {
  if (shown_) fmt::print(stderr, "\r\x1b[K");
  shown_ = false;
}

Result<void> LineImport::run(SecretLines& lines) {
  for (;;) {
    const auto line = lines.next();
    if (line && !*line) break;
    if (!line && line.error().code != Code::kInvalid) return std::unexpected(line.error());
    const auto taken = line ? take(**line, lines.number()) : refuse(lines.number(), {}, line.error());
    if (!taken) return taken;
    progress_.tell(lines.number());
  }
  progress_.clear();
  return {};
}

void LineImport::print_summary() {
  progress_.clear();
  if (options_.output == "json") {
    const nlohmann::ordered_json json{{"dry_run", options_.dry_run},
                                      {"imported", imported_},
                                      {"locked", locked_},
                                      {"without_password", without_password_},
                                      {"refused", refused_}};
    fmt::print("{}\n", json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
    return;
  }
  fmt::print("{} {} ({} locked), {} without a password, {} refused\n", imported_,
             options_.dry_run ? "would be imported" : "imported", locked_, without_password_,
             refused_.size());
}

Result<void> LineImport::enrol(const wire::AdminRequest& request, const std::string& name,
                               const secret::SecretBuffer& secret) {
  if (options_.dry_run) return look(name);
  if (const auto reply = link_.ask(request, &secret); !reply) return std::unexpected(reply.error());
  return {};
}

// What the request would be answered with.
Result<void> LineImport::look(const std::string& name) {
  wire::AdminRequest request;
  request.mutable_user_show()->set_name(name);
  const auto reply = link_.ask(request);
  if (!reply && reply.error().code != Code::kNotFound) return std::unexpected(reply.error());
  if (reply || !seen_.insert(name).second)
    return fail(Code::kRefused, "user \"" + escape(name) + "\" is enrolled already");
  return {};
}

Result<void> LineImport::refuse(std::uint64_t number, const std::string& name, const Error& error) {
  if (error.code != Code::kInvalid && error.code != Code::kRefused) return std::unexpected(error);
  progress_.clear();
  fmt::print(stderr, "keyadm: line {}{}: {}\n", number, name.empty() ? "" : " (\"" + escape(name) + "\")",
             error.message());
  refused_.push_back({{"line", number}, {"name", name}, {"reason", error.message()}});
  return {};
}

}  // namespace keyd::keyadm
