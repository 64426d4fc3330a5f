// The import of SRP verifiers that GnuTLS's srptool or `openssl srp` made, of either's lines in any order.
#pragma once

#include "tools/keyadm/line_import.h"
#include "tools/keyadm/tpasswd_groups.h"

namespace keyd::keyadm {

class TpasswdImport : public LineImport {
 public:
  using LineImport::LineImport;

  // The file beside, which says what the groups of GnuTLS's lines are. What is wrong in it ends the import: kInvalid
  // names the line.
  [[nodiscard]] Result<void> read_groups(SecretLines& lines);
  // On standard error, what the users' programs have to be told for them.
  void print_remark() const;

 protected:
  [[nodiscard]] Result<void> take(ByteView octets, std::uint64_t number) override;

 private:
  [[nodiscard]] Result<void> import(TpasswdLine line);

  TpasswdGroups groups_;
  std::uint64_t in_small_groups_ = 0;
};

}  // namespace keyd::keyadm
