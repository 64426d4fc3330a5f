// The diagnostic log of a long-running program: one line an event on stderr, where the service manager picks
// it up, and never waited for: a line that finds no room there is dropped, and the next one that does is
// preceded by their number. Callers format with fmt and escape() whatever came from outside. No secret ever
// gets here. (The audit log, which tells who did what, is keyd/audit.h.)
#pragma once

#include <string_view>

namespace keyd::log {

enum class Level { kDebug, kInfo, kWarning, kError };

// Lines below `level` are dropped from now on. Thread-safe, like everything here.
void set_level(Level level);
void write(Level level, std::string_view line);

inline void debug(std::string_view line) { write(Level::kDebug, line); }
inline void info(std::string_view line) { write(Level::kInfo, line); }
inline void warn(std::string_view line) { write(Level::kWarning, line); }
inline void error(std::string_view line) { write(Level::kError, line); }

}  // namespace keyd::log
