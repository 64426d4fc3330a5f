// The questions of a log-in and of a change of password, for libkeyclient's callbacks: asked at the terminal, or answered
// from descriptors. The password that was given at the log-in is kept in locked memory, so that nobody has to type it
// again a moment later.
#pragma once

#include <keyclient/keyclient.h>

#include <string>

#include "core/base/error.h"
#include "core/secret/secret.h"
#include "tools/console/password_prompt.h"

namespace keyd::console {

class ChangeDialogue {
 public:
  // Descriptors, one line each; below 0: the terminal. A new password from a descriptor is one try.
  struct Sources {
    int old_password = -1, new_password = -1;
  };
  // `on_interrupt` is for the questions of the change; at that of the log-in ^C ends the program.
  ChangeDialogue(std::string user, Sources sources, OnInterrupt on_interrupt)
      : user_(std::move(user)), sources_(sources), on_interrupt_(on_interrupt) {}

  // keyclient_password_callback and keyclient_question_callback. `dialogue` is one.
  static int give_password(void* dialogue, char* buffer, std::size_t capacity, std::size_t* length);
  static int answer(void* dialogue, keyclient_question question, const char* remark, char* buffer,
                    std::size_t capacity, std::size_t* length);

  // Why the last question had no answer, one line.
  [[nodiscard]] const std::string& failure() const { return failure_; }
  // The new password is the old one from here on.
  void note_change() {
    old_ = std::move(new_);
    new_ = secret::SecretBuffer();
  }
  // Wipes what it knows.
  void forget() {
    old_ = secret::SecretBuffer();
    new_ = secret::SecretBuffer();
  }

 private:
  // Views of what is kept.
  Result<ByteView> old_password(const char* remark, std::size_t limit);
  Result<ByteView> new_password(keyclient_question question, const char* remark, std::size_t limit);
  template <typename Find>
  int give(Find find, char* buffer, std::size_t capacity, std::size_t* length);

  std::string user_;
  Sources sources_;
  OnInterrupt on_interrupt_;
  secret::SecretBuffer old_, new_;
  std::string failure_;
};

}  // namespace keyd::console
