#!/usr/bin/env python3
"""retain: what is no longer watched is forgotten in time, what is owed to a hook is not (bulkwatchd.yaml(5))."""

import re
import socket
import subprocess
import unittest

from harness import BUILD, DEADLINE_S, TestCase, assert_unchanged, wait_for

CTL = BUILD / "src" / "ctl" / "bulkwatch"
ACCOUNT = "acme"
MANY = [str(1000 + i) for i in range(450)]  # more than two slices of pruning


class Retention(TestCase):
    def start(self, jobs, **more):
        self.stage.sim()
        self.jobs(jobs, **more)
        return self.stage.start()

    def jobs(self, jobs, hooks=None, retain="1s"):
        self.stage.config({ACCOUNT: self.stage.account(jobs)}, hooks=hooks, retain=retain)

    def status_of(self, daemon, job_id):
        return daemon.get(f"/v1/jobs/{ACCOUNT}/{job_id}").status

    def test_many_are_forgotten_and_the_watched_stay(self):
        daemon = self.start([*MANY, "1"])
        daemon.wait_finished(len(MANY) + 1, deadline_s=40)
        self.jobs(["1"])
        self.assertEqual(daemon.reload().status, 200)
        wait_for(lambda: all(self.status_of(daemon, i) == 404 for i in (MANY[0], MANY[200], MANY[-1])),
                 "forgetting")
        self.assertEqual(self.status_of(daemon, "1"), 200)
        pruned = daemon.status()["database"]["pruned_through"]
        self.assertGreater(pruned, 0)
        # Reading from before is told so; seqs go on and are never used again.
        answer = daemon.get("/v1/events?after=0")
        self.assertEqual((answer.status, answer.json()["pruned_through"]), (410, pruned))
        last = daemon.status()["last_seq"]
        self.assertEqual(daemon.post("/v1/jobs", {"account": ACCOUNT, "id": "2"}).status, 201)
        self.assertGreater(daemon.status()["last_seq"], last)
        daemon.wait_finished(2)
        self.check_command(pruned, daemon.status()["last_seq"])
        self.assert_stops(daemon)
        for view in ("jobs", "transitions"):
            rows = self.stage.rows(f"SELECT DISTINCT job_id FROM {view}")
            self.assertEqual({row["job_id"] for row in rows}, {"1", "2"}, view)

    def test_a_reader_that_fell_behind_is_cut_off_not_given_a_gap(self):
        daemon = self.start(MANY)
        daemon.wait_finished(len(MANY), deadline_s=40)
        with socket.socket(socket.AF_UNIX) as reader:
            reader.settimeout(DEADLINE_S)
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            reader.connect(str(daemon.query))
            reader.sendall(b"GET /v1/events HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            self.jobs([])
            self.assertEqual(daemon.reload().status, 200)
            wait_for(lambda: self.status_of(daemon, MANY[-1]) == 404, "forgetting")
            self.assertEqual(daemon.post("/v1/jobs", {"account": ACCOUNT, "id": "2"}).status, 201)
            pruned = daemon.status()["database"]["pruned_through"]
            data = b"".join(iter(lambda: reader.recv(65536), b""))  # to its end, which comes
        seqs = [int(seq) for seq in re.findall(rb'^{"seq":"?([0-9]+)', data, re.M)]
        self.assertEqual(seqs, list(range(1, len(seqs) + 1)))
        self.assertGreater(len(seqs), 0)
        self.assertLess(len(seqs), pruned)
        answer = daemon.get(f"/v1/events?after={seqs[-1]}")
        self.assertEqual((answer.status, answer.json()["pruned_through"]), (410, pruned))

    def check_command(self, pruned, last_seq):
        """Who names no seq gets the events that there are, and is told; who names one is refused."""
        def events(*arguments):
            done = subprocess.run([CTL, "--runtime-dir", self.stage.runtime_dir, "events", *arguments],
                                  capture_output=True, text=True, timeout=DEADLINE_S, check=False)
            return done.returncode, done.stdout.splitlines(), done.stderr

        words = f"events up to {pruned} are no longer kept"
        for arguments in ((), ("--follow", "--limit", str(last_seq - pruned))):
            code, lines, said = events(*arguments)
            self.assertEqual(code, 0, said)
            self.assertEqual(said.count(words), 1, said)
            self.assertEqual([int(line.split("\t")[0]) for line in lines],
                             list(range(pruned + 1, last_seq + 1)))
        code, lines, said = events("--after", "0")
        self.assertEqual((code, lines), (1, []))
        self.assertIn(f"--after {pruned}", said)

    def test_where_reading_may_begin(self):
        """After the last seq that is pruned: not one of those that are kept is passed over."""
        daemon = self.start(["1", "2"])
        daemon.wait_finished(2)
        self.jobs(["1"])
        self.assertEqual(daemon.reload().status, 200)
        wait_for(lambda: self.status_of(daemon, "2") == 404, "forgetting")
        self.assertEqual(daemon.post("/v1/jobs", {"account": ACCOUNT, "id": "3"}).status, 201)
        daemon.wait_finished(2)
        pruned = daemon.status()["database"]["pruned_through"]
        self.assertGreater(pruned, 1)
        for more in ("", "&follow=true"):
            reply = daemon.get(f"/v1/events?after={pruned - 1}&limit=1{more}")
            self.assertEqual(reply.status, 410, more)
            self.assertEqual(reply.json()["pruned_through"], pruned)
            reply = daemon.get(f"/v1/events?after={pruned}&limit=1{more}")
            self.assertEqual(reply.status, 200, more)
            self.assertEqual([event["seq"] for event in reply.lines()], [pruned + 1])

    def test_what_is_owed_to_a_hook_stays(self):
        hooks = {"hook": self.stage.hook(then="exit 1\n", retry_first="20ms", retry_max="50ms",
                                         attempts=100000)}
        daemon = self.start(["1"], hooks=hooks)
        daemon.wait_finished(1)
        self.jobs([], hooks=hooks)
        self.assertEqual(daemon.reload().status, 200)
        wait_for(lambda: not daemon.job(ACCOUNT, "1")["watched"], "the end of watching")
        assert_unchanged(lambda: self.status_of(daemon, "1"), 3, "the job's answer")
        # The hook succeeds at last, and then nothing holds the job.
        self.jobs([], hooks={"hook": self.stage.hook(retry_first="20ms", retry_max="50ms")})
        self.assertEqual(daemon.reload().status, 200)
        wait_for(lambda: self.status_of(daemon, "1") == 404, "forgetting")

    def test_until_then_it_is_kept(self):
        daemon = self.start(["1"], retain="1h")
        daemon.wait_finished(1)
        self.jobs([], retain="1h")
        self.assertEqual(daemon.reload().status, 200)
        wait_for(lambda: not daemon.job(ACCOUNT, "1")["watched"], "the end of watching")
        assert_unchanged(lambda: self.status_of(daemon, "1"), 2, "the job's answer")
        self.assertEqual(len(daemon.get(f"/v1/jobs/{ACCOUNT}/1/history").json()["events"]), 5)


if __name__ == "__main__":
    unittest.main()
