/* A program as keyrun starts it: takes the session over, and says line by line what it can do with it. With
 * the argument "again" it then executes itself once more, which nobody has planned. */
#include <keyclient/keyclient.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char** argv) {
  keyclient_t* client = NULL;
  keyclient_status status = keyclient_adopt(NULL, &client);
  printf("adopt: %s\n", keyclient_status_text(status));
  if (status != KEYCLIENT_OK) {
    printf("why: %s\n", keyclient_error());
    return 1;
  }
  char echoed[6] = {0};
  status = keyclient_echo(client, "hello", 6, echoed);
  printf("echo: %s %s\n", keyclient_status_text(status), echoed);
  keyclient_identity who = {.size = sizeof who};
  status = keyclient_whoami(client, &who);
  printf("whoami: %s %s generation %u\n", keyclient_status_text(status), who.user, who.exec_generation);
  char value[64];
  size_t size = sizeof value;
  status = keyclient_credential(client, "token", value, &size);
  printf("credential: %s %.*s\n", keyclient_status_text(status), (int)(status == KEYCLIENT_OK ? size : 0),
         value);
  fflush(stdout);
  if (argc > 1 && strcmp(argv[1], "again") == 0) {
    execl("/proc/self/exe", argv[0], "again-not", (char*)NULL);
  }
  char line[16];
  if (fgets(line, sizeof line, stdin) == NULL) return 2;
  keyclient_close(client);
  return 0;
}
