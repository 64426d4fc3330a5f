#!/usr/bin/env python3
"""Runs vector_driver over sample.json and compares. usage: check_sample.py DRIVER SAMPLE

Every family that the driver knows must have cases, and every case must come out as expected. Of several named
readings (any_of) one and the same must hold in all cases of its family. Families that the driver does not know
are listed by name.
"""
import json
import subprocess
import sys
import tempfile


def octets_or_number(family, field, value):
    return int(str(value), 16) if field in family["integer_fields"] else value


def matches(family, expected, got):
    """The fields in which `got` is not `expected`. Optional ones count where the driver gives them."""
    wrong = []
    for field, value in expected.items():
        if field not in got:
            if field not in family["optional_fields"]:
                wrong.append(field + " is missing")
        elif octets_or_number(family, field, got[field]) != octets_or_number(family, field, value):
            wrong.append(f"{field} is {got[field]}, expected {value}")
    return wrong


def check(name, family, results):
    """A list of complaints; empty when the family holds."""
    complaints = []
    readings = None  # those that have held in every case so far
    for case in family["cases"]:
        got = results.get(case["id"])
        if got is None:
            complaints.append(f"{name} {case['id']}: no result")
            continue
        if "expect" in case:
            complaints += [f"{name} {case['id']}: {wrong}" for wrong in matches(family, case["expect"], got)]
        if "any_of" in case:
            held = {reading for reading, fields in case["any_of"].items() if not matches(family, fields, got)}
            if not held:
                complaints.append(f"{name} {case['id']}: {got} is none of {sorted(case['any_of'])}")
            readings = held if readings is None else readings & held
        if "expect" not in case and "any_of" not in case:
            complaints.append(f"{name} {case['id']}: the sample expects nothing")
    if readings is not None:
        print(f"{name}: reading {', '.join(sorted(readings)) or '(none)'}")
        if not readings:
            complaints.append(f"{name}: no one reading holds in all cases")
    return complaints


def main():
    driver, sample_path = sys.argv[1:3]
    with open(sample_path, encoding="utf-8") as file:
        sample = json.load(file)
    known = subprocess.run([driver, "--families"], check=True, capture_output=True, text=True).stdout.split()
    inputs = {
        name: [{k: case[k] for k in ("id", "in", "hex") if k in case} for case in sample[name]["cases"]]
        for name in known
        if name in sample
    }
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(inputs, file)
        file.flush()
        ran = subprocess.run([driver, file.name], capture_output=True, text=True, check=False)
    complaints = []
    if ran.returncode != 0 or ran.stderr:
        complaints.append(f"the driver exited with {ran.returncode}, saying: {ran.stderr.strip()}")
    results = json.loads(ran.stdout) if ran.returncode == 0 else {}
    for name in known:
        if not sample.get(name, {}).get("cases"):
            complaints.append(f"{name}: the driver knows this family, but the sample has no case of it")
        else:
            complaints += check(name, sample[name], results.get(name, {}))
    checked = sum(len(sample[name]["cases"]) for name in known if name in sample)
    print(f"{len(known)} families checked, {checked} cases: {', '.join(sorted(known))}")
    print(f"left out, not in the driver: {', '.join(sorted(set(sample) - set(known))) or 'none'}")
    for complaint in complaints:
        print("FAILED", complaint)
    return 1 if complaints or not checked else 0


if __name__ == "__main__":
    sys.exit(main())
