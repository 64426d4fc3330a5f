// gtest's own main would run every test again in the copy of this program that ProcConnector::open() executes
// with
// "--version" to prove that events arrive.
#include <gmock/gmock.h>

#include <string_view>

int main(int argc, char** argv) {
  if (argc > 1 && std::string_view(argv[1]) == "--version") return 0;
  // Forking a program that has threads is what "threadsafe" is for: the death test starts anew.
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  ::testing::InitGoogleMock(&argc, argv);
  return RUN_ALL_TESTS();
}
