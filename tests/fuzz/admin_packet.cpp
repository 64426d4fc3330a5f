// An administrator's requests and the replies to them, and that names are looked at before they are used.
#include "core/base/untrusted_text.h"
#include "core/wire/message_codec.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace keyd;
  using namespace keyd::fuzz;
  wire::AdminRequest request;
  if (wire::decode({data, size}, request) == wire::Decoded::kMessage) {
    if (is_acceptable_name(request.user_add().name())) {
      must(request.user_add().name().size() <= kMaxNameOctets);
      must(escape(request.user_add().name()).find('\n') == std::string::npos);
    }
    wire::AdminRequest again;
    must(wire::decode(wire::encode(request), again) == wire::Decoded::kMessage);
    must(again.SerializeAsString() == request.SerializeAsString());
  }
  wire::AdminReply reply;
  if (wire::decode({data, size}, reply) == wire::Decoded::kMessage) {
    wire::AdminReply again;
    must(wire::decode(wire::encode(reply), again) == wire::Decoded::kMessage);
  }
  return 0;
}
