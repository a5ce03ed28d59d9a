#!/usr/bin/env python3
"""Programs as hooks: how they end, what they are given, and what state their process is in.

BULKWATCH_MANY_HOOKS=1 has a thousand jobs finish at once instead of two hundred.
"""

import os
import pathlib
import re
import signal
import time
import unittest

from harness import QUIET_S, TestCase, assert_unchanged, is_sanitized, wait_for

ACCOUNT = "acme"
FAST = {"retry_first": "20ms", "retry_max": "50ms"}
N_BYSTANDERS = 20
N_MANY = 1000 if os.environ.get("BULKWATCH_MANY_HOOKS") == "1" else 200

# Programs that change nothing of the state they are started in, as a shell would.
LOOK = ["/bin/cat", "/proc/self/status", "/proc/self/limits", "/proc/self/stat",
        "/proc/self/environ"]
VARIABLES = {"BULKWATCH_" + name for name in (
    "EVENT_ID EVENT_SEQ EVENT_TYPE EVENT_TIME JOB_ID JOB_NAME ACCOUNT DATACENTER SERVICE STATE "
    "PREVIOUS_STATE OPERATION MODULE PAGE COUNT PER_PAGE MORE_RECORDS DOWNLOAD_URL CREATED_TIME "
    "HOOK ATTEMPT").split()} | {"PATH", "LANG", "HOME", "TZ"}


def memory_kib(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"^VmRSS:\s+(\d+) kB", status, re.M)[1])


def is_alive(pid):
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


class Hooks(TestCase):
    def start(self, hooks, jobs=1, **options):
        self.stage.sim("--speed", "200")
        self.stage.config({ACCOUNT: self.stage.account([str(1000 + i) for i in range(jobs)])},
                          hooks=hooks, **options)
        return self.stage.start()

    def deliveries(self, daemon, hook="hook"):
        return daemon.get(f"/v1/deliveries?hook={hook}&limit=1000").json()["deliveries"]

    def wait_state(self, daemon, state, n=1, hook="hook"):
        def fitting():
            return [d for d in self.deliveries(daemon, hook) if d["state"] == state]
        wait_for(lambda: len(fitting()) >= n, f"{n} deliveries {state}",
                 why=lambda: f"{self.deliveries(daemon, hook)}\n{self.stage.log()[-2000:]}")
        return fitting()

    # -- how they end --

    def test_fails_twice_then_succeeds(self):
        daemon = self.start({"hook": self.stage.hook(
            then='[ "$BULKWATCH_ATTEMPT" -ge 3 ] || { echo no; exit 1; }\n', **FAST)})
        [delivery] = self.wait_state(daemon, "delivered")
        self.assertEqual([a["exit"] for a in delivery["history"]], [1, 1, 0])
        self.assertEqual([a["output"] for a in delivery["history"]], ["no\n", "no\n", ""])
        records = self.stage.records()
        self.assertEqual([r.attempt for r in records], [1, 2, 3])
        self.assertEqual(len({r.id for r in records}), 1)
        self.assertEqual(len({r.body for r in records}), 1)
        assert_unchanged(lambda: len(self.stage.records()), QUIET_S, "number of runs")

    def test_never_succeeds(self):
        daemon = self.start({"hook": self.stage.hook(then="exit 1\n", attempts=4, **FAST),
                             "watcher": self.stage.hook("watcher", on=["hook.dead"])})
        [delivery] = self.wait_state(daemon, "dead")
        self.assertEqual(delivery["attempts"], 4)
        self.assertEqual(len(delivery["history"]), 4)
        [dead] = [e for e in daemon.events() if e["type"] == "hook.dead"]
        self.assertEqual(str(dead["data"]["delivery_id"]), delivery["id"])
        self.assertEqual(dead["data"]["attempts"], 4)
        self.assertEqual((dead["data"]["end"], dead["data"]["code"]), ("exited", 1))
        wait_for(lambda: [r for r in self.stage.records() if r.hook == "watcher"], "its hook")
        assert_unchanged(lambda: len(self.stage.records()), QUIET_S, "number of runs")

    def test_65_is_dead_at_once(self):
        daemon = self.start({"hook": self.stage.hook(then="exit 65\n", **FAST)})
        [delivery] = self.wait_state(daemon, "dead")
        self.assertEqual([(a["end"], a["exit"]) for a in delivery["history"]], [("exited", 65)])

    def test_ended_by_a_signal(self):
        daemon = self.start({"hook": self.stage.hook(then="kill -SEGV $$\n", attempts=1)})
        [delivery] = self.wait_state(daemon, "dead")
        [attempt] = delivery["history"]
        self.assertEqual((attempt["end"], attempt["exit"]), ("signaled", signal.SIGSEGV))

    def test_hangs_and_ignores_sigterm_with_a_child(self):
        pids = self.stage.dir / "pids"
        daemon = self.start({"hook": self.stage.hook(
            then=f"trap '' TERM\nsleep 600 &\necho $$ $! >{pids}.new; mv {pids}.new {pids}\n"
                 "while :; do sleep 600; done\n", timeout="300ms", attempts=1)})
        wait_for(pids.exists, "the hook")
        begun = time.monotonic()
        [delivery] = self.wait_state(daemon, "dead")
        # SIGTERM at the time-out, SIGKILL 5 s later.
        self.assertGreater(time.monotonic() - begun, 4)
        [attempt] = delivery["history"]
        self.assertEqual((attempt["end"], attempt["exit"]), ("timed_out", signal.SIGKILL))
        self.assertLess(attempt["duration"], 15)
        for pid in map(int, pids.read_text().split()):
            wait_for(lambda pid=pid: not is_alive(pid), f"the end of {pid}")

    def test_a_grandchild_that_holds_the_output_does_not_hold_the_delivery(self):
        pid = self.stage.dir / "pid"
        daemon = self.start({"hook": self.stage.hook(
            then=f"echo heard\nsleep 600 &\necho $! >{pid}\n")})
        [delivery] = self.wait_state(daemon, "delivered")
        self.assertLess(delivery["history"][0]["duration"], 10)
        self.assertEqual(delivery["history"][0]["output"], "heard\n")
        os.kill(int(pid.read_text()), signal.SIGKILL)

    def test_50_megabytes_of_output(self):
        daemon = self.start({"hook": self.stage.hook(
            then="head -c 50000000 /dev/zero | tr '\\0' x\nprintf end\n")})
        before = memory_kib(daemon.pid)
        [delivery] = self.wait_state(daemon, "delivered")
        output = delivery["history"][0]["output"]
        self.assertEqual(len(output), 65536)
        self.assertTrue(output.endswith("xxend"))
        if not is_sanitized(daemon.pid):
            self.assertLess(memory_kib(daemon.pid) - before, 16 * 1024)

    def test_does_not_read_its_stdin(self):
        program = self.stage.program("deaf.sh", "#!/bin/sh\nexec <&-\nexit 0\n")
        daemon = self.start({"hook": {"exec": [str(program)]}}, jobs=5)
        self.wait_state(daemon, "delivered", 5)

    def test_a_program_that_is_missing_for_a_while(self):
        missing = self.stage.dir / "late.sh"
        daemon = self.start({"hook": {"exec": [str(missing), str(self.stage.records_dir)],
                                      "attempts": 1000000, **FAST}})
        wait_for(lambda: self.deliveries(daemon) and self.deliveries(daemon)[0]["attempts"] >= 3,
                 "failed attempts")
        self.assertEqual(self.deliveries(daemon)[0]["history"][0]["end"], "not_started")
        self.assertIn("cannot start", self.stage.log())
        path = pathlib.Path(self.stage.hook("there", then=":\n")["exec"][0])
        path.rename(missing)
        self.wait_state(daemon, "delivered")
        self.assertEqual(len(self.stage.records()), 1)

    def test_in_order_for_a_job(self):
        daemon = self.start({"hook": self.stage.hook(
            on=["job.*"], then='[ "$BULKWATCH_ATTEMPT" -ge 3 ]\n', parallel=8, **FAST)}, jobs=4)
        daemon.wait_finished(4)
        daemon.wait_delivered()
        by_job = {}
        for record in sorted(self.stage.records(), key=lambda r: r.ended_ns):
            by_job.setdefault(record.job, []).append((record.seq, record.attempt))
        self.assertEqual(len(by_job), 4)
        for runs in by_job.values():
            self.assertEqual(runs, sorted(runs))

    def test_many_at_once(self):
        marks = self.stage.dir / "marks"
        marks.mkdir()
        program = self.stage.program("count.sh", "#!/bin/sh\n"
                                     f": >{marks}/$$\nls {marks} | wc -l >>{marks}.n\n"
                                     f"rm {marks}/$$\necho $BULKWATCH_JOB_ID >>{marks}.jobs\n")
        sim = self.stage.sim("--speed", "200", script={"jobs": [
            {"id": "7??", "life": [{"state": "IN PROGRESS"}]},
            {"id": "*", "life": [{"state": "IN PROGRESS", "polls": 1}, {"state": "COMPLETED"}]}]})
        bystanders = [str(700 + i) for i in range(N_BYSTANDERS)]
        self.stage.config(
            {ACCOUNT: self.stage.account([str(1000 + i) for i in range(N_MANY)] + bystanders)},
            hooks={"hook": {"exec": [str(program)], "parallel": 4}},
            poll={"min_interval": "200ms", "max_interval": "200ms"})
        daemon = self.stage.start()
        before = memory_kib(daemon.pid)

        def polls():
            return len([r for r in sim.requests() if r["job"] in bystanders])

        def rate(condition):
            n, begun = polls(), time.monotonic()
            wait_for(condition, "all", 280, lambda: self.stage.log()[-2000:])
            return (polls() - n) / (time.monotonic() - begun)

        daemon.wait_finished(N_MANY, 120)
        self.assertLess(daemon.status()["hooks"][0]["delivered"], N_MANY)
        crowded = rate(lambda: daemon.status()["hooks"][0]["delivered"] == N_MANY)
        now = polls()
        calm = rate(lambda: polls() > now + 10 * N_BYSTANDERS)
        print(f"{N_MANY} hooks: {crowded:.0f} polls of others a second meanwhile, {calm:.0f} after; "
              f"memory {before} -> {memory_kib(daemon.pid)} KiB", flush=True)
        # Programs take processor time from the polls, but the loop waits for none of them.
        self.assertGreater(crowded, calm / 3)
        jobs = pathlib.Path(f"{marks}.jobs").read_text().split()
        self.assertEqual(sorted(jobs), sorted(str(1000 + i) for i in range(N_MANY)))
        self.assertLessEqual(max(map(int, pathlib.Path(f"{marks}.n").read_text().split())), 4)
        if not is_sanitized(daemon.pid):
            self.assertLess(memory_kib(daemon.pid) - before, 16 * 1024)

    def test_polling_goes_on_while_hooks_hang(self):
        daemon = self.start({"hook": self.stage.hook(then="sleep 600\n", on=["job.watched"],
                                                     parallel=4)}, jobs=20, drain_timeout="0s")
        daemon.wait_finished(20)
        self.assertEqual(len(self.stage.records()), 4)
        self.assert_stops(daemon)

    def test_64_of_all_hooks_together(self):
        hooks = {f"h{i}": self.stage.hook(f"h{i}", then="exec sleep 600\n", on=["job.watched"],
                                          parallel=20) for i in range(5)}
        daemon = self.start(hooks, jobs=20, drain_timeout="0s")

        def places():
            found = daemon.status()["hooks"]
            return sum(h["running"] for h in found), sum(h["pending"] for h in found)

        self.stage.wait_records(64, 120)
        assert_unchanged(lambda: (len(self.stage.records()), *places()), QUIET_S, "what runs")
        self.assertEqual(places(), (64, 100))  # what runs is open, too
        self.assert_stops(daemon)

    # -- stopping --

    def test_a_stop_waits_and_records(self):
        go = self.stage.dir / "go"
        daemon = self.start({"hook": self.stage.hook(
            then=f"while [ ! -e {go} ]; do sleep 0.05; done\n", parallel=2)}, jobs=5)
        self.stage.wait_records(2)
        daemon.wait_finished(5)
        daemon.send(signal.SIGTERM)
        assert_unchanged(lambda: (daemon.process.poll(), len(self.stage.records())), 0.5,
                         "the daemon or what runs")
        go.touch()
        self.assertEqual(daemon.process.wait(20), 0)
        states = [row["state"] for row in self.stage.rows("SELECT state FROM deliveries")]
        self.assertEqual(sorted(states), ["delivered"] * 2 + ["pending"] * 3)
        daemon = self.stage.start()
        daemon.wait_delivered()
        self.assertEqual(len(self.stage.records()), 5)

    def test_what_still_ran_is_run_again(self):
        daemon = self.start({"hook": self.stage.hook(
            then='[ "$BULKWATCH_ATTEMPT" -ge 2 ] || exec sleep 600\n')}, drain_timeout="100ms")
        self.stage.wait_records(1)
        self.assert_stops(daemon)
        daemon = self.stage.start()
        [delivery] = self.wait_state(daemon, "delivered")
        self.assertEqual([a["end"] for a in delivery["history"]], ["lost", "exited"])
        self.assertEqual([r.attempt for r in self.stage.records()], [1, 2])
        self.assertEqual(len({r.id for r in self.stage.records()}), 1)

    def test_a_hook_that_kills_the_daemon_reaches_its_limit(self):
        daemon = self.start({"hook": self.stage.hook(
            then='kill -KILL "$(cut -d" " -f4 /proc/$$/stat)"\nsleep 5\n', attempts=3, **FAST)})
        for _ in range(3):
            daemon.process.wait(20)
            daemon = self.stage.launch()
        wait_for(daemon.is_ready, "the daemon")
        [delivery] = self.wait_state(daemon, "dead")
        self.assertEqual(delivery["attempts"], 3)
        self.assertEqual({a["end"] for a in delivery["history"]}, {"lost"})
        self.assertEqual([e["type"] for e in daemon.events()][-1], "hook.dead")

    # -- the process --

    def test_the_state_of_its_process(self):
        daemon = self.start({"hook": {"exec": LOOK}})
        [delivery] = self.wait_state(daemon, "delivered")
        text = delivery["history"][0]["output"]
        before, _, environ = text.rpartition("\n")
        fields = dict(re.findall(r"^(\w+):\s+(.*)$", text, re.M))
        for name in ("SigBlk", "SigIgn", "SigPnd", "SigCgt"):
            self.assertEqual(int(fields[name], 16), 0, name)
        self.assertEqual(fields["Umask"], "0077")
        stat = before.rpartition("\n")[2].rpartition(")")[2].split()
        self.assertEqual(stat[2], fields["Pid"], "its own process group")
        self.assertEqual(int(fields["PPid"]), daemon.pid)
        self.assertRegex(text, r"Max core file size\s+0\s+0")
        # The NUL between two of them is shown as what stands for every byte that is no text.
        names = [line.partition("=")[0] for line in environ.split("\ufffd") if line]
        self.assertEqual(sorted(names), sorted(VARIABLES))

    def test_nothing_is_open_but_its_input_and_output(self):
        # Sockets, streams and polls give the daemon more to leak than it has at its start.
        daemon = self.start({"hook": {"exec": ["/bin/ls", "-l", "/proc/self/cwd", "/proc/self/fd"],
                                      "on": ["job.completed"]}}, jobs=8)
        streams = [daemon.follow() for _ in range(5)]
        for delivery in self.wait_state(daemon, "delivered", 8):
            text = delivery["history"][0]["output"]
            self.assertIn("/proc/self/cwd -> /\n", text)
            links = dict(re.findall(r" (\d+) -> (.*)$", text, re.M))
            listed = links.pop("3")  # what ls itself lists
            self.assertRegex(listed, r"^/proc/\d+/fd$")
            self.assertEqual(set(links), {"0", "1", "2"})
            self.assertTrue(all(to.startswith("pipe:") for to in links.values()), links)
            self.assertEqual(links["1"], links["2"])
            self.assertNotEqual(links["0"], links["1"])
        for stream in streams:
            stream.close()

    def test_no_token_in_sight(self):
        daemon = self.start({"hook": self.stage.hook(on=["*"])})
        daemon.wait_finished(1)
        daemon.wait_delivered()
        token = (self.stage.dir / "token").read_text().strip()
        for record in self.stage.records():
            self.assertNotIn(token, str(record.env))
            self.assertNotIn(token.encode(), record.body)


if __name__ == "__main__":
    unittest.main()
