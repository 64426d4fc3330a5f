// keyadm user export: SRP verifiers for another program. Who cannot be exported is named, and the others go on.
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <vector>

#include "core/base/untrusted_text.h"
#include "core/exchange/srp_verifier.h"
#include "tools/keyadm/commands.h"
#include "tools/keyadm/new_file.h"
#include "tools/keyadm/tpasswd_line.h"

namespace keyd::keyadm {
namespace {

struct ExportOptions {
  std::string format = "tpasswd", to, conf;
  std::vector<std::string> names;
  // Made while the command line is read: keyadm opens no file afterwards.
  NewFile file, conf_file;
};

// The groups of RFC 5054, appendix A, in its order. Their places are the indexes that srptool writes too.
constexpr unsigned kGroups[] = {1024, 1536, 2048, 3072, 4096, 6144, 8192};

// What `group` is called in the file; kRefused: nothing there calls it anything.
Result<std::string> name_of_group(const exchange::SrpGroup& group, SrpBase64 form) {
  for (std::size_t place = 0; place < std::size(kGroups); ++place) {
    const auto listed = exchange::SrpGroup::listed(kGroups[place]);
    if (!listed || !(*listed == group)) continue;
    return std::to_string(form == SrpBase64::kGnutls ? place + 1 : kGroups[place]);
  }
  return fail(Code::kRefused, "the group is none of RFC 5054");
}

std::string all_groups() {
  std::string out;
  for (std::size_t place = 0; place < std::size(kGroups); ++place) {
    if (const auto group = exchange::SrpGroup::listed(kGroups[place]))
      out += write_tpasswd_conf_line(std::to_string(place + 1), group->modulus_octets(),
                                     group->generator_octets());
  }
  return out;
}

class Export {
 public:
  Export(AdminLink link, ExportOptions& options) : link_(std::move(link)), options_(options) {}

  // An error is one that ends it.
  [[nodiscard]] Result<void> run() {
    if (auto done = options_.names.empty() ? take_all() : take(options_.names); !done) return done;
    if (auto durable = options_.file.make_durable(); !durable) return durable;
    if (!options_.conf_file.exists()) return {};
    if (auto written = options_.conf_file.append(bytes_of(all_groups())); !written) return written;
    return options_.conf_file.make_durable();
  }

  // Not among the lines.
  void print_summary() const {
    fmt::print(options_.to.empty() ? stderr : stdout, "{} exported, {} refused\n", exported_, refused_);
  }
  [[nodiscard]] bool refused_some() const { return refused_ != 0; }

 private:
  [[nodiscard]] Result<void> take_all() {
    for (std::string after;;) {
      wire::AdminRequest request;
      request.mutable_user_list()->set_after(after);
      const auto reply = link_.ask(request);
      if (!reply) return std::unexpected(reply.error());
      std::vector<std::string> names;
      for (const wire::UserRecord& user : reply->users().users()) names.push_back(user.name());
      if (auto taken = take(names); !taken) return taken;
      if (!reply->users().more()) return {};
      // Pages are in name order; else the list would have no end.
      if (names.empty() || names.back() <= after)
        return fail(Code::kInvalid, "keyd's list of users does not go on; it is not whole");
      after = names.back();
    }
  }

  [[nodiscard]] Result<void> take(const std::vector<std::string>& names) {
    for (const std::string& name : names) {
      const auto line = line_of(name);
      if (!line && line.error().code != Code::kRefused && line.error().code != Code::kNotFound)
        return std::unexpected(line.error());
      if (!line) {
        fmt::print(stderr, "keyadm: {}\n", line.error().message());
        ++refused_;
        continue;
      }
      if (auto written = options_.file.append(line->reveal()); !written) return written;
      ++exported_;
    }
    return {};
  }

  [[nodiscard]] Result<secret::SecretBuffer> line_of(const std::string& name) {
    wire::AdminRequest request;
    request.mutable_verifier_export()->set_name(name);
    auto answer = link_.ask_for_secret(request);
    if (!answer) return std::unexpected(answer.error());
    const wire::VerifierRecord& record = answer->reply.verifier();
    const auto group =
        exchange::accept_group(bytes_of(record.modulus()), bytes_of(record.generator()),
                               {.least_bits = exchange::kLeastGroupBits, .unlisted = false, .approved = {}});
    if (!group) return fail(Code::kRefused, "the group of \"" + escape(name) + "\": " + group.error().detail);
    const ByteView salt = bytes_of(record.salt());
    if (salt.empty() || salt.size() > exchange::kLongestSalt ||
        !exchange::check_verifier(*group, answer->secret.reveal()))
      return fail(Code::kInvalid, "what keyd gives is no verifier");
    TpasswdLine line;
    line.kind = TpasswdLine::Kind::kUser;
    line.form = options_.format == "tpasswd" ? SrpBase64::kGnutls : SrpBase64::kOpenssl;
    line.name = name;
    const auto group_name = name_of_group(*group, line.form);
    if (!group_name) return std::unexpected(group_name.error());
    line.group = *group_name;
    line.verifier = std::move(answer->secret);
    line.salt.assign(salt.begin(), salt.end());
    return write_tpasswd_line(line);
  }

  AdminLink link_;
  ExportOptions& options_;
  std::uint64_t exported_ = 0, refused_ = 0;
};

int export_users(const Invocation& invocation, ExportOptions& options) {
  for (auto [path, file] : {std::pair{&options.to, &options.file}, {&options.conf, &options.conf_file}}) {
    if (!path->empty() && !file->exists()) return console::kRefused;  // told already
  }
  auto link = AdminLink::connect(invocation.runtime_dir);
  if (!link) return complain(link.error());
  Export exporting(std::move(*link), options);
  if (const auto done = exporting.run(); !done) {
    options.file.empty();  // half a file looks like a whole one
    options.conf_file.empty();
    return complain(done.error());
  }
  exporting.print_summary();
  return exporting.refused_some() ? console::kRefused : console::kDone;
}

}  // namespace

void add_export_command(CLI::App& user, Invocation& invocation) {
  const auto options = std::make_shared<ExportOptions>();
  CLI::App* const command = user.add_subcommand("export", "write SRP verifiers for another program to use");
  command->add_option("NAME", options->names, "the users (default: all)")->option_text(" ");
  command
      ->add_option("--to", options->to,
                   "the file to make, with the verifiers; nothing is overwritten\n"
                   "(default: standard output, unless that is a terminal)")
      ->option_text("FILE");
  console::is_one_of(
      command->add_option("--format", options->format,
                          "tpasswd: of GnuTLS's srptool (default);\nopenssl: of \"openssl srp\""),
      {"tpasswd", "openssl"});
  CLI::Option* const conf =
      command->add_option("--conf", options->conf, "with tpasswd: make this file too, with the groups");
  conf->option_text("FILE");
  command->footer(
      "Only verifiers by SHA-1 can be exported, of users who may log in. Exit status: 1 when\n"
      "some were refused; each is named on standard error. Who has the file can search for\n"
      "the passwords: keep it as a password file.");
  command->callback([&invocation, options, conf] {
    if (options->format != "tpasswd" && *conf) throw CLI::ValidationError("--conf is for --format tpasswd");
    if (options->to.empty() && ::isatty(STDOUT_FILENO) == 1)
      throw CLI::ValidationError("verifiers are not for a terminal: --to FILE, or a pipe");
    if (options->to.empty()) {
      struct stat out{};
      if (::fstat(STDOUT_FILENO, &out) == 0 && S_ISREG(out.st_mode) && (out.st_mode & 077) != 0)
        throw CLI::ValidationError("standard output is a file that others may read: --to FILE, or umask 077");
      options->file = NewFile::standard_output();
    }
    for (auto [path, file] :
         {std::pair{&options->to, &options->file}, {&options->conf, &options->conf_file}}) {
      if (path->empty()) continue;
      auto made = NewFile::create(*path);
      if (!made) {
        complain(made.error());
        break;
      }
      *file = std::move(*made);
    }
    invocation.chosen = [&invocation, options] { return export_users(invocation, *options); };
  });
}

}  // namespace keyd::keyadm
