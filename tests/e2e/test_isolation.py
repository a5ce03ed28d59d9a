#!/usr/bin/env python3
"""One data center's or account's trouble is nobody else's."""

import time
import unittest

from harness import QUIET_S, TOKEN, TestCase, assert_unchanged, wait_for

N = 200
# How much longer a healthy data center may take beside a sick one than beside another healthy one.
SLOWER_AT_MOST = 1.5
SLOWER_AT_MOST_S = 1.0
LIFE = [{"state": "ADDED", "polls": 1}, {"state": "IN PROGRESS", "polls": 1},
        {"state": "COMPLETED"}]


class Isolation(TestCase):
    alone_s = None  # measured once

    def run_two(self, faults=()):
        """The time in which well's jobs finish, beside those of other, which has the faults."""
        stage = self.new_stage()
        sim = stage.sim(dcs=("well", "other"), script={
            "jobs": [{"id": "*", "life": LIFE}],
            "faults": [{"dc": "other", **fault} for fault in faults]})
        stage.config({"a-other": stage.account([str(1000 + i) for i in range(N)], "other",
                                                max_in_flight=50),
                      "b-well": stage.account([str(2000 + i) for i in range(N)], "well")},
                     hooks={"load": {"exec": ["/bin/true"], "parallel": 8}},
                     poll={"min_interval": "100ms", "max_interval": "200ms", "timeout": "2s"})
        began = time.monotonic()
        daemon = stage.start()
        wait_for(lambda: self.finished(daemon, "b-well") == N, "the healthy account's jobs",
                 why=lambda: str(daemon.counts()))
        return sim, daemon, time.monotonic() - began

    @staticmethod
    def finished(daemon, account):
        return len(daemon.jobs(f"&account={account}&finished=true"))

    def check(self, faults, more=None):
        if Isolation.alone_s is None:
            _, daemon, Isolation.alone_s = self.run_two()
            wait_for(lambda: self.finished(daemon, "a-other") == N, "the other account's jobs")
            self.assert_stops(daemon)
        sim, daemon, beside_s = self.run_two(faults)
        self.assertLess(beside_s, self.alone_s * SLOWER_AT_MOST + SLOWER_AT_MOST_S)
        self.assertLess(self.finished(daemon, "a-other"), N)
        for job in daemon.jobs("&account=a-other"):
            self.assertIn(job["state"], ("PENDING", "ADDED", "IN PROGRESS", "COMPLETED"))
        self.assertEqual(daemon.account("b-well")["state"], "ok")
        if more:
            more(daemon, sim)
        daemon.wait_delivered()
        self.assert_stops(daemon)

    def error_classes(self, daemon):
        return {job["last_error"]["class"] for job in daemon.jobs("&account=a-other")
                if job["last_error"]}

    def check_few_polls(self, class_name):
        """A data center that is not well is asked little, and nobody's state moves."""
        def look(daemon, sim):
            wait_for(lambda: class_name in self.error_classes(daemon), "the errors",
                     why=lambda: str(self.error_classes(daemon)))
            self.assertEqual({job["state"] for job in daemon.jobs("&account=a-other")},
                             {"PENDING"})
            self.assertLess(sum(r["dc"] == "other" for r in sim.requests()), N)
        return look

    def test_a_hanging_data_center(self):
        self.check([{"what": "hang"}], self.check_few_polls("timeout"))

    def test_server_errors(self):
        self.check([{"what": "503"}], self.check_few_polls("server"))

    def test_dropped_connections(self):
        self.check([{"what": "drop"}], self.check_few_polls("broken"))

    def test_refused_connections(self):
        self.check([{"what": "refuse"}], self.check_few_polls("connect"))

    def test_half_of_the_answers_are_errors(self):
        """Troubles that come and go delay, no more."""
        stage = self.stage
        sim = stage.sim(script={"jobs": [{"id": "*", "life": LIFE}], "faults": [
            {"what": "500", "every": 5}, {"what": "drop", "every": 7},
            {"what": "truncate", "every": 11}, {"what": "html", "every": 13}]})
        stage.config({"acme": stage.account([str(i) for i in range(20)])},
                     poll={"min_interval": "20ms", "max_interval": "50ms"})
        daemon = stage.start()
        daemon.wait_finished(20)
        self.assertGreater(sum(r["fault"] is not None for r in sim.requests()), 10)
        self.assert_stops(daemon)
        for row in stage.transitions():
            self.assertIn(row["to_state"], {step["state"] for step in LIFE})
        self.assertEqual(len(stage.transitions()), 20 * len(LIFE))


class Throttling(TestCase):
    """429 holds its account: the others of the data center go on."""

    def test_429_holds_only_its_account(self):
        stage = self.stage
        held = [str(1000 + i) for i in range(20)]
        free = [str(2000 + i) for i in range(20)]
        sim = stage.sim(script={
            "jobs": [{"id": "1000-1019", "life": LIFE, "faults": [{"what": "429"}]},
                     {"id": "2000-2019", "life": LIFE}]})
        stage.config({"held": stage.account(held), "free": stage.account(free)})
        daemon = stage.start()
        wait_for(lambda: len(daemon.jobs("&account=free&finished=true")) == 20, "the free account")
        account = daemon.account("held")
        self.assertEqual(account["state"], "held")
        self.assertTrue(account["reason"])
        self.assertEqual(daemon.account("free")["state"], "ok")
        # As many as were on their way at once.
        polls = assert_unchanged(lambda: sum(r["job"] in held for r in sim.requests()), QUIET_S,
                                 "polls of a held account")
        self.assertLessEqual(polls, 4)
        self.assertEqual({job["state"] for job in daemon.jobs("&account=held")}, {"PENDING"})
        self.assertNotIn("account.paused", {event["type"] for event in daemon.events()})

    def test_retry_after_is_kept_to_and_all_goes_on(self):
        stage = self.stage
        sim = stage.sim(script={"jobs": [{"id": "*", "life": LIFE}],
                                "faults": [{"what": "429", "times": 1, "retry_after": "2"}]})
        stage.config({"acme": stage.account(["1", "2", "3"], max_in_flight=1)})
        daemon = stage.start()
        wait_for(lambda: daemon.account("acme")["state"] == "held", "the hold")
        began = time.monotonic()
        daemon.wait_finished(3)
        self.assertGreater(time.monotonic() - began, 1.5)
        self.assertEqual(daemon.account("acme")["state"], "ok")
        self.assertEqual([r["status"] for r in sim.requests()].count(429), 1)

    def test_a_refused_token_pauses_only_its_account(self):
        stage = self.stage
        stage.secret("bad", "1000.bad.bad")
        sim = stage.sim(script={"jobs": [{"id": "*", "life": LIFE}],
                                "datacenters": {"eu": {"tokens": [TOKEN]}}})
        bad = {**stage.account(["1", "2"]), "access_token_file": str(stage.dir / "bad")}
        stage.config({"bad": bad, "good": stage.account(["3", "4"])})
        daemon = stage.start()
        daemon.wait_finished(2)
        wait_for(lambda: daemon.account("bad")["state"] == "paused", "the pause")
        assert_unchanged(lambda: sum(r["status"] == 401 for r in sim.requests()), QUIET_S,
                         "polls of a paused account")
        self.assertEqual(daemon.account("good")["state"], "ok")
        events = [e for e in daemon.events() if e["type"].startswith("account.")]
        self.assertEqual([(e["type"], e["account"]) for e in events], [("account.paused", "bad")])
        # Its secret is replaced: it is asked at once, without a reload.
        (stage.dir / "bad").unlink()
        stage.secret("bad", TOKEN)
        daemon.wait_finished(4)
        events = [e for e in daemon.events() if e["type"].startswith("account.")]
        self.assertEqual([(e["type"], e["account"]) for e in events],
                         [("account.paused", "bad"), ("account.resumed", "bad")])
        self.assertEqual(daemon.account("bad")["state"], "ok")

    def test_in_flight_is_bounded_by_account(self):
        stage = self.stage
        sim = stage.sim("--admin", dcs=(), script={
            "jobs": [{"id": "*", "life": LIFE}],
            "datacenters": {"eu": {"latency": "50ms"}}})
        stage.config({"acme": stage.account([str(i) for i in range(30)], max_in_flight=3)})
        daemon = stage.start()
        daemon.wait_finished(30)
        self.assertEqual(sim.admin("GET", "/stats")["datacenters"]["eu"]["in_flight_max"], 3)


if __name__ == "__main__":
    unittest.main()
