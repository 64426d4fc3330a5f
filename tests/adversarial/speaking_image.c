/* The image after an exec that kept its connection to keyd open: says what it was told to, and prints the
 * answer. usage: speaking_image SOCKET HEX */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

int main(int argc, char** argv) {
  static unsigned char packet[70000];
  if (argc != 3) return 2;
  const int socket = atoi(argv[1]);
  const size_t size = strlen(argv[2]) / 2;
  for (size_t i = 0; i < size; ++i) {
    unsigned octet = 0;
    if (sscanf(argv[2] + 2 * i, "%2x", &octet) != 1) return 2;
    packet[i] = (unsigned char)octet;
  }
  /* keyd may have ended the connection already: then its last word is there to be read. */
  (void)!send(socket, packet, size, MSG_NOSIGNAL);
  struct pollfd entry = {socket, POLLIN, 0};
  if (poll(&entry, 1, 5000) != 1) return 1;
  ssize_t got = recv(socket, packet, sizeof packet, 0);
  if (got < 0) got = recv(socket, packet, sizeof packet, 0); /* ECONNRESET is said ahead of it */
  for (ssize_t i = 0; i < got; ++i) printf("%02x", packet[i]);
  return 0;
}
