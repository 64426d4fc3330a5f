// An index of every 8-octet window of every form of every secret; a search looks up each window of what it
// reads. Pieces of encoded forms must be longer, so that they stand for about as many octets of the secret.
#include "tests/secrets/memory_hunt.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "tests/secrets/process_memory.h"

namespace keyd::testing {
namespace {

std::string hex(ByteView octets, const char* digits) {
  std::string out;
  for (const std::uint8_t octet : octets) {
    out += digits[octet >> 4];
    out += digits[octet & 15];
  }
  return out;
}

// As it appears when `before` octets precede it in the encoded text; what depends on its neighbours is left
// out.
std::string base64(ByteView octets, std::size_t before) {
  constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  Bytes padded(before);
  padded.insert(padded.end(), octets.begin(), octets.end());
  std::string out;
  for (std::size_t i = before == 0 ? 0 : 3; i + 3 <= padded.size(); i += 3) {
    const unsigned three = static_cast<unsigned>(padded[i] << 16 | padded[i + 1] << 8 | padded[i + 2]);
    for (int shift = 18; shift >= 0; shift -= 6) out += kDigits[three >> shift & 63];
  }
  return out;
}

std::uint64_t window_at(const std::uint8_t* octets) {
  std::uint64_t window = 0;
  std::memcpy(&window, octets, sizeof window);
  return window;
}
std::size_t bit_of(std::uint64_t window) { return window * 0x9e3779b97f4a7c15u >> 44; }

}  // namespace

std::string text_of(const std::vector<Finding>& findings) {
  std::string out;
  for (const Finding& f : findings)
    out += fmt::format("\n  {} ({}) in {}{}", f.secret, f.form, f.where, f.locked ? ", locked" : "");
  return out;
}

void Hunt::add(const std::string& name, const std::string& form, std::string octets, std::size_t piece) {
  if (octets.size() < piece) return;
  patterns_.push_back({name, form, std::move(octets), piece});
  const Pattern& pattern = patterns_.back();
  for (std::size_t i = 0; i + piece <= pattern.octets.size(); ++i) {
    const std::uint64_t window = window_at(reinterpret_cast<const std::uint8_t*>(pattern.octets.data()) + i);
    windows_.emplace(window, Place{&pattern, i});
    maybe_[bit_of(window)] = true;
  }
}

void Hunt::mark(const std::string& name, ByteView octets) {
  const std::string raw(octets.begin(), octets.end());
  add(name, "as it is", raw, kPiece);
  add(name, "reversed", std::string(raw.rbegin(), raw.rend()), kPiece);
  add(name, "hexadecimal", hex(octets, "0123456789abcdef"), 2 * kPiece);
  add(name, "hexadecimal, upper case", hex(octets, "0123456789ABCDEF"), 2 * kPiece);
  for (std::size_t before = 0; before < 3; ++before) add(name, "base64", base64(octets, before), kPiece + 4);
  std::string wide;
  for (const char c : raw) wide += std::string{c, '\0'};
  add(name, "UTF-16", wide, 2 * kPiece);
  // What HMAC and the hashes make of a key: its pads, and 32-bit words in the other order of octets.
  for (const int pad : {0x00, 0x36, 0x5c}) {
    std::string padded = raw;
    for (char& c : padded) c = static_cast<char>(c ^ pad);
    if (pad != 0) add(name, fmt::format("an HMAC pad, {:#x}", pad), padded, kPiece);
    padded.resize((padded.size() + 3) / 4 * 4, static_cast<char>(pad));
    for (std::size_t i = 0; i < padded.size(); i += 4)
      std::reverse(padded.begin() + static_cast<std::ptrdiff_t>(i),
                   padded.begin() + static_cast<std::ptrdiff_t>(i) + 4);
    add(name, fmt::format("swapped words, pad {:#x}", pad), padded, kPiece);
  }
}

void Hunt::search(ByteView octets, const std::string& where, std::uint64_t base, bool locked,
                  std::vector<Finding>& out) const {
  for (std::size_t i = 0; i + sizeof(std::uint64_t) <= octets.size(); ++i) {
    const std::uint64_t window = window_at(octets.data() + i);
    if (!maybe_[bit_of(window)]) continue;
    const auto [first, last] = windows_.equal_range(window);
    for (auto it = first; it != last; ++it) {
      const auto& [pattern, offset] = it->second;
      if (i + pattern->piece > octets.size() ||
          std::memcmp(octets.data() + i, pattern->octets.data() + offset, pattern->piece) != 0) {
        continue;
      }
      const auto same = [&](const Finding& f) {
        return f.secret == pattern->secret && f.form == pattern->form && f.where.starts_with(where + " ");
      };
      if (std::ranges::none_of(out, same))
        out.push_back({pattern->secret, pattern->form, fmt::format("{} at {:#x}", where, base + i), locked});
    }
  }
}

std::vector<Finding> Hunt::in_process(pid_t pid) const {
  std::vector<Finding> out;
  std::uint64_t read = 0;
  for (const Mapping& mapping : mappings_of(pid)) {
    if (!mapping.readable || mapping.name.starts_with("[v")) continue;
    const Bytes octets = read_memory(pid, mapping.from, mapping.to - mapping.from);
    read += octets.size();
    search(octets, fmt::format("{} {:x}", mapping.name, mapping.from), mapping.from, mapping.guarded(), out);
  }
  if (read == 0) out.push_back({"nothing could be read", "", "process " + std::to_string(pid), false});
  return out;
}

std::vector<Finding> Hunt::in_file(const std::string& path) const {
  std::ifstream file(path, std::ios::binary);
  if (!file) return {{"nothing could be read", "", path, false}};
  const std::string octets{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  std::vector<Finding> out;
  search(bytes_of(octets), path, 0, false, out);
  return out;
}

std::vector<Finding> Hunt::in_directory(const std::string& path) const {
  std::vector<Finding> out;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(path)) {
    search(bytes_of(entry.path().native()), "a file's name", 0, false, out);
    if (!entry.is_regular_file()) continue;
    auto more = in_file(entry.path());
    out.insert(out.end(), more.begin(), more.end());
  }
  return out;
}

}  // namespace keyd::testing
