#!/usr/bin/env python3
"""The driver's manners: what it leaves out, what it says then, how it exits. usage: check_driver.py DRIVER"""
import hashlib
import json
import subprocess
import sys
import tempfile
import unittest

DRIVER = sys.argv.pop(1)


def drive(text):
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write(text)
        file.flush()
        return subprocess.run([DRIVER, file.name], capture_output=True, text=True, check=False)


class Driver(unittest.TestCase):
    def test_names_an_unknown_family_and_goes_on(self):
        ran = drive('{"astrology": [], "hash_facts": [{"id": "a", "in": {"kind": "md5", "data": ""}}]}')
        self.assertEqual(ran.returncode, 0)
        self.assertIn("astrology", ran.stderr)
        digest = "d41d8cd98f00b204e9800998ecf8427e"
        self.assertEqual(json.loads(ran.stdout), {"hash_facts": {"a": {"out": digest}}})

    def test_leaves_out_a_case_that_fails_and_names_it(self):
        good = {"id": "good", "in": {"kind": "sha1", "data": ""}}
        for bad in (
            {"id": "bad", "in": {"kind": "md5", "data": "0"}},
            {"id": "bad", "in": {"kind": "md5", "data": "zz"}},
            {"id": "bad", "in": {"kind": "md6", "data": ""}},
            {"id": "bad", "in": {"kind": "hmac-md5", "data": ""}},
            {"id": "bad", "in": {"kind": "md5", "data": 7}},
            {"id": "bad", "in": "md5"},
            {"id": "bad"},
        ):
            with self.subTest(bad=bad):
                ran = drive(json.dumps({"hash_facts": [bad, good]}))
                self.assertEqual(ran.returncode, 0)
                self.assertIn("bad", ran.stderr)
                self.assertEqual(list(json.loads(ran.stdout)["hash_facts"]), ["good"])

    def test_leaves_out_what_is_no_case_at_all(self):
        ran = drive('{"s0_keys": [7, null, {"in": {}}, {"id": 3}], "hash_facts": "many"}')
        self.assertEqual(ran.returncode, 0)
        self.assertEqual(json.loads(ran.stdout), {"s0_keys": {}})
        self.assertEqual(len(ran.stderr.splitlines()), 5)

    def test_takes_empty_values_and_long_ones(self):
        ran = drive(json.dumps({"s0_keys": [
            {"id": "empty", "in": {"password": "", "nonce1": "", "nonce2": "00"}},
            {"id": "long", "in": {"password": "ab" * 5000, "nonce1": "cd" * 5000, "nonce2": "EF"}}]}))
        self.assertEqual((ran.returncode, ran.stderr), (0, ""))
        empty = json.loads(ran.stdout)["s0_keys"]["empty"]
        self.assertEqual(empty["key1"], "74e6f7298a9c2d168935f58c001bad88")

    def test_leaves_out_what_kryptoknight_does_not_do(self):
        good = {"password": "5057", "salt": "73", "salt_order": "password|salt", "hostport": "68",
                "client_nonce": "00" * 16, "server_nonce": "11" * 16, "session_key": "22" * 8}
        cases = [
            {"id": "good", "in": good},
            {"id": "empty", "in": {**good, "password": "", "salt": "", "hostport": "", "salt_order": "none"}},
            {"id": "salt first", "in": {**good, "salt_order": "salt|password"}},
            {"id": "salt first too", "in": {**good, "salt_order": "salt-first"}},
            {"id": "short key", "in": {**good, "session_key": "22" * 7}},
        ]
        ran = drive(json.dumps({"s1_secrethash": cases}))
        self.assertEqual(ran.returncode, 0)
        results = json.loads(ran.stdout)["s1_secrethash"]
        self.assertEqual(sorted(results), ["empty", "good"])
        self.assertEqual(len(ran.stderr.splitlines()), 3)
        self.assertEqual(results["good"]["pw_hash"], hashlib.md5(b"PWs").hexdigest())
        self.assertEqual(results["empty"]["pw_hash"], hashlib.md5(b"").hexdigest())
        inner = hashlib.md5(b"").digest()
        self.assertEqual(results["empty"]["secret_hash"], hashlib.md5(bytes(16) + b"\x11" * 16 + inner).hexdigest())

    def test_says_what_the_generator_of_session_keys_takes(self):
        def result(key):
            case = {"id": "key", "in": {"op": "generated-session-key-check", "key": key, "data": "", "iv": ""}}
            return json.loads(drive(json.dumps({"des_facts": [case]})).stdout)["des_facts"]["key"]["result"]
        for weak in ("0101010101010101", "fefefefefefefefe", "0000000000000000", "011f011f010e010e", "e0fee0fef1fef1fe"):
            self.assertEqual(result(weak), "reject", weak)
        for key in ("133457799bbcdff1", "0101010101010102", "123456789abcdef0"):
            self.assertEqual(result(key), "accept", key)
        for key in ("", "01", "13" * 16):
            self.assertEqual(result(key), "reject", key)

    def test_exits_with_2_when_the_input_is_no_json_object(self):
        for text in ("", "{", "[]", "null", "7", "{} {}"):
            with self.subTest(text=text):
                ran = drive(text)
                self.assertEqual(ran.returncode, 2)
                self.assertEqual(ran.stdout, "")
                self.assertNotEqual(ran.stderr, "")

    def test_exits_with_2_when_there_is_no_input(self):
        for arguments in ([], ["/nonexistent.json"], ["/"], ["a", "b"]):
            with self.subTest(arguments=arguments):
                ran = subprocess.run([DRIVER, *arguments], capture_output=True, check=False)
                self.assertEqual(ran.returncode, 2)


if __name__ == "__main__":
    unittest.main()
