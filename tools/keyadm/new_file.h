// A file that an export writes: made anew, for its owner alone, before keyadm confines itself; or standard output.
#pragma once

#include <string>

#include "core/base/bytes.h"
#include "core/base/error.h"
#include "core/base/unique_fd.h"

namespace keyd::keyadm {

class NewFile {
 public:
  NewFile() = default;
  // Makes `path`, mode 0600. What is there already is neither followed, where it is a link, nor overwritten: kRefused.
  // But for an empty file of the caller's own, as an export that failed leaves one behind.
  [[nodiscard]] static Result<NewFile> create(const std::string& path);

  // What others have opened: nothing is said of its mode, it is made durable where it is a file, and not emptied.
  [[nodiscard]] static NewFile standard_output();

  [[nodiscard]] bool exists() const { return file_.valid(); }
  [[nodiscard]] Result<void> append(ByteView octets);
  // After this what was appended outlives a crash, and so does the file's name.
  [[nodiscard]] Result<void> make_durable();
  // Takes back what was appended. The file stays, empty: to remove it takes more than keyadm may do.
  void empty();

 private:
  std::string path_;
  UniqueFd file_, directory_;
};

}  // namespace keyd::keyadm
