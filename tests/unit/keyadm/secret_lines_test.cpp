#include "tools/keyadm/secret_lines.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <string>
#include <thread>
#include <vector>

#include "core/base/unique_fd.h"

namespace keyd::keyadm {
namespace {

// Every line of `content`, as it comes through a pipe in pieces of `piece` octets; a refused one as "!".
std::vector<std::string> lines_of(const std::string& content, std::size_t piece) {
  int ends[2];
  EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd reading(ends[0]);
  std::thread writer([&, writing = UniqueFd(ends[1])] {
    for (std::size_t at = 0; at < content.size(); at += piece) {
      const std::string part = content.substr(at, piece);
      EXPECT_EQ(::write(writing.get(), part.data(), part.size()), static_cast<ssize_t>(part.size()));
    }
  });
  SecretLines lines(reading.get());
  std::vector<std::string> all;
  for (;;) {
    const auto line = lines.next();
    if (line && !*line) break;
    all.push_back(line ? std::string(text_of(**line)) : "!");
    EXPECT_EQ(lines.number(), all.size());
  }
  writer.join();
  return all;
}

using Lines = std::vector<std::string>;

TEST(SecretLines, AreWhatStandsBetweenNewlines) {
  for (const std::size_t piece : {1u, 2u, 3u, 4096u}) {
    EXPECT_EQ(lines_of("", piece), Lines());
    EXPECT_EQ(lines_of("one", piece), Lines{"one"});
    EXPECT_EQ(lines_of("one\ntwo\n", piece), (Lines{"one", "two"}));
    EXPECT_EQ(lines_of("\n\nthree\n\n", piece), (Lines{"", "", "three", ""}));
  }
}

TEST(SecretLines, OneThatIsTooLongIsPassedOverAndTheNextIsWhole) {
  const std::string longest(SecretLines::kLongest, 'l');
  for (const std::size_t piece : {997u, 4096u, 40000u}) {
    EXPECT_EQ(lines_of(longest + "\nnext\n", piece), (Lines{longest, "next"}));
    for (const std::size_t more : {1u, 4095u, 4096u, 4097u, 100000u}) {
      EXPECT_EQ(lines_of("first\n" + longest + std::string(more, 'm') + "\nnext\n", piece),
                (Lines{"first", "!", "next"}));
      EXPECT_EQ(lines_of(longest + std::string(more, 'm'), piece), Lines{"!"}) << "at the end of the file";
    }
  }
}

TEST(SecretLines, AFileThatCannotBeReadIsAnError) {
  const UniqueFd directory(::open("/", O_RDONLY | O_CLOEXEC));
  SecretLines lines(directory.get());
  const auto line = lines.next();
  ASSERT_FALSE(line);
  EXPECT_EQ(line.error().code, Code::kBroken);
}

}  // namespace
}  // namespace keyd::keyadm
