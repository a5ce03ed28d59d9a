#!/usr/bin/python3
"""Five thousand accounts over eight data centers, all with more to ask than there are connections: who gets how much?

Usage: bench_fair.py [JOBS [DAYS]]

The whole daemon on virtual time (./dev simulate --crowd), an hour of it. While it runs, the simulation judges each request:
no account has more in flight than it may, none spends more credits than it may, no data center has more connections than
there are, and nothing that may go out waits. The smaller world of the second run has faults planted that each of these
must find.
"""

import re
import subprocess
import sys
import time

import benchkit

SIM = benchkit.harness.BUILD / "tests" / "sim" / "sim"
SHARES = re.compile(r"^(.*): (\d+) accounts, polls of each: (\d+) least, (\d+) median, (\d+) most; Jain's index (\S+)$",
                    re.M)


def simulate(*options):
    began = time.monotonic()
    done = subprocess.run([SIM, "--crowd", *map(str, options)], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True)
    if done.returncode != 0:
        print(done.stdout)
        sys.exit("the simulation found a fault")
    return done.stdout, time.monotonic() - began


def main():
    n_jobs = int(sys.argv[1]) if len(sys.argv) > 1 else 100000
    days = float(sys.argv[2]) if len(sys.argv) > 2 else 1 / 24
    said, took_s = simulate("--jobs", n_jobs, "--virtual-days", days)
    n_polls = int(re.search(r"(\d+) polls", said)[1])
    shares = SHARES.findall(said)
    table = benchkit.Table(f"{n_jobs} jobs, {n_polls} polls in {days * 24:g} h of virtual time ({took_s:.0f} s)",
                           "accounts", "how many", "polls of each: least", "median", "most", "Jain's index")
    for row in shares:
        table.row(*row)
    print()
    demands = benchkit.Demands()
    _, _, least, median, _, jain = shares[0]
    demands.at_least("the least by the median", int(least) / int(median), 0.5)
    demands.at_least("Jain's index", float(jain), 0.95)
    said, _ = simulate("--plants", "--jobs", 2400, "--virtual-days", 0.02)
    print("\n".join(line for line in said.splitlines() if "caught" in line))
    return 1 if demands.n_missed else 0


sys.exit(main())
