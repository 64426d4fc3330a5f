/* A program with libkeyclient, for its memory to be searched: authenticates with the password on its standard
 * input, forgets it, and waits. usage: hunted_client USER SCHEME */
#include <keyclient/keyclient.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char** argv) {
  char password[128], line[8];
  if (argc != 3) return 2;
  setvbuf(stdin, NULL, _IONBF, 0);
  ssize_t size = read(0, password, sizeof password);
  if (size <= 1) return 2;
  keyclient_t* client;
  if (keyclient_open(NULL, &client) != KEYCLIENT_OK) return 1;
  keyclient_login login = {.size = sizeof login,
                           .user = argv[1],
                           .scheme = argv[2],
                           .password = password,
                           .password_size = (size_t)size - 1};
  const int outcome = keyclient_authenticate(client, &login);
  explicit_bzero(password, sizeof password);
  puts(outcome == KEYCLIENT_OK ? "in" : "out");
  fflush(stdout);
  if (read(0, line, sizeof line) <= 0) return 1;
  keyclient_close(client);
  puts("closed");
  fflush(stdout);
  return read(0, line, sizeof line) < 0;
}
