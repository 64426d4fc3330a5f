// spdlog renders the lines; they are written by LineOutput and not by one of its sinks, because those wait
// for a reader who does not read (docs/decisions/0015).
#include "core/base/log.h"

#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <mutex>

#include "core/base/line_output.h"

namespace keyd::log {
namespace {

spdlog::level::level_enum to_spdlog(Level level) {
  switch (level) {
    case Level::kDebug: return spdlog::level::debug;
    case Level::kInfo: return spdlog::level::info;
    case Level::kWarning: return spdlog::level::warn;
    case Level::kError: return spdlog::level::err;
  }
  return spdlog::level::err;
}

class StderrSink final : public spdlog::sinks::base_sink<std::mutex> {
 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    output_.write(render(message), [&](std::uint64_t lost) {
      const std::string text = std::to_string(lost) + " lines of this log found no room";
      return render({message.time, {}, message.logger_name, spdlog::level::warn, text});
    });
  }
  void flush_() override {}  // nothing is kept back

 private:
  std::string render(const spdlog::details::log_msg& message) {
    spdlog::memory_buf_t buffer;
    formatter_->format(message, buffer);
    std::string line(buffer.data(), buffer.size());
    // The level in colour where a person reads it.
    if (terminal_ && message.level >= spdlog::level::warn) {
      line.insert(message.color_range_end, "\x1b[m");
      line.insert(message.color_range_start, message.level == spdlog::level::warn ? "\x1b[33m" : "\x1b[31m");
    }
    return line;
  }

  LineOutput output_{STDERR_FILENO};
  const bool terminal_ = ::isatty(STDERR_FILENO) == 1;
};

spdlog::logger& logger() {
  // Never destroyed: threads may log late.
  static spdlog::logger* const instance = [] {
    auto* made = new spdlog::logger("keyd", std::make_shared<StderrSink>());
    made->set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %^%l%$ %v");
    return made;
  }();
  return *instance;
}

}  // namespace

void set_level(Level level) { logger().set_level(to_spdlog(level)); }
void write(Level level, std::string_view line) {
  logger().log(to_spdlog(level), spdlog::string_view_t(line.data(), line.size()));
}

}  // namespace keyd::log
