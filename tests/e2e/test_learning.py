#!/usr/bin/env python3
"""Durations that are learned and kept, credits that are never overspent, whoever shares them, why
and plan."""

import datetime
import os
import pathlib
import subprocess
import time
import unittest

from harness import QUIET_S, TOKEN, TestCase, assert_unchanged, wait_for

LIBFAKETIME = sorted(pathlib.Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))

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
        self.assertEqual(account["next_probe"], account["ledger"]["next_credit"])
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


    def test_min_interval_holds_over_restarts(self):
        stage = self.stage
        stage.sim(script={"jobs": [{"id": "*", "duration": "1h"}]})
        stage.config({"acme": stage.account(["1"])},
                     poll={"min_interval": "1h", "max_interval": "2h"})
        daemon = stage.start()
        wait_for(lambda: daemon.job("acme", "1")["state"] != "PENDING", "the first poll")
        first = seconds(daemon.job("acme", "1")["last_polled"])
        self.assertEqual(daemon.stop(), 0)
        daemon = stage.start()
        self.assertGreaterEqual(seconds(daemon.job("acme", "1")["next_poll"]), first + 3600 - 1)
        # Watched anew by hand, and after a crash, when nobody knows what was polled last.
        self.assertEqual(daemon.delete("/v1/jobs/acme/1").status, 204)
        self.assertEqual(daemon.post("/v1/jobs", {"account": "acme", "id": "1"}).status, 201)
        self.assertGreaterEqual(seconds(daemon.job("acme", "1")["next_poll"]), first + 3600 - 1)
        daemon.kill()
        started = time.time()
        daemon = stage.start()
        self.assertGreaterEqual(seconds(daemon.job("acme", "1")["next_poll"]), started + 3600 - 1)
        self.assertEqual(len(stage.simulator.requests()), 1)

    @unittest.skipUnless(LIBFAKETIME, "libfaketime is not installed")
    def test_a_wrong_wall_clock_gives_no_credits_back(self):
        """Over restarts either, as long as the machine runs."""
        stage = self.stage
        sim = stage.sim(script={"jobs": [{"id": "*", "duration": "1h"}]})
        stage.config({"acme": stage.account(ids(1, 5), credits_per_day=20)})
        for offset in ("-5d", "+0", "+25h", "+49h"):
            daemon = stage.start(environment=stage.environment(
                LD_PRELOAD=str(LIBFAKETIME[0]), FAKETIME=offset, FAKETIME_DONT_FAKE_MONOTONIC="1",
                ASAN_OPTIONS="verify_asan_link_order=0:detect_leaks=0"))
            wait_for(lambda: daemon.account("acme")["reason"] == "credits", "the end of the credits")
            self.assertEqual(daemon.stop(), 0, stage.log())
            self.assertLessEqual(len(sim.requests()), 20)


class Sharing(TestCase):
    """Accounts with one refresh token have one ledger of credits."""

    CLIENT = {"client_id": "1000.CLIENT", "client_secret": "secret"}

    def setUp(self):
        super().setUp()
        self.stage.secret("client_secret", "secret")
        for name in ("one", "two"):
            self.stage.secret(name, f"1000.{name}.{name}")
        self.sim = self.stage.sim(script={
            "clients": [{**self.CLIENT, "refresh_token": f"1000.{name}.{name}"}
                        for name in ("one", "two")],
            "datacenters": {"eu": {"tokens": [TOKEN]}},
            "jobs": [{"id": "*", "duration": "1h"}]})

    def account(self, jobs, credits_per_day, refresh_token="one"):
        return {"datacenter": "eu", "client_id": self.CLIENT["client_id"],
                "client_secret_file": str(self.stage.dir / "client_secret"),
                "refresh_token_file": str(self.stage.dir / refresh_token),
                "credits_per_day": credits_per_day, "jobs": jobs}

    def asked(self, *first_digits):
        """Polls of the jobs whose ids begin so."""
        return sum(1 for request in self.sim.requests() if request["method"] == "GET"
                   and request["path"].rpartition("/")[2][0] in first_digits)

    def wait_held(self, daemon, *names):
        for name in names:
            wait_for(lambda n=name: daemon.account(n)["reason"] == "credits",
                     f"the end of the credits of {name}", why=lambda n=name: str(daemon.account(n)))
            self.assertEqual(daemon.account(name)["state"], "held")

    def ledger(self, daemon, name):
        return daemon.account(name)["ledger"]

    def test_the_lowest_ceiling_counts_for_all(self):
        """40 requests together, over kill -9 and restarts; another refresh token is another
        ledger."""
        self.stage.config({"acme": self.account(ids(10, 3), 1000),
                           "beta": self.account(ids(20, 3), 40),
                           "idle": self.account([], 500),
                           "other": self.account(ids(30, 1), 1000000, "two"),
                           "ready": self.stage.account(ids(40, 1))})
        daemon = self.stage.start()
        # Before any of them polled.
        self.assertEqual(self.ledger(daemon, "idle")["credits_per_day"], 40)
        self.assertEqual(daemon.account("acme")["limits"]["credits_per_day"], 1000)
        self.assertEqual(self.ledger(daemon, "other")["credits_per_day"], 1000000)
        wait_for(lambda: self.asked("1", "2") >= 15, "some polls")
        daemon.kill()
        daemon = self.stage.start()
        self.wait_held(daemon, "acme", "beta", "idle")
        self.assertLessEqual(self.asked("1", "2"), 40)
        # A kill forfeits one that was reserved.
        self.assertGreaterEqual(self.asked("1", "2"), 38)
        self.assertGreater(self.asked("1"), 0)
        self.assertGreater(self.asked("2"), 0)
        sharers = {"acme": ["beta", "idle"], "beta": ["acme", "idle"], "idle": ["acme", "beta"],
                   "other": [], "ready": []}
        for name, others in sharers.items():
            self.assertEqual(sorted(self.ledger(daemon, name)["shared_with"]), others)
        for name in ("acme", "beta", "idle"):
            self.assertEqual(self.ledger(daemon, name)["left"], 0)
            self.assertEqual(self.ledger(daemon, name)["spent"],
                             self.ledger(daemon, "beta")["spent"])
        why = daemon.get("/v1/jobs/acme/10/why").json()
        self.assertEqual(why["reason"], "credits")
        self.assertIn("40 credits", why["sentence"])
        self.assertEqual(daemon.stop(), 0)
        daemon = self.stage.start()
        before = self.asked("3"), self.asked("4")
        wait_for(lambda: self.asked("3") > before[0] + 5 and self.asked("4") > before[1] + 5,
                 "the polls of the others")
        self.wait_held(daemon, "acme", "beta", "idle")
        self.assertLessEqual(self.asked("1", "2"), 40)
        for name in ("other", "ready"):
            self.assertEqual(daemon.account(name)["state"], "ok")

        # A higher ceiling: at once, for all of them.
        spent = self.ledger(daemon, "acme")["spent"]
        self.stage.config({"acme": self.account(ids(10, 3), 60),
                           "beta": self.account(ids(20, 3), 70)})
        self.assertEqual(daemon.reload().status, 200)
        wait_for(lambda: self.ledger(daemon, "beta")["spent"] == 60, "the further credits")
        self.wait_held(daemon, "acme", "beta")
        self.assertLessEqual(self.asked("1", "2"), 60)
        self.assertGreaterEqual(self.asked("1", "2"), 38 + 60 - spent)
        self.assertEqual(self.ledger(daemon, "acme")["shared_with"], ["beta"])
        self.assertEqual(daemon.stop(), 0)

    def test_what_was_spent_moves_with_the_account(self):
        def config(acme, beta):
            self.stage.config({"acme": acme, "beta": beta})

        def own(jobs, credits_per_day):
            return {**self.stage.account(jobs), "credits_per_day": credits_per_day}

        acme, beta = ids(10, 2), ids(20, 2)
        # Each its own ledger.
        config(own(acme, 20), self.account(beta, 10, "two"))
        daemon = self.stage.start()
        self.wait_held(daemon, "acme", "beta")
        self.assertEqual((self.asked("1"), self.asked("2")), (20, 10))

        # Into one that is new, by a reload; beta follows: into the same, which is not new then.
        config(self.account(acme, 20), self.account(beta, 10, "two"))
        self.assertEqual(daemon.reload().status, 200)
        self.wait_held(daemon, "acme")
        config(self.account(acme, 25), self.account(beta, 25))
        self.assertEqual(daemon.reload().status, 200)
        wait_for(lambda: self.ledger(daemon, "beta")["spent"] == 25, "five more together")
        self.wait_held(daemon, "acme", "beta")
        self.assertEqual(self.ledger(daemon, "beta")["shared_with"], ["acme"])
        self.assertEqual(self.asked("1", "2"), 35)

        # Back, while no daemon runs: acme's own ledger of old says 20, but it may have spent 25.
        before = self.asked("1")
        self.assertEqual(daemon.stop(), 0)
        config(own(acme, 28), self.account(beta, 25))
        daemon = self.stage.start()
        self.wait_held(daemon, "acme", "beta")
        self.assertEqual(self.ledger(daemon, "acme")["spent"], 28)
        self.assertEqual(self.ledger(daemon, "acme")["shared_with"], [])
        self.assertEqual(self.asked("1") - before, 3)
        self.assertEqual(self.asked("1", "2"), 38)

        # And there again, killed at once: nothing doubles, nothing is lost.
        config(self.account(acme, 28), self.account(beta, 28))
        daemon.kill()
        daemon = self.stage.start()
        daemon.kill()
        daemon = self.stage.start()
        self.wait_held(daemon, "acme", "beta")
        self.assertEqual(self.ledger(daemon, "beta")["spent"], 28)
        self.assertLessEqual(self.asked("1"), 28)
        self.assertEqual(daemon.stop(), 0)

    def test_accounts_that_begin_to_share_bring_all_they_spent(self):
        def ready(jobs, credits_per_day):
            return {**self.stage.account(jobs), "credits_per_day": credits_per_day}

        self.stage.config({"acme": ready(ids(10, 2), 12), "beta": ready(ids(20, 2), 8)})
        daemon = self.stage.start()
        self.wait_held(daemon, "acme", "beta")
        self.assertEqual((self.asked("1"), self.asked("2")), (12, 8))
        self.stage.config({"acme": self.account(ids(10, 2), 23),
                           "beta": self.account(ids(20, 2), 30)})
        self.assertEqual(daemon.reload().status, 200)
        wait_for(lambda: self.ledger(daemon, "beta")["spent"] == 23, "three more together")
        self.wait_held(daemon, "acme", "beta")
        self.assertEqual(self.asked("1", "2"), 23)

        # Another refresh token in the same file: the same accounts go on where they were.
        self.stage.secret("one", "1000.two.two")
        self.stage.config({"acme": self.account(ids(10, 2), 25),
                           "beta": self.account(ids(20, 2), 25)})
        self.assertEqual(daemon.reload().status, 200)
        wait_for(lambda: self.ledger(daemon, "acme")["spent"] == 25, "two more together")
        self.wait_held(daemon, "acme", "beta")
        self.assertEqual(self.asked("1", "2"), 25)
        self.assertEqual(daemon.stop(), 0)
        for path in self.stage.state_dir.glob("bulkwatch.db*"):
            self.assertNotIn(b"1000.two.two", path.read_bytes())
            self.assertNotIn(b"1000.one.one", path.read_bytes())


if __name__ == "__main__":
    unittest.main()
