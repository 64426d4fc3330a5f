// keyadm user import: users with their crypt(3) hashes from a shadow(5) file, or with their SRP verifiers from a file of
// another program.
#include <fcntl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <ctime>
#include <memory>

#include "core/base/untrusted_text.h"
#include "core/crypto/password_hash.h"
#include "tools/keyadm/commands.h"
#include "tools/keyadm/shadow_line.h"
#include "tools/keyadm/tpasswd_import.h"

namespace keyd::keyadm {
namespace {

class ShadowImport : public LineImport {
 public:
  using LineImport::LineImport;

 private:
  [[nodiscard]] Result<void> take(ByteView octets, std::uint64_t number) override {
    const auto line = parse_shadow_line(octets, today_);
    if (!line) return refuse(number, {}, line.error());
    if (line->kind == ShadowLine::Kind::kNothing) return {};
    if (line->kind == ShadowLine::Kind::kNoPassword) {
      count_without_password();
      return {};
    }
    const std::string name(line->name);
    if (auto fine = check_hash(line->hash); !fine) return refuse(number, name, fine.error());
    if (auto done = import(*line); !done) return refuse(number, name, done.error());
    count_imported(line->locked);
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
    return enrol(request, user.name(), secret::SecretBuffer::copy_of(line.hash));
  }

  const std::uint64_t today_ = static_cast<std::uint64_t>(::time(nullptr)) / 86400;
};

int import_lines(LineImport& import, const ImportOptions& options) {
  SecretLines lines(options.file == "-" ? STDIN_FILENO : options.opened.get());
  const auto done = import.run(lines);
  import.print_summary();
  if (!done) return complain(done.error());
  return import.refused_some() ? console::kRefused : console::kDone;
}

int import_users(const Invocation& invocation, const ImportOptions& options) {
  if (options.file != "-" && !options.opened.valid())
    return complain({Code::kNotFound, "cannot open " + escape(options.file), options.open_errno});
  if (!options.conf.empty() && !options.opened_conf.valid())
    return complain({Code::kNotFound, "cannot open " + escape(options.conf), options.conf_errno});
  auto link = AdminLink::connect(invocation.runtime_dir);
  if (!link) return complain(link.error());
  if (options.format == "shadow") {
    ShadowImport import(std::move(*link), options);
    return import_lines(import, options);
  }
  TpasswdImport import(std::move(*link), options);
  if (options.opened_conf.valid()) {
    SecretLines groups(options.opened_conf.get());
    if (auto read = import.read_groups(groups); !read) return complain(read.error());
  }
  const int code = import_lines(import, options);
  import.print_remark();
  return code;
}

void open_file(const std::string& path, UniqueFd& into, int& error) {
  into = UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
  error = into.valid() ? 0 : errno;
}

}  // namespace

void add_import_command(CLI::App& user, Invocation& invocation) {
  const auto options = std::make_shared<ImportOptions>();
  CLI::App* const command =
      user.add_subcommand("import", "enrol users with hashes or verifiers that another program made");
  command->add_option("FILE", options->file, "the file; - for standard input")->required()->option_text(" ");
  console::is_one_of(
      command->add_option("--format", options->format,
                          "of its lines: shadow (the default; a line \"name:hash\" will do as\n"
                          "well), or SRP verifiers of srptool or \"openssl srp\": tpasswd"),
      {"shadow", "tpasswd"});
  CLI::Option* const conf =
      command->add_option("--conf", options->conf, "the groups of an srptool file (tpasswd.conf)");
  conf->option_text("FILE");
  CLI::Option* const historic =
      command->add_flag("--allow-historic", options->allow_historic,
                        "with tpasswd: let these users use the historic suite too,\nwhere keyd offers it");
  command->add_flag("--dry-run", options->dry_run, "say what would be done, and do nothing");
  console::is_one_of(command->add_option("-o,--output", options->output, "the form (default: pretty)"),
                     {"pretty", "json"});
  command->footer("Exit status: 1 when lines were refused; each is named on standard error.");
  command->callback([&invocation, options, conf, historic] {
    if (options->format != "tpasswd" && (*conf || *historic))
      throw CLI::ValidationError("--conf and --allow-historic are for --format tpasswd");
    if (options->file != "-") open_file(options->file, options->opened, options->open_errno);
    if (*conf) open_file(options->conf, options->opened_conf, options->conf_errno);
    invocation.chosen = [&invocation, options] { return import_users(invocation, *options); };
  });
}

}  // namespace keyd::keyadm
