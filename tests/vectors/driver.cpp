// vector_driver INPUTS.json > RESULTS.json: the project's functions over test vectors, for whoever wants to
// check them. What cannot be computed is named on stderr and left out; only an input that is not a JSON
// object is an error.
//
//   INPUTS   {"<family>": [{"id": "…", "in": {…}} or {"id": "…", "hex": "…"}, …], …}
//   RESULTS  {"<family>": {"<id>": {"<field>": value}}}
//
// vector_driver --families names the families that it knows, one a line.
#include <cstdio>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string_view>

#include "tests/vectors/families.h"

namespace keyd::vectors {
namespace {

struct Family {
  std::string_view name;
  Json (*compute)(const Json& test);
};

constexpr Family kFamilies[] = {
    {"des_facts", des_facts},
    {"eap_packets", eap_packets},
    {"hash_facts", hash_facts},
    {"rfc5054_appendix_b", rfc5054_appendix_b},
    {"s0_keys", s0_keys},
    {"s1_secrethash", s1_secrethash},
    {"sha_interleave", sha_interleave},
    {"srp3_sessions", srp3_sessions},
    {"srp3_stanford_peer", srp3_stanford_peer},
    {"srp6a_sessions", srp6a_sessions},
    {"srp_group_acceptance", srp_group_acceptance},
    {"srp_groups", srp_groups},
    {"srp_hostile_values", srp_hostile_values},
    {"srp_verifiers", srp_verifiers},
    {"tls10_prf", tls10_prf},
};

const Family* find(std::string_view name) {
  for (const Family& family : kFamilies) {
    if (family.name == name) return &family;
  }
  return nullptr;
}

Json results_of(const Family& family, const Json& cases) {
  Json results = Json::object();
  for (const Json& test : cases) {
    std::string id = "(no id)";
    try {
      id = test.at("id").get<std::string>();
      results[id] = family.compute(test);
    } catch (const std::exception& e) {
      std::cerr << family.name << ' ' << id << ": " << e.what() << '\n';
    }
  }
  return results;
}

int run(const char* path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();  // a folder, say, gives nothing here, where the parser itself would throw
  const Json inputs = Json::parse(text.str(), nullptr, /*allow_exceptions=*/false);
  if (!inputs.is_object()) {
    std::cerr << "vector_driver: " << path << " cannot be read, or is not a JSON object\n";
    return 2;
  }
  Json results = Json::object();
  for (const auto& [name, cases] : inputs.items()) {
    const Family* const family = find(name);
    if (family == nullptr) {
      std::cerr << "unknown family " << name << '\n';
    } else if (!cases.is_array()) {
      std::cerr << name << ": not a list of cases\n";
    } else {
      results[name] = results_of(*family, cases);
    }
  }
  std::cout << results.dump(1) << '\n';
  return std::cout.flush() ? 0 : 1;
}

}  // namespace
}  // namespace keyd::vectors

int main(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "--families") {
    for (const auto& family : keyd::vectors::kFamilies) std::cout << family.name << '\n';
    return 0;
  }
  if (argc != 2) {
    std::cerr << "usage: vector_driver INPUTS.json > RESULTS.json\n       vector_driver --families\n";
    return 2;
  }
  return keyd::vectors::run(argv[1]);
}
