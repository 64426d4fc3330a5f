// An error is read by people: it says what failed, why the system said so, and where.
#include "core/base/error.h"

#include <gmock/gmock.h>

namespace keyd {
namespace {

TEST(Error, SaysTheSystemsReasonWhereThereIsOne) {
  errno = ENOSPC;
  const std::unexpected<Error> error = fail_errno(Code::kExhausted, "cannot write the store");
  EXPECT_EQ(error.error().system, ENOSPC);
  EXPECT_EQ(error.error().message(), std::string("cannot write the store: ") + std::strerror(ENOSPC));
}

TEST(Error, SaysItsDetailAloneWhereThereIsNone) {
  EXPECT_EQ(fail(Code::kInvalid, "no such suite").error().message(), "no such suite");
}

TEST(Error, NamesThePlaceOfTheFailureNotOfTheHelper) {
  EXPECT_THAT(fail(Code::kBroken, "here").error().where.file_name(), testing::HasSubstr("error_test.cpp"));
  EXPECT_THAT(fail_errno(Code::kBroken, "here").error().where.file_name(),
              testing::HasSubstr("error_test.cpp"));
}

}  // namespace
}  // namespace keyd
