// Small files of /proc with one "Name:<blank>values" a line.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace keyd::kernel {

// The whole file, at most 16 KiB of it. Nothing when it cannot be read.
[[nodiscard]] std::optional<std::string> read_proc_file(const std::string& path);

// What stands behind `name` ("Uid:") at the start of a line, without the blanks around it. Views into `text`.
[[nodiscard]] std::optional<std::string_view> proc_field(std::string_view text, std::string_view name);

// Exactly out.size() decimal numbers, separated by blanks. False when there are fewer, more, or something
// else.
[[nodiscard]] bool parse_numbers(std::string_view text, std::span<std::int64_t> out);

}  // namespace keyd::kernel
