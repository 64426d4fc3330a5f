#include "tools/console/change_dialogue.h"

#include <cstring>

#include "core/base/untrusted_text.h"

namespace keyd::console {
namespace {

// What is to be shown above a question.
std::string line_of(const char* remark) { return remark == nullptr ? "" : escape_line(remark) + "\n"; }

}  // namespace

// Called from C.
template <typename Find>
int ChangeDialogue::give(Find find, char* buffer, std::size_t capacity, std::size_t* length) {
  try {
    const Result<ByteView> found = find();
    if (!found) {
      failure_ = found.error().message();
      return 1;
    }
    if (found->size() > capacity) {
      failure_ = "the password is too long";
      return 1;
    }
    std::memcpy(buffer, found->data(), found->size());
    *length = found->size();
    return 0;
  } catch (const std::exception& e) {
    failure_ = e.what();
    return 1;
  }
}

int ChangeDialogue::give_password(void* dialogue, char* buffer, std::size_t capacity, std::size_t* length) {
  auto& self = *static_cast<ChangeDialogue*>(dialogue);
  const auto find = [&]() -> Result<ByteView> {
    const int from = self.sources_.old_password;
    auto given = from >= 0 ? read_secret(from, capacity, true)
                           : prompt("Password of " + escape(self.user_) + ": ", capacity);
    if (!given) return std::unexpected(given.error());
    self.old_ = std::move(*given);
    return self.old_.reveal();
  };
  return self.give(find, buffer, capacity, length);
}

int ChangeDialogue::answer(void* dialogue, keyclient_question question, const char* remark, char* buffer,
                           std::size_t capacity, std::size_t* length) {
  auto& self = *static_cast<ChangeDialogue*>(dialogue);
  const auto find = [&] {
    return question == KEYCLIENT_OLD_PASSWORD ? self.old_password(remark, capacity)
                                              : self.new_password(question, remark, capacity);
  };
  return self.give(find, buffer, capacity, length);
}

// The one that was given at the log-in, until keyd says that it is no longer the password.
Result<ByteView> ChangeDialogue::old_password(const char* remark, std::size_t limit) {
  if (remark == nullptr && !old_.empty()) return old_.reveal();
  if (sources_.old_password >= 0)
    return fail(Code::kRefused, remark == nullptr ? "no old password" : escape_line(remark));
  auto typed = prompt(line_of(remark) + "Old password of " + escape(user_) + ": ", limit, on_interrupt_);
  if (!typed) return std::unexpected(typed.error());
  old_ = std::move(*typed);
  return old_.reveal();
}

Result<ByteView> ChangeDialogue::new_password(keyclient_question question, const char* remark,
                                              std::size_t limit) {
  const bool again = question == KEYCLIENT_NEW_PASSWORD_AGAIN, from_descriptor = sources_.new_password >= 0;
  if (from_descriptor && !new_.empty()) {
    if (remark != nullptr) return fail(Code::kRefused, escape_line(remark));
    return new_.reveal();
  }
  auto given =
      from_descriptor
          ? read_secret(sources_.new_password, limit, true)
          : prompt(line_of(remark) + (again ? "The same again: " : "New password of " + escape(user_) + ": "),
                   limit, on_interrupt_);
  if (!given) return fail(Code::kRefused, "no new password: " + given.error().message());
  new_ = std::move(*given);
  return new_.reveal();
}

}  // namespace keyd::console
