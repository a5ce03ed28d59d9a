#!/usr/bin/python3
"""TLS: how many handshakes, how often the file of CA certificates is read. Counts, no times.

Usage: bench_handshakes.py [SECONDS]

nginx writes a line a request (the number of its connection, whether a session was resumed) and ends each connection
after 100 requests. What the daemon opens is counted by strace.
"""

import collections
import sys
import time

import benchkit
from benchkit import harness

PER_CONNECTION = 100
IN_FLIGHT = 48


def connections_of(log):
    """Requests by connection, how many connections began with a full handshake, how many resumed a session."""
    requests, resumed = collections.Counter(), set()
    for line in log.read_text().splitlines():
        connection, reused = line.split()
        requests[connection] += 1
        if reused == "r":
            resumed.add(connection)
    return requests, len(requests) - len(resumed), len(resumed)


def main():
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 5
    server = benchkit.Server(benchkit.harness.Stage())
    trace = server.dir / "trace"
    watch = benchkit.Watch(server, "logged", "https", in_flight=IN_FLIGHT, wrapper=(
        "strace", "-D", "-f", "--seccomp-bpf", "-e", "trace=openat", "-o", trace))
    watch.warm(watch.n_jobs)
    time.sleep(seconds)
    watch.end()
    harness.wait_for(lambda: "+++ exited" in trace.read_text(), "the end of strace's record")
    requests, n_full, n_resumed = connections_of(server.dir / "requests.log")
    n_read = sum(str(server.ca_file) in line for line in trace.read_text().splitlines())
    n_requests = sum(requests.values())
    ended = [n for n in requests.values() if n == PER_CONNECTION]
    table = benchkit.Table(f"TLS, {IN_FLIGHT} in flight, {PER_CONNECTION} requests a connection allowed", "", "")
    for row in (("requests", n_requests), ("connections", len(requests)),
                ("requests a connection", f"{n_requests / len(requests):.1f}"),
                ("full handshakes", n_full), ("resumed sessions", n_resumed),
                ("times the CA file was opened", n_read)):
        table.row(*row)
    print()
    demands = benchkit.Demands()
    demands.at_least("connections", len(requests), 2 * IN_FLIGHT)
    demands.at_most("connections that ended before the server ended them, beyond those of the end",
                    len(requests) - len(ended), 2 * IN_FLIGHT)
    demands.at_least("the CA file was opened", n_read, 1)
    demands.at_most("the CA file was opened (once to check it, once by libcurl)", n_read, 2)
    server.stage.remove()
    return 1 if demands.n_missed else 0


sys.exit(main())
