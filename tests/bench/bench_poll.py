#!/usr/bin/python3
"""What a poll costs: bulkwatchd by the floor (tests/bench/peer_floor.c), in turn on one server.

Usage: bench_poll.py [PAIRS [SECONDS]]
"""

import sys

import benchkit
from benchkit import middle, span

# The names of what the server says, and how much of the floor a poll may cost then.
KINDS = [
    ("same", "unchanged, no transitions", 1.15),
    ("mostly", "unchanged, 1 % transitions", 1.15),
    ("reworded", "every reply differs, 1 % transitions", 1.3),
    ("rewritten", "every document differs: a row a poll", None),
]


def compare(server, variant, scheme, n_pairs, seconds):
    ours, floors = [], []
    for i in range(n_pairs):
        steps = [lambda: ours.append(benchkit.measure_us(server, variant, scheme, seconds)),
                 lambda: floors.append(benchkit.measure_floor(server, variant, scheme, seconds))]
        for step in steps if i % 2 else reversed(steps):
            step()
    return ours, floors


def main():
    n_pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 3
    kinds = [kind for kind in KINDS if len(sys.argv) < 4 or kind[0] in sys.argv[3:]]
    stage = benchkit.harness.Stage()
    server = benchkit.Server(stage)
    demands = benchkit.Demands()
    table = benchkit.Table(
        f"CPU time of a poll, 1,000 jobs, 48 in flight; {n_pairs} pairs of {seconds:g} s",
        "", "ratio to the floor: median (range)", "us a poll", "floor, us", "polls/s", "floor/s")
    results = []
    for variant, words, limit in kinds:
        for scheme, name in (("http", "plain"), ("https", "TLS")):
            ours, floors = compare(server, variant, scheme, n_pairs, seconds)
            ratios = [a.each_us / b.each_us for a, b in zip(ours, floors)]
            table.row(f"{name}, {words}", span(ratios), f"{middle([c.each_us for c in ours]):.1f}",
                      span([c.each_us for c in floors], "{:.1f}"),
                      f"{middle([c.per_wall_s for c in ours]):.0f}",
                      f"{middle([c.per_wall_s for c in floors]):.0f}")
            results.append((f"{name}, {words}", middle(ratios), limit))
    print()
    for name, ratio, limit in results:
        if limit:
            demands.at_most(f"CPU by the floor's: {name}", ratio, limit)
    stage.remove()
    return 1 if demands.n_missed else 0


sys.exit(main())
