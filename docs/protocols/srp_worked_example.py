#!/usr/bin/env python3
"""The worked example of srp.md, computed from that text and secure-channel.md alone.

Standard library only; an aid for reading, not for use.

    python3 srp_worked_example.py           prints every value of the example
    python3 srp_worked_example.py --check   the same, and compares with the octets printed in srp.md
"""
import hashlib
import os
import re
import sys

from worked_example import FINISHED, MODERN, Channel, Transcript, hkdf, number, octets

# RFC 5054, appendix A: the 2048-bit group.
N = int("""AC6BDB41324A9A9BF166DE5E1389582FAF72B6651987EE07FC3192943DB56050A37329CBB4A099ED8193E0757767A13DD52312AB4B03310D
CD7F48A9DA04FD50E8083969EDB767B0CF6095179A163AB3661A05FBD5FAAAE82918A9962F0B93B855F97993EC975EEAA80D740ADBF4FF747359D041D5C3
3EA71D281E446B14773BCA97B43A23FB801676BD207A436C6481F1D2B9078717461A5B9D32E688F87748544523B524B0D57D5EA77A2775D2ECFA032CFBDB
F52FB3786160279004E57AE6AF874E7303CE53299CCC041C7BC308D82A5698F3A8D0C38271AE35F8E9DBFBB694B5C803D89F7AE435DE236D525F54759B65
E372FCD68EF20FA7111F9E4AFF73""".replace("\n", ""), 16)
G, SIZE = 2, 256
VENDOR, SCRYPT = 32473, 3


def minimal(n):
    return n.to_bytes((n.bit_length() + 7) // 8, "big")


def pad(n):
    return n.to_bytes(SIZE, "big")


def H(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def integer(data):
    return int.from_bytes(data, "big")


def eap(code, identifier, subtype, body):
    data = b"\xfe" + VENDOR.to_bytes(3, "big") + subtype.to_bytes(4, "big") + body
    return bytes([code, identifier]) + (4 + len(data)).to_bytes(2, "big") + data


def counted(data):
    return bytes([len(data)]) + data


def packet(inner):  # srp, field 14
    return number(1, 1) + octets(14, inner)


def run(show):
    span = lambda first, n: bytes(range(first, first + n))
    user, password, server = b"alice", b"correct horse battery staple", b"localhost"
    s, a, b = span(0x20, 16), integer(span(0x80, 32)), integer(span(0xC0, 32))
    h = hashlib.scrypt(password, salt=s, n=1 << 15, r=8, p=1, dklen=32, maxmem=1 << 26)
    x = integer(H(s, H(user, b":", h)))
    v = pow(G, x, N)
    show("h", h)
    show("x", minimal(x))
    show("v", minimal(v))

    A, k = pow(G, a, N), integer(H(minimal(N), pad(G)))
    B = (k * v + pow(G, b, N)) % N
    u = integer(H(pad(A), pad(B)))
    S = pow(B - k * pow(G, x, N), a + u * x, N)
    assert S == pow(A * pow(v, u, N), b, N)
    K = H(minimal(S))
    mixed = bytes(i ^ j for i, j in zip(H(minimal(N)), H(minimal(G))))
    M1 = H(mixed, H(user), s, minimal(A), minimal(B), K)
    M2 = H(minimal(A), M1, K)

    flags = b"\0\0\0\1"
    start = octets(1, user) + number(2, MODERN) + octets(3, span(0x00, 32)) + octets(4, server)
    challenge = (span(0x40, 32) + bytes([SCRYPT, 15, 8, 1]) + counted(server) + counted(s) + counted(minimal(G)) +
                 minimal(N))
    packets = [
        number(1, 1) + octets(13, start),
        packet(octets(1, eap(1, 1, 1, challenge)) + octets(3, span(0x60, 16))),
        packet(octets(1, eap(2, 1, 1, minimal(A)))),
        packet(octets(1, eap(1, 2, 2, minimal(B)))),
        packet(octets(1, eap(2, 2, 2, flags + M1))),
        packet(octets(1, eap(1, 3, 3, flags + M2))),
    ]
    t = Transcript()
    for i, said in enumerate(packets):
        show(f"packet {i + 1}", said)
        t.said(b"SC"[i % 2 == 0:][:1], said)
    for name, value in (("k", k), ("u", u)):
        show(name, minimal(value))
    show("K", K)
    th1 = t.hash()
    show("TH1", th1)
    client, keyd = Channel(True, K, K, th1), Channel(False, K, K, th1)
    record = client.seal(FINISHED, th1)
    packet7 = packet(octets(1, eap(2, 3, 3, b"")) + octets(4, record))
    show("packet 7", packet7)
    assert keyd.open(FINISHED, record) == th1
    t.said(b"C", packet7)
    th2 = t.hash()
    show("TH2", th2)
    record = keyd.seal(FINISHED, th2)
    show("packet 8", packet(octets(1, bytes([3, 3, 0, 4])) + octets(4, record)))
    assert client.open(FINISHED, record) == th2
    show("encrypt client to server", hkdf(K, th1, b"keyd/1 srp encrypt client to server", 32))
    show("authenticate server to client", hkdf(K, th1, b"keyd/1 srp authenticate server to client", 32))


def main():
    values = []

    def show(name, value):
        values.append(value.hex())
        print(f"{name} =\n    {value.hex()}")

    run(show)
    if "--check" in sys.argv:
        here = os.path.dirname(os.path.abspath(__file__))
        with open(os.path.join(here, "srp.md"), encoding="utf-8") as f:
            text = re.sub(r"\s", "", f.read())
        missing = [v for v in values if v not in text]
        if missing:
            sys.exit(f"{len(missing)} values are not in the document, first: {missing[0]}")
        print(f"all {len(values)} values stand in the document")


if __name__ == "__main__":
    main()
