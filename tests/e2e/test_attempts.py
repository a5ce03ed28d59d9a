#!/usr/bin/env python3
"""A hook's attempts and how they end, as the sockets show them."""

import datetime
import itertools
import os
import re
import unittest

from harness import QUIET_S, assert_unchanged, wait_for
from test_query import QueryCase


class Attempts(QueryCase):
    def hook_that_fails(self, times, code=1, **options):
        return self.stage.hook("load", then=f"""
echo "attempt $BULKWATCH_ATTEMPT"
echo oops >&2
[ "$BULKWATCH_ATTEMPT" -gt {times} ] || exit {code}
""", retry_first="20ms", retry_max="50ms", **options)

    def deliveries(self, daemon, parameters=""):
        reply = daemon.get("/v1/deliveries" + parameters)
        self.assertEqual(reply.status, 200, reply.data)
        return reply.json()["deliveries"]

    def test_attempts_until_it_works(self):
        daemon = self.start({"acme": ["1000"]}, hooks={"load": self.hook_that_fails(3)})
        records = self.stage.wait_records(4)
        daemon.wait_delivered()
        self.assertEqual([record.attempt for record in records], [1, 2, 3, 4])
        self.assertEqual(len({record.id for record in records}), 1)
        self.assertEqual(len({record.body for record in records}), 1)
        [delivery] = self.deliveries(daemon)
        self.assertEqual((delivery["state"], delivery["attempts"], delivery["hook"],
                          delivery["account"], delivery["job_id"], delivery["event_seq"]),
                         ("delivered", 4, "load", "acme", "1000", records[0].seq))
        for i, attempt in enumerate(delivery["history"], 1):
            self.assertEqual((attempt["exit"], attempt["end"]), (0 if i == 4 else 1, "exited"))
            self.assertIn(f"attempt {i}\n", attempt["output"])
            self.assertIn("oops", attempt["output"])
            self.assertGreaterEqual(attempt["duration"], 0)
        self.assertEqual(self.deliveries(daemon, "?state=dead"), [])
        self.assertEqual(len(self.deliveries(daemon, "?state=delivered&hook=load")), 1)
        self.assert_problem(daemon.get("/v1/deliveries?hook=nobody"), 404)

    def test_dead_and_retried(self):
        watcher = self.stage.hook("watcher", on=["hook.dead"])
        daemon = self.start({"acme": ["1000"]}, hooks={
            "load": self.hook_that_fails(4, attempts=2, on=["job.completed", "hook.dead"]),
            "watcher": watcher})
        wait_for(lambda: daemon.events("&type=hook.dead"), "the end of its attempts")
        [delivery] = self.deliveries(daemon, "?state=dead")
        self.assertEqual(delivery["attempts"], 2)
        wait_for(lambda: any(r.hook == "watcher" for r in self.stage.records()), "the watcher")
        assert_unchanged(lambda: len(self.stage.records()), QUIET_S, "runs")
        dead = [r for r in self.stage.records() if r.type == "hook.dead"]
        self.assertEqual([record.hook for record in dead], ["watcher"])
        retry = f"/v1/deliveries/{delivery['id']}/retry"
        self.assertIn(daemon.post(retry).status, (200, 202))
        wait_for(lambda: len(daemon.events("&type=hook.dead")) == 2, "the next end")
        self.assertIn(daemon.post(retry).status, (200, 202))
        daemon.wait_delivered()
        attempts = [r.attempt for r in self.stage.records() if r.hook == "load"]
        self.assertEqual(attempts, [1, 2, 3, 4, 5])
        self.assertEqual(len({r.id for r in self.stage.records() if r.hook == "load"}), 1)
        self.assertEqual(daemon.post(retry).status, 409)
        self.assert_problem(daemon.post("/v1/deliveries/999/retry"), 404)

    def test_how_long_it_waits_between_them(self):
        """At random, up to twice as long after each (bulkwatch-hooks(7)); one of so many waits longer
        than half of that."""
        jobs = [str(1000 + i) for i in range(40)]
        most = [16, 32, 64, 100, 100]
        daemon = self.start({"acme": jobs}, hooks={"load": {
            "exec": ["/bin/false"], "parallel": 64, "attempts": len(most) + 1,
            "retry_first": f"{most[0]}ms", "retry_max": f"{most[-1]}ms"}})
        wait_for(lambda: len(self.deliveries(daemon, "?state=dead")) == len(jobs), "their ends")
        waits = {(int(seq), int(attempt)): int(wait) for attempt, seq, wait in re.findall(
            r"hook load: attempt (\d+) of event (\d+) .* next in (\d+) ms$", self.stage.log(), re.M)}
        self.assertEqual(len(waits), len(jobs) * len(most))
        for n, longest in enumerate(most, 1):
            these = [wait for (_, attempt), wait in waits.items() if attempt == n]
            self.assertGreaterEqual(min(these), most[0], n)
            self.assertLessEqual(max(these), longest, n)
            self.assertGreater(max(these), longest // 2, n)
        for delivery in self.deliveries(daemon):
            began = [datetime.datetime.fromisoformat(attempt["started"])
                     for attempt in delivery["history"]]
            for n, (one, next_one) in enumerate(itertools.pairwise(began), 1):
                # Two clocks, in whole milliseconds.
                self.assertGreaterEqual((next_one - one) / datetime.timedelta(milliseconds=1),
                                        waits[delivery["event_seq"], n] - 2)

    def test_exit_65_is_for_good(self):
        daemon = self.start({"acme": ["1000"]}, hooks={"load": self.hook_that_fails(9, code=65)})
        wait_for(lambda: self.deliveries(daemon, "?state=dead"), "its end")
        assert_unchanged(lambda: len(self.stage.records()), QUIET_S, "runs")
        self.assertEqual(len(self.stage.records()), 1)

    def test_a_failing_delivery_holds_back_those_behind_it(self):
        hook = self.hook_that_fails(3, on=["job.*"])
        daemon = self.start({"acme": ["1000"]}, hooks={"load": hook})
        daemon.wait_finished(1)
        daemon.wait_delivered()
        records = sorted(self.stage.records(), key=lambda record: record.ended_ns)
        self.assertEqual([(record.type, record.attempt) for record in records],
                         [(event, attempt) for event in
                          ("job.watched", "job.added", "job.completed")
                          for attempt in (1, 2, 3, 4)])

    def test_a_hook_that_takes_too_long(self):
        """SIGTERM to its group, SIGKILL five seconds later."""
        stubborn = self.stage.program("stubborn.sh", f"""#!/bin/sh
trap 'date +%s >>{self.stage.dir}/termed' TERM
echo $$ >>{self.stage.dir}/started
while :; do sleep 0.1; done
""")
        daemon = self.start({"acme": ["1000"]}, hooks={
            "load": {"exec": [str(stubborn)], "timeout": "300ms", "attempts": 1}})
        wait_for(lambda: self.deliveries(daemon, "?state=dead"), "its end")
        self.assertTrue((self.stage.dir / "termed").exists())
        [delivery] = self.deliveries(daemon)
        self.assertGreater(delivery["history"][0]["duration"], 5)
        pid = int((self.stage.dir / "started").read_text())
        self.assertFalse(os.path.exists(f"/proc/{pid}"))

    def test_a_program_that_is_not_there_or_talks_too_much(self):
        talker = self.stage.program("talker.sh", "#!/bin/sh\nexec head -c 1000000 /dev/zero\n")
        daemon = self.start({"acme": ["1000"]}, hooks={
            "gone": {"exec": [str(self.stage.dir / "gone")], "attempts": 2, "retry_first": "10ms"},
            "talker": {"exec": [str(talker)]}})
        wait_for(lambda: self.deliveries(daemon, "?state=dead"), "its end")
        daemon.wait_delivered()
        by_hook = {d["hook"]: d for d in self.deliveries(daemon)}
        self.assertEqual((by_hook["gone"]["state"], by_hook["gone"]["attempts"]), ("dead", 2))
        self.assertEqual(by_hook["talker"]["state"], "delivered")
        self.assertLessEqual(len(by_hook["talker"]["history"][0]["output"]), 64 * 1024)


if __name__ == "__main__":
    unittest.main()
