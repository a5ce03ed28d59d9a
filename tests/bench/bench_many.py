#!/usr/bin/python3
"""What a poll costs among a million tracked jobs, by what it costs among a thousand: the same daemon, server and replies.

Usage: bench_many.py [JOBS [PAIRS [SECONDS]]]

Both daemons live at once, and the one that is not measured is stopped (SIGSTOP). All jobs are polled in turn, so that the
memory of each is as cold as it will be; none changes.
"""

import signal
import sys
import time

import benchkit
from benchkit import middle, span

FEW = 1000
PATIENCE = "10m"  # requests are on their way while a daemon stands still


def measure(watch, seconds):
    watch.daemon.send(signal.SIGCONT)
    time.sleep(1)
    cost = watch.measure(seconds)
    watch.daemon.send(signal.SIGSTOP)
    return cost


def begin(server, scheme, n_jobs):
    """Each job was polled twice: the second reply is the first that says nothing new."""
    watch = benchkit.Watch(server, "same", scheme, n_jobs=n_jobs, ready_s=300, poll={"timeout": PATIENCE})
    watch.warm(2 * n_jobs + n_jobs // 10, deadline_s=1800)
    watch.daemon.send(signal.SIGSTOP)
    return watch


def main():
    n_jobs = int(sys.argv[1]) if len(sys.argv) > 1 else 1000 * 1000
    n_pairs = int(sys.argv[2]) if len(sys.argv) > 2 else 7
    seconds = float(sys.argv[3]) if len(sys.argv) > 3 else 3
    server = benchkit.Server(benchkit.harness.Stage())
    demands = benchkit.Demands()
    few, many = begin(server, "http", FEW), begin(server, "http", n_jobs)
    fews, manys = [], []
    for i in range(n_pairs):
        steps = [lambda: fews.append(measure(few, seconds)), lambda: manys.append(measure(many, seconds))]
        for step in steps if i % 2 else reversed(steps):
            step()
    ratios = [a.each_us / b.each_us for a, b in zip(manys, fews)]
    table = benchkit.Table(f"CPU time of a poll, 48 in flight, plain, unchanged; {n_pairs} pairs of {seconds:g} s",
                           "", f"by that among {FEW}: median (range)", "us a poll", f"us among {FEW}")
    table.row(f"among {n_jobs} jobs", span(ratios), f"{middle([c.each_us for c in manys]):.1f}",
              f"{middle([c.each_us for c in fews]):.1f}")
    print()
    demands.at_most(f"CPU of a poll among {n_jobs} by that among {FEW}", middle(ratios), 1.1)
    for watch in (few, many):
        watch.daemon.send(signal.SIGCONT)
        watch.end()
    server.stage.remove()
    return 1 if demands.n_missed else 0


sys.exit(main())
