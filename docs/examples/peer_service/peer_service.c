/* A service on a Unix socket that answers authenticated processes only. It holds no password and asks keyd
 * nothing: for each connection it looks the peer up in keyd's task table.
 *
 *   peer_service SOCKET        serves until it is killed
 *   peer_service -c SOCKET     connects as a client and prints the answer
 *
 * Try:  peer_service /tmp/hello.sock &
 *       peer_service -c /tmp/hello.sock                          "nobody is authenticated ..."
 *       keyrun --user alice -- peer_service -c /tmp/hello.sock   "hello, alice"
 *
 * Exit: 0 done, 1 refused or failed, 2 usage, 3 keyd not reachable. */
#define _GNU_SOURCE
#include <keyclient/keyclient.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int socket_at(const char* path, struct sockaddr_un* address) {
  memset(address, 0, sizeof *address);
  address->sun_family = AF_UNIX;
  if (strlen(path) >= sizeof address->sun_path) return -1;
  strcpy(address->sun_path, path);
  return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static int failed(const char* doing) {
  perror(doing);
  return 1;
}

/* Everything but KEYCLIENT_OK is a refusal, "cannot be told" too. Who connected is asked of the kernel; which
 * user that process has proved to be is in the table. Whoever goes on to do something for the peer checks it
 * again before each thing that it does: that costs hardly anything. */
static void answer(keyclient_t* client, int socket) {
  keyclient_identity who = {.size = sizeof who};
  keyclient_peer_t* peer = NULL;
  if (keyclient_identify(client, socket, &peer, &who) != KEYCLIENT_OK) {
    dprintf(socket, "refused: %s\n", keyclient_error());
    return;
  }
  dprintf(socket, "hello, %s (process %u, on exec revoked %s)\n", who.user, who.pid,
          who.on_exec == KEYCLIENT_SYNCHRONOUS ? "at once" : "a moment later");
  if (keyclient_peer_check(peer) == KEYCLIENT_OK) dprintf(socket, "what can be done for you?\n");
  keyclient_peer_free(peer);
}

static int serve(const char* path) {
  keyclient_t* client = NULL;
  if (keyclient_open(NULL, &client) != KEYCLIENT_OK) {
    fprintf(stderr, "peer_service: %s\n", keyclient_error());
    return 3;
  }
  struct sockaddr_un address;
  const int listener = socket_at(path, &address);
  unlink(path);
  if (listener < 0 || bind(listener, (struct sockaddr*)&address, sizeof address) != 0 ||
      listen(listener, 64) != 0) {
    return failed("peer_service: cannot listen");
  }
  for (;;) {
    const int peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (peer < 0) return failed("peer_service: accept");
    answer(client, peer);
    close(peer);
  }
}

static int ask(const char* path) {
  struct sockaddr_un address;
  const int service = socket_at(path, &address);
  if (service < 0 || connect(service, (struct sockaddr*)&address, sizeof address) != 0) {
    return failed("peer_service: cannot connect");
  }
  char text[512];
  size_t have = 0;
  for (ssize_t got; have < sizeof text && (got = read(service, text + have, sizeof text - have)) > 0;)
    have += (size_t)got;
  fwrite(text, 1, have, stdout);
  return have > 0 && text[0] == 'h' ? 0 : 1; /* "hello, ..." */
}

int main(int argc, char** argv) {
  if (argc == 2 && argv[1][0] != '-') return serve(argv[1]);
  if (argc == 3 && strcmp(argv[1], "-c") == 0) return ask(argv[2]);
  fputs("usage: peer_service [-c] SOCKET\n", stderr);
  return 2;
}
