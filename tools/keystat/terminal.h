// The terminal, taken over for a full screen: alternate screen, no cursor, keys one by one. However the
// program ends or stops, the terminal is as it was before; a signal that ended it is raised again then, so
// that whoever started the program sees it.
#pragma once

#include <signal.h>
#include <termios.h>

#include <array>
#include <string>
#include <vector>

#include "tools/keystat/keys.h"

namespace keyd::keystat {

class Terminal {
 public:
  // Whether standard input and output are a terminal that can do this ($TERM is set, and not "dumb").
  [[nodiscard]] static bool usable();

  Terminal();
  ~Terminal();
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  enum class Event {
    kNothing,  // the time is over
    kKey,
    kRedraw,  // it was resized, or the program was stopped and goes on
    kEnd,     // a signal, or the terminal has gone
  };
  // Waits for at most `milliseconds`.
  [[nodiscard]] Event wait(int milliseconds, Key& key);

  struct Size {
    std::size_t rows, columns;
  };
  [[nodiscard]] Size size() const;
  // Shows these lines, from the top; what is below them is cleared. False when the terminal has gone.
  [[nodiscard]] bool draw(const std::vector<std::string>& lines);

 private:
  static constexpr std::array<int, 7> kSignals{SIGINT, SIGTERM, SIGQUIT, SIGHUP, SIGTSTP, SIGCONT, SIGWINCH};
  void enter();
  void leave();
  void stop();

  termios saved_{};
  sigset_t outside_{};  // the signal mask before; also the one while waiting
  std::array<struct sigaction, kSignals.size()> saved_actions_{};
  std::string typed_;
  int ended_by_ = 0;
};

}  // namespace keyd::keystat
