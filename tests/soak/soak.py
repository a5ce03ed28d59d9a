#!/usr/bin/env python3
"""soak [DURATION]: the daemon and the simulator for hours at an accelerated pace, with random faults.

Jobs are added and removed over the socket, finish, and are forgotten (`retain` is short); the
simulator strikes, hooks fail and hang, clients come and go, the configuration is reloaded, access
tokens are revoked, the disk fills up (as root), and in the first third the daemon is killed again and
again. After that one life goes on to the end, so that what leaks shows. At the end everything must
have come to its end: each finished job's hooks ran, no delivery is open, the daemon stops with 0, the
database is whole, and memory, descriptors, threads, write-ahead log and database were flat (measure.py).

A line a minute, the verdict, and 0 or 1.
"""

import argparse
import collections
import http.client
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))

from harness import COMPLAINTS, LIBC, PR_SET_CHILD_SUBREAPER, Stage, on_sigterm, wait_for  # noqa: E402
from measure import EVERY_S, Measure, show  # noqa: E402
from outside import FINISHED, Clients, Hooks  # noqa: E402
from test_full_disk import MNT_DETACH, call, enter_namespace  # noqa: E402

PLANTS = {
    "memory": "memory grew", "descriptors": "descriptors grew", "database": "database grew",
    "hook": "was not run for"}
PLANT_S = 420
ACCOUNTS = ["acme", "beta", "gamma"]
WATCHED = 40           # jobs of each at any time: one that is held for an hour leaves the others their places
ADDED_A_SECOND = 4
OPEN_DELIVERIES = 300  # more than these: no further jobs until the hooks have caught up
RETAIN_S = 20
DISK_MB = 96
END_S = 1000           # for all that is left at the end: a grant that is throttled waits up to fifteen minutes
OUTAGES = [{"what": "refuse", "for": "4s"}, {"what": "reset", "for": "3s"}, {"what": "hang", "for": "1s"}]
GONE = (OSError, http.client.HTTPException, json.JSONDecodeError)

SCRIPT = """
clients:
  - {client_id: c, client_secret: s, refresh_token: r, tokens_per_10m: 1000}
datacenters:
  eu: {latency: "uniform(1ms, 30ms)", tokens: [TOKEN]}
  us: {latency: "uniform(1ms, 200ms)", tokens: [TOKEN]}
jobs:
  - {id: "*7", duration: "lognormal(median 6s, sigma 0.5)", final: FAILURE}
  - {id: "*", duration: "lognormal(median 6s, sigma 0.5)"}
faults:
  - {what: "500", probability: 0.01}
  - {what: "503", probability: 0.01}
  - {what: "429", probability: 0.002, retry_after: "1"}
  - {what: drop, probability: 0.01}
  - {what: reset, probability: 0.01}
  - {what: truncate, probability: 0.01}
  - {what: truncate_chunked, probability: 0.01}
  - {what: garbage, probability: 0.005}
  - {what: html, probability: 0.005}
  - {what: wrong_id, probability: 0.005}
  - {what: bad_utf8, probability: 0.005}
  - {what: duplicate_keys, probability: 0.005}
  - {what: long_state, probability: 0.002}
  - {what: big_body, probability: 0.001}
  - {what: deep, probability: 0.001}
  - {what: endless_headers, probability: 0.0005}
  - {what: not_found, probability: 0.005}
  - {what: delay, delay: 1s, probability: 0.01}
  - {what: hang, probability: 0.0005}
  - {path: token, what: throttled, probability: 0.01}
"""


def duration_s(text):
    """"2" is hours, "30m" minutes, "90s" seconds."""
    units = {"h": 3600, "m": 60, "s": 1}
    number, unit = (text[:-1], text[-1]) if text[-1:] in units else (text, "h")
    return float(number) * units[unit]


class Soak:
    def __init__(self, options):
        self.options = options
        self.length_s = duration_s(options.duration)
        self.seed = options.seed
        self.chance = random.Random(self.seed)
        self.stage = Stage()
        self.life = 0
        self.next_id = 1000
        self.watched = {}    # (account, id): when it was added
        self.finished = {}   # event id: (account, job id)
        self.missed = set()  # (account, id) of jobs whose end was forgotten before it was read here
        self.after = 0       # seq that was read last
        self.counts = dict.fromkeys(("added", "removed", "kills", "stops", "reloads", "full_disks",
                                     "revocations", "outages", "backups", "refused"), 0)
        self.faults = []
        self.variant = 0

    # -- the stage --

    def set_up(self):
        stage = self.stage
        self.can_fill = self.mount()
        token = stage.secret().read_text().strip()
        for name, text in (("client_secret", "s"), ("refresh_token", "r")):
            stage.secret(name, text)
        self.sim = stage.sim("--admin", "--seed", str(self.seed), dcs=("eu", "us"),
                             script=SCRIPT.replace("TOKEN", json.dumps(token)))
        self.hooks = Hooks(stage, self.seed, is_forgetful=self.options.plant == "hook")
        self.measure = Measure(stage.state_dir)
        self.configure()
        self.start()
        self.clients = Clients(self.daemon, self.chance)

    def mount(self):
        """A small disk, if that is allowed."""
        try:
            enter_namespace()
            call("mount", b"tmpfs", str(self.stage.state_dir).encode(), b"tmpfs", 0,
                 f"size={DISK_MB}m,mode=0700".encode())
        except OSError as error:
            print(f"the disk will not fill up: {error}", flush=True)
            return False
        return True

    def configure(self):
        """Each reload is another one: jobs of the file come and go, too."""
        stage = self.stage
        self.variant += 1
        fixed = [str(10 * self.variant + i) for i in range(5)]
        retain = "1d" if self.options.plant == "database" else f"{RETAIN_S}s"
        grant = {f"{name}_file": str(stage.dir / name)
                 for name in ("client_secret", "refresh_token")}
        refreshed = {"datacenter": "us", "client_id": "c", "credits_per_day": 10000000, "jobs": [], **grant}
        stage.config({"acme": stage.account(fixed), "beta": stage.account([], "us"),
                      "gamma": refreshed},
                     hooks=self.hooks.config, retain=retain, drain_timeout="5s",
                     poll={"min_interval": "200ms", "max_interval": "2s", "lost_after": "10m",
                           "timeout": "5s"})

    def start(self):
        environment = None
        if self.options.plant in ("memory", "descriptors"):
            environment = self.stage.environment(
                LD_PRELOAD=str(self.build_leak()), BULKWATCH_SOAK_LEAK=self.options.plant)
        self.daemon = self.stage.start(environment=environment)
        self.life += 1
        if self.life > 1:
            self.clients.daemon = self.daemon

    def build_leak(self):
        library = self.stage.dir / "leak.so"
        if not library.exists():
            subprocess.run(["gcc", "-D_GNU_SOURCE", "-shared", "-fPIC", "-O1", "-o", library,
                            HERE / "leak.c", "-ldl"], check=True)
        return library

    # -- what happens --

    def ask(self, method, target, body=None):
        try:
            return self.daemon.ask(method, target, body=body, timeout=10)
        except GONE:
            return None

    def read_events(self):
        """Before they are forgotten."""
        reply = self.ask("GET", f"/v1/events?after={self.after}")
        is_behind = reply and reply.status == 410
        if is_behind:
            self.after = max(self.after, reply.json()["pruned_through"])
            reply = self.ask("GET", f"/v1/events?after={self.after}")
        if not reply or reply.status != 200:
            return
        for event in reply.lines():
            self.after = max(self.after, event.get("seq", 0))
            if event["type"] in FINISHED:
                self.finished[event["id"]] = (event["account"], event["job_id"])
        if is_behind:
            self.look_for_missed()

    def look_for_missed(self):
        """A busy machine may let this process wait for longer than events are kept. That these jobs ended
        is to be seen; whether each of their hooks ran is not."""
        reply = self.ask("GET", "/v1/jobs?limit=1000")
        if not reply or reply.status != 200:
            return
        ended = self.ended()
        for job in reply.json()["jobs"]:
            key = (job["account"], job["id"])
            if job["finished"] and key in self.watched and key not in ended:
                self.missed.add(key)

    def ended(self):
        return self.missed.union(self.finished.values())

    def open_deliveries(self):
        reply = self.ask("GET", "/v1/status")
        if not reply or reply.status != 200:
            return None
        return sum(hook["pending"] for hook in reply.json()["hooks"])

    def churn(self):
        """What is finished is removed; what there is room for is added."""
        ended = self.ended()
        for key in [key for key in self.watched if key in ended][:20]:
            reply = self.ask("DELETE", f"/v1/jobs/{key[0]}/{key[1]}")
            if reply and reply.status in (200, 204, 404):
                del self.watched[key]
                self.counts["removed"] += 1
        waiting = self.open_deliveries()
        if waiting is None or waiting > OPEN_DELIVERIES:
            return
        for _ in range(ADDED_A_SECOND):
            n_watched = collections.Counter(account for account, _ in self.watched)
            free = [account for account in ACCOUNTS if n_watched[account] < WATCHED]
            if free:
                self.add(self.chance.choice(free))

    def add(self, account):
        self.next_id += 1
        key = (account, str(self.next_id))
        reply = self.ask("POST", "/v1/jobs", {"account": key[0], "id": key[1]})
        if reply and reply.status in (200, 201):
            self.watched[key] = time.monotonic()
            self.counts["added"] += 1
        else:
            self.counts["refused"] += 1

    def kill(self):
        self.daemon.kill()
        self.counts["kills"] += 1
        self.start()

    def stop_and_start(self):
        code = self.daemon.stop(deadline_s=60)
        if code:
            self.faults.append(f"a stop ended with {code}")
        self.counts["stops"] += 1
        self.start()

    def reload(self):
        self.configure()
        self.daemon.send(signal.SIGHUP)
        self.counts["reloads"] += 1

    def revoke(self):
        self.sim.admin("POST", "/revoke?dc=us")
        self.counts["revocations"] += 1

    def outage(self):
        dc = self.chance.choice(["eu", "us"])
        # Over by themselves: those that wait to strike would queue up behind a circuit that is open, or a hold.
        self.sim.admin("POST", "/faults", {"faults": [{"dc": dc, **self.chance.choice(OUTAGES)}]})
        self.counts["outages"] += 1

    def fill_disk(self):
        if not self.can_fill:
            return
        filler = self.stage.state_dir / "filler"
        try:
            with open(filler, "wb", buffering=0) as file:
                while True:
                    file.write(b"\0" * 65536)
        except OSError:
            pass
        deadline = time.monotonic() + 4
        while time.monotonic() < deadline:
            self.clients.turn()
            self.add(self.chance.choice(ACCOUNTS))
            time.sleep(0.1)
        filler.unlink()
        self.counts["full_disks"] += 1

    def backup(self):
        self.clients.backup(self.daemon.admin)
        self.counts["backups"] += 1

    def trim_logs(self):
        """They are appended to: what was read can go."""
        said = self.stage.log()
        complaint = COMPLAINTS.search(said)
        if complaint:
            self.faults.append("the daemon said: " + said[complaint.start():][:2000])
        os.truncate(self.stage.log_file, 0)
        os.truncate(self.sim.log_file, 0)

    # -- its course --

    def happenings(self, elapsed_s):
        """(what, how often a minute on average)."""
        yield self.reload, 1.0
        yield self.outage, 1.0
        yield self.revoke, 0.15  # five in ten minutes, and all else of that account only waits
        yield self.fill_disk, 0.3
        yield self.backup, 0.5
        if elapsed_s < self.length_s / 3:
            yield self.kill, 1.0
            yield self.stop_and_start, 0.3

    def report(self, elapsed_s):
        values = self.measure.samples[-1].values if self.measure.samples else {}
        counts = " ".join(f"{name} {n}" for name, n in self.counts.items())
        figures = " ".join(f"{name} {show(name, value)}" for name, value in values.items())
        print(f"{elapsed_s / 60:5.0f} min  life {self.life}  {figures}  finished {len(self.finished)}  "
              f"missed {len(self.missed)}  clients {self.clients.n}  {counts}", flush=True)

    def run(self):
        begun = time.monotonic()
        next_report = begun + 60
        while (elapsed_s := time.monotonic() - begun) < self.length_s:
            turn = time.monotonic()
            if self.daemon.process.poll() is not None:
                self.faults.append(f"the daemon ended by itself with {self.daemon.process.returncode}: "
                                   + self.stage.log()[-2000:])
                return
            self.read_events()
            self.churn()
            self.clients.turn()
            for happen, a_minute in self.happenings(elapsed_s):
                if self.chance.random() < a_minute / 60:
                    happen()
            self.measure.take(self.daemon.pid, self.life)
            if time.monotonic() >= next_report:
                next_report += 60
                self.report(elapsed_s)
                self.trim_logs()
            time.sleep(max(0.0, 1 - (time.monotonic() - turn)))

    def rest(self):
        """What is still under way: unfinished jobs and open deliveries; None if it cannot be told."""
        status = self.daemon.status()
        self.read_events()
        ended = self.ended()
        jobs = [job for job in self.watched if job not in ended]
        return len(jobs) + sum(hook["pending"] for hook in status["hooks"])

    def end(self):
        self.clients.leave()
        try:
            wait_for(lambda: self.rest() == 0, "the end of all jobs and deliveries", END_S)
        except AssertionError as error:
            self.faults.append(f"{error}; left: {self.rest()}")
        code = self.daemon.stop(deadline_s=60)
        if code:
            self.faults.append(f"the daemon ended with {code}: {self.stage.log()[-2000:]}")
        for pragma in ("integrity_check", "foreign_key_check"):
            rows = [list(row.values()) for row in self.stage.rows(f"PRAGMA {pragma}")]
            if rows not in ([["ok"]], []):
                self.faults.append(f"{pragma}: {rows[:3]}")
        # Programs that outlived a life that was killed may still be noting.
        wait_for(lambda: not self.stage.adopted() or self.stage.end_adopted(), "the last hooks")
        self.faults += self.hooks.missing(self.finished)
        if not self.finished:
            self.faults.append("no job ever finished")

    def verdict(self):
        lines, faults = self.measure.judge()
        for line in lines:
            print(line)
        self.faults += faults
        counts = ", ".join(f"{name} {n}" for name, n in self.counts.items())
        print(f"{len(self.finished)} jobs finished in {self.life} lives, the ends of {len(self.missed)} more were missed; "
              f"{self.clients.n} clients; {counts}")
        for fault in self.faults:
            print("FAULT: " + fault)
        print("the verdict: " + ("FAILED" if self.faults else "well"), flush=True)
        return 1 if self.faults else 0

    def close(self):
        for process in reversed(self.stage.processes):
            self.stage.end_process(process)
        if self.can_fill:
            call("umount2", str(self.stage.state_dir).encode(), MNT_DETACH)
        self.stage.remove()


def soak(options):
    one = Soak(options)
    print(f"seed {one.seed}, {one.length_s / 60:.0f} minutes, a sample every {EVERY_S} s", flush=True)
    one.set_up()
    try:
        one.run()
        if not one.faults:
            one.end()
        return one.verdict()
    finally:
        one.close()


def run_plants(options):
    """Each planted fault must be seen, and as what it is."""
    code = 0
    for plant, words in PLANTS.items():
        argv = [sys.executable, __file__, f"{PLANT_S}s", "--seed", str(options.seed), "--plant", plant]
        done = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=False)
        is_seen = done.returncode == 1 and any(
            line.startswith("FAULT: ") and words in line for line in done.stdout.splitlines())
        print(f"planted {plant}: " + ("seen" if is_seen else "NOT SEEN\n" + done.stdout), flush=True)
        code |= not is_seen
    return code


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("duration", nargs="?", default="1", help="hours, or such as 30m or 90s")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--plant", choices=PLANTS, help="with this planted fault, which it must see")
    parser.add_argument("--plants", action="store_true", help="with each of them in turn")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, on_sigterm)
    LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    sys.exit(run_plants(options) if options.plants else soak(options))


if __name__ == "__main__":
    main()
