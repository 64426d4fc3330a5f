#!/usr/bin/env python3
"""Every test that docs/threat-model.md names exists: check_threat_model.py THREAT_MODEL BUILD_DIR"""
import re
import subprocess
import sys

text, build = open(sys.argv[1], encoding="utf-8").read(), sys.argv[2]
listing = subprocess.run(["ctest", "--test-dir", build, "-N"], capture_output=True, text=True, check=True).stdout
# Parametrized suites carry their instantiation in front: InTier/ForkBomb.…
tests = {re.sub(r"^[^.]*/", "", name) for name in re.findall(r"Test +#\d+: (\S+)", listing)}

# The last column of each table: `Suite.*`, `Suite.Beginning…`, `Suite.Name`. Benchmarks have no dot.
named = re.findall(r"`([A-Za-z_]+\.[A-Za-z_*]+…?)`", "\n".join(
    line.rsplit("|", 2)[1] for line in text.splitlines() if line.startswith("|") and line.count("|") >= 5))
missing = []
for name in named:
    beginning = name.rstrip("…*")
    if not any(test.startswith(beginning) if name[-1] in "…*" else test == name for test in tests):
        missing.append(name)
if missing or len(named) < 40:
    sys.exit(f"docs/threat-model.md names tests that do not exist: {', '.join(missing) or 'hardly any'}")
print(f"{len(named)} tests and suites that docs/threat-model.md names exist")
