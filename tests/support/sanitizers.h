// What a sanitizer takes away from a test: ASan and TSan replace mlock(2) by nothing, make calls and maps of
// their own, and TSan has a thread of its own in every process.
#pragma once

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define KEYD_TEST_SANITIZED 1
#endif
#if __has_feature(thread_sanitizer)
#define KEYD_TEST_THREAD_SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define KEYD_TEST_SANITIZED 1
#endif

namespace keyd::testing {

#ifdef KEYD_TEST_SANITIZED
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif
inline constexpr bool kMlockWorks = !kSanitized;
#if defined(KEYD_TEST_THREAD_SANITIZED) || defined(__SANITIZE_THREAD__)
inline constexpr bool kHasOwnThread = true;
#else
inline constexpr bool kHasOwnThread = false;
#endif

}  // namespace keyd::testing
