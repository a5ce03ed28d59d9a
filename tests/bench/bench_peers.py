#!/usr/bin/python3
"""Polls a second of CPU time: bulkwatchd, curl -Z, aiohttp and a shell loop of curl and sqlite3 in turn on one server.

Usage: bench_peers.py [ROUNDS [SECONDS]]
"""

import os
import subprocess
import sys
import time

import benchkit
from benchkit import middle, span

N_URLS = 10000
N_SHELL = 50


def measure_curl(server, variant, scheme):
    """From start to end, as it is used: a configuration that lists the URLs."""
    config = server.dir / "curl.conf"
    url = server.url(variant, scheme) + benchkit.PATH
    config.write_text("".join(f'url = "{url}{benchkit.FIRST_ID + i}"\noutput = "/dev/null"\n'
                              for i in range(N_URLS)))
    began = time.monotonic()
    process = subprocess.Popen(benchkit.pinned(
        benchkit.CLIENT_CORE, "/usr/bin/curl", "-s", "-Z", "--parallel-max", "48", "--cacert",
        server.ca_file, "-H", "Authorization: Zoho-oauthtoken x", "-K", config),
        stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, process.returncode
    return benchkit.Cost(N_URLS, (usage.ru_utime + usage.ru_stime) * 1e6,
                         (time.monotonic() - began) * 1e6)


def measure_aiohttp(server, variant, scheme, seconds):
    said = subprocess.run(benchkit.pinned(
        benchkit.CLIENT_CORE, "/usr/bin/python3", benchkit.BENCH / "peer_aiohttp.py",
        server.url(variant, scheme) + benchkit.PATH, benchkit.FIRST_ID, 1000, 48, 1000,
        int(seconds * 1000), server.ca_file), check=True, stdout=subprocess.PIPE, text=True).stdout
    return benchkit.Cost(*map(int, said.split()))


def measure_shell(server, variant, scheme):
    """With its children, which are nearly all of it."""
    database = server.dir / "shell.db"
    database.unlink(missing_ok=True)
    began, before = time.monotonic(), os.times()
    subprocess.run(benchkit.pinned(
        benchkit.CLIENT_CORE, benchkit.BENCH / "peer_shell.sh", server.url(variant, scheme) + benchkit.PATH,
        benchkit.FIRST_ID, N_SHELL, database, server.ca_file), check=True)
    after = os.times()
    cpu_s = (after.children_user + after.children_system - before.children_user - before.children_system)
    return benchkit.Cost(N_SHELL, cpu_s * 1e6, (time.monotonic() - began) * 1e6)


def main():
    n_rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 3
    server = benchkit.Server(benchkit.harness.Stage())
    demands = benchkit.Demands()
    table = benchkit.Table(
        f"Polls a CPU second, 1 % transitions, 48 in flight; {n_rounds} rounds",
        "", "bulkwatchd", "by curl -Z: median (range)", "by aiohttp: median (range)",
        "by a shell loop: median (range)")
    results = []
    for scheme, name in (("http", "plain"), ("https", "TLS")):
        ours, curls, aios, shells = [], [], [], []
        for _ in range(n_rounds):
            ours.append(benchkit.measure_us(server, "mostly", scheme, seconds).per_cpu_s)
            curls.append(measure_curl(server, "mostly", scheme).per_cpu_s)
            aios.append(measure_aiohttp(server, "mostly", scheme, seconds).per_cpu_s)
            shells.append(measure_shell(server, "mostly", scheme).per_cpu_s)
        by_curl = [a / b for a, b in zip(ours, curls)]
        by_aio = [a / b for a, b in zip(ours, aios)]
        by_shell = [a / b for a, b in zip(ours, shells)]
        table.row(name, f"{middle(ours):.0f}", span(by_curl), span(by_aio), span(by_shell, "{:.0f}"))
        results.append((name, middle(by_curl), middle(by_aio)))
    print()
    for name, by_curl, by_aio in results:
        demands.at_least(f"by curl -Z, {name}", by_curl, 1.5)
        demands.at_least(f"by aiohttp, {name}", by_aio, 6)
    server.stage.remove()
    return 1 if demands.n_missed else 0


sys.exit(main())
