// An administrator's requests and the replies to them, and that names are looked at before they are used.
#include "core/base/untrusted_text.h"
#include "tests/fuzz/round_trip.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace keyd;
  using namespace keyd::fuzz;
  wire::AdminRequest request;
  if (round_trip({data, size}, request) && is_acceptable_name(request.user_add().name())) {
    must(request.user_add().name().size() <= kMaxNameOctets);
    must(escape(request.user_add().name()).find('\n') == std::string::npos);
  }
  wire::AdminReply reply;
  (void)round_trip({data, size}, reply);
  return 0;
}
