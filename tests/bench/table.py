#!/usr/bin/env python3
"""Prints what ./dev bench has measured, row by row, against what is to be reached.

usage: table.py DIRECTORY [--markdown]    DIRECTORY holds the JSON of the benchmark programs
The causes of what falls short stand in shortfalls.txt beside this file, one line a row: "row: cause".
"""
import json
import pathlib
import sys


class Results:
    """Every benchmark's best repetition: what else runs on the machine only ever adds to it."""

    def __init__(self, directory):
        self.best = {}
        for path in sorted(pathlib.Path(directory).glob("*.json")):
            for entry in json.loads(path.read_text())["benchmarks"]:
                if entry["run_type"] != "iteration":
                    continue
                name = entry["name"].removesuffix("/real_time").removesuffix("/iterations:1")
                self.best.setdefault(name, []).append(entry)

    def __call__(self, name, field="cpu_time"):
        entries = [e for e in self.best.get(name, []) if not e.get("error_occurred") and e.get(field) is not None]
        if not entries:
            raise KeyError(name)
        pick = max if field.endswith("per_second") else min
        return pick(entry[field] for entry in entries)


def number(value):
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def cause_of(what, causes):
    """Both a row's name and its cause may have colons in them."""
    beginning = what + ": "
    return next((line[len(beginning):] for line in causes if line.startswith(beginning)), "cause not known yet")


class Row:
    """Without a limit it is published and held against nothing."""

    def __init__(self, what, measured, reference, unit, limit, at_least=False, ratio=None):
        self.what, self.measured, self.reference, self.unit = what, measured, reference, unit
        self.limit, self.at_least, self.ratio = limit, at_least, ratio

    def cells(self, results, causes):
        limit = ("≥ " if self.at_least else "≤ ") + number(self.limit) if self.limit is not None else ""
        try:
            measured = self.measured(results)
            reference = self.reference(results) if self.reference else None
        except KeyError as missing:
            return [self.what, "not measured: " + str(missing), "", "", limit, "short"]
        judged = self.ratio(measured, reference) if self.ratio else measured / reference if reference else measured
        if self.limit is None:
            return [self.what, f"{number(measured)} {self.unit}", "", "", "", "published"]
        good = judged >= self.limit if self.at_least else judged <= self.limit
        verdict = "ok" if good else "short: " + cause_of(self.what, causes)
        return [self.what, f"{number(measured)} {self.unit}", f"{number(reference)} {self.unit}" if reference else "",
                number(judged) if reference else "", limit, verdict]


def field(name, counter="cpu_time"):
    return lambda results: results(name, counter)


def slower(measured, reference):
    """Speed of the measured as a part of the reference's."""
    return reference / measured


def beside(what, arguments, limit_idle_cpu=None):
    name = f"OtherClientBeside/{arguments}"
    rows = [
        Row(f"{what}: another uid's p99", field(name, "p99_us"), field(name, "unloaded_p99_us"), "µs", 2),
        Row(f"{what}: its exchanges that failed, of 1000", field(name, "failed"), None, "", 0),
        Row(f"{what}: its 100 exchanges together", field(name, "total_ms"), None, "ms", 250),
        Row(f"{what}: keyd's CPU meanwhile", field(name, "idle_cpu_percent"), None, "%", 2),
        Row(f"{what}: descriptors that did not come back", field(name, "descriptors_left"), None, "", 0),
    ]
    return rows


def rows():
    yield "the table"
    yield Row("look-up by pid, clock apart", lambda r: r("FindByPid") - r("BootClock"), field("BareSeqlock"), "ns", 2)
    yield Row("look-up by pid, clock and all", field("FindByPid"), field("GetPpid"), "ns", 0.7)
    yield Row("look-up whose writer was killed in the middle", field("FindBusy"), None, "ns", 1000)
    yield Row("look-up while keyd is stopped", field("ByPidWhileKeydIsStopped"), None, "ns", 1000)
    yield Row("the same, p99", field("ByPidWhileKeydIsStopped", "p99_us"), None, "µs", 1)
    for tier, said in (("every_syscall", "tier kernel, ids watched"), ("kernel", "tier kernel"), ("pidfd", "tier pidfd")):
        of = lambda name, t=tier: field(f"{name}/{t}")
        yield Row(f"identity of a peer from its socket, {said}", of("PeerBySocket"), of("KernelPart"), "ns", 1.2)
        yield Row(f"the same with a handle to check it by, {said}", of("Identify"), of("KernelPart"), "ns", 1.25)
        yield Row(f"check of a peer, {said}", of("PeerCheck"), lambda r: r("BareLoads") + r("BootClock"), "ns", 2)
        yield Row(f"glance at a peer, {said}", of("PeerGlance"), None, "ns", 60 if tier == "pidfd" else 10)
    for setting, said in (("", "tier kernel"), ("_and_every_syscall", "tier kernel, ids watched")):
        for doing in ("idle", "busy", "stopped", "killed"):
            of = lambda name, d=doing + setting: field(f"{name}While/{d}")
            killed = doing == "killed"  # then the answer is that there is none, and has to be had in under 1 µs
            # Of a keyd that is dead nothing watches any more, and no system call is dearer.
            kernel_part = field("KernelPart/every_syscall" if setting and not killed else "KernelPart/kernel")
            yield Row(f"look-up by pid, {said}, keyd {doing}", of("LookUp"), None if killed else field("GetPpid"), "ns",
                      1000 if killed else 0.7)
            yield Row(f"identity from its socket, {said}, keyd {doing}", of("Identify"), kernel_part, "ns", 1.2)
            yield Row(f"check of a peer, {said}, keyd {doing}", of("Check"), None, "ns", 1000)
            yield Row(f"glance at a peer, {said}, keyd {doing}", of("Glance"), None, "ns", 60 if killed else 10)
    yield Row("shared memory of a process", field("TableOctets", "octets_each"), None, "octets", 256)
    yield "the exchange"
    echo = field("EchoRoundTrip", "cpu_us")
    yield Row("exchange, connection held, CPU of both ends", field("ExchangeHeld", "cpu_us"), echo, "µs", 6)
    yield Row("exchange with connect, CPU of both ends", field("ExchangeWithConnect", "cpu_us"), echo, "µs", 10)
    real = lambda name: lambda r: r(name, "real_time") / 1000
    yield Row("exchange, connection held, elapsed", real("ExchangeHeld"), real("EchoRoundTrip"), "µs", 6)
    yield Row("exchange with connect, elapsed", real("ExchangeWithConnect"), real("EchoRoundTrip"), "µs", 10)
    yield Row("keyd's CPU for an exchange", field("ExchangeHeld", "server_cpu_us"), None, "µs", 12)
    for n in (1, 16, 64, 256):
        crowd = f"ExchangeCrowd/{n}"
        if n in (16, 64):
            yield Row(f"exchanges of {n} processes", field(crowd, "per_second"), field(f"EchoCrowd/{n}", "per_second"),
                      "/s", 0.25, at_least=True)
        elif n == 256:
            yield Row("exchanges of 256 processes against 16", field(crowd, "per_second"),
                      field("ExchangeCrowd/16", "per_second"), "/s", 0.7, at_least=True)
    yield "srp (the reference: one exponentiation in the same group; or another server)"
    for bits in (2048, 3072):
        of = lambda name, b=bits: field(f"{name}/{b}", "server_us")
        yield Row(f"server's CPU for an exchange, {bits} bits", of("SrpServer"), of("Modexp"), "µs", 3.4)
        yield Row(f"the same with g^b drawn ahead, {bits} bits", of("SrpServerWithPool"), of("Modexp"), "µs", 2.3)
        yield Row(f"beside OpenSSL's TLS-SRP, {bits} bits", of("SrpServer"), of("OpensslServer"), "µs", 1)
        yield Row(f"beside GnuTLS's TLS-SRP, {bits} bits", of("SrpServer"), of("GnutlsServer"), "µs", 1)
    yield Row("keyd's whole CPU for a login, 3072 bits", field("SrpLogin/iterations:100", "server_us"),
              field("Modexp/3072", "server_us"), "µs", 3.4)
    yield "records"
    for size, limit in ((64, 0.65), (1024, 0.85), (16384, 0.95)):
        for name, what in (("SealOpen", "a program's"), ("SealOpenLocked", "a session's")):
            yield Row(f"{what} record sealed and opened, {size} octets", field(f"{name}/{size}"),
                      field(f"BareGcm/{size}"), "ns", limit, at_least=True, ratio=slower)
    yield "size"
    yield Row("memory of keyd for an idle connection", field("OtherClientBeside/idle:10000/half_sent:0", "octets_each"),
              None, "octets", 1024)
    yield Row("keyd's base RSS", lambda r: r("FlatMemory", "base_rss_kib") * 1.024 / 1000, None, "MB", 12)
    yield Row("its growth over many exchanges", field("FlatMemory", "growth_kib"), None, "KiB", 256)
    yield "other people's connections"
    yield from beside("1000 idle", "idle:1000/half_sent:0")
    yield from beside("1000 half-sent", "idle:0/half_sent:1000")
    yield from beside("10 000 idle", "idle:10000/half_sent:0")
    yield from beside("2000 half-sent", "idle:0/half_sent:2000")
    yield from beside("10 000 idle and 2000 half-sent", "idle:10000/half_sent:2000")
    for scheme in ("kryptoknight", "srp"):
        for said, pauses in (("", ""), (", 1 ms between", "_and_pauses")):
            what = f"16 users logging in by {scheme}{said}"
            of = lambda column, n=scheme + pauses: field(f"OtherClientBesideLogins/{n}", column)
            for p in ("p99", "p50"):
                yield Row(f"{what}: another uid's challenge exchange, {p}", of(p + "_us"), of(f"unloaded_{p}_us"), "µs", 2)
            yield Row(f"{what}: its exchanges that failed", of("failed"), None, "", 0)
            if pauses:
                yield Row(f"{what}: that p99 against the one beside a loop of nice 19", of("p99_us"), of("loop_p99_us"), "µs",
                          2)
            yield Row(f"{what}: their logins per second meanwhile", of("logins_per_second"), None, "/s",
                      50 if scheme == "srp" and pauses else None, at_least=True)
    yield "the time of a denial (Welch's t against a wrong password)"
    steps = {"challenge": ("numbers", "verdict"), "kryptoknight": ("reply", "verdict"), "srp": ("challenge", "key", "verdict")}
    kinds = ("unknown", "disabled", "locked", "scheme_not_enrolled", "historic_not_allowed")
    for scheme, suite in ((scheme, suite) for scheme in steps for suite in ("modern", "historic")):
        for kind in kinds if suite == "historic" else kinds[:-1]:
            for step in steps[scheme]:
                name, counter = f"Uniformity/{scheme}_{suite}", f"t_{step}_{kind}"
                yield Row(f"{scheme}, {suite}, {kind.replace('_', ' ')}: {step}",
                          lambda r, n=name, c=counter: abs(r(n, c)), None, "", 4.5)


WINDOWS = ("exec", "exit", "setuid")


def windows(results):
    """The revocation windows, which are published and held against nothing."""
    rows = [("tier kernel", "kernel", change) for change in WINDOWS]
    rows += [("tier kernel, every system call watched", "every_syscall", "setuid")]
    rows += [(f"tier {tier}", tier, change) for tier in ("watch", "pidfd") for change in WINDOWS]
    for said, tier, change in rows:
        name = f"Window/{tier}_{change}"
        try:
            if results(name, "not_within_2s") > 0:
                yield [f"{said}, {change}", "not by itself: on contact", "", ""]
                continue
            yield [f"{said}, {change}"] + [number(results(name, c)) + " µs"
                                                for c in ("p50_us", "p99_us", "longest_us")]
        except KeyError:
            yield [f"{said}, {change}", "not measured", "", ""]


def lines(head, body, markdown):
    widths = [max(len(line[i]) for line in [head] + body) for i in range(len(head))]
    if markdown:
        yield "| " + " | ".join(head) + " |"
        yield "| " + " | ".join("---" for _ in head) + " |"
        yield from ("| " + " | ".join(line) + " |" for line in body)
    else:
        yield from ("  ".join(c.ljust(w) for c, w in zip(line, widths)).rstrip() for line in [head] + body)


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    markdown = "--markdown" in sys.argv[2:]
    results = Results(sys.argv[1])
    causes = pathlib.Path(__file__).with_name("shortfalls.txt").read_text().splitlines()
    body, short = [], 0
    for row in rows():
        if isinstance(row, str):
            body.append([("**" + row + "**") if markdown else "-- " + row] + [""] * 5)
            continue
        cells = row.cells(results, causes)
        short += cells[-1].startswith("short")
        body.append(cells)
    print("\n".join(lines(["what", "measured", "reference", "ratio", "to reach", "reached"], body, markdown)))
    print()
    print("\n".join(lines(["how long an old record can be read", "p50", "p99", "longest"], list(windows(results)), markdown)))
    print()
    print(f"{short} rows short.")


main()
