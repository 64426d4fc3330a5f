// What goes wrong in the library: a status of the C ABI and one line for people.
#pragma once

#include <expected>
#include <string>

#include "core/base/error.h"
#include "core/wire/keyd.pb.h"
#include "keyclient/keyclient.h"

namespace keyd::client {

struct Failure {
  keyclient_status status;
  std::string text;
  // keyd's own word in the session's channel: which one, and so nothing is in doubt. Unspecified: it is none.
  wire::RefusalCode sealed = wire::REFUSAL_UNSPECIFIED;
};

template <typename T>
using Outcome = std::expected<T, Failure>;

[[nodiscard]] inline std::unexpected<Failure> failed(keyclient_status status, std::string text) {
  return std::unexpected(Failure{status, std::move(text)});
}

// keyd's refusal in the library's terms.
[[nodiscard]] Failure failure_of(const wire::Refused& refused);
[[nodiscard]] Failure failure_of(const Error& error);

}  // namespace keyd::client
