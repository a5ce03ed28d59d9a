#!/usr/bin/env python3
"""Thousands who ask one daemon: bench_waiters.py [MOST].

Waiters hold GET .../wait for one job; followers hold GET /v1/events?follow=true. The job's last
reply is held back by the simulator until all of them are there. Times are from the moment when the
simulator logged that reply to the moment when a client could read its answer. Then jobs are added one after
another, each once every follower knows how the last one is (two events): what that costs the daemon
beyond the same with one follower is what an event costs for each of the others."""

import datetime
import pathlib
import re
import resource
import selectors
import socket
import statistics
import sys
import time

from benchkit import cpu_s
from harness import Stage, wait_for

JOB = "1"
DEADLINE_S = 120
FEW_ADDED = [str(2000 + i) for i in range(40)]
FOLLOW = "/v1/events?follow=true&after={after}"
MORE_ADDED = [str(3000 + i) for i in range(40)]


class Crowd:
    """Many connections with one request each, and when each of them had what it waits for."""

    def __init__(self, path, n, target, wanted):
        self.wanted = wanted
        self.selector = selectors.DefaultSelector()
        self.woken = {}
        request = f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        for i in range(n):
            client = socket.socket(socket.AF_UNIX)
            client.connect(str(path))
            client.sendall(request)
            client.setblocking(False)
            self.selector.register(client, selectors.EVENT_READ, [i, b""])
        self.n = n

    def listen(self):
        """Until each has it."""
        deadline = time.monotonic() + DEADLINE_S
        while len(self.woken) < self.n:
            if time.monotonic() > deadline:
                raise AssertionError(f"{len(self.woken)} of {self.n} were woken")
            ready = self.selector.select(1)
            now = time.time()
            for key, _ in ready:
                key.data[1] += key.fileobj.recv(65536)
                if key.data[0] not in self.woken and self.wanted in key.data[1]:
                    self.woken[key.data[0]] = now

    def listen_anew(self, wanted):
        """For something else, in what comes from now on."""
        self.wanted, self.woken = wanted, {}
        for key in self.selector.get_map().values():
            key.data[1] = b""
        self.listen()

    def close(self):
        for key in list(self.selector.get_map().values()):
            key.fileobj.close()
        self.selector.close()


def resident_mb(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", text)[1]) / 1024


def gauge(daemon, name):
    text = daemon.get("/metrics").data.decode()
    return float(re.search(rf"^{name} (\S+)$", text, re.M)[1])


def finish(sim):
    """The job is COMPLETED at its next poll; when the reply was sent, as the simulator logs it."""
    sim.admin("POST", "/jobs", {"jobs": [{"id": JOB, "life": [{"state": "COMPLETED"}]}]})


def add_jobs(daemon, jobs, crowd):
    """One by one, until the crowd has read of each; the CPU time of each."""
    spent = cpu_s(daemon.pid)
    for job in jobs:
        daemon.post("/v1/jobs", {"account": "acme", "id": job})
        crowd.listen_anew(b'"job.added"')
    return (cpu_s(daemon.pid) - spent) / len(jobs)


def measure(what, n, target, wanted, name):
    stage = Stage()
    sim = stage.sim("--admin", script={"jobs": [{"id": job, "life": [{"state": "ADDED"}]}
                                                for job in [JOB] + FEW_ADDED + MORE_ADDED]})
    stage.config({"acme": stage.account([JOB])}, max_clients=n + 64,
                 poll={"min_interval": "500ms", "max_interval": "500ms"})
    daemon = stage.start()
    wait_for(lambda: daemon.job("acme", JOB)["state"] == "ADDED", "the first answer")
    one = Crowd(daemon.query, 1, FOLLOW.format(after=0), b"")
    alone_s = add_jobs(daemon, FEW_ADDED, one)
    one.close()
    target = target.format(after=daemon.events()[-1]["seq"])
    before_mb = resident_mb(daemon.pid)
    crowd = Crowd(daemon.query, n, target, wanted)
    wait_for(lambda: gauge(daemon, name) == n, f"all {n}", DEADLINE_S)
    held_mb = resident_mb(daemon.pid) - before_mb
    used, polls = cpu_s(daemon.pid), len(sim.requests())
    began = time.monotonic()
    wait_for(lambda: len(sim.requests()) >= polls + 4, "four polls")
    polled_s = time.monotonic() - began
    quiet_cpu = cpu_s(daemon.pid) - used
    finish(sim)
    crowd.listen()
    reply = next(r for r in sim.requests() if r.get("state") == "COMPLETED")
    n_after = len([r for r in sim.requests() if r.get("state") == "COMPLETED"])
    ms = sorted((woken - sent_at(reply)) * 1000 for woken in crowd.woken.values())
    print(f"  {n:6} {what}: woken after {statistics.median(ms):.1f} ms (median), "
          f"{ms[len(ms) * 99 // 100]:.1f} ms (99 %), {ms[-1]:.1f} ms (all); "
          f"{held_mb * 1024 / n:.1f} KiB each; at rest {quiet_cpu / polled_s * 100:.1f} % of a core; "
          f"{n_after} poll found it")
    if what == "followers":
        each_us = (add_jobs(daemon, MORE_ADDED, crowd) - alone_s) * 1e6 / (n - 1) / 2
        print(f"  {'':6} an event costs the daemon {each_us:.1f} us of CPU time for each of them")
    crowd.close()
    stage.close()


def sent_at(record):
    return datetime.datetime.fromisoformat(record["at"]).timestamp()


def main():
    most = int(sys.argv[1]) if len(sys.argv) > 1 else 10000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, most + 2048), hard))
    for n in (50, 1000, 10000):
        if n <= most:
            measure("waiters", n, f"/v1/jobs/acme/{JOB}/wait?timeout=1h", b"COMPLETED",
                    "bulkwatch_waiters")
    for n in (50, 1000, 10000):
        if n <= most:
            measure("followers", n, FOLLOW, b'"job.completed"',
                    "bulkwatch_streams")


if __name__ == "__main__":
    main()
