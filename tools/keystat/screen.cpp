#include "tools/keystat/screen.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/base/clock.h"
#include "core/base/untrusted_text.h"
#include "tools/keystat/render.h"
#include "tools/keystat/text_width.h"

namespace keyd::keystat {
namespace {

constexpr const char* kBold = "\x1b[1m";
constexpr const char* kDim = "\x1b[2m";
constexpr const char* kAlarm = "\x1b[1;31m";
constexpr const char* kHeading = "\x1b[7m";
constexpr std::size_t kHeaderLines = 4, kWide = 110;

// A line that never gets wider than the screen, whatever is added.
class Line {
 public:
  Line(std::size_t columns, bool colour) : left_(columns), colour_(colour) {}
  Line& add(std::string_view text, const char* style = "") {
    const std::string_view shown = clip(text, left_);
    left_ = shown.size() == text.size() ? left_ - display_width(shown) : 0;
    const bool styled = colour_ && *style != '\0';
    text_ += (styled ? style : "") + std::string(shown) + (styled ? "\x1b[0m" : "");
    return *this;
  }
  Line& fill() { return add(std::string(left_, ' '), kHeading); }
  [[nodiscard]] std::size_t left() const { return left_; }
  [[nodiscard]] std::string text() const { return text_; }

 private:
  std::string text_;
  std::size_t left_;
  bool colour_;
};

struct Column {
  const char* heading;
  std::size_t width;
  Align align;
  bool wide_only;
  std::string (*cell)(const Task&, std::uint64_t now);
  SortBy sort;
  bool sortable;
};

std::string amount(std::uint64_t n) {
  if (n < 10000) return fmt::format("{}", n);
  const char* unit = "kMGTPE";
  double scaled = static_cast<double>(n) / 1000;
  while (scaled >= 1000) {
    scaled /= 1000;
    ++unit;
  }
  return fmt::format("{:.{}f}{}", scaled, scaled < 100 ? 1 : 0, *unit);
}

const Column kColumns[] = {
    {"PID", 8, Align::kRight, false,
     [](const Task& t, std::uint64_t) { return fmt::format("{}", t.identity.pid); }, SortBy::kPid, true},
    {"USER", 18, Align::kLeft, false, [](const Task& t, std::uint64_t) { return escape(t.identity.user); },
     SortBy::kUser, true},
    {"STATE", 9, Align::kLeft, false,
     [](const Task& t, std::uint64_t) -> std::string { return state_name(t.identity.state); }, SortBy::kState,
     true},
    {"REASON", 19, Align::kLeft, true,
     [](const Task& t, std::uint64_t) { return std::string(t.identity.reason); }, SortBy::kPid, false},
    {"UID", 10, Align::kRight, true,
     [](const Task& t, std::uint64_t) { return fmt::format("{}", t.identity.uid); }, SortBy::kPid, false},
    {"AGE", 5, Align::kRight, false, age_of, SortBy::kAge, true},
    {"ENDS", 5, Align::kRight, false, end_of, SortBy::kPid, false},
    {"RECORDS", 8, Align::kRight, false,
     [](const Task& t, std::uint64_t) { return amount(t.identity.records); }, SortBy::kRecords, true},
    {"OCTETS", 7, Align::kRight, false,
     [](const Task& t, std::uint64_t) { return amount(t.identity.octets); }, SortBy::kOctets, true},
};

std::string strength(const keyclient_table& table) {
  const char* const exec = revocation_name(table.on_exec);
  if (table.on_exec == table.on_exit && table.on_exec == table.on_credentials)
    return fmt::format("tier {}: exec, exit, ids {}", table.tier, exec);
  return fmt::format("tier {}: exec {}, exit {}, ids {}", table.tier, exec, revocation_name(table.on_exit),
                     revocation_name(table.on_credentials));
}

std::string header(const ScreenInput& in) {
  const keyclient_table& table = in.snapshot.table;
  Line line(in.size.columns, in.colour);
  line.add("keyd ", kBold);
  if (in.down) {
    line.add("IS DOWN", kAlarm).add(": its table counts for nothing; waiting for it · ");
  } else {
    line.add(fmt::format("up · {}/{} records · ", table.used, table.capacity));
  }
  line.add(in.time);
  if (!in.down) line.add(" · " + strength(table));
  return line.text();
}

std::string summary(const ScreenInput& in, const View& view) {
  Line line(in.size.columns, in.colour);
  for (std::size_t i = 0; i < kStates.size(); ++i) {
    const auto count = std::ranges::count_if(
        in.snapshot.tasks, [state = kStates[i]](const Task& task) { return task.identity.state == state; });
    const std::string text = fmt::format("{} {}", state_name(kStates[i]), count);
    if (view.shows(i)) {
      line.add(text, count != 0 ? colour_of(kStates[i]) : "");
    } else {
      line.add("(" + text + ")", kDim);
    }
    line.add("  ");
  }
  return line.add(fmt::format("exchanges: {:.1f}/s", in.rate)).text();
}

std::string choices(const ScreenInput& in, const View& view, std::size_t shown) {
  Line line(in.size.columns, in.colour);
  if (view.typing()) {
    line.add("user or command: ", kBold)
        .add(escape(view.filter()) + "_")
        .add("   Enter keeps it, Esc drops it", kDim);
  } else if (view.filters()) {
    line.add(fmt::format("{} of {} shown", shown, in.snapshot.tasks.size()), kBold);
    if (!view.filter().empty()) line.add(" with \"" + escape(view.filter()) + "\"");
    line.add("   c shows all", kDim);
  }
  return line.text();
}

bool is_shown(const Column& column, const ScreenInput& in) {
  return !column.wide_only || in.size.columns >= kWide;
}

std::string headings(const ScreenInput& in, const View& view) {
  Line line(in.size.columns, in.colour);
  for (const Column& column : kColumns) {
    if (!is_shown(column, in)) continue;
    std::string text = column.heading;
    if (column.sortable && column.sort == view.sorted_by()) text += view.descending() ? "↓" : "↑";
    line.add(fit(text, column.width, column.align) + " ", kHeading);
  }
  return line.add("COMMAND", kHeading).fill().text();
}

std::string row(const ScreenInput& in, Task& task, std::uint64_t now) {
  Line line(in.size.columns, in.colour);
  for (const Column& column : kColumns) {
    if (!is_shown(column, in)) continue;
    const bool state = column.sortable && column.sort == SortBy::kState;
    line.add(fit(column.cell(task, now), column.width, column.align),
             state ? colour_of(task.identity.state) : "");
    line.add(" ");
  }
  name_command(task);
  std::string last = escape(task.command);
  for (const std::string& flag : flag_names(task.identity)) last += " [" + flag + "]";
  return line.add(display_width(last) > line.left() ? fit(last, line.left()) : last).text();
}

std::vector<std::string> help(const ScreenInput& in) {
  static const char* const text[] = {
      "",
      "  p u s a r b   sort by pid, user, state, age, records, octets; again: the other way round",
      "  /             show only users and commands that contain what is typed",
      "  1 2 3 4 5     hide or show PENDING, COMPLETE, EXPIRED, REVOKED, FAILED",
      "  c             show all again",
      "  ↑ ↓ PgUp PgDn Home End   scroll",
      "  h ?           this help, on and off",
      "  q             leave",
      "",
      "  AGE    since the proof; of a PENDING record, since its exchange began",
      "  ENDS   when a COMPLETE record's lifetime is over",
      "  exchanges   that have succeeded in the last 10 s, a second",
  };
  std::vector<std::string> lines;
  for (const char* line : text) lines.push_back(Line(in.size.columns, in.colour).add(line).text());
  return lines;
}

std::string footer(const ScreenInput& in, std::size_t first, std::size_t shown, std::size_t rows) {
  Line line(in.size.columns, in.colour);
  const std::string where =
      shown < rows ? fmt::format("rows {}-{} of {} · ", first + 1, first + shown, rows) : std::string();
  return line.add(where + "q leave · h help · / filter · 1-5 states · p u s a r b sort", kDim).text();
}

}  // namespace

std::vector<std::string> compose(const ScreenInput& in, View& view) {
  const std::vector<Task*> rows = view.arrange(in.snapshot);
  std::vector<std::string> lines{header(in), summary(in, view), choices(in, view, rows.size()),
                                 headings(in, view)};
  const std::size_t room = in.size.rows > kHeaderLines + 1 ? in.size.rows - kHeaderLines - 1 : 0;
  const std::size_t first = view.first_row(rows.size(), room);
  const std::size_t shown = std::min(room, rows.size() - first);
  if (view.help()) {
    lines.pop_back();
    for (std::string& line : help(in)) lines.push_back(std::move(line));
    lines.resize(std::min(lines.size(), in.size.rows > 1 ? in.size.rows - 1 : in.size.rows));
  } else {
    const std::uint64_t now = boot_now();
    for (std::size_t i = 0; i < shown; ++i) lines.push_back(row(in, *rows[first + i], now));
    if (rows.empty() && room != 0)
      lines.emplace_back(clip(in.down ? "" : "  no task to show", in.size.columns));
  }
  lines.resize(std::min(lines.size(), in.size.rows));
  while (lines.size() + 1 < in.size.rows) lines.emplace_back();
  if (lines.size() < in.size.rows)
    lines.push_back(footer(in, first, view.help() ? rows.size() : shown, rows.size()));
  return lines;
}

}  // namespace keyd::keystat
