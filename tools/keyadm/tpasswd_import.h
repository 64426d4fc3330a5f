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

 protected:
  [[nodiscard]] Result<void> take(ByteView octets, std::uint64_t number) override;

 private:
  [[nodiscard]] Result<void> import(TpasswdLine line);

  TpasswdGroups groups_;
};

}  // namespace keyd::keyadm
