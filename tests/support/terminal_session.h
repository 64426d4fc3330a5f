// A program at a terminal: a pseudo-terminal whose other end is read as a person reads the screen.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

namespace keyd::testing {

// As much of a terminal (ECMA-48, xterm's alternate screen) as keystat and a shell need.
class ScreenPicture {
 public:
  ScreenPicture(std::size_t rows, std::size_t columns) { resize(rows, columns); }
  void resize(std::size_t rows, std::size_t columns);
  void feed(const std::string& octets);

  [[nodiscard]] std::string row(std::size_t number) const;  // without blanks at its end
  [[nodiscard]] std::string text() const;                   // all rows
  [[nodiscard]] bool alternate() const { return alternate_; }
  [[nodiscard]] bool cursor_visible() const { return cursor_; }
  [[nodiscard]] bool coloured() const { return coloured_; }  // whether a colour was ever set

 private:
  using Page =
      std::vector<std::vector<std::string>>;  // rows of characters; a wide one is followed by an empty
  void control(const std::string& parameters, char final);
  void put(const std::string& character);
  void new_line();

  std::size_t rows_ = 0, columns_ = 0, y_ = 0, x_ = 0;
  Page page_, main_page_;
  std::string pending_;
  bool alternate_ = false, cursor_ = true, coloured_ = false;
};

class TerminalSession {
 public:
  TerminalSession(const std::vector<std::string>& arguments, std::size_t rows, std::size_t columns,
                  const std::vector<std::string>& environment = {"TERM=xterm-256color"});
  ~TerminalSession();  // kills it
  TerminalSession(const TerminalSession&) = delete;
  TerminalSession& operator=(const TerminalSession&) = delete;

  void type(const std::string& keys) const;
  void resize(std::size_t rows, std::size_t columns);
  // Reads on until `holds`, for at most `seconds`.
  bool until(const std::function<bool(const ScreenPicture&)>& holds, double seconds = 10);
  bool until_shows(const std::string& text) {
    return until([&](const ScreenPicture& p) { return p.text().find(text) != std::string::npos; });
  }
  [[nodiscard]] const ScreenPicture& picture() const { return picture_; }
  [[nodiscard]] pid_t pid() const { return pid_; }
  // Whether lines are edited and echoed, as for a shell.
  [[nodiscard]] bool cooked() const;
  // Reads to the end; the exit code, 128 + signal.
  int wait();

 private:
  int master_ = -1;
  pid_t pid_ = -1;
  bool waited_ = false;
  ScreenPicture picture_;
};

}  // namespace keyd::testing
