#!/usr/bin/env python3
"""Durations that are learned and kept, credits that are never overspent, why and plan."""

import datetime
import os
import pathlib
import subprocess
import unittest

from harness import QUIET_S, TestCase, assert_unchanged, wait_for

BULKWATCH = pathlib.Path(os.environ.get("BULKWATCH_BUILD", "build")) / "src/ctl/bulkwatch"


def ids(first, n):
    return [str(first + i) for i in range(n)]


def seconds(time):
    return datetime.datetime.fromisoformat(time).timestamp()


class Learning(TestCase):
    def ctl(self, *arguments):
        done = subprocess.run(
            [str(BULKWATCH), "--runtime-dir", str(self.stage.runtime_dir), *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stdout)
        return done.stdout

    def durations(self, daemon):
        return {row["module"]: row for row in daemon.account("acme")["durations"]}

    def test_durations_are_learned_and_kept(self):
        stage = self.stage
        stage.sim(script={"jobs": [
            {"id": "1000-1999", "duration": "lognormal(median 1500ms, sigma 0.2)",
             "query": {"module": "Contacts", "page": 1}},
            {"id": "2000-2999", "duration": "60s", "query": {"module": "Deals", "page": 1}}]})
        jobs = ids(1000, 45)
        stage.config({"acme": stage.account([*jobs, "2000"], max_in_flight=50)},
                     poll={"min_interval": "20ms", "max_interval": "1s"})
        daemon = stage.start()
        self.assertEqual(daemon.account("acme")["reason"], None)
        why = daemon.get("/v1/jobs/acme/2000/why").json()
        self.assertFalse(why["interval"]["learned"])
        wait_for(lambda: daemon.status()["jobs"]["finished"] == 45, "the short jobs")
        contacts = wait_for(lambda: self.durations(daemon).get("Contacts"), "their durations")
        self.assertEqual(contacts["samples"], 45)
        self.assertTrue(contacts["learned"])
        # The simulator's life begins with the first request, and ours a little before.
        self.assertTrue(1.0 < contacts["median"] < 2.2, contacts)
        self.assertTrue(contacts["median"] < contacts["p95"] < 4, contacts)
        self.assertFalse(self.durations(daemon)["Deals"]["learned"])
        self.assertEqual(daemon.stop(), 0)
        daemon = stage.start()
        self.assertIn("acme", [account["name"] for account in
                               daemon.get("/v1/accounts").json()["accounts"]])
        wait_for(lambda: self.durations(daemon).get("Contacts", {}).get("samples") == 45,
                 "what was learned before the restart")
        self.check_why(daemon)
        self.check_plan(daemon)

    def check_why(self, daemon):
        why = wait_for(lambda: (w := daemon.get("/v1/jobs/acme/2000/why").json())
                       and w["reason"] == "learned" and w, "a learned interval")
        self.assertTrue(why["interval"]["learned"])
        self.assertGreater(why["interval"]["hazard_per_minute"], 0)
        self.assertRegex(why["next_poll"], r"^\d{4}-\d\d-\d\dT")
        self.assertRegex(why["sentence"], r"^(In|Now).*\.$")
        self.assertEqual(daemon.get("/v1/jobs/acme/1000/why").json()["reason"], "finished")
        self.assertIsNone(daemon.get("/v1/jobs/acme/1000/why").json()["next_poll"])
        self.assertEqual(daemon.get("/v1/jobs/acme/77/why").status, 404)
        self.assertEqual(daemon.post("/v1/jobs/acme/2000/pause").status, 202)
        wait_for(lambda: daemon.get("/v1/jobs/acme/2000/why").json()["reason"] == "paused_by_hand",
                 "the pause")
        self.assertIn("resume", self.ctl("why", "acme/2000"))
        self.assertEqual(daemon.post("/v1/jobs/acme/2000/resume").status, 202)

    def check_plan(self, daemon):
        plan = daemon.get("/v1/plan").json()["accounts"]
        self.assertEqual([account["account"] for account in plan], ["acme"])
        forecast = plan[0]["forecast"]
        self.assertEqual([row["polls_per_job"] for row in forecast], [10, 20, 40, 80])
        self.assertEqual(sorted(forecast, key=lambda row: -row["delay"]), forecast)
        lines = [line.split("\t") for line in self.ctl("plan").splitlines()]
        self.assertEqual([line[-1] for line in lines], ["no", "yes", "no", "no"])
        self.assertEqual({len(line) for line in lines}, {7})

    def test_credits_are_a_hard_ceiling(self):
        stage = self.stage
        sim = stage.sim(script={"jobs": [{"id": "*", "duration": "1h"}]})
        stage.config({"acme": stage.account(ids(1, 5), credits_per_day=30),
                      "other": stage.account(ids(100, 1), credits_per_day=1000000)})

        def asked():
            return sum(1 for request in sim.requests() if not request["path"].endswith("/100"))

        def held():
            return daemon.account("acme")["reason"] == "credits"

        daemon = stage.start()
        wait_for(lambda: asked() >= 10, "some polls")
        daemon.kill()
        daemon = stage.start()
        wait_for(held, "the end of the credits")
        account = daemon.account("acme")
        self.assertEqual(account["state"], "held")
        self.assertEqual(account["ledger"]["left"], 0)
        self.assertEqual(account["ledger"]["credits_per_day"], 30)
        self.assertRegex(account["ledger"]["next_credit"], r"^\d{4}-")
        self.assertLessEqual(asked(), 30)
        self.assertGreaterEqual(asked(), 28)
        why = daemon.get("/v1/jobs/acme/1/why").json()
        self.assertEqual(why["reason"], "credits")
        self.assertLess(abs(seconds(why["next_poll"]) - seconds(account["ledger"]["next_credit"])),
                        5)
        # Not by hand either, and not after a restart; the other account polls on.
        self.assertEqual(daemon.post("/v1/jobs/acme/1/poll").status, 202)
        assert_unchanged(asked, QUIET_S, "the polls of the account without credits")
        self.assertEqual(daemon.stop(), 0)
        daemon = stage.start()
        before = len(sim.requests())
        wait_for(lambda: len(sim.requests()) > before + 5, "the other account's polls")
        self.assertLessEqual(asked(), 30)
        wait_for(held, "the hold after the restart")
        self.assertEqual([event["type"] for event in daemon.events()
                          if event["type"].startswith("account.")], [])
        self.assertIn("80 % of its credits", stage.log())


if __name__ == "__main__":
    unittest.main()
