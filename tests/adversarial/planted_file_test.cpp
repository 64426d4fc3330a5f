// Things that somebody has put into keyd's directories before it starts: it says what is wrong in one line,
// does not start, and leaves them as they are.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>

#include "tests/support/content.h"
#include "tests/support/private_keyd.h"
#include "tests/support/tier_under_test.h"

namespace keyd::testing {
namespace {

namespace fs = std::filesystem;
constexpr unsigned kStranger = 65534;

void write_file(const std::string& path, mode_t mode = 0600) {
  std::ofstream(path) << "precious";
  ::chmod(path.c_str(), mode);
}

void make_socket(const std::string& path) {
  const int fd = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  (void)::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  ::close(fd);
}

// What can be planted at a path; `aside` is a path beside it that the planted thing may lead to.
struct Planting {
  const char* name;
  void (*plant)(const std::string& path, const std::string& aside);
};

const Planting kPlantings[] = {
    {"a link to a file",
     [](const std::string& path, const std::string& aside) {
       write_file(aside);
       fs::create_symlink(aside, path);
     }},
    {"a link to nothing",
     [](const std::string& path, const std::string& aside) { fs::create_symlink(aside, path); }},
    {"a link to a directory",
     [](const std::string& path, const std::string& aside) {
       fs::create_directory(aside);
       fs::create_symlink(aside, path);
     }},
    {"a hard link",
     [](const std::string& path, const std::string& aside) {
       write_file(aside);
       fs::create_hard_link(aside, path);
     }},
    {"a directory", [](const std::string& path, const std::string&) { fs::create_directory(path); }},
    {"a fifo", [](const std::string& path, const std::string&) { ::mkfifo(path.c_str(), 0600); }},
    {"a device", [](const std::string& path,
                    const std::string&) { ::mknod(path.c_str(), S_IFCHR | 0600, makedev(1, 5)); }},
    {"somebody's socket",
     [](const std::string& path, const std::string&) {
       make_socket(path);
       (void)!::chown(path.c_str(), kStranger, kStranger);
     }},
    {"somebody's file",
     [](const std::string& path, const std::string&) {
       write_file(path);
       (void)!::chown(path.c_str(), kStranger, kStranger);
     }},
    {"a file that others read", [](const std::string& path, const std::string&) { write_file(path, 0644); }},
    {"a file that others write", [](const std::string& path, const std::string&) { write_file(path, 0622); }},
};

// How everything under a directory is, to be compared: what it is, whose, how often linked, and what is in
// it.
using Picture = std::map<std::string, std::string>;

Picture picture_of(const std::string& directory) {
  Picture picture;
  std::error_code ignored;
  for (const auto& entry : fs::recursive_directory_iterator(directory, ignored)) {
    struct stat st{};
    if (::lstat(entry.path().c_str(), &st) != 0) continue;
    std::string& line = picture[entry.path().string()];
    for (const auto part : {static_cast<std::uint64_t>(st.st_ino), std::uint64_t{st.st_mode},
                            std::uint64_t{st.st_uid}, std::uint64_t{st.st_gid}, std::uint64_t{st.st_nlink}}) {
      line += std::to_string(part) + " ";
    }
    if (S_ISLNK(st.st_mode)) line += fs::read_symlink(entry.path()).string();
    if (S_ISREG(st.st_mode)) line += content_of(entry.path());
  }
  return picture;
}

class PlantedFile : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::getuid() != 0) GTEST_SKIP() << "needs root to plant what is somebody else's";
  }

  // Starts a keyd upon what stands there. `prepare` makes the directories and plants.
  template <typename Prepare>
  void expect_refused_and_left_alone(Prepare prepare) {
    PrivateKeyd keyd(in_a_steady_tier());
    prepare(keyd);
    const Picture before = picture_of(keyd.directory());
    EXPECT_FALSE(keyd.start()) << "keyd took it";
    EXPECT_EQ(keyd.exit_code(), 1);
    const std::string said = keyd.log();
    // One line says it; the log's own have their time in front.
    EXPECT_THAT(said, ::testing::ContainsRegex("(^|\n)keyd: [^\n]*\n$")) << said;
    EXPECT_EQ(said.find("\nkeyd: ", said.find("keyd: ")), std::string::npos) << said;
    Picture after = picture_of(keyd.directory());
    after.erase(keyd.directory() + "/log");
    // What keyd makes anew beside it is its own.
    for (const auto& [path, picture] : before) EXPECT_EQ(after[path], picture) << path << " was touched";
  }

  static void make_directories(const PrivateKeyd& keyd) {
    fs::create_directory(keyd.runtime_dir());
    fs::create_directory(keyd.state_dir());
    ::chmod(keyd.runtime_dir().c_str(), 0755);
    ::chmod(keyd.state_dir().c_str(), 0700);
  }

  void plant_everything_at(const std::string& name, bool runtime) {
    for (const Planting& planting : kPlantings) {
      SCOPED_TRACE(std::string(planting.name) + " at " + name);
      expect_refused_and_left_alone([&](const PrivateKeyd& keyd) {
        make_directories(keyd);
        planting.plant((runtime ? keyd.runtime_dir() : keyd.state_dir()) + "/" + name,
                       keyd.directory() + "/aside");
      });
    }
  }
};

TEST_F(PlantedFile, NothingInTheRuntimeDirectoryIsFollowedOrOverwritten) {
  for (const char* name : {"keyd.lock", "keyd.sock", "admin.sock"}) plant_everything_at(name, true);
}

TEST_F(PlantedFile, NothingInTheStateDirectoryIsFollowedOrOverwritten) {
  for (const char* name :
       {"store.key", "store.key.new", "keyd.db", "keyd.db-wal", "keyd.db-shm", "keyd.db-journal"})
    plant_everything_at(name, false);
}

TEST_F(PlantedFile, NothingInTheStateDirectoryOfAStoreThatIsInUseIsFollowedOrOverwritten) {
  for (const char* name : {"store.key.new", "keyd.db-wal", "keyd.db-shm", "keyd.db-journal"}) {
    for (const Planting& planting : kPlantings) {
      SCOPED_TRACE(std::string(planting.name) + " at " + name);
      expect_refused_and_left_alone([&](PrivateKeyd& keyd) {
        ASSERT_TRUE(keyd.start()) << keyd.log();
        keyd.enrol("alice", "right");
        keyd.stop();
        fs::remove(keyd.directory() + "/log");
        fs::remove(keyd.state_dir() + "/" + name);
        planting.plant(keyd.state_dir() + "/" + name, keyd.directory() + "/aside");
      });
    }
  }
}

TEST_F(PlantedFile, NothingInPlaceOfADirectoryIsFollowedOrOverwritten) {
  for (const bool runtime : {true, false}) {
    for (const Planting& planting : kPlantings) {
      if (std::string_view(planting.name) == "a directory") continue;
      SCOPED_TRACE(std::string(planting.name) +
                   (runtime ? " as the runtime directory" : " as the state directory"));
      expect_refused_and_left_alone([&](const PrivateKeyd& keyd) {
        planting.plant(runtime ? keyd.runtime_dir() : keyd.state_dir(), keyd.directory() + "/aside");
      });
    }
  }
}

TEST_F(PlantedFile, ADirectoryThatIsSomebodyElsesOrOpenToOthersIsRefused) {
  struct Wrong {
    const char* name;
    bool runtime;
    uid_t owner;
    mode_t mode;
  };
  const Wrong wrongs[] = {{"a runtime directory of somebody else", true, kStranger, 0755},
                          {"a runtime directory that its group writes", true, 0, 0775},
                          {"a runtime directory that all write, though sticky", true, 0, 01777},
                          {"a state directory of somebody else", false, kStranger, 0700},
                          {"a state directory that its group reads", false, 0, 0750},
                          {"a state directory that others pass through", false, 0, 0701}};
  for (const Wrong& wrong : wrongs) {
    SCOPED_TRACE(wrong.name);
    expect_refused_and_left_alone([&](const PrivateKeyd& keyd) {
      make_directories(keyd);
      const std::string path = wrong.runtime ? keyd.runtime_dir() : keyd.state_dir();
      write_file(path + "/bystander");
      ASSERT_EQ(::chown(path.c_str(), wrong.owner, 0), 0);
      ASSERT_EQ(::chmod(path.c_str(), wrong.mode), 0);
    });
  }
}

}  // namespace
}  // namespace keyd::testing
