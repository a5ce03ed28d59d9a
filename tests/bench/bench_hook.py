#!/usr/bin/python3
"""From the last byte of a reply to the first instruction of the hook: the transition is on disk in between.

Usage: bench_hook.py [SAMPLES]

A server of one thread says IN PROGRESS, and every few milliseconds COMPLETED of the job that it is asked about, so that hooks
do not wait for one another. It reads CLOCK_MONOTONIC before it sends; the hook (hook_stamp.c) as the first thing it does.
"""

import http.server
import json
import statistics
import sys
import threading
import time

import benchkit
from benchkit import harness

BETWEEN_S = 0.03
MIN_INTERVAL = "200ms"


class Zoho(http.server.BaseHTTPRequestHandler):
    """One job at a time comes to its end."""

    protocol_version = "HTTP/1.1"
    lock = threading.Lock()
    sent_ns = {}
    next_end = 0.0
    may_end = threading.Event()

    def do_GET(self):
        job = self.path.rpartition("/")[2]
        with self.lock:
            ends = job in self.sent_ns or (self.may_end.is_set() and time.monotonic() >= self.next_end)
            if ends:
                type(self).next_end = time.monotonic() + BETWEEN_S
        state = {"state": "COMPLETED", "result": {
            "page": 1, "count": 1, "download_url": f"{self.path}/result", "per_page": 200000,
            "more_records": False}} if ends else {"state": "IN PROGRESS"}
        body = json.dumps({"data": [{"id": job, "operation": "read", **state,
                                     "query": {"module": "Contacts", "page": 1}}]}).encode()
        head = (f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
                "\r\n\r\n").encode()
        if ends:
            self.sent_ns.setdefault(job, time.clock_gettime_ns(time.CLOCK_MONOTONIC))
        self.wfile.write(head + body)

    def log_message(self, *_):
        pass


def serve():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Zoho)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


def started(file):
    """When each job's first program began."""
    first = {}
    for line in file.read_text().splitlines() if file.exists() else []:
        job, at = line.split()
        first.setdefault(job, int(at))
    return first


def main():
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    stage = harness.Stage()
    file = stage.dir / "stamps"
    url = serve()
    stage.config({"acme": stage.account([str(benchkit.FIRST_ID + i) for i in range(n)])},
                 hooks={"load": {"exec": [str(benchkit.BUILT / "hook_stamp"), str(file)]}},
                 poll={"min_interval": MIN_INTERVAL, "max_interval": MIN_INTERVAL},
                 datacenters={"eu": {"api_url": url, "accounts_url": url}})
    daemon = stage.start()
    harness.wait_for(lambda: daemon.counts()["by_state"].get("IN PROGRESS") == n, "the first answers", 60)
    Zoho.may_end.set()
    harness.wait_while_it_moves(lambda: len(started(file)) == n, lambda: len(started(file)), "hooks")
    stamps = started(file)
    stage.close()
    ms = sorted((stamps[job] - sent) / 1e6 for job, sent in Zoho.sent_ns.items())
    table = benchkit.Table(f"From the last byte of a reply to the hook's first instruction, {n} hooks", "", "ms")
    for name, value in (("least", ms[0]), ("median", statistics.median(ms)), ("99 %", ms[n * 99 // 100]),
                        ("most", ms[-1])):
        table.row(name, f"{value:.2f}")
    print()
    demands = benchkit.Demands()
    demands.at_most("median, ms", statistics.median(ms), 5)
    return 1 if demands.n_missed else 0


sys.exit(main())
