#include "libkeyclient/src/failure.h"

#include "core/base/untrusted_text.h"

namespace keyd::client {

Failure failure_of(const wire::Refused& refused) {
  const std::string text = "keyd: " + escape_line(refused.text());
  switch (refused.code()) {
    case wire::REFUSAL_BUSY: return {KEYCLIENT_BUSY, text};
    case wire::REFUSAL_NOT_FOUND: return {KEYCLIENT_NOT_FOUND, text};
    case wire::REFUSAL_GONE: return {KEYCLIENT_GONE, text};
    case wire::REFUSAL_DEADLINE: return {KEYCLIENT_DEADLINE, text};
    case wire::REFUSAL_MALFORMED: return {KEYCLIENT_INVALID, text};
    case wire::REFUSAL_INTERNAL: return {KEYCLIENT_INTERNAL, text};
    case wire::REFUSAL_THROTTLED: return {KEYCLIENT_THROTTLED, text};
    case wire::REFUSAL_IN_DOUBT: return {KEYCLIENT_UNKNOWN, text};
    case wire::REFUSAL_VERSION: return {KEYCLIENT_UNSUPPORTED, text};
    default: return {KEYCLIENT_REFUSED, text};
  }
}

Failure failure_of(const Error& error) {
  switch (error.code) {
    case Code::kUnreachable: return {KEYCLIENT_UNREACHABLE, error.message()};
    case Code::kDeadline: return {KEYCLIENT_DEADLINE, error.message()};
    case Code::kExhausted: return {KEYCLIENT_BUSY, error.message()};
    case Code::kUnsupported: return {KEYCLIENT_UNSUPPORTED, error.message()};
    case Code::kInvalid: return {KEYCLIENT_INVALID, error.message()};
    case Code::kRefused: return {KEYCLIENT_REFUSED, error.message()};
    case Code::kNotFound: return {KEYCLIENT_NOT_FOUND, error.message()};
    case Code::kInDoubt: return {KEYCLIENT_UNKNOWN, error.message()};
    case Code::kConflict:
    case Code::kBroken: break;
  }
  return {KEYCLIENT_INTERNAL, error.message()};
}

}  // namespace keyd::client
