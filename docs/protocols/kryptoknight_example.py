#!/usr/bin/env python3
"""The worked examples of kryptoknight.md, computed from that text and secure-channel.md alone.

Standard library and worked_example.py only. DES and the crypt(3) method sha1crypt, which are not there, are written out
below: an aid for reading, not for use.

    python3 kryptoknight_example.py           prints every value of the examples
    python3 kryptoknight_example.py --check   the same, and compares with the octets printed in the document
"""
import hashlib
import hmac
import os
import re
import sys

from worked_example import Channel, Transcript, be32, gcm_open, gcm_seal, hkdf, number, octets

# ---- DES (FIPS 46-3), bits as lists, the first bit first ----------------------------------------------------------

IP = [first - 8 * j + 2 * i for first in (58, 57) for i in range(4) for j in range(8)]
E = [(4 * (i // 6) + i % 6 - 1) % 32 + 1 for i in range(48)]
P = [16, 7, 20, 21, 29, 12, 28, 17, 1, 15, 23, 26, 5, 18, 31, 10, 2, 8, 24, 14, 32, 27, 3, 9, 19, 13, 30, 6, 22, 11, 4, 25]
PC1 = [57, 49, 41, 33, 25, 17, 9, 1, 58, 50, 42, 34, 26, 18, 10, 2, 59, 51, 43, 35, 27, 19, 11, 3, 60, 52, 44, 36,
       63, 55, 47, 39, 31, 23, 15, 7, 62, 54, 46, 38, 30, 22, 14, 6, 61, 53, 45, 37, 29, 21, 13, 5, 28, 20, 12, 4]
PC2 = [14, 17, 11, 24, 1, 5, 3, 28, 15, 6, 21, 10, 23, 19, 12, 4, 26, 8, 16, 7, 27, 20, 13, 2,
       41, 52, 31, 37, 47, 55, 30, 40, 51, 45, 33, 48, 44, 49, 39, 56, 34, 53, 46, 42, 50, 36, 29, 32]
SHIFTS = [1, 1, 2, 2, 2, 2, 2, 2, 1, 2, 2, 2, 2, 2, 2, 1]
S = [[int(digit, 16) for digit in box if digit != " "] for box in (
    "e4d12fb83a6c5907 0f74e2d1a6cb9538 41e8d62bfc973a50 fc8249175b3ea06d",
    "f18e6b34972dc05a 3d47f28ec01a69b5 0e7ba4d158c6932f d8a13f42b67c05e9",
    "a09e63f51dc7b428 d709346a285ecbf1 d6498f30b12c5ae7 1ad069874fe3b52c",
    "7de3069a1285bc4f d8b56f03472c1ae9 a690cb7df13e5284 3f06a1d8945bc72e",
    "2c417ab6853fd0e9 eb2c47d150fa3986 421bad78f9c5630e b8c71e2d6f09a453",
    "c1af92680d34e75b af427c9561de0b38 9ef528c3704a1db6 432c95fabe17608d",
    "4b2ef08d3c975a61 d0b7491ae35c2f86 14bdc37eaf680592 6bd814a7950fe23c",
    "d2846fb1a93e50c7 1fd8a374c56b0e92 7b419ce206adf358 21e74a8dfc90356b")]


def bits(data):
    return [byte >> (7 - i) & 1 for byte in data for i in range(8)]


def joined(bit_list):
    return bytes(int("".join(map(str, bit_list[i:i + 8])), 2) for i in range(0, len(bit_list), 8))


def des_block(key, block, decrypt=False):
    cd, keys = [bits(key)[i - 1] for i in PC1], []
    c, d = cd[:28], cd[28:]
    for shift in SHIFTS:
        c, d = c[shift:] + c[:shift], d[shift:] + d[:shift]
        keys.append([(c + d)[i - 1] for i in PC2])
    x = [bits(block)[i - 1] for i in IP]
    left, right = x[:32], x[32:]
    for k in reversed(keys) if decrypt else keys:
        mixed, out = [right[i - 1] ^ b for i, b in zip(E, k)], []
        for box in range(8):
            b = mixed[6 * box:6 * box + 6]
            value = S[box][16 * (2 * b[0] + b[5]) + 8 * b[1] + 4 * b[2] + 2 * b[3] + b[4]]
            out += [value >> i & 1 for i in (3, 2, 1, 0)]
        left, right = right, [a ^ out[i - 1] for a, i in zip(left, P)]
    final, y = right + left, [0] * 64
    for place, i in enumerate(IP):
        y[i - 1] = final[place]
    return joined(y)


# ---- crypt(3), method sha1crypt ("$sha1$", as NetBSD has it) -------------------------------------------------------


def sha1crypt(password, rounds, salt):
    digits = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    value = hmac.new(password, f"{salt}$sha1${rounds}".encode(), hashlib.sha1).digest()
    for _ in range(rounds - 1):
        value = hmac.new(password, value, hashlib.sha1).digest()
    out = ""
    for i in range(0, 21, 3):
        three = value[i:i + 3] if i < 18 else value[18:20] + value[:1]
        n = int.from_bytes(three, "big")
        out += "".join(digits[n >> 6 * j & 63] for j in range(4))
    return f"$sha1${rounds}${salt}${out}".encode()


# ---- derivations, as in the document ------------------------------------------------------------------------------


def xor_cyclic(data, text):
    return bytes(b ^ text[i % len(text)] for i, b in enumerate(data))


def field(data):
    return be32(len(data)) + data


def padded(password):
    plain = len(password).to_bytes(2, "big") + password
    return plain + bytes(-len(plain) % 128)


MODERN, HISTORIC = 1, 2
IS_NONCE, STARTS_NONCE, BESIDE_NONCE = 2, 3, 4
FINISHED, PASSWORD = 1, 4  # record types


def run_of(first, n):
    return bytes((first + i) & 255 for i in range(n))


def exchange(show, name, suite, salt, stored):
    """One login. `stored`: P'. `salt`: the fields of the reply that carry it. Returns both ends of the channel."""
    user, password, hp = b"alice", b"correct horse battery staple", b"keyd.example:3389"
    rc, nc, rs, session, ns = run_of(0x00, 32), run_of(0x20, 16), run_of(0x40, 32), run_of(0x60, 16), run_of(0x70, 16)
    start = octets(1, user) + number(2, suite) + octets(3, rc) + octets(4, hp) + octets(6, nc)
    packet1 = number(1, 1) + octets(11, start)
    show(name + " packet 1", packet1)
    t = Transcript()
    t.said(b"C", packet1)
    after_start = t.hash()
    if salt["carriage"] == IS_NONCE:
        ns = salt["salt"]
    beside = salt["salt"] if salt["carriage"] == BESIDE_NONCE else b""
    head, tail = salt.get("head", b""), salt.get("tail", b"")
    if suite == MODERN:
        sk, proof = run_of(0x80, 32), b""
        sh = hkdf(stored, nc + ns, b"keyd/1 kryptoknight login" + hp + after_start, 32)
        bound = after_start + b"".join(
            map(field, (rs, session, ns, be32(salt["carriage"]), be32(0), beside, head, tail)))
        wrapped = gcm_seal(sh, rs[:12], bound, sk)
        assert gcm_open(sh, rs[:12], bound, wrapped) == sk
    else:
        sk = bytes.fromhex("133457799bbcdff1")
        sh = hashlib.md5(xor_cyclic(nc, hp) + ns + xor_cyclic(stored, hp)).digest()
        wrapped = des_block(sh[:8], sk)
        assert des_block(sh[:8], wrapped, decrypt=True) == sk
        proof = hmac.new(sh, sk + nc + ns, hashlib.md5).digest()
    show(name + " SH", sh)
    show(name + " {SK}SH", wrapped)
    reply = octets(1, rs) + octets(2, session) + octets(3, ns) + octets(4, wrapped) + number(5, salt["carriage"])
    for place, value in ((7, beside), (8, head), (9, tail), (10, proof)):
        reply += octets(place, value) if value else b""
    packet2 = number(1, 1) + octets(11, reply)
    show(name + " packet 2", packet2)
    t.said(b"S", packet2)
    client, server = Channel(True, sk, sk, t.hash()), Channel(False, sk, sk, t.hash())
    record = client.seal(PASSWORD, padded(password))
    assert server.open(PASSWORD, record) == padded(password)
    t.said(b"C", record)
    finished = client.seal(FINISHED, t.hash())
    packet3 = number(1, 1) + octets(12, octets(1, record) + octets(2, finished))
    show(name + " packet 3", packet3)
    assert server.open(FINISHED, finished) == t.hash()
    t.said(b"C", packet3)
    finished = server.seal(FINISHED, t.hash())
    packet4 = number(1, 1) + octets(20, finished)
    show(name + " packet 4", packet4)
    assert client.open(FINISHED, finished) == t.hash()
    return hp


def command(show, name, suite, stored, hp):
    nc, ns = run_of(0xa0, 16), run_of(0xb0, 16)
    if suite == MODERN:
        sk, proof = run_of(0xc0, 32), b""
        sh = hkdf(stored, nc + ns, b"keyd/1 kryptoknight command" + hp, 32)
        wrapped = gcm_seal(sh, bytes(12), nc + ns, sk)
    else:
        sk = bytes.fromhex("0123456789abcdef")
        sh = hashlib.md5(xor_cyclic(nc, hp) + ns + xor_cyclic(stored, hp)).digest()
        wrapped, proof = des_block(sh[:8], sk), hmac.new(sh, sk + nc + ns, hashlib.md5).digest()
    show(name + " command {SK}SH", wrapped)
    if proof:
        show(name + " command proof", proof)


def run(show):
    assert des_block(bytes.fromhex("133457799bbcdff1"), bytes.fromhex("0123456789abcdef")).hex() == "85e813540f0ab405"
    password = b"correct horse battery staple"
    stored = sha1crypt(password, 10, "saltsalt")
    show("modern P'", stored)
    hp = exchange(show, "modern", MODERN,
                  {"carriage": BESIDE_NONCE, "salt": b"saltsalt", "head": b"$sha1$10$", "tail": b"$"}, stored)
    command(show, "modern", MODERN, stored, hp)
    stored = hashlib.md5(password + run_of(0xd0, 16)).digest()
    show("historic P'", stored)
    exchange(show, "historic", HISTORIC, {"carriage": IS_NONCE, "salt": run_of(0xd0, 16)}, stored)
    command(show, "historic", HISTORIC, stored, hp)


def main():
    values = []

    def show(name, value):
        values.append(value.hex())
        print(f"{name} =\n    {value.hex()}")

    run(show)
    if "--check" in sys.argv:
        here = os.path.dirname(os.path.abspath(__file__))
        with open(os.path.join(here, "kryptoknight.md"), encoding="utf-8") as f:
            text = re.sub(r"\s", "", f.read())
        missing = [v for v in values if v not in text]
        if missing:
            sys.exit(f"{len(missing)} values are not in the document, first: {missing[0]}")
        print(f"all {len(values)} values stand in the document")


if __name__ == "__main__":
    main()
