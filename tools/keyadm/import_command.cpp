// keyadm user import: users with their crypt(3) hashes from a shadow(5) file. Every line is a change of its own: what is
// wrong with one is told with its number, and the others go on.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <ctime>
#include <memory>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "core/base/untrusted_text.h"
#include "core/crypto/password_hash.h"
#include "tools/keyadm/commands.h"
#include "tools/keyadm/secret_lines.h"
#include "tools/keyadm/shadow_line.h"

namespace keyd::keyadm {
namespace {

struct ImportOptions {
  std::string format = "shadow", file, output = "pretty";
  bool dry_run = false;
  // Opened while the command line is read: keyadm opens no file afterwards.
  UniqueFd opened;
  int open_errno = 0;
};

// How far it is, on a terminal, once it takes longer than a second.
class Progress {
 public:
  void tell(std::uint64_t lines) {
    const auto now = Clock::now();
    if (!terminal_ || now < next_) return;
    next_ = now + std::chrono::milliseconds(250);
    fmt::print(stderr, "\r{} lines", lines);
    shown_ = true;
  }
  void clear() {
    if (shown_) fmt::print(stderr, "\r\x1b[K");
    shown_ = false;
  }

 private:
  using Clock = std::chrono::steady_clock;
  const bool terminal_ = ::isatty(STDERR_FILENO) == 1;
  Clock::time_point next_ = Clock::now() + std::chrono::seconds(1);
  bool shown_ = false;
};

class Import {
 public:
  Import(AdminLink link, const ImportOptions& options) : link_(std::move(link)), options_(options) {}

  // To the end of the lines; an error is one that ends it before.
  [[nodiscard]] Result<void> run(SecretLines& lines) {
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

  void print_summary() {
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
  [[nodiscard]] bool refused_some() const { return !refused_.empty(); }

 private:
  [[nodiscard]] Result<void> take(ByteView octets, std::uint64_t number) {
    const auto line = parse_shadow_line(octets, today_);
    if (!line) return refuse(number, {}, line.error());
    if (line->kind == ShadowLine::Kind::kNothing) return {};
    if (line->kind == ShadowLine::Kind::kNoPassword) {
      ++without_password_;
      return {};
    }
    const std::string name(line->name);
    if (auto fine = check_hash(line->hash); !fine) return refuse(number, name, fine.error());
    if (auto done = options_.dry_run ? look(name) : import(*line); !done)
      return refuse(number, name, done.error());
    ++imported_;
    if (line->locked) ++locked_;
    return {};
  }

  // As keyd will judge it.
  [[nodiscard]] static Result<void> check_hash(ByteView hash) {
    const auto setting = crypto::setting_of(hash);
    if (!setting) return std::unexpected(setting.error());
    if (const auto cost = crypto::check_crypt_setting(*setting, {}); !cost)
      return std::unexpected(cost.error());
    return {};
  }

  [[nodiscard]] Result<void> import(const ShadowLine& line) {
    wire::AdminRequest request;
    wire::UserImport& user = *request.mutable_user_import();
    user.set_name(std::string(line.name));
    user.set_locked(line.locked);
    user.set_password_changed(line.password_changed);
    const auto hash = secret::SecretBuffer::copy_of(line.hash);
    if (const auto reply = link_.ask(request, &hash); !reply) return std::unexpected(reply.error());
    return {};
  }

  // What import() would say.
  [[nodiscard]] Result<void> look(const std::string& name) {
    wire::AdminRequest request;
    request.mutable_user_show()->set_name(name);
    const auto reply = link_.ask(request);
    if (!reply && reply.error().code != Code::kNotFound) return std::unexpected(reply.error());
    if (reply || !seen_.insert(name).second)
      return fail(Code::kRefused, "user \"" + escape(name) + "\" is enrolled already");
    return {};
  }

  // Names the line and goes on; an error that is not the line's is given back.
  [[nodiscard]] Result<void> refuse(std::uint64_t number, const std::string& name, const Error& error) {
    if (error.code != Code::kInvalid && error.code != Code::kRefused) return std::unexpected(error);
    progress_.clear();
    fmt::print(stderr, "keyadm: line {}{}: {}\n", number, name.empty() ? "" : " (\"" + escape(name) + "\")",
               error.message());
    refused_.push_back({{"line", number}, {"name", name}, {"reason", error.message()}});
    return {};
  }

  AdminLink link_;
  const ImportOptions& options_;
  const std::uint64_t today_ = static_cast<std::uint64_t>(::time(nullptr)) / 86400;
  Progress progress_;
  std::unordered_set<std::string> seen_;  // names of this file, in a dry run
  std::uint64_t imported_ = 0, locked_ = 0, without_password_ = 0;
  nlohmann::ordered_json refused_ = nlohmann::ordered_json::array();
};

int import_users(const Invocation& invocation, const ImportOptions& options) {
  const bool standard_input = options.file == "-";
  if (!standard_input && !options.opened.valid()) {
    return complain({Code::kNotFound, "cannot open " + escape(options.file), options.open_errno});
  }
  auto link = AdminLink::connect(invocation.runtime_dir);
  if (!link) return complain(link.error());
  SecretLines lines(standard_input ? STDIN_FILENO : options.opened.get());
  Import import(std::move(*link), options);
  const auto done = import.run(lines);
  import.print_summary();
  if (!done) return complain(done.error());
  return import.refused_some() ? console::kPartly : console::kDone;
}

}  // namespace

void add_import_command(CLI::App& user, Invocation& invocation) {
  const auto options = std::make_shared<ImportOptions>();
  CLI::App* const command = user.add_subcommand("import", "enrol users with the hashes of a shadow file");
  command->add_option("FILE", options->file, "the file; - for standard input")->required()->option_text(" ");
  console::is_one_of(
      command->add_option("--format", options->format,
                          "of its lines (default: shadow; a line\n\"name:hash\" will do as well)"),
      {"shadow"});
  command->add_flag("--dry-run", options->dry_run, "say what would be done, and do nothing");
  console::is_one_of(command->add_option("-o,--output", options->output, "the form (default: pretty)"),
                     {"pretty", "json"});
  command->footer("Exit status: 4 when lines were refused; each is named on standard error.");
  command->callback([&invocation, options] {
    if (options->file != "-") {
      options->opened = UniqueFd(::open(options->file.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
      options->open_errno = options->opened.valid() ? 0 : errno;
    }
    invocation.chosen = [&invocation, options] { return import_users(invocation, *options); };
  });
}

}  // namespace keyd::keyadm
