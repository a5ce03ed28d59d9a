#!/usr/bin/env python3
"""A million tracked jobs on the real daemon: what they cost in memory, at the start, when nothing is due, and when asked.

Usage: bench_scale.py [JOBS [ACCOUNTS]]. No request leaves the machine: every account may spend one credit a day, and the
API is a closed port. One line a figure: name, value, unit. CPU is the daemon's own, user and system.
"""
import http.client
import os
import pathlib
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

DAEMON = pathlib.Path(os.environ["BULKWATCH_BUILD"]) / "src/daemon/bulkwatchd"
TICK = os.sysconf("SC_CLK_TCK")
IDLE_S = 30
GETS = 5000
PAGES = 40
ROUTES = 10
CROWD = 200
BASE_ID = 3652397000000000000


def say(name, value, unit):
    print(f"{name} {value:.2f} {unit}" if isinstance(value, float) else f"{name} {value} {unit}", flush=True)


class Connection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=60)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(self.path)

    def ask(self, target):
        self.request("GET", target)
        answer = self.getresponse()
        body = answer.read()
        assert answer.status == 200, (target, answer.status, body[:200])
        return body


class Daemon:
    def __init__(self, place):
        self.place = place
        began = time.monotonic()
        self.process = subprocess.Popen([DAEMON, "-c", place / "c.yaml"], stderr=subprocess.DEVNULL)
        while True:
            assert self.process.poll() is None, f"the daemon ended with {self.process.returncode}"
            try:
                self.ask = Connection(str(place / "run/query.sock"))
                self.ask.ask("/v1/jobs?limit=1")
                break
            except OSError:
                time.sleep(0.01)
        self.ready_s = time.monotonic() - began

    def cpu_s(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def memory(self, what):
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(what + ":"):
                return int(line.split()[1]) * 1024
        raise KeyError(what)

    def end(self, sig=signal.SIGTERM):
        self.ask.close()
        self.process.send_signal(sig)
        self.process.wait()


def write_place(place, n_jobs, n_accounts):
    (place / "run").mkdir(mode=0o700)
    (place / "token").write_text("1000.aaaa.bbbb\n")
    (place / "token").chmod(0o600)
    lines = [f"state_dir: {place}/state", f"runtime_dir: {place}/run", "datacenters:",
             "  eu: {api_url: 'http://127.0.0.1:9', accounts_url: 'http://127.0.0.1:9'}", "accounts:"]
    for account in range(n_accounts):
        jobs = place / f"jobs-{account}"
        with jobs.open("w") as file:
            file.writelines(f"{BASE_ID + 7 * i}\n" for i in range(account, n_jobs, n_accounts))
        lines += [f"  account-{account}:", "    datacenter: eu", f"    access_token_file: {place}/token",
                  "    credits_per_day: 1", f"    jobs_file: {jobs}"]
    lines += ["hooks:", "  load: {exec: [/bin/true]}"]
    (place / "c.yaml").write_text("\n".join(lines) + "\n")


def fresh_state(place):
    shutil.rmtree(place / "state", ignore_errors=True)
    (place / "state").mkdir(mode=0o700)


def measure_start(place, n_jobs):
    empty = place / "empty"
    empty.mkdir()
    write_place(empty, 0, 1)
    fresh_state(empty)
    base = Daemon(empty)
    say("base", base.memory("VmRSS") / 2**20, "MiB")
    base_bytes = base.memory("VmRSS")
    base.end()
    fresh_state(place)
    daemon = Daemon(place)
    say("first_start", daemon.ready_s, "s")
    say("first_start_cpu", daemon.cpu_s(), "s")
    say("first_start_memory", daemon.memory("VmRSS") / 2**20, "MiB")
    daemon.end()
    daemon = Daemon(place)
    say("restart_clean", daemon.ready_s, "s")
    say("restart_clean_cpu", daemon.cpu_s(), "s")
    daemon.end(signal.SIGKILL)
    daemon = Daemon(place)
    say("restart_killed", daemon.ready_s, "s")
    say("restart_killed_cpu", daemon.cpu_s(), "s")
    say("memory", daemon.memory("VmRSS") / 2**20, "MiB")
    say("memory_a_job", (daemon.memory("VmRSS") - base_bytes) / n_jobs, "bytes, the database's cache included")
    return daemon


def measure_idle(daemon):
    time.sleep(10)
    before = daemon.cpu_s()
    time.sleep(IDLE_S)
    say("idle", 100 * (daemon.cpu_s() - before) / IDLE_S, "% of a core")


def measure_gets(daemon, n_jobs, n_accounts):
    before = daemon.cpu_s()
    for k in range(GETS):
        i = k * 7919 % n_jobs
        daemon.ask.ask(f"/v1/jobs/account-{i % n_accounts}/{BASE_ID + 7 * i}")
    say("get_job", 1e6 * (daemon.cpu_s() - before) / GETS, "us CPU")


def measure_page(daemon, name, query):
    walls = []
    before = daemon.cpu_s()
    for _ in range(PAGES):
        began = time.monotonic()
        daemon.ask.ask("/v1/jobs?" + query)
        walls.append(time.monotonic() - began)
    say(f"page_{name}", 1e3 * (daemon.cpu_s() - before) / PAGES,
        f"ms CPU (wall: median {1e3 * statistics.median(walls):.2f})")


def turns(daemon):
    """The turns of the loop so far, by their upper bound in seconds."""
    found = re.findall(r'bulkwatch_loop_turn_seconds_bucket\{le="([^"]+)"\} (\d+)', daemon.ask.ask("/metrics").decode())
    return [(float(bound), int(n)) for bound, n in found]


def measure_route(daemon, name, target):
    """What one answer costs, and the longest turn of the loop meanwhile."""
    before, cpu = turns(daemon), daemon.cpu_s()
    began = time.monotonic()
    for _ in range(ROUTES):
        daemon.ask.ask(target)
    wall = time.monotonic() - began
    cpu = daemon.cpu_s() - cpu
    new = [(bound, n - old) for (bound, n), (_, old) in zip(turns(daemon), before)]
    longest = min(bound for bound, n in new if n == new[-1][1])
    say(f"route_{name}", 1e3 * cpu / ROUTES,
        f"ms CPU (wall {1e3 * wall / ROUTES:.2f}, no turn over {1e3 * longest:g} ms)")


def measure_crowd(daemon):
    """Many who ask for much at once, and one who asks for little."""
    crowd = [Connection(str(daemon.place / "run/query.sock")) for _ in range(CROWD)]
    before = turns(daemon)
    for one in crowd:
        one.connect()
        one.request("GET", "/v1/jobs?limit=1000&name=nobody")
    for one in crowd:
        assert one.getresponse().read()
        one.close()
    new = [(bound, n - old) for (bound, n), (_, old) in zip(turns(daemon), before)]
    say("crowd", CROWD, f"walks at once: no turn over {1e3 * min(b for b, n in new if n == new[-1][1]):g} ms")


def main():
    n_jobs = int(sys.argv[1]) if len(sys.argv) > 1 else 1000 * 1000
    n_accounts = int(sys.argv[2]) if len(sys.argv) > 2 else 10
    with tempfile.TemporaryDirectory(prefix="bulkwatch-bench-", dir=os.environ.get("TMPDIR", "/tmp")) as name:
        place = pathlib.Path(name)
        write_place(place, n_jobs, n_accounts)
        daemon = measure_start(place, n_jobs)
        measure_gets(daemon, n_jobs, n_accounts)
        measure_page(daemon, "first", "limit=100&finished=false")
        measure_page(daemon, "middle_of_an_account", f"limit=100&account=account-3&after={n_jobs // 2}")
        measure_page(daemon, "state_that_none_has", "limit=100&state=COMPLETED")
        measure_page(daemon, "finished_that_none_is", "limit=100&finished=true")
        measure_page(daemon, "name_that_none_has", "limit=100&name=nobody")
        measure_page(daemon, "of_1000", "limit=1000")
        measure_route(daemon, "status", "/v1/status")
        measure_route(daemon, "metrics", "/metrics")
        measure_route(daemon, "deliveries_that_none_is", "/v1/deliveries?state=dead")
        measure_route(daemon, "events_that_none_is", "/v1/events?type=hook.dead")
        measure_crowd(daemon)
        measure_idle(daemon)
        daemon.end()


if __name__ == "__main__":
    main()
