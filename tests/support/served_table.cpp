#include "tests/support/served_table.h"

#include "core/wire/limits.h"
#include "tests/support/raw_client.h"

namespace keyd::testing {

ServedTable ask_for_table(const std::string& runtime_dir) {
  ServedTable table;
  RawClient raw(runtime_dir);
  wire::ClientPacket request;
  request.mutable_table();
  raw.send(request);
  Bytes buffer(wire::kMaxPlainPacket);
  auto received = wire::receive_packet(raw.descriptor(), buffer);
  wire::ServerPacket answer;
  if (received.outcome != wire::ReceiveOutcome::kPacket || !received.descriptor.valid() ||
      wire::decode(ByteView(buffer).first(received.size), answer) != wire::Decoded::kMessage ||
      !answer.has_table()) {
    return table;
  }
  table.size = answer.table().size();
  table.descriptor = std::move(received.descriptor);
  if (auto reader = table::TableReader::map(table.descriptor.get(), table.size))
    table.reader = std::make_unique<table::TableReader>(std::move(*reader));
  return table;
}

}  // namespace keyd::testing
