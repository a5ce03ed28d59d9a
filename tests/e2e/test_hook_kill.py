#!/usr/bin/env python3
"""SIGKILL at the k-th of each kind of system call, while hooks are claimed, started, reaped and
recorded: every event reaches its hook, under one id, and what was delivered is not run again.

strace sends the signal before the k-th call of a kind (strace(1), "--inject"); then a daemon
without strace brings all to its end. For a minute at most k is drawn at random; BULKWATCH_SEED
repeats a run's choice, BULKWATCH_EVERY_SYSCALL=1 takes each k.
"""

import collections
import os
import random
import shutil
import subprocess
import time
import unittest

from harness import Stage, TestCase, wait_for

SEED = int(os.environ.get("BULKWATCH_SEED", random.SystemRandom().randrange(1 << 32)))
EVERY = os.environ.get("BULKWATCH_EVERY_SYSCALL") == "1"
FOR_S = float(os.environ.get("BULKWATCH_KILL_SECONDS", "60"))
KINDS = ["openat", "close", "read", "pwrite64", "fdatasync", "vfork,clone3,clone", "waitid"]
K_MAX = 5000
JOBS = ["1000", "1001", "1002"]
ACCOUNT = "acme"
TYPES = ["job.in_progress", "job.completed"]
END_S = 20

Life = collections.namedtuple("Life", "events runs deliveries")


def can_trace():
    """None, or why strace cannot do it here."""
    if not shutil.which("strace"):
        return "strace is not installed"
    done = subprocess.run(["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=close",
                           "-e", "inject=close:signal=KILL:when=1", "/bin/true"],
                          stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=30)
    if done.returncode not in (-9, 137):
        return "strace cannot trace here: " + done.stderr.decode(errors="replace").strip()[:200]
    return None


def faults(life):
    """What is wrong with how it all came out; the promises in words."""
    found = []
    runs = collections.defaultdict(list)
    for run in life.runs:
        runs[run.seq].append(run)
    for seq, event_id in life.events.items():
        if not runs[seq]:
            found.append(f"lost: event {seq} never reached the hook")
        if {run.id for run in runs[seq]} - {event_id}:
            found.append(f"event {seq} came under several ids")
    for seq in runs:
        if seq not in life.events:
            found.append(f"event {seq} was told to a hook but is not in the journal")
    for delivery in life.deliveries:
        attempts = [run.attempt for run in runs[delivery["event_seq"]]]
        if delivery["state"] != "delivered":
            found.append(f"delivery {delivery['id']} is {delivery['state']}")
        if len(set(attempts)) != len(attempts):
            found.append(f"delivery {delivery['id']}: an attempt ran twice: {attempts}")
        if attempts and max(attempts) > delivery["attempts"]:
            found.append(f"delivery {delivery['id']}: more runs than attempts were counted")
    if {d["event_seq"] for d in life.deliveries} != set(life.events):
        found.append("the deliveries are not those of the events")
    return found


class HookKill(TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        reason = can_trace()
        if reason:
            raise unittest.SkipTest(reason)
        print(f"seed {SEED}: BULKWATCH_SEED={SEED} repeats it", flush=True)

    def live(self, stage, kind, k):
        """One life that is cut at the k-th call, and one that ends well. None: k was not met."""
        stage.sim("--speed", "4000")
        stage.config({ACCOUNT: stage.account(JOBS)},
                     hooks={"hook": stage.hook(on=TYPES, retry_first="20ms", retry_max="50ms")})
        wrapper = ["strace", "-D", "-qq", "-o", "/dev/null", "-e", "trace=" + kind,
                   "-e", f"inject={kind}:signal=KILL:when={k}"]
        # LeakSanitizer and strace both want to trace: the second life looks for leaks.
        daemon = stage.launch(wrapper=wrapper,
                              environment=stage.environment(ASAN_OPTIONS="detect_leaks=0"))

        def is_over():
            if daemon.process.poll() is not None:
                return True
            try:
                return (daemon.counts()["finished"] == len(JOBS)
                        and not self.open_deliveries(daemon))
            except OSError:
                return False

        wait_for(is_over, "the end of the first life", END_S, stage.log)
        was_killed = daemon.process.poll() is not None
        if was_killed:
            self.assertEqual(daemon.process.returncode, -9, stage.log())
        else:
            daemon.stop()  # which may be where the k-th call is
            was_killed = daemon.process.returncode == -9
        return self.end_well(stage) if was_killed else None

    @staticmethod
    def open_deliveries(daemon):
        return [hook for hook in daemon.status()["hooks"] if hook["pending"] or hook["running"]]

    @staticmethod
    def end_well(stage):
        daemon = stage.start()
        daemon.wait_finished(len(JOBS))
        daemon.wait_delivered()
        events = {e["seq"]: e["id"] for e in daemon.events() if e["type"] in TYPES}
        deliveries = daemon.get("/v1/deliveries?limit=1000").json()["deliveries"]
        life = Life(events, stage.records(), deliveries)
        assert daemon.stop() == 0, stage.log()
        return life

    def try_one(self, kind, k):
        """True: the call was met."""
        stage = Stage()
        try:
            life = self.live(stage, kind, k)
            if life is None:
                return False
            self.assertEqual(len(life.events), len(JOBS) * len(TYPES), (kind, k))
            self.assertEqual(faults(life), [], f"SIGKILL at the {k}. {kind}\n{stage.log()}")
            return True
        finally:
            stage.close()

    def test_killed_at_each_call(self):
        if EVERY:
            for kind in KINDS:
                n = 0
                while n < K_MAX and self.try_one(kind, n + 1):
                    n += 1
                print(f"{kind}: {n} calls", flush=True)
            return
        rng = random.Random(SEED)
        ends, met = time.monotonic() + FOR_S, collections.Counter()
        bound = dict.fromkeys(KINDS, 64)  # k beyond the last call: next time closer
        while time.monotonic() < ends:
            for kind in KINDS:
                k = rng.randint(1, bound[kind])
                if self.try_one(kind, k):
                    met[kind] += 1
                    if k > bound[kind] // 2:
                        bound[kind] = min(bound[kind] * 2, K_MAX)
                else:
                    bound[kind] = max(1, k - 1)
                if time.monotonic() >= ends:
                    break
        print("kills:", dict(met), flush=True)
        self.assertGreater(sum(met.values()), len(KINDS))

    # -- what the checker is worth --

    def good_life(self):
        stage = Stage()
        try:
            stage.sim("--speed", "4000")
            stage.config({ACCOUNT: stage.account(JOBS)}, hooks={"hook": stage.hook(on=TYPES)})
            life = self.end_well(stage)
        finally:
            stage.close()
        self.assertEqual(faults(life), [])
        return life

    def test_the_checker_sees_planted_faults(self):
        life = self.good_life()
        first = life.runs[0]
        # "Mark done, then spawn", killed between the two: delivered, and it never ran.
        self.assertRegex(str(faults(life._replace(runs=life.runs[1:]))), "lost: event")
        # No row in the outbox.
        self.assertRegex(str(faults(life._replace(
            runs=life.runs[1:],
            deliveries=[d for d in life.deliveries if d["event_seq"] != first.seq]))),
            "lost: event.*not those of the events")
        # Done, but run again under the same attempt.
        self.assertRegex(str(faults(life._replace(runs=life.runs + [first]))), "ran twice")
        # Left behind.
        stuck = [{**d, "state": "running"} for d in life.deliveries]
        self.assertRegex(str(faults(life._replace(deliveries=stuck))), "is running")
        # Another id for the same event.
        other = type(first).__new__(type(first))
        other.__dict__.update(first.__dict__, id="0123456789abcdef-1", attempt=2)
        self.assertRegex(str(faults(life._replace(runs=life.runs + [other]))), "several ids")


if __name__ == "__main__":
    unittest.main()
