/* A program with libkeyclient, for its memory to be searched: logs in by srp with the first line of its standard input,
 * changes the password to the second, forgets both, and waits. usage: changing_program USER */
#include <keyclient/keyclient.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char lines[256];
static size_t old_size, new_at, new_size;

static int answer(void* context, keyclient_question question, const char* remark, char* buffer,
                  size_t capacity, size_t* length) {
  (void)context, (void)capacity;
  if (remark != NULL) return 1;
  *length = question == KEYCLIENT_OLD_PASSWORD ? old_size : new_size;
  memcpy(buffer, question == KEYCLIENT_OLD_PASSWORD ? lines : lines + new_at, *length);
  return 0;
}

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const ssize_t size = read(0, lines, sizeof lines);
  char* end = size <= 2 ? NULL : memchr(lines, '\n', (size_t)size);
  if (end == NULL) return 2;
  old_size = (size_t)(end - lines);
  new_at = old_size + 1;
  new_size = (size_t)size - new_at - 1;
  keyclient_t* client;
  if (keyclient_open(NULL, &client) != KEYCLIENT_OK) return 1;
  keyclient_login login = {.size = sizeof login,
                           .user = argv[1],
                           .scheme = "srp",
                           .password = lines,
                           .password_size = old_size,
                           .can_change_password = 1};
  keyclient_change change = {.size = sizeof change, .ask = answer, .wanted = 1};
  int outcome = keyclient_authenticate(client, &login);
  if (outcome == KEYCLIENT_OK) outcome = keyclient_change_password(client, &change);
  explicit_bzero(lines, sizeof lines);
  puts(outcome == KEYCLIENT_OK ? "changed" : keyclient_error());
  fflush(stdout);
  return read(0, lines, sizeof lines) < 0;
}
