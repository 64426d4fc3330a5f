// Seeds of eap_packet and srp_steps: the packets of whole exchanges, and scripts of what an attacker may do to them.
#pragma once

#include "tests/fuzz/corpus_of_scripts.h"

namespace keyd::fuzz {

void save_srp_seeds(const SaveSeed& save);

}  // namespace keyd::fuzz
