#!/usr/bin/python3
"""What it costs when all jobs finish at once, by their polls; and whether anything else waits meanwhile.

Usage: bench_finish.py [JOBS [ROUNDS]]

The server says IN PROGRESS of every job until a file appears, then COMPLETED. The cost of a job that is found finished
(request, decision, rows, commit) is taken by that of a poll of the same daemon right before. With hooks, each job gets
a delivery besides; then it is only looked how long a turn of the loop takes while thousands of them wait.
"""

import sys
import time

import benchkit
from benchkit import middle, span

TURN_S = 0.05
IN_FLIGHT = 192
AFTER_S = 5  # of deliveries, looked at once all jobs are finished

HOOKS = [
    ("no hooks", lambda server: None),
    ("a program", lambda server: {"load": {"exec": ["/bin/true"]}}),
    ("a webhook", lambda server: {"load": {"url": server.url("same", "http") + benchkit.PATH + "1",
                                           "parallel": 64}}),
]


def finish(watch, server):
    """All of them: the cost of those polls."""
    pid = watch.daemon.pid
    n, cpu, wall = watch.polls(), benchkit.cpu_s(pid), time.monotonic()
    (server.dir / "finished").touch()
    while watch.daemon.counts()["finished"] < watch.n_jobs:
        time.sleep(0.1)
    return benchkit.Cost(watch.polls() - n, (benchkit.cpu_s(pid) - cpu) * 1e6,
                         (time.monotonic() - wall) * 1e6)


def measure(server, n_jobs, hooks):
    """Cost of a poll, of one that finds its job finished; turns that were too long; deliveries a second."""
    (server.dir / "finished").unlink(missing_ok=True)
    watch = benchkit.Watch(server, "finishing", "http", n_jobs=n_jobs, in_flight=IN_FLIGHT, hooks=hooks)
    watch.warm(3 * n_jobs, deadline_s=600)
    polls = watch.measure(3)
    too_long = watch.turns(TURN_S)
    finished = finish(watch, server)
    delivered = 0
    if hooks:
        time.sleep(AFTER_S)
        delivered, = watch.metrics('bulkwatch_hook_attempts_total{hook="load",result="delivered"}')
        delivered /= AFTER_S + finished.wall_us / 1e6
    too_long = watch.turns(TURN_S) - too_long
    watch.end()
    return polls, finished, too_long, delivered


def main():
    n_jobs = int(sys.argv[1]) if len(sys.argv) > 1 else 100000
    n_rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    server = benchkit.Server(benchkit.harness.Stage())
    demands = benchkit.Demands()
    table = benchkit.Table(
        f"{n_jobs} jobs that finish at once, {IN_FLIGHT} in flight; {n_rounds} rounds", "",
        "CPU of one that finishes by that of a poll: median (range)", "us each", "us a poll", "finished/s",
        f"turns over {TURN_S * 1000:.0f} ms", "deliveries/s")
    for name, hooks_of in HOOKS:
        rounds = [measure(server, n_jobs, hooks_of(server)) for _ in range(n_rounds)]
        ratios = [finished.each_us / polls.each_us for polls, finished, _, _ in rounds]
        too_long = sum(result[2] for result in rounds)
        table.row(name, span(ratios), f"{middle([r[1].each_us for r in rounds]):.1f}",
                  f"{middle([r[0].each_us for r in rounds]):.1f}",
                  f"{middle([r[1].per_wall_s for r in rounds]):.0f}", f"{too_long:.0f}",
                  f"{middle([r[3] for r in rounds]):.0f}")
        if name == "no hooks":
            demands.at_most("CPU of one that finishes by that of a poll", middle(ratios), 1.3)
        demands.at_most(f"turns over 50 ms, {name}", too_long, 0)
    server.stage.remove()
    return 1 if demands.n_missed else 0


sys.exit(main())
