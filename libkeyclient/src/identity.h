// A record of the task table in the terms of the C ABI.
#pragma once

#include <keyclient/keyclient.h>

#include "core/table/table_reader.h"

namespace keyd::client {

// Everything but `size`. The strength is the table's own word, never concluded from the tier's name.
void fill(keyclient_identity& out, const table::TaskView& view, const table::TableHeader& header);
// Nobody.
void clear(keyclient_identity& out);

[[nodiscard]] keyclient_revocation revocation_of(table::Revocation revocation);

// What a look-up came to, with its line for keyclient_error(). KEYCLIENT_OK when it was found and COMPLETE.
keyclient_status status_of(table::LookupOutcome outcome, const table::TaskView& view);

}  // namespace keyd::client
