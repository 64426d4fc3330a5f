// Answers from descriptors. (Those of a person: tests/integration/keypasswd_test.cpp.)
#include "tools/console/change_dialogue.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <optional>
#include <string>

#include "core/base/unique_fd.h"

namespace keyd::console {
namespace {

constexpr const char* kRemark = "the password is shorter than 8 characters";

// A descriptor that gives `text` and ends.
UniqueFd giving(const std::string& text) {
  int ends[2];
  if (::pipe(ends) != 0) std::abort();
  (void)!::write(ends[1], text.data(), text.size());
  ::close(ends[1]);
  return UniqueFd(ends[0]);
}

class ChangeDialogueTest : public ::testing::Test {
 protected:
  void use(const std::string& old_password, const std::string& new_password) {
    old_ = giving(old_password);
    new_ = giving(new_password);
    dialogue_.emplace("alice", ChangeDialogue::Sources{old_.get(), new_.get()}, OnInterrupt::kEndPrompt);
  }
  // What stands in the buffer, or "cancelled".
  std::string log_in(std::size_t capacity = 64) {
    std::size_t length = 0;
    const int cancelled = ChangeDialogue::give_password(&*dialogue_, buffer_.data(), capacity, &length);
    return cancelled != 0 ? "cancelled" : std::string(buffer_.data(), length);
  }
  std::string ask(keyclient_question question, const char* remark = nullptr) {
    std::size_t length = 0;
    const int cancelled =
        ChangeDialogue::answer(&*dialogue_, question, remark, buffer_.data(), buffer_.size(), &length);
    return cancelled != 0 ? "cancelled" : std::string(buffer_.data(), length);
  }

  UniqueFd old_, new_;
  std::optional<ChangeDialogue> dialogue_;
  std::array<char, 64> buffer_{};
};

TEST_F(ChangeDialogueTest, TheOldPasswordIsReadOnceAndServesTwice) {
  use("old one\nrest\n", "new one\nrest\n");
  EXPECT_EQ(log_in(), "old one");
  EXPECT_EQ(ask(KEYCLIENT_OLD_PASSWORD), "old one");
  EXPECT_EQ(ask(KEYCLIENT_NEW_PASSWORD), "new one");
  EXPECT_EQ(ask(KEYCLIENT_NEW_PASSWORD_AGAIN), "new one");
  char next = 0;
  EXPECT_EQ(::read(old_.get(), &next, 1), 1);
  EXPECT_EQ(next, 'r') << "more than a line was taken";
}

TEST_F(ChangeDialogueTest, BothMayComeFromOneDescriptor) {
  old_ = giving("old one\nnew one\n");
  dialogue_.emplace("alice", ChangeDialogue::Sources{old_.get(), old_.get()}, OnInterrupt::kEndPrompt);
  EXPECT_EQ(log_in(), "old one");
  EXPECT_EQ(ask(KEYCLIENT_NEW_PASSWORD), "new one");
  EXPECT_EQ(ask(KEYCLIENT_NEW_PASSWORD_AGAIN), "new one");
}

TEST_F(ChangeDialogueTest, ANewPasswordFromADescriptorIsTriedOnceAndTheRemarkIsWhy) {
  use("old one\n", "new\nanother\n");
  EXPECT_EQ(log_in(), "old one");
  EXPECT_EQ(ask(KEYCLIENT_NEW_PASSWORD), "new");
  EXPECT_EQ(ask(KEYCLIENT_NEW_PASSWORD, kRemark), "cancelled");
  EXPECT_EQ(dialogue_->failure(), kRemark);
}

TEST_F(ChangeDialogueTest, AnOldPasswordThatIsNoLongerRightIsNotGivenAgain) {
  use("old one\n", "new one\n");
  EXPECT_EQ(log_in(), "old one");
  EXPECT_EQ(ask(KEYCLIENT_OLD_PASSWORD, "wrong\x1b[2J"), "cancelled");
  EXPECT_EQ(dialogue_->failure(), "wrong\\x1b[2J");
}

TEST_F(ChangeDialogueTest, NothingToReadIsNoAnswer) {
  use("", "");
  EXPECT_EQ(log_in(), "cancelled");
  EXPECT_EQ(dialogue_->failure(), "the secret is empty");
  EXPECT_EQ(ask(KEYCLIENT_NEW_PASSWORD), "cancelled");
  EXPECT_EQ(dialogue_->failure(), "no new password: the secret is empty");
}

TEST_F(ChangeDialogueTest, NoMoreIsWrittenThanThereIsRoom) {
  use("12345678\n", "new one\n");
  buffer_[7] = '#';
  EXPECT_EQ(log_in(7), "cancelled");
  EXPECT_EQ(buffer_[7], '#');
}

TEST_F(ChangeDialogueTest, ForgetsWhatItKnows) {
  use("old one\n", "new one\n");
  EXPECT_EQ(log_in(), "old one");
  dialogue_->forget();
  EXPECT_EQ(ask(KEYCLIENT_OLD_PASSWORD), "cancelled");
}

}  // namespace
}  // namespace keyd::console
