// A client of libkeyclient for tests: one handle, the login and the change of a password with answers given beforehand.
#pragma once

#include <keyclient/keyclient.h>

#include <functional>
#include <string>
#include <vector>

namespace keyd::testing {

class LibraryClient {
 public:
  explicit LibraryClient(std::string runtime_dir) : runtime_dir_(std::move(runtime_dir)) {}
  ~LibraryClient() { keyclient_close(handle_); }
  LibraryClient(const LibraryClient&) = delete;
  LibraryClient& operator=(const LibraryClient&) = delete;

  [[nodiscard]] keyclient_t* handle() const { return handle_; }
  void close() {
    keyclient_close(handle_);
    handle_ = nullptr;
  }

  bool can_change = true;  // what the next login declares
  bool accept_fast = false;
  std::uint32_t least_group_bits = 0;
  const char* suite = "modern";
  const char* interleave = nullptr;

  // A new handle, and the exchange srp on it.
  keyclient_status login(const std::string& user, const std::string& password) {
    keyclient_options options{};
    options.size = sizeof options;
    options.runtime_dir = runtime_dir_.c_str();
    close();
    if (const auto status = keyclient_open(&options, &handle_); status != KEYCLIENT_OK) return status;
    keyclient_login login{};
    login.size = sizeof login;
    login.user = user.c_str();
    login.scheme = "srp";
    login.suite = suite;
    login.interleave = interleave;
    login.password = password.data();
    login.password_size = password.size();
    login.can_change_password = can_change ? 1 : 0;
    login.accept_fast_derivations = accept_fast ? 1 : 0;
    login.srp_least_group_bits = least_group_bits;
    return keyclient_authenticate(handle_, &login);
  }

  // Called before an answer is given, with the question and its remark.
  std::function<void(keyclient_question, std::string)> at_question = [](keyclient_question,
                                                                        const std::string&) {};
  std::vector<std::string> words;
  bool changed = false;  // of the last change

  // Answers "old" with `old_password`, "new" with the next of `fresh` (twice); cancels when there is none left.
  keyclient_status change(const std::string& old_password, const std::vector<std::string>& fresh,
                          bool wanted = true) {
    struct Answers {
      LibraryClient& client;
      const std::string& old_password;
      const std::vector<std::string>& fresh;
      std::size_t next = 0;
    } answers{*this, old_password, fresh};
    keyclient_change how{};
    how.size = sizeof how;
    how.context = &answers;
    how.wanted = wanted ? 1 : 0;
    std::vector<const char*> texts;
    for (const std::string& word : words) texts.push_back(word.c_str());
    how.words = texts.data();
    how.word_count = texts.size();
    how.ask = [](void* context, keyclient_question question, const char* remark, char* buffer, size_t,
                 size_t* length) {
      Answers& given = *static_cast<Answers*>(context);
      given.client.at_question(question, remark == nullptr ? "" : remark);
      std::string answer = given.old_password;
      if (question != KEYCLIENT_OLD_PASSWORD) {
        if (given.next == given.fresh.size()) return 1;
        answer = given.fresh[given.next];
        if (question == KEYCLIENT_NEW_PASSWORD_AGAIN) ++given.next;
      }
      *length = answer.copy(buffer, answer.size());
      return 0;
    };
    const auto status = keyclient_change_password(handle_, &how);
    changed = how.changed != 0;
    return status;
  }

  // Whether the session works, by what comes back.
  keyclient_status echo(const std::string& text) {
    std::string back(text.size(), '\0');
    const auto status = keyclient_echo(handle_, text.data(), text.size(), back.data());
    return status == KEYCLIENT_OK && back != text ? KEYCLIENT_INVALID : status;
  }

 private:
  std::string runtime_dir_;
  keyclient_t* handle_ = nullptr;
};

}  // namespace keyd::testing
