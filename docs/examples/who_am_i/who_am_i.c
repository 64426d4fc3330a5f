/* Proves to keyd who its user is, says what keyd has on record about this very process, and fetches a
 * credential.
 *
 *   who_am_i [-W SECONDS] [-w SECONDS] USER [CREDENTIAL]
 *
 *   -W  wait that long between keyd's challenge and the proof: the record is PENDING meanwhile (look with
 * keystat) -w  wait that long before the end: the record is COMPLETE meanwhile
 *
 * The password comes from the terminal, or from the first line of standard input when that is no terminal.
 * KEYD_RUNTIME_DIR says where keyd's sockets are. Exit: 0 done, 1 refused, 2 usage, 3 keyd not reachable. */
#define _GNU_SOURCE
#include <keyclient/keyclient.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

static unsigned wait_before_proof, wait_before_end;

/* One line of at most `capacity` octets from descriptor 0, octet by octet: nothing of it lies in stdio's
 * buffers. */
static size_t read_line(char* buffer, size_t capacity) {
  size_t have = 0;
  for (char c; read(0, &c, 1) == 1 && c != '\n';) {
    if (have == capacity) return 0; /* too long */
    buffer[have++] = c;
  }
  return have;
}

/* libkeyclient calls this between the challenge and the proof; `buffer` is locked memory. */
static int give_password(void* user, char* buffer, size_t capacity, size_t* length) {
  struct termios shown, hidden;
  const int terminal = tcgetattr(0, &shown) == 0;
  if (wait_before_proof != 0) sleep(wait_before_proof);
  if (terminal) {
    fprintf(stderr, "Password of %s: ", (const char*)user);
    hidden = shown;
    hidden.c_lflag &= ~(tcflag_t)ECHO;
    tcsetattr(0, TCSAFLUSH, &hidden);
  }
  *length = read_line(buffer, capacity);
  if (terminal) {
    tcsetattr(0, TCSAFLUSH, &shown);
    fputc('\n', stderr);
  }
  return *length == 0; /* anything but 0 cancels */
}

static int complain(keyclient_status status) {
  fprintf(stderr, "who_am_i: %s\n", keyclient_error());
  return status == KEYCLIENT_UNREACHABLE || status == KEYCLIENT_DEADLINE ? 3 : 1;
}

static int show_credential(keyclient_t* client, const char* name) {
  static char value[65536];
  size_t size = sizeof value;
  const keyclient_status status = keyclient_credential(client, name, value, &size);
  if (status != KEYCLIENT_OK) return complain(status);
  printf("credential %s: %.*s\n", name, (int)size, value);
  explicit_bzero(value, sizeof value);
  return 0;
}

/* Until the time is over, or keyd ends the session (revoked, expired, keyd stopped). */
static void linger(const keyclient_t* client) {
  struct pollfd session = {.fd = keyclient_descriptor(client), .events = POLLIN};
  fflush(stdout);
  if (wait_before_end != 0 && poll(&session, 1, (int)wait_before_end * 1000) > 0)
    puts("keyd has ended the session");
}

/* By srp, for it names no scheme: keyd has a verifier of the password and never sees the password. */
static int run(keyclient_t* client, char* user, const char* credential) {
  keyclient_login login = {
      .size = sizeof login, .user = user, .password_callback = give_password, .password_context = user};
  keyclient_status status = keyclient_authenticate(client, &login);
  if (status != KEYCLIENT_OK) return complain(status);
  keyclient_identity me = {.size = sizeof me};
  status = keyclient_whoami(client, &me);
  if (status != KEYCLIENT_OK) return complain(status);
  printf("process %u (inode %llu) is %s, by %s/%s, tier %s\n", me.pid, (unsigned long long)me.inode, me.user,
         me.scheme, me.suite, me.tier);
  const int result = credential == NULL ? 0 : show_credential(client, credential);
  if (result == 0) linger(client);
  return result;
}

static int usage(void) {
  fputs("usage: who_am_i [-W SECONDS] [-w SECONDS] USER [CREDENTIAL]\n", stderr);
  return 2;
}

int main(int argc, char** argv) {
  for (int option; (option = getopt(argc, argv, "W:w:")) != -1;) {
    char* end = NULL;
    const unsigned long seconds = optarg == NULL ? 0 : strtoul(optarg, &end, 10);
    if ((option != 'W' && option != 'w') || end == optarg || *end != '\0' || seconds > 86400) return usage();
    *(option == 'W' ? &wait_before_proof : &wait_before_end) = (unsigned)seconds;
  }
  if (argc - optind < 1 || argc - optind > 2) return usage();
  keyclient_t* client = NULL;
  const keyclient_status status = keyclient_open(NULL, &client);
  if (status != KEYCLIENT_OK) return complain(status);
  const int result = run(client, argv[optind], argc - optind == 2 ? argv[optind + 1] : NULL);
  keyclient_close(client);
  return result;
}
