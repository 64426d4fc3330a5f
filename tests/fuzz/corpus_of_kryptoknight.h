// Seeds for the targets kryptoknight_steps, kryptoknight_reply, crypt_setting, and of this exchange for
// client_packet and server_packet.
#pragma once

#include "tests/fuzz/corpus_of_scripts.h"

namespace keyd::fuzz {

void save_kryptoknight_seeds(const SaveSeed& save);

}  // namespace keyd::fuzz
