// Each key is one line of the table in `known_keys`: section, name, when a change takes effect, how it is
// checked, where it goes.
#include "keyd/config.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <toml++/toml.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <filesystem>
#include <functional>
#include <map>
#include <variant>

#include "core/base/unique_fd.h"
#include "core/base/untrusted_text.h"

namespace keyd::daemon {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kAnySalt = 86;  // octets; longer than any method's

using Place = std::variant<std::string*, bool*, std::uint32_t*, std::uint64_t*, std::chrono::seconds*,
                           TierChoice*, CredentialsWatch*, TableAccess*, AuditFormat*, wire::SaltCarriage*>;

struct Setter {
  std::function<std::string(const toml::node&)> set;  // gives what is wrong with the value, or nothing
  Place place;
};

struct Key {
  Applies applies;
  Setter value;
};
// The column of the table: every key has to say which.
Key live(Setter setter) { return {Applies::kLive, std::move(setter)}; }
Key at_start(Setter setter) { return {Applies::kAtStart, std::move(setter)}; }

Setter text(std::string& into, std::size_t max) {
  return {[&into, max](const toml::node& node) -> std::string {
            const auto value = node.value_exact<std::string>();
            if (!value || value->size() > max) return fmt::format("needs a string of at most {} octets", max);
            into = *value;
            return {};
          },
          &into};
}

Setter flag(bool& into) {
  return {[&into](const toml::node& node) -> std::string {
            const auto value = node.value_exact<bool>();
            if (!value) return "needs true or false";
            into = *value;
            return {};
          },
          &into};
}

Setter number(std::uint32_t& into, std::int64_t low, std::int64_t high) {
  return {[&into, low, high](const toml::node& node) -> std::string {
            const auto value = node.value_exact<std::int64_t>();
            if (!value || *value < low || *value > high)
              return fmt::format("needs a whole number from {} to {}", low, high);
            into = static_cast<std::uint32_t>(*value);
            return {};
          },
          &into};
}

Setter large_number(std::uint64_t& into) {
  return {[&into](const toml::node& node) -> std::string {
            const auto value = node.value_exact<std::int64_t>();
            if (!value || *value < 0) return "needs a whole number, 0 for none";
            into = static_cast<std::uint64_t>(*value);
            return {};
          },
          &into};
}

Setter seconds(std::chrono::seconds& into, std::int64_t low, std::int64_t high) {
  return {[&into, low, high](const toml::node& node) -> std::string {
            const auto value = node.value_exact<std::int64_t>();
            if (!value || *value < low || *value > high)
              return fmt::format("needs {} to {} seconds", low, high);
            into = std::chrono::seconds(*value);
            return {};
          },
          &into};
}

template <typename Enum>
Setter choice(Enum& into, std::map<std::string, Enum> values) {
  return {[&into, values = std::move(values)](const toml::node& node) -> std::string {
            const auto value = node.value_exact<std::string>();
            if (const auto found = value ? values.find(*value) : values.end(); found != values.end()) {
              into = found->second;
              return {};
            }
            std::string names;
            for (const auto& [name, unused] : values) names += (names.empty() ? "\"" : ", \"") + name + "\"";
            return "needs one of " + names;
          },
          &into};
}

// A hash by this method and cost, if a new one can be made and clients will accept what it costs.
std::string wrong_with_hashing(const std::string& method, std::uint32_t cost) {
  const auto setting = crypto::make_crypt_setting(method, cost, kAnySalt);
  if (!setting) return setting.error().detail;
  if (const auto fits = crypto::check_crypt_setting(*setting, {}); !fits) return fits.error().detail;
  return {};
}

Setter method(std::string& into) {
  return {[&into](const toml::node& node) -> std::string {
            const auto value = node.value_exact<std::string>();
            if (!value || value->size() > 64)
              return "needs the name of a crypt(5) method, such as \"yescrypt\"";
            if (const std::string wrong = wrong_with_hashing(*value, 0); !wrong.empty())
              return fmt::format("is \"{}\": {}", escape(*value), wrong);
            into = *value;
            return {};
          },
          &into};
}

Setter capacity(std::uint32_t& into) {
  return {[&into](const toml::node& node) -> std::string {
            const auto value = node.value_exact<std::int64_t>();
            if (!value || *value < 16 || *value > 1048576 ||
                !std::has_single_bit(static_cast<std::uint64_t>(*value))) {
              return "needs a power of two from 16 to 1048576";
            }
            into = static_cast<std::uint32_t>(*value);
            return {};
          },
          &into};
}

Setter group(std::uint32_t& into) {
  return {[&into](const toml::node& node) -> std::string {
            const auto value = node.value_exact<std::int64_t>();
            if (!value || *value < 2048 || *value > exchange::kLargestGroupBits ||
                !exchange::SrpGroup::listed(static_cast<unsigned>(*value))) {
              return "needs the size of a group of RFC 5054: 2048, 3072, 4096, 6144 or 8192";
            }
            into = static_cast<std::uint32_t>(*value);
            return {};
          },
          &into};
}

using KeyTable = std::map<std::string, std::map<std::string, Key>>;

KeyTable known_keys(Config& c) {
  constexpr std::int64_t kDay = 86400;
  return {
      {"daemon",
       {{"user", at_start(text(c.user, 64))},
        {"server_name", at_start(text(c.server_name, 255))},
        {"admin_group", at_start(text(c.admin_group, 64))},
        {"log_level",
         live(choice<std::string>(
             c.log_level,
             {{"debug", "debug"}, {"info", "info"}, {"warning", "warning"}, {"error", "error"}}))},
        {"credentials", at_start(choice<CredentialsWatch>(
                            c.credentials, {{"tier", CredentialsWatch::kTier},
                                            {"every-syscall", CredentialsWatch::kEverySyscall}}))},
        {"tier", at_start(choice<TierChoice>(c.tier, {{"auto", TierChoice::kAuto},
                                                      {"kernel", TierChoice::kKernel},
                                                      {"watch", TierChoice::kWatch},
                                                      {"pidfd", TierChoice::kPidfd}}))}}},
      {"table",
       {{"capacity", at_start(capacity(c.table_capacity))},
        {"access",
         live(choice<TableAccess>(c.table_access, {{"everyone", TableAccess::kEveryone},
                                                   {"administrators", TableAccess::kAdministrators}}))}}},
      {"session",
       {{"pending_deadline", live(seconds(c.pending_deadline, 1, 600))},
        {"lifetime", live(seconds(c.lifetime, 1, 30 * kDay))},
        {"plan_deadline", live(seconds(c.plan_deadline, 1, 60))},
        {"linger", live(seconds(c.linger, 0, kDay))}}},
      {"historic",
       {{"enabled", live(flag(c.historic_enabled))},
        {"resident_passwords", live(flag(c.resident_passwords))}}},
      {"kryptoknight",
       {{"method", live(method(c.crypt_method))},
        {"cost", live(number(c.crypt_cost, 0, 1'000'000))},
        {"salt", live(choice<wire::SaltCarriage>(c.salt_carriage,
                                                 {{"beside", wire::SALT_CARRIAGE_BESIDE_NONCE},
                                                  {"nonce", wire::SALT_CARRIAGE_IS_NONCE},
                                                  {"nonce-start", wire::SALT_CARRIAGE_STARTS_NONCE}}))},
        {"historic_salt", live(flag(c.historic_salt))}}},
      {"srp",
       {{"group", at_start(group(c.srp_group))},
        {"pool", at_start(number(c.srp_pool, 0, 4096))},
        {"vendor_id", at_start(number(c.srp_vendor_id, 1, exchange::kLargestVendor))}}},
      {"password",
       {{"max_age", live(seconds(c.change_policy.age, 0, 36500 * kDay))},
        {"max_octets", live(large_number(c.change_policy.octets))},
        {"max_records", live(large_number(c.change_policy.records))},
        {"wired_percent", live(number(c.change_policy.wired_percent, 1, 100))},
        {"wireless_percent", live(number(c.change_policy.wireless_percent, 1, 100))},
        {"ask_again", live(seconds(c.change_ask_again, 1, 30 * kDay))},
        {"disable_after", live(number(c.change_failures, 0, 1000))},
        {"history", live(number(c.change_history, 0, 24))},
        {"new_salt", live(flag(c.change_salt))},
        {"historic_message", live(choice<bool>(c.change_as_eap_srp, {{"eap-srp", true}, {"vendor", false}}))},
        {"parameters", live(choice<bool>(c.change_by_place, {{"message", false}, {"directory", true}}))}}},
      {"limits",
       {{"connections", live(number(c.connections, 8, 1000000))},
        {"connections_per_uid", live(number(c.connections_per_uid, 1, 1000000))},
        {"pending_per_uid", live(number(c.pending_per_uid, 1, 100000))},
        {"records_per_uid", live(number(c.records_per_uid, 1, 1000000))},
        {"octets", live(number(c.octets, 1 << 20, 1 << 30))},
        {"octets_per_uid", live(number(c.octets_per_uid, 128 << 10, 1 << 30))},
        {"idle_deadline", live(seconds(c.idle_deadline, 1, kDay))},
        {"free_tries", live(number(c.free_tries, 1, 1000000))},
        {"tries_per_source", live(number(c.tries_per_source, 1, 1000000))},
        {"tries_per_user", live(number(c.tries_per_user, 1, 1000000))},
        {"longest_delay", live(seconds(c.longest_delay, 1, kDay))},
        {"subordinate_uids", at_start(text(c.subordinate_uids, 4096))}}},
      {"audit",
       {{"format", live(choice<AuditFormat>(c.audit_format,
                                            {{"text", AuditFormat::kText}, {"json", AuditFormat::kJson}}))},
        {"file", live(text(c.audit_file, 4096))}}},
      {"noise", {{"raw_sources", at_start(flag(c.raw_noise))}}},
  };
}

std::unexpected<Error> complain(const std::string& file, const toml::node& node, const std::string& what) {
  return fail(Code::kInvalid, fmt::format("{}:{}: {}", file, node.source().begin.line, what));
}

Result<void> apply(const std::string& file, Config& config) {
  // Without its privileges keyd may find a file closed that it could read at its start.
  if (!UniqueFd(::open(file.c_str(), O_RDONLY | O_CLOEXEC)).valid()) {
    return fail_errno(Code::kRefused,
                      fmt::format("cannot read {} as uid {}; let that account read it", file, ::geteuid()));
  }
  toml::table document;
  try {
    document = toml::parse_file(file);
  } catch (const toml::parse_error& e) {
    return fail(Code::kInvalid,
                fmt::format("{}:{}: {}", file, e.source().begin.line, escape_line(e.description())));
  }
  const auto sections = known_keys(config);
  for (const auto& [section_key, section_node] : document) {
    const std::string section(section_key.str());
    const auto known = sections.find(section);
    if (known == sections.end())
      return complain(file, section_node, "unknown section [" + escape(section) + "]");
    const toml::table* const entries = section_node.as_table();
    if (entries == nullptr)
      return complain(file, section_node, section + " is a section: write [" + section + "]");
    for (const auto& [key_key, node] : *entries) {
      const std::string key(key_key.str());
      const auto setter = known->second.find(key);
      if (setter == known->second.end())
        return complain(file, node, "unknown key " + section + "." + escape(key));
      if (const std::string wrong = setter->second.value.set(node); !wrong.empty()) {
        return complain(file, node, section + "." + key + " " + wrong);
      }
    }
  }
  return {};
}

}  // namespace

Result<Config> load_config(const std::string& path, bool required) {
  Config config;
  // Only a file that is not there may be passed over: one that cannot be read is no reason for defaults.
  std::error_code ec;
  const auto status = fs::status(path, ec);
  if (status.type() == fs::file_type::not_found) {
    if (required) return fail(Code::kNotFound, "no configuration file " + path);
  } else if (auto applied = apply(path, config); !applied) {
    return std::unexpected(applied.error());
  }
  std::vector<std::string> drop_ins;
  fs::directory_iterator it(path + ".d", ec);
  for (const fs::directory_iterator end; !ec && it != end; it.increment(ec)) {
    if (it->path().extension() == ".toml") drop_ins.push_back(it->path().string());
  }
  if (ec && ec != std::errc::no_such_file_or_directory) {
    return fail(Code::kBroken, "cannot read " + path + ".d: " + ec.message());
  }
  std::ranges::sort(drop_ins);
  for (const std::string& file : drop_ins) {
    if (auto applied = apply(file, config); !applied) return std::unexpected(applied.error());
  }
  if (config.server_name.empty())
    return fail(Code::kInvalid, path + ": daemon.server_name must not be empty");
  // The two may stand in different files.
  if (const std::string wrong = wrong_with_hashing(config.crypt_method, config.crypt_cost); !wrong.empty())
    return fail(Code::kInvalid,
                fmt::format("{}: kryptoknight.cost {} does not go with kryptoknight.method \"{}\": {}", path,
                            config.crypt_cost, config.crypt_method, wrong));
  return config;
}

std::vector<ConfigKey> config_keys() {
  Config defaults;
  std::vector<ConfigKey> keys;
  for (const auto& [section, entries] : known_keys(defaults))
    for (const auto& [name, key] : entries) keys.push_back({section + "." + name, key.applies});
  return keys;
}

ConfigChanges take_live_keys(Config& running, Config loaded) {
  ConfigChanges changes;
  KeyTable theirs = known_keys(loaded);
  for (auto& [section, entries] : known_keys(running)) {
    for (const auto& [name, key] : entries) {
      const std::string full_name = section + "." + name;
      const Key& mine = key;  // the analyzer loses sight of a structured binding inside a lambda
      std::visit(
          [&, other = &theirs.at(section).at(name)](auto* ours) {
            const auto& wanted = *std::get<decltype(ours)>(other->value.place);
            if (*ours == wanted) return;
            const bool taken = mine.applies == Applies::kLive;
            if (taken) *ours = wanted;
            (taken ? changes.taken : changes.kept).push_back(full_name);
          },
          mine.value.place);
    }
  }
  return changes;
}

}  // namespace keyd::daemon
