#!/usr/bin/env python3
"""The worked example of challenge.md and secure-channel.md, computed from those texts alone.

Standard library only; AES-256-GCM is written out below so that every octet can be followed. It is slow and not
constant-time: an aid for reading, not for use.

    python3 worked_example.py           prints every value of the example
    python3 worked_example.py --check   the same, and compares with the octets printed in the two documents
"""
import hashlib
import hmac
import os
import re
import sys

# ---- AES-256-GCM (FIPS 197, SP 800-38D) -------------------------------------------------------------------------


def _tables():
    sbox, p, q = [0] * 256, 1, 1
    while True:
        p ^= (p << 1) & 0xFF ^ (0x1B if p & 0x80 else 0)
        q ^= q << 1
        q ^= q << 2
        q ^= q << 4
        q &= 0xFF
        if q & 0x80:
            q ^= 0x09
        rot = lambda v, n: ((v << n) | (v >> (8 - n))) & 0xFF
        sbox[p] = q ^ rot(q, 1) ^ rot(q, 2) ^ rot(q, 3) ^ rot(q, 4) ^ 0x63
        if p == 1:
            break
    sbox[0] = 0x63
    return sbox


SBOX = _tables()


def _xtime(v):
    return ((v << 1) ^ 0x1B) & 0xFF if v & 0x80 else v << 1


def _expand(key):
    words, rcon = [list(key[i:i + 4]) for i in range(0, 32, 4)], 1
    for i in range(8, 60):
        t = list(words[i - 1])
        if i % 8 == 0:
            t = [SBOX[b] for b in t[1:] + t[:1]]
            t[0] ^= rcon
            rcon = _xtime(rcon)
        elif i % 8 == 4:
            t = [SBOX[b] for b in t]
        words.append([a ^ b for a, b in zip(words[i - 8], t)])
    return [sum(words[i:i + 4], []) for i in range(0, 60, 4)]


def aes256_block(key, block):
    keys = _expand(key)
    s = [a ^ b for a, b in zip(block, keys[0])]
    for r in range(1, 15):
        s = [SBOX[b] for b in s]
        s = [s[(i + 4 * (i % 4)) % 16] for i in range(16)]
        if r < 14:
            m = []
            for c in range(0, 16, 4):
                a = s[c:c + 4]
                x = a[0] ^ a[1] ^ a[2] ^ a[3]
                m += [a[i] ^ x ^ _xtime(a[i] ^ a[(i + 1) % 4]) for i in range(4)]
            s = m
        s = [a ^ b for a, b in zip(s, keys[r])]
    return bytes(s)


def _ghash(h, data):
    y, h = 0, int.from_bytes(h, "big")
    for i in range(0, len(data), 16):
        y ^= int.from_bytes(data[i:i + 16], "big")
        z, v = 0, h
        for bit in range(127, -1, -1):
            if y >> bit & 1:
                z ^= v
            v = (v >> 1) ^ (0xE1 << 120 if v & 1 else 0)
        y = z
    return y.to_bytes(16, "big")


def _gcm(key, nonce, aad, text, ciphertext_is_input):
    h = aes256_block(key, bytes(16))
    out = b""
    for i in range(0, len(text), 16):
        pad = aes256_block(key, nonce + (2 + i // 16).to_bytes(4, "big"))
        out += bytes(a ^ b for a, b in zip(text[i:i + 16], pad))
    ct = text if ciphertext_is_input else out
    fill = lambda d: d + bytes(-len(d) % 16)
    s = _ghash(h, fill(aad) + fill(ct) + (8 * len(aad)).to_bytes(8, "big") + (8 * len(ct)).to_bytes(8, "big"))
    tag = bytes(a ^ b for a, b in zip(s, aes256_block(key, nonce + b"\0\0\0\1")))
    return out, tag


def gcm_seal(key, nonce, aad, plaintext):
    ct, tag = _gcm(key, nonce, aad, plaintext, False)
    return ct + tag


def gcm_open(key, nonce, aad, sealed):
    plain, tag = _gcm(key, nonce, aad, sealed[:-16], True)
    if not hmac.compare_digest(tag, sealed[-16:]):
        raise ValueError("the record does not open")
    return plain


# ---- derivations, as in the documents --------------------------------------------------------------------------


def be32(n):
    return n.to_bytes(4, "big")


def hkdf(secret, salt, info, size):  # RFC 5869, SHA-256
    prk = hmac.new(salt or bytes(32), secret, hashlib.sha256).digest()
    out, t, i = b"", b"", 1
    while len(out) < size:
        t = hmac.new(prk, t + info + bytes([i]), hashlib.sha256).digest()
        out, i = out + t, i + 1
    return out[:size]


def transform(name, password, nonce):
    if name == "hmac-sha256":
        return hmac.new(password, nonce, hashlib.sha256).digest()
    if name == "md5":
        return hashlib.md5(password + nonce).digest()
    if name == "hmac-md5":  # what "keyed-md5" means here
        return hmac.new(password, nonce, hashlib.md5).digest()
    if name == "keyed-md5-rfc1828":
        fill = b"\x80" + bytes((55 - len(password)) % 64) + (8 * len(password)).to_bytes(8, "little")
        return hashlib.md5(password + fill + nonce + password).digest()
    raise ValueError(name)


class Transcript:
    def __init__(self):
        self.h = hashlib.sha256(b"keyd/1 transcript")

    def said(self, who, packet):  # who: b"C" or b"S"
        self.h.update(who + be32(len(packet)) + packet)

    def hash(self):
        return self.h.copy().digest()


class Channel:
    """One end. client=True seals with c2s and opens with s2c."""

    def __init__(self, client, k1, k2, th):
        self.client, self.epoch = client, 0
        self.c2s = hkdf(k1, th, b"keyd/1 traffic c2s" + be32(0), 44)
        self.s2c = hkdf(k2, th, b"keyd/1 traffic s2c" + be32(0), 44)
        self.chain = hkdf(k1 + k2, th, b"keyd/1 chain" + be32(0), 32)
        self.exporter = hkdf(k1 + k2, th, b"keyd/1 exporter", 32)
        self.sent = self.received = 0

    @staticmethod
    def _parts(keys, kind, epoch, counter):
        header = bytes([kind]) + be32(epoch) + counter.to_bytes(8, "big")
        xored = int.from_bytes(keys[32:], "big") ^ counter
        return keys[:32], xored.to_bytes(12, "big"), header

    def seal(self, kind, plaintext):
        key, nonce, header = self._parts(self.c2s if self.client else self.s2c, kind, self.epoch, self.sent)
        self.sent += 1
        return header + gcm_seal(key, nonce, header, plaintext)

    def open(self, kind, record):
        key, nonce, header = self._parts(self.s2c if self.client else self.c2s, kind, self.epoch, self.received)
        if len(record) < 29 or record[:13] != header:
            raise ValueError("not the next record")
        plain = gcm_open(key, nonce, header, record[13:])
        self.received += 1
        return plain

    def advance(self, client_fresh, server_fresh, new_image=False):
        fresh = client_fresh + server_fresh
        self.epoch += 1
        self.sent = self.received = 0
        self.chain = hkdf(self.chain, fresh, b"keyd/1 chain" + be32(self.epoch), 32)
        self.c2s = hkdf(self.chain, fresh, b"keyd/1 traffic c2s" + be32(self.epoch), 44)
        self.s2c = hkdf(self.chain, fresh, b"keyd/1 traffic s2c" + be32(self.epoch), 44)
        if new_image:
            self.exporter = hkdf(self.chain, fresh, b"keyd/1 exporter", 32)

    def export(self, label, size):
        return hkdf(self.exporter, b"", b"keyd/1 export" + be32(len(label)) + label + be32(size), size)


# ---- the protocol buffers that are needed, by hand ------------------------------------------------------------------


def varint(n):
    out = b""
    while n > 0x7F:
        out, n = out + bytes([n & 0x7F | 0x80]), n >> 7
    return out + bytes([n])


def number(field, n):
    return varint(field << 3) + varint(n)


def octets(field, data):
    return varint(field << 3 | 2) + varint(len(data)) + data


def fields(data):
    """Decodes one message: {field: last value}."""
    out, at = {}, 0

    def take():
        nonlocal at
        value = shift = 0
        while True:
            b = data[at]
            at += 1
            value |= (b & 0x7F) << shift
            shift += 7
            if b < 0x80:
                return value

    while at < len(data):
        key = take()
        if key & 7 == 0:
            out[key >> 3] = take()
        else:
            n = take()
            out[key >> 3], at = data[at:at + n], at + n
    return out


MODERN, HMAC_SHA256 = 1, 1
FINISHED, SESSION = 1, 2  # record types


def challenge_start(user, client_random, server_name=b"localhost", renews=b""):
    start = (octets(1, user) + number(2, MODERN) + number(3, HMAC_SHA256) + number(4, 256) + number(5, 2) +
             octets(6, client_random) + octets(7, server_name) + (octets(8, renews) if renews else b""))
    return number(1, 1) + octets(10, start)


def session(message, payload=b""):
    return be32(len(message)) + message + payload


# ---- the example ----------------------------------------------------------------------------------------------------


def run(show):
    run_of = lambda first, n: bytes(range(first, first + n))
    password = b"correct horse battery staple"
    packet1 = challenge_start(b"alice", run_of(0x00, 32))
    numbers = (octets(1, run_of(0x40, 32)) + octets(2, run_of(0x70, 32)) + octets(3, run_of(0x90, 32)) +
               octets(4, run_of(0x60, 16)))
    packet2 = number(1, 1) + octets(10, numbers)
    show("packet 1", packet1)
    show("packet 2", packet2)

    t = Transcript()
    t.said(b"C", packet1)
    t.said(b"S", packet2)
    th1 = t.hash()
    show("TH1", th1)
    k1 = transform("hmac-sha256", password, run_of(0x70, 32))
    k2 = transform("hmac-sha256", password, run_of(0x90, 32))
    show("k1", k1)
    show("k2", k2)
    client, server = Channel(True, k1, k2, th1), Channel(False, k1, k2, th1)
    show("c2s key", client.c2s[:32])
    show("c2s IV", client.c2s[32:])
    show("s2c key", client.s2c[:32])
    show("s2c IV", client.s2c[32:])
    show("chain", client.chain)
    show("exporter", client.exporter)

    finished = client.seal(FINISHED, th1)
    packet3 = number(1, 1) + octets(20, finished)
    show("packet 3", packet3)
    assert server.open(FINISHED, finished) == th1
    t.said(b"C", packet3)
    th2 = t.hash()
    show("TH2", th2)
    finished = server.seal(FINISHED, th2)
    packet4 = number(1, 1) + octets(20, finished)
    show("packet 4", packet4)
    assert client.open(FINISHED, finished) == th2

    ask = session(octets(4, octets(1, b"api")))
    show("request plaintext", ask)
    record = client.seal(SESSION, ask)
    show("packet 5", number(1, 1) + octets(21, record))
    assert server.open(SESSION, record) == ask
    answer = session(octets(4, b""), b"s3cret")
    show("reply plaintext", answer)
    record = server.seal(SESSION, answer)
    show("packet 6", number(1, 1) + octets(21, record))
    assert client.open(SESSION, record) == answer
    show('export("demo", 32)', client.export(b"demo", 32))

    rc, rs = b"\xc0" * 32, b"\x5e" * 32
    record = client.seal(SESSION, session(octets(2, octets(1, rc))))
    show("rekey request record", record)
    server.open(SESSION, record)
    record = server.seal(SESSION, session(octets(2, octets(1, rs))))
    show("rekey reply record", record)
    client.open(SESSION, record)
    client.advance(rc, rs)
    show("chain, epoch 1", client.chain)
    show("c2s key, epoch 1", client.c2s[:32])
    show("c2s IV, epoch 1", client.c2s[32:])
    show("whoami record, epoch 1", client.seal(SESSION, session(octets(1, b""))))
    for name in ("md5", "hmac-md5", "keyed-md5-rfc1828"):
        show("T " + name, transform(name, password, b"\xbe\xef"))


def main():
    values = []

    def show(name, value):
        values.append(value.hex())
        print(f"{name} =\n    {value.hex()}")

    run(show)
    if "--check" in sys.argv:
        here = os.path.dirname(os.path.abspath(__file__))
        text = ""
        for name in ("challenge.md", "secure-channel.md"):
            with open(os.path.join(here, name), encoding="utf-8") as f:
                text += re.sub(r"\s", "", f.read())
        missing = [v for v in values if v not in text]
        if missing:
            sys.exit(f"{len(missing)} values are not in the documents, first: {missing[0]}")
        print(f"all {len(values)} values stand in the documents")


if __name__ == "__main__":
    main()
