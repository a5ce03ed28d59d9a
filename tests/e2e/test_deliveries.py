#!/usr/bin/env python3
"""Dead letters, replay and durable consumers: over the API and by bulkwatch(1)."""

import json
import os
import shlex
import signal
import subprocess
import unittest

from harness import (BUILD, DEADLINE_S, QUIET_S, RECORD, TestCase, assert_unchanged,
                     wait_for)

CTL = BUILD / "src" / "ctl" / "bulkwatch"
ACCOUNT = "acme"
FAST = {"retry_first": "20ms", "retry_max": "50ms"}
UNLESS_MENDED = '[ -e "$1/../mended" ] || { echo "not mended yet"; exit 1; }\n'


class Deliveries(TestCase):
    def start(self, hooks, jobs=1, **options):
        self.stage.sim("--speed", "200")
        self.config(hooks, jobs, **options)
        return self.stage.start()

    def config(self, hooks, jobs=1, **options):
        self.stage.config({ACCOUNT: self.stage.account([str(1000 + i) for i in range(jobs)])},
                          hooks=hooks, **options)

    def ctl(self, *arguments, code=0):
        done = subprocess.run([CTL, "--runtime-dir", self.stage.runtime_dir, *arguments],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=DEADLINE_S, check=False)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout + (done.stderr if code else "")

    def listed(self, *arguments):
        return [line.split("\t") for line in self.ctl("deliveries", *arguments).splitlines()]

    def wait_listed(self, n, *arguments):
        """The verb with these options, once there are so many."""
        wanted = ("--state", "dead") if arguments == ("--dead",) else arguments
        query = "".join(f"&{name[2:]}={value}" for name, value in zip(wanted[::2], wanted[1::2]))
        wait_for(lambda: len(self.stage.daemon.get(f"/v1/deliveries?limit=1000{query}")
                             .json()["deliveries"]) == n,
                 f"{n} deliveries {arguments}", why=lambda: self.ctl("deliveries"))
        return self.listed(*arguments)

    # -- dead letters --

    def test_dead_letters(self):
        daemon = self.start({"a": self.stage.hook("a", then=UNLESS_MENDED, attempts=2, **FAST),
                             "b": self.stage.hook("b", then=UNLESS_MENDED, attempts=1, **FAST)},
                            jobs=3)
        self.wait_listed(6, "--dead")
        self.assertEqual(len(self.listed("--state", "dead", "--hook", "a")), 3)
        ids = [row[0] for row in self.listed("--dead", "--hook", "a")]
        shown = json.loads(self.ctl("--json", "deliveries", "show", ids[0]))
        self.assertEqual((shown["state"], shown["attempts"]), ("dead", 2))
        self.assertEqual([(a["end"], a["exit"], a["output"]) for a in shown["history"]],
                         [("exited", 1, "not mended yet\n")] * 2)
        self.assertIn("history.0.output\tnot mended yet", self.ctl("deliveries", "show", ids[0]))
        dead = [e for e in daemon.events() if e["type"] == "hook.dead"]
        self.assertEqual(len(dead), 6)
        (self.stage.dir / "mended").touch()
        self.ctl("deliveries", "retry", ids[0])
        self.wait_listed(1, "--state", "delivered")
        self.ctl("deliveries", "retry", "--hook", "a")
        self.wait_listed(3, "--state", "delivered", "--hook", "a")
        self.assertEqual(self.wait_listed(3, "--dead"), self.listed("--dead", "--hook", "b"))
        self.ctl("deliveries", "retry", "--all-dead")
        self.wait_listed(6, "--state", "delivered")
        # The count goes on after a retry.
        self.assertEqual({row[6] for row in self.listed("--hook", "b")}, {"2"})
        self.assertEqual(self.ctl("deliveries", "retry", "--all-dead"), "")

    def test_refusals(self):
        daemon = self.start({"a": self.stage.hook("a")})
        daemon.wait_finished(1)
        self.wait_listed(1, "--state", "delivered")
        for arguments in (("retry",), ("retry", "1", "--all-dead"), ("show",), ("replay",),
                          ("replay", "--hook", "a"), ("--since", "1"), ("--all-dead",),
                          ("--dead", "--state", "dead"), ("retry", "1", "--dead"),
                          ("show", "1", "--hook", "a"), ("replay", "--since", "x", "--hook", "a")):
            self.ctl("deliveries", *arguments, code=2)
        for arguments in (("show", "99"), ("retry", "99"), ("retry", "1"), ("--hook", "nobody"),
                          ("replay", "--hook", "nobody", "--since", "0")):
            self.ctl("deliveries", *arguments, code=1)
        for body in (None, {}, {"since": -1}, {"since": "1"}, {"since": 1, "x": 1}, [1]):
            self.assertEqual(daemon.post("/v1/hooks/a/replay", body).status, 400, body)
        self.assertEqual(daemon.ask("POST", "/v1/hooks/a/replay?since=1").status, 400)

    def test_pages_are_followed(self):
        daemon = self.start({"a": {"exec": ["/bin/true"], "on": ["job.*"], "parallel": 16}}, jobs=100)
        daemon.wait_finished(100)
        daemon.wait_delivered()
        rows = self.listed()
        self.assertEqual(len(rows), len([e for e in daemon.events("&type=job.*")]))
        self.assertGreater(len(rows), 300)
        self.assertEqual([int(row[0]) for row in rows], list(range(len(rows), 0, -1)))
        document = json.loads(self.ctl("--json", "deliveries"))
        self.assertEqual([d["id"] for d in document["deliveries"]], [row[0] for row in rows])
        self.assertIsNone(document["next"])
        self.assertEqual(len(self.listed("--limit", "250")), 250)
        self.assertIsNotNone(json.loads(self.ctl("--json", "deliveries", "--limit", "2"))["next"])
        empty = json.loads(self.ctl("--json", "deliveries", "--dead"))
        self.assertEqual(empty, {"deliveries": [], "next": None})

    def test_a_page_of_long_outputs_is_bounded(self):
        (self.stage.dir / "loud").write_text("x" * 70000)
        loud = 'cat "$1/../loud"\nexit 1\n'
        daemon = self.start({"a": self.stage.hook("a", then=loud, attempts=10, **FAST)}, jobs=10)
        wait_for(lambda: len(self.listed("--dead")) == 10, "all to be dead")
        page = daemon.get("/v1/deliveries?limit=1000")
        self.assertLess(len(page.data), 3 * 1024 * 1024)
        self.assertIsNotNone(page.json()["next"])
        seen = []
        while True:
            seen += [d["id"] for d in page.json()["deliveries"]]
            if page.json()["next"] is None:
                break
            page = daemon.get("/v1/deliveries?limit=1000&before=" + page.json()["next"])
        self.assertEqual(sorted(map(int, seen)), list(range(1, 11)))

    # -- changes of the configuration --

    def test_a_new_hook_gets_no_old_events(self):
        old = self.stage.hook("old")
        daemon = self.start({"old": old})
        daemon.wait_finished(1)
        self.stage.wait_records(1)
        self.config({"old": old, "new": self.stage.hook("new", on=["*"])})
        self.assertEqual(daemon.reload().status, 200)
        self.assertEqual(self.listed("--hook", "new"), [])
        assert_unchanged(lambda: len(self.stage.records()), QUIET_S, "number of runs")
        self.assert_stops(daemon)
        daemon = self.stage.start()
        assert_unchanged(lambda: len(self.stage.records()), QUIET_S, "number of runs")
        daemon.post("/v1/jobs", {"account": ACCOUNT, "id": "2000"})
        wait_for(lambda: [r for r in self.stage.records() if r.hook == "new"], "the new hook")
        self.assertEqual({r.job[1] for r in self.stage.records() if r.hook == "new"}, {"2000"})

    def test_a_removed_hook_parks_what_waits(self):
        away = self.stage.hook("away", then=UNLESS_MENDED, **FAST)
        daemon = self.start({"away": away, "other": self.stage.hook("other")})
        wait_for(lambda: len([r for r in self.stage.records() if r.hook == "away"]) >= 2, "runs")
        self.config({"other": self.stage.hook("other")})
        self.assertEqual(daemon.reload().status, 200)

        def hook():
            [found] = [h for h in daemon.get("/v1/hooks").json()["hooks"] if h["name"] == "away"]
            return found

        wait_for(lambda: hook()["running"] == 0, "the end of the last attempt")
        self.assertEqual((hook()["state"], hook()["pending"]), ("parked", 1))
        n = len(self.stage.records())
        assert_unchanged(lambda: len(self.stage.records()), QUIET_S, "number of runs")
        self.assertEqual(daemon.post("/v1/hooks/away/replay", {"since": 0}).status, 503)
        self.assert_stops(daemon)
        daemon = self.stage.start()
        self.assertEqual((hook()["state"], hook()["pending"]), ("parked", 1))
        self.assertEqual(len(self.stage.records()), n)
        (self.stage.dir / "mended").touch()
        self.config({"away": away, "other": self.stage.hook("other")})
        self.assertEqual(daemon.reload().status, 200)
        self.wait_listed(1, "--state", "delivered", "--hook", "away")

    def test_a_changed_hook_holds_from_the_next_attempt(self):
        daemon = self.start({"a": self.stage.hook("a", then="exit 1\n", attempts=1000000, **FAST)})
        self.stage.wait_records(2)
        changed = self.stage.hook("changed", then="exit 0\n")
        self.config({"a": changed})
        self.assertEqual(daemon.reload().status, 200)
        [row] = self.wait_listed(1, "--state", "delivered")
        self.assertGreaterEqual(int(row[6]), 3)

    # -- replay --

    def test_replay(self):
        old = self.stage.hook("old", on=["job.*"])
        daemon = self.start({"old": old}, jobs=20)
        daemon.wait_finished(20)
        events = daemon.events("&type=job.*")
        new = self.stage.hook("new", on=["job.in_progress", "job.completed"])
        self.config({"old": old, "new": new}, jobs=20)
        self.assertEqual(daemon.reload().status, 200)
        since = events[len(events) // 2]["seq"]
        wanted = {e["seq"] for e in events
                  if e["type"] in ("job.in_progress", "job.completed")}
        late = {seq for seq in wanted if seq >= since}
        self.assertEqual(self.ctl("deliveries", "replay", "--hook", "new", "--since", str(since)),
                         f"hook\tnew\nsince\t{since}\ndeliveries\t{len(late)}\n")
        self.wait_listed(len(late), "--hook", "new", "--state", "delivered")
        # What it has got it does not get again; the rest comes on the next wish.
        answer = daemon.post("/v1/hooks/new/replay", {"since": 0}).json()
        self.assertEqual(answer, {"hook": "new", "since": 0,
                                  "deliveries": len(wanted) - len(late)})
        self.wait_listed(len(wanted), "--hook", "new", "--state", "delivered")
        runs = [r.seq for r in self.stage.records() if r.hook == "new"]
        self.assertEqual((len(runs), set(runs)), (len(wanted), wanted))
        self.assertEqual(daemon.post("/v1/hooks/new/replay", {"since": 1}).json()["deliveries"], 0)
        self.assertEqual(daemon.post("/v1/hooks/new/replay",
                                     {"since": 10 ** 9}).json()["deliveries"], 0)

    def test_replay_is_in_the_order_of_events(self):
        old = self.stage.hook("old")
        daemon = self.start({"old": old})
        daemon.wait_finished(1)
        # Its first run holds the job's later events back, so that older ones are laid before them.
        new = self.stage.hook("new", on=["job.*"], then=UNLESS_MENDED, **FAST)
        self.config({"old": old, "new": new}, jobs=0)
        self.assertEqual(daemon.reload().status, 200)  # job.unwatched: new for the hook
        wait_for(lambda: [r for r in self.stage.records() if r.hook == "new"], "the new hook")
        last = daemon.events()[-1]["seq"]
        n = daemon.post("/v1/hooks/new/replay", {"since": 0}).json()["deliveries"]
        self.assertEqual(n, last - 1)
        (self.stage.dir / "mended").touch()
        self.wait_listed(last, "--hook", "new", "--state", "delivered")
        ends = sorted((r for r in self.stage.records() if r.hook == "new"),
                      key=lambda r: r.ended_ns)
        first_of = list(dict.fromkeys(r.seq for r in ends))
        # job.unwatched may have been running; all others by seq.
        self.assertEqual([seq for seq in first_of if seq != last], list(range(1, last)))

    def test_replay_obeys_the_sets_of_jobs(self):
        a, b = self.stage.hook("a"), self.stage.hook("b", on=["job.lost"])
        self.stage.sim("--speed", "200")
        accounts = {ACCOUNT: self.stage.account(
            ["1000", {"id": "1001", "hooks": ["a"]}, {"id": "1002", "hooks": []}])}
        self.stage.config(accounts, hooks={"a": a, "b": b})
        daemon = self.stage.start()
        daemon.wait_finished(3)
        self.stage.config(accounts, hooks={"a": a, "b": {**b, "on": ["job.completed"]}})
        self.assertEqual(daemon.reload().status, 200)
        self.assertEqual(daemon.post("/v1/hooks/b/replay", {"since": 0}).json()["deliveries"], 1)
        wait_for(lambda: [r for r in self.stage.records() if r.hook == "b"], "a run")
        self.assertEqual([r.job[1] for r in self.stage.records() if r.hook == "b"], ["1000"])

    def test_a_hook_is_not_told_of_its_own_death(self):
        dying = self.stage.hook("dying", then="exit 65\n")
        daemon = self.start({"dying": dying, "other": self.stage.hook("other", on=["job.lost"])})
        self.wait_listed(1, "--dead")
        self.config({"dying": self.stage.hook("dying", on=["*"]),
                     "other": self.stage.hook("other", on=["*"])})
        self.assertEqual(daemon.reload().status, 200)
        events = daemon.events()
        self.assertEqual(events[-1]["type"], "hook.dead")
        counts = [daemon.post(f"/v1/hooks/{name}/replay", {"since": 0}).json()["deliveries"]
                  for name in ("dying", "other")]
        # Neither its death nor what it has got already.
        self.assertEqual(counts, [len(events) - 2, len(events)])

    def test_a_long_replay_goes_in_slices(self):
        daemon = self.start({"old": self.stage.hook("old", on=["hook.dead"])}, jobs=400)
        daemon.wait_finished(400, 60)
        events = [e for e in daemon.events() if e["type"].startswith("job.")]
        self.assertGreater(len(events), 1000)
        # A program that never ends: what counts is what was laid down for it.
        self.config({"new": {"exec": ["/bin/sleep", "1000"], "on": ["job.*"], "parallel": 8}},
                    jobs=400, drain_timeout="100ms")
        self.assertEqual(daemon.reload().status, 200)
        answer = daemon.post("/v1/hooks/new/replay", {"since": 0}).json()
        self.assertEqual(answer["deliveries"], len(events))
        self.assertIn(f"hook new: {len(events)} past events", self.stage.log())
        self.assert_stops(daemon)
        rows = self.stage.rows("SELECT * FROM deliveries WHERE hook = 'new'")
        self.assertEqual(sorted(row["event_seq"] for row in rows), [e["seq"] for e in events])

    def test_hooks_test_by_bulkwatch(self):
        daemon = self.start({"good": self.stage.hook("good"),
                             "bad": self.stage.hook("bad", then="echo no; exit 7\n")})
        daemon.wait_finished(1)
        shown = json.loads(self.ctl("--json", "hooks", "test", "good"))
        self.assertEqual((shown["end"], shown["exit"], shown["delivered"]), ("exited", 0, True))
        self.assertIn("BULKWATCH_TEST=1", shown["environment"])
        self.assertEqual(json.loads(shown["stdin"])["type"], "bulkwatch.job.completed")
        shown = json.loads(self.ctl("--json", "hooks", "test", "good", "--event", "1"))
        self.assertIn("BULKWATCH_EVENT_SEQ=1", shown["environment"])
        self.assertIn("output\tno", self.ctl("hooks", "test", "bad", code=1))
        self.ctl("hooks", "test", "good", "--event", "999", code=1)
        self.ctl("hooks", "--event", "1", code=2)


CONSUMER = f"""#!/bin/sh
{shlex.quote(str(RECORD))} "$1" $$ || exit 1
[ ! -e "$1/../fails" ] || exit 1
exit "${{2:-0}}"
"""


class Consume(TestCase):
    def setUp(self):
        super().setUp()
        self.program = self.stage.program("consumer.sh", CONSUMER)
        self.state = self.stage.dir / "consumer"
        self.state.mkdir(mode=0o700)

    def start(self, jobs=2, **options):
        self.stage.sim("--speed", "200")
        self.stage.config({ACCOUNT: self.stage.account([str(1000 + i) for i in range(jobs)])},
                          **options)
        daemon = self.stage.start()
        return daemon

    def consume(self, *options, name="books", exit_code=None):
        argv = [CTL, "--runtime-dir", self.stage.runtime_dir, "consume", name,
                "--state-dir", self.state, *options, "--exec", self.program,
                self.stage.records_dir] + ([exit_code] if exit_code else [])
        with open(self.stage.dir / "consume.stderr", "ab") as errors:
            return self.stage.spawn(argv, stderr=errors, stdout=errors,
                                    env=self.stage.environment(OWN="mine"))

    def said(self):
        return (self.stage.dir / "consume.stderr").read_text()

    def position(self, name="books"):
        path = self.state / f"{name}.position"
        return int(path.read_text().rpartition("-")[2]) if path.exists() else 0

    def wait_position(self, seq):
        wait_for(lambda: self.position() >= seq, f"position {seq}",
                 why=lambda: f"{self.position()} {self.said()}")

    def end(self, process):
        process.send_signal(signal.SIGTERM)
        process.wait(DEADLINE_S)

    def test_everything_once_and_what_a_hook_gets(self):
        hook = self.stage.hook("hook", on=["job.*"])
        daemon = self.start(hooks={"hook": hook})
        daemon.wait_finished(2)
        daemon.wait_delivered()
        n = daemon.status()["last_seq"]
        by_hook = {r.seq: r for r in self.stage.records()}
        process = self.consume()
        self.wait_position(n)
        records = [r for r in self.stage.records() if r.hook == "books"]
        self.assertEqual([r.seq for r in records], list(range(1, n + 1)))
        for record in records:
            other = by_hook[record.seq]
            self.assertEqual(record.event, other.event)
            for variable, value in other.env.items():
                if variable.startswith("BULKWATCH_") and variable != "BULKWATCH_HOOK":
                    self.assertEqual(record.env[variable], value, variable)
            self.assertEqual(record.env["OWN"], "mine")
        self.end(process)
        # From where it stopped.
        daemon.post("/v1/jobs", {"account": ACCOUNT, "id": "2000"})
        daemon.wait_finished(3)
        process = self.consume()
        m = daemon.status()["last_seq"]
        self.wait_position(m)
        seqs = sorted(r.seq for r in self.stage.records() if r.hook == "books")
        self.assertEqual(seqs, list(range(1, m + 1)))
        self.end(process)

    def test_a_failure_is_tried_again_and_holds_the_rest_back(self):
        daemon = self.start()
        (self.stage.dir / "fails").touch()
        process = self.consume()
        self.stage.wait_records(2)
        self.assertEqual({r.seq for r in self.stage.records()}, {1})
        self.assertEqual([r.attempt for r in self.stage.records()][:2], [1, 2])
        self.assertEqual(self.position(), 0)
        (self.stage.dir / "fails").unlink()
        daemon.wait_finished(2)
        self.wait_position(daemon.status()["last_seq"])
        self.assertIn("exited 1; once more", self.said())
        self.end(process)

    def test_65_gives_up_that_event(self):
        daemon = self.start()
        daemon.wait_finished(2)
        process = self.consume(exit_code="65")
        self.wait_position(daemon.status()["last_seq"])
        self.assertIn("given up", self.said())
        self.end(process)

    def test_killed_at_any_moment_nothing_is_left_out(self):
        daemon = self.start(jobs=5)
        daemon.wait_finished(5)
        last = daemon.status()["last_seq"]
        for i in range(12):
            process = self.consume()
            wait_for(lambda: process.poll() is not None or self.position() > i, "a step")
            process.kill()
            process.wait(DEADLINE_S)
        process = self.consume()
        self.wait_position(last)
        self.assertEqual({r.seq for r in self.stage.records()}, set(range(1, last + 1)))
        self.end(process)

    def test_the_daemon_goes_and_comes_back(self):
        daemon = self.start()
        daemon.wait_finished(2)
        process = self.consume()
        self.wait_position(daemon.status()["last_seq"])
        self.assert_stops(daemon)
        daemon = self.stage.start()
        daemon.post("/v1/jobs", {"account": ACCOUNT, "id": "2000"})
        daemon.wait_finished(3)
        self.wait_position(daemon.status()["last_seq"])
        self.assertIsNone(process.poll())
        self.end(process)

    def test_a_new_one_is_known_before_its_first_event(self):
        """What its filter leaves out counts as read: it goes on though that is forgotten."""
        daemon = self.start(retain="0s")
        daemon.wait_finished(2)
        path = self.state / "books.position"
        process = self.consume("--type", "job.lost", "--after", "1")
        wait_for(path.exists, "its position", why=self.said)
        self.assertEqual(path.read_text(), f"{daemon.status()['database']['instance']}-1\n")
        daemon.post("/v1/jobs", {"account": ACCOUNT, "id": "2000"})
        daemon.wait_finished(3)
        self.assertEqual(daemon.ask("DELETE", f"/v1/jobs/{ACCOUNT}/2000").status, 204)
        last = daemon.status()["last_seq"]
        wait_for(lambda: daemon.status()["database"]["pruned_through"] == last, "forgetting")
        self.wait_position(last)  # by a heartbeat
        self.assert_stops(daemon)
        daemon = self.stage.start()
        daemon.post("/v1/jobs", {"account": ACCOUNT, "id": "2001"})
        self.wait_position(last + 1)
        self.assertIsNone(process.poll(), self.said())
        self.assertNotIn("are gone", self.said())
        self.end(process)

    def test_filter(self):
        daemon = self.start()
        process = self.consume("--type", "job.completed")
        daemon.wait_finished(2)
        wait_for(lambda: len(self.stage.records()) == 2, "both")
        self.assertEqual({r.type for r in self.stage.records()}, {"job.completed"})
        self.end(process)

    def test_a_new_name_may_begin_later(self):
        daemon = self.start()
        daemon.wait_finished(2)
        last = daemon.status()["last_seq"]
        process = self.consume("--after", str(last - 1))
        self.wait_position(last)
        self.assertEqual([r.seq for r in self.stage.records()], [last])
        self.end(process)
        process = self.consume("--after", "0")
        self.assertEqual(process.wait(DEADLINE_S), 2)

    def test_refusals(self):
        daemon = self.start()
        daemon.wait_finished(2)
        process = self.consume()
        self.wait_position(1)
        self.assertEqual(self.consume().wait(DEADLINE_S), 1)
        self.assertIn("another consumer has the name books", self.said())
        self.end(process)
        position = self.state / "books.position"
        position.write_text("0123456789abcdef-1\n")
        self.assertEqual(self.consume().wait(DEADLINE_S), 1)
        self.assertIn("a position in the database 0123456789abcdef", self.said())
        for text in ("rubbish\n", "0123456789a\nbcde-1\n", "0123456789abcdef-1", "0123456789ABCDEF-1\n"):
            position.write_text(text)
            self.assertEqual(self.consume().wait(DEADLINE_S), 1, text)
            self.assertIn("does not hold the id of an event", self.said())
        self.assertEqual(self.consume(name="No").wait(DEADLINE_S), 2)
        self.assertEqual(self.consume(name="../x").wait(DEADLINE_S), 2)
        self.assert_stops(daemon)
        self.assertEqual(self.consume(name="other").wait(DEADLINE_S), 69)
        for arguments in (("books",), ("books", "--exec"), ("--exec", "true"),
                          ("books", "--exec", "true")):
            done = subprocess.run([CTL, "consume", *arguments], check=False, capture_output=True,
                                  env={k: v for k, v in os.environ.items()
                                       if k != "STATE_DIRECTORY"}, timeout=DEADLINE_S)
            self.assertEqual(done.returncode, 2, arguments)

    def test_what_is_pruned(self):
        daemon = self.start(jobs=2)
        daemon.wait_finished(2)
        process = self.consume()
        self.wait_position(2)
        self.end(process)
        stopped = self.position()
        daemon.post("/v1/jobs", {"account": ACCOUNT, "id": "2000"})
        daemon.wait_finished(3)
        # Everything unwatched is forgotten.
        self.stage.config({ACCOUNT: self.stage.account([])}, retain="0s")
        daemon.delete(f"/v1/jobs/{ACCOUNT}/2000")
        self.assertEqual(daemon.reload().status, 200)
        pruned = wait_for(lambda: daemon.status()["database"]["pruned_through"], "pruning")
        if pruned <= stopped:
            self.skipTest("nothing that it did not get was pruned")
        self.assertEqual(self.consume().wait(DEADLINE_S), 1)
        self.assertIn("--skip-pruned goes on", self.said())
        process = self.consume("--skip-pruned")
        wait_for(lambda: self.position() >= pruned, "the position")
        self.end(process)


if __name__ == "__main__":
    unittest.main()
