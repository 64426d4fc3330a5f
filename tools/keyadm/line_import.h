// An import of users from the lines of a file. Every line is a change of its own: what is wrong with one is told with
// its number, and the others go on. What a line means is its format's to know.
#pragma once

#include <chrono>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <unordered_set>

#include "core/base/unique_fd.h"
#include "tools/keyadm/admin_link.h"
#include "tools/keyadm/secret_lines.h"

namespace keyd::keyadm {

struct ImportOptions {
  std::string format = "shadow", file, conf, output = "pretty";
  bool dry_run = false, allow_historic = false;
  // Opened while the command line is read: keyadm opens no file afterwards.
  UniqueFd opened, opened_conf;
  int open_errno = 0, conf_errno = 0;
};

// How far it is, on a terminal, once it takes longer than a second.
class Progress {
 public:
  Progress();
  void tell(std::uint64_t lines);
  void clear();

 private:
  using Clock = std::chrono::steady_clock;
  const bool terminal_;
  Clock::time_point next_ = Clock::now() + std::chrono::seconds(1);
  bool shown_ = false;
};

class LineImport {
 public:
  LineImport(AdminLink link, const ImportOptions& options) : link_(std::move(link)), options_(options) {}
  virtual ~LineImport() = default;
  LineImport(const LineImport&) = delete;
  LineImport& operator=(const LineImport&) = delete;

  // To the end of the lines; an error is one that ends it before.
  [[nodiscard]] Result<void> run(SecretLines& lines);
  void print_summary();
  [[nodiscard]] bool refused_some() const { return !refused_.empty(); }

 protected:
  // Takes one line. An error that is the line's own goes through refuse().
  [[nodiscard]] virtual Result<void> take(ByteView octets, std::uint64_t number) = 0;
  // Names the line and goes on; an error that is not the line's is given back.
  [[nodiscard]] Result<void> refuse(std::uint64_t number, const std::string& name, const Error& error);
  // Asks keyd for the user of this request; in a dry run whether it could be.
  [[nodiscard]] Result<void> enrol(const wire::AdminRequest& request, const std::string& name,
                                   const secret::SecretBuffer& secret);
  void count_imported(bool locked) {
    ++imported_;
    if (locked) ++locked_;
  }
  void count_without_password() { ++without_password_; }
  [[nodiscard]] const ImportOptions& options() const { return options_; }

 private:
  [[nodiscard]] Result<void> look(const std::string& name);

  AdminLink link_;
  const ImportOptions& options_;
  Progress progress_;
  std::unordered_set<std::string> seen_;  // names of this file, in a dry run
  std::uint64_t imported_ = 0, locked_ = 0, without_password_ = 0;
  nlohmann::ordered_json refused_ = nlohmann::ordered_json::array();
};

}  // namespace keyd::keyadm
