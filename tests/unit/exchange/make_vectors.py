#!/usr/bin/env python3
"""The challenge exchange once more, from its documents, not its code (needs the `cryptography` package).

Prints challenge_vectors.h. Written from the comments of core/exchange/challenge.h and secure_channel.h and
from RFC 2104, RFC 5869 and RFC 1828; the packets are built octet by octet, without protobuf.
"""
import hashlib
import hmac
import struct

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

PASSWORD = b"correct horse battery staple"
MODERN, HISTORIC = 1, 2
HMAC_SHA256, MD5, HMAC_MD5, RFC1828 = 1, 2, 3, 4


class FixedRandom:
    """SHA-256(seed | be64(n)), one block after the other: tests/unit/support/octets.h."""

    def __init__(self, seed):
        self.seed, self.counter, self.rest = seed, 0, b""

    def take(self, count):
        while len(self.rest) < count:
            self.rest += hashlib.sha256(self.seed + struct.pack(">Q", self.counter)).digest()
            self.counter += 1
        out, self.rest = self.rest[:count], self.rest[count:]
        return out


def varint(n):
    out = b""
    while n >= 0x80:
        out += bytes([n & 0x7F | 0x80])
        n >>= 7
    return out + bytes([n])


def number(field, n):
    return varint(field << 3) + varint(n) if n else b""


def octets(field, value, always=False):
    return varint(field << 3 | 2) + varint(len(value)) + value if value or always else b""


def packet(field, value):
    return number(1, 1) + octets(field, value, always=True)


def transform(kind, password, nonce):
    if kind == HMAC_SHA256:
        return hmac.new(password, nonce, hashlib.sha256).digest()
    if kind == MD5:
        return hashlib.md5(password + nonce).digest()
    if kind == HMAC_MD5:
        return hmac.new(password, nonce, hashlib.md5).digest()
    fill = b"\x80" + bytes((55 - len(password)) % 64) + struct.pack("<Q", 8 * len(password))
    return hashlib.md5(password + fill + nonce + password).digest()


def hkdf(secret, salt, info, size):
    prk = hmac.new(salt or bytes(32), secret, hashlib.sha256).digest()
    out, block, i = b"", b"", 0
    while len(out) < size:
        i += 1
        block = hmac.new(prk, block + info + bytes([i]), hashlib.sha256).digest()
        out += block
    return out[:size]


def transcript_hash(items):
    said = b"keyd/1 transcript"
    for who, what in items:
        said += who + struct.pack(">I", len(what)) + what
    return hashlib.sha256(said).digest()


def seal(keys, record_type, epoch, counter, plaintext):
    header = bytes([record_type]) + struct.pack(">IQ", epoch, counter)
    nonce = (int.from_bytes(keys[32:44], "big") ^ counter).to_bytes(12, "big")
    return header + AESGCM(keys[:32]).encrypt(nonce, plaintext, header)


def exchange(suite, kind, bits, keys):
    client, server = FixedRandom(b"client"), FixedRandom(b"server")
    choice = number(2, suite) + number(3, kind) + number(4, bits) + number(5, keys)
    start = packet(10, octets(1, b"ada") + choice + octets(6, client.take(32)) + octets(7, b"keyd.example"))
    server_random, session_id = server.take(32), server.take(16)
    nonce1 = server.take(bits // 8)
    nonce2 = server.take(bits // 8) if keys == 2 else b""
    nonces = octets(2, nonce1) + octets(3, nonce2)
    numbers = packet(10, octets(1, server_random) + nonces + octets(4, session_id))
    said = [(b"C", start), (b"S", numbers)]
    th = transcript_hash(said)
    k1 = transform(kind, PASSWORD, nonce1)
    k2 = transform(kind, PASSWORD, nonce2) if keys == 2 else k1
    c2s = hkdf(k1, th, b"keyd/1 traffic c2s" + bytes(4), 44)
    s2c = hkdf(k2, th, b"keyd/1 traffic s2c" + bytes(4), 44)
    exporter = hkdf(k1 + k2, th, b"keyd/1 exporter", 32)
    chain = hkdf(k1 + k2, th, b"keyd/1 chain" + bytes(4), 32)
    proof = packet(20, seal(c2s, 1, 0, 0, th))
    said.append((b"C", proof))
    confirmation = packet(20, seal(s2c, 1, 0, 0, transcript_hash(said)))
    label = struct.pack(">I", 4) + b"test" + struct.pack(">I", 32)
    export = hkdf(exporter, b"", b"keyd/1 export" + label, 32)
    fresh = b"c" * 32 + b"s" * 32
    chain1 = hkdf(chain, fresh, b"keyd/1 chain" + struct.pack(">I", 1), 32)
    c2s1 = hkdf(chain1, fresh, b"keyd/1 traffic c2s" + struct.pack(">I", 1), 44)
    s2c1 = hkdf(chain1, fresh, b"keyd/1 traffic s2c" + struct.pack(">I", 1), 44)
    return [start, numbers, proof, confirmation, seal(c2s, 2, 0, 1, b"a record"), export,
            seal(c2s1, 3, 1, 0, b"client"), seal(s2c1, 3, 1, 0, b"server")]


def main():
    names = {HMAC_SHA256: "HMAC_SHA256", MD5: "MD5", HMAC_MD5: "HMAC_MD5", RFC1828: "KEYED_MD5_RFC1828"}
    print("// Made by make_vectors.py, which is the exchange written a second time. Do not edit.")
    print('#pragma once\n\n#include "core/wire/keyd.pb.h"\n\nnamespace keyd::test {\n')
    print("struct ExchangeVector {\n  wire::Suite suite;\n  wire::Transform transform;")
    print("  std::uint32_t bits, keys;\n  const char *start, *numbers, *proof, *confirmation;")
    print("  const char *record, *exported, *client_epoch_1, *server_epoch_1;")
    print("};\n\ninline constexpr ExchangeVector kExchangeVectors[] = {")
    for suite, kind, bits, keys in (
        (MODERN, HMAC_SHA256, 256, 2),
        (MODERN, HMAC_SHA256, 256, 1),
        (HISTORIC, MD5, 128, 2),
        (HISTORIC, HMAC_MD5, 16, 2),
        (HISTORIC, RFC1828, 16, 1),
    ):
        suite_name = "MODERN" if suite == MODERN else "HISTORIC"
        print(f"    {{wire::SUITE_{suite_name}, wire::TRANSFORM_{names[kind]}, {bits}, {keys},")
        for value in exchange(suite, kind, bits, keys):
            text = value.hex()
            lines = [f'     "{text[i:i + 100]}"' for i in range(0, len(text), 100)]
            print("\n".join(lines) + ",")
        print("    },")
    print("};\n\n}  // namespace keyd::test")


if __name__ == "__main__":
    main()
