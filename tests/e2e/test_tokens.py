#!/usr/bin/env python3
"""Access tokens from refresh tokens: as few as possible, kept over restarts, sent nowhere else."""

import pathlib
import re
import unittest

from harness import QUIET_S, TOKEN, TestCase, assert_unchanged, children_of, wait_for

CLIENT = "1000.CLIENT0ID"
# Characters that a form must escape, and that a careless grep would find anyway.
SECRET = "canarysecret+/&=%7a"
REFRESH = "1000.canaryrefresh0123456789abcdef.fedcba"
LIFE = [{"state": "ADDED", "polls": 1}, {"state": "IN PROGRESS", "polls": 2},
        {"state": "COMPLETED"}]
SLOW = [{"state": "IN PROGRESS"}]


def client(**more):
    return {"client_id": CLIENT, "client_secret": SECRET, "refresh_token": REFRESH, **more}


class Tokens(TestCase):
    def setUp(self):
        super().setUp()
        self.put_secrets(self.stage)

    def put_secrets(self, stage, secret=SECRET, refresh=REFRESH):
        stage.secret("client_secret", secret)
        stage.secret("refresh_token", refresh)

    def account(self, jobs, **more):
        return {"datacenter": "eu", "client_id": CLIENT,
                "client_secret_file": str(self.stage.dir / "client_secret"),
                "refresh_token_file": str(self.stage.dir / "refresh_token"),
                "jobs": jobs, **more}

    def sim(self, *options, life=LIFE, faults=(), clients=None, dcs=("eu",), **more):
        script = {"clients": [client()] if clients is None else clients,
                  "jobs": [{"id": "*", "life": life}], "faults": list(faults), **more}
        return self.stage.sim(*options, dcs=dcs, script=script)

    def asked(self):
        """How often the simulator was asked for a token."""
        return sum(r["path"] == "/oauth/v2/token" for r in self.stage.simulator.requests())

    def refused(self):
        return sum(r["status"] == 401 for r in self.stage.simulator.requests())

    def account_events(self, daemon):
        return [(e["type"], e["account"]) for e in daemon.events()
                if e["type"].startswith("account.")]

    def wait_paused(self, daemon, name, reason):
        wait_for(lambda: daemon.account(name)["state"] == "paused", f"the pause of {name}",
                 why=lambda: str(daemon.account(name)))
        account = daemon.account(name)
        self.assertEqual(account["reason"], reason, account)
        return account


class Few(Tokens):
    def test_one_for_all_and_none_at_a_restart(self):
        """60 jobs, two accounts, one refresh token: one request; none after a restart."""
        self.sim()
        self.stage.config({"acme": self.account([str(1000 + i) for i in range(30)]),
                           "beta": self.account([str(2000 + i) for i in range(30)])})
        daemon = self.stage.start()
        daemon.wait_finished(60)
        self.assertEqual(self.asked(), 1)
        self.assertEqual(self.refused(), 0)
        token = daemon.account("acme")["token"]
        self.assertEqual(token["state"], "ok")
        self.assertEqual(token["accounts"], 2)
        self.assertRegex(token["expires"], r"^20\d\d-.*Z$")
        self.assertIsNone(token["problem"])
        self.assertEqual(daemon.account("beta")["token"]["accounts"], 2)
        self.assert_stops(daemon)
        daemon = self.stage.start()
        self.assertEqual(daemon.post("/v1/jobs", {"account": "acme", "id": "9"}).status, 201)
        daemon.wait_finished(61)
        self.assertEqual(self.asked(), 1)
        # Killed, it asks no more than when it was stopped.
        daemon.kill()
        daemon = self.stage.start()
        self.assertEqual(daemon.post("/v1/jobs", {"account": "beta", "id": "8"}).status, 201)
        daemon.wait_finished(62)
        self.assertEqual(self.asked(), 1)
        self.assertEqual(self.account_events(daemon), [])
        self.assert_stops(daemon)

    def test_the_file_is_ours_alone(self):
        self.sim()
        self.stage.config({"acme": self.account(["1"])})
        daemon = self.stage.start()
        daemon.wait_finished(1)
        directory = self.stage.state_dir / "tokens"
        files = list(directory.iterdir())
        self.assertEqual(len(files), 1)
        self.assertRegex(files[0].name, r"^[0-9a-f]{32}\.token$")
        self.assertEqual(directory.stat().st_mode & 0o777, 0o700)
        self.assertEqual(files[0].stat().st_mode & 0o777, 0o600)
        text = files[0].read_text()
        for secret in (CLIENT, SECRET, REFRESH):
            self.assertNotIn(secret, text)
        # A damaged one, or one that others can read, counts as none.
        self.assert_stops(daemon)
        files[0].write_text(text[:len(text) // 2])
        daemon = self.stage.start()
        daemon.post("/v1/jobs", {"account": "acme", "id": "2"})
        daemon.wait_finished(2)
        self.assertEqual(self.asked(), 2)
        self.assert_stops(daemon)
        files[0].chmod(0o644)
        daemon = self.stage.start()
        daemon.post("/v1/jobs", {"account": "acme", "id": "3"})
        daemon.wait_finished(3)
        self.assertEqual(self.asked(), 3)
        self.assertEqual(files[0].stat().st_mode & 0o777, 0o600)

    def test_throttled(self):
        """By status alone, whatever the language; held long, over a restart too."""
        for fault in ("throttled", "throttled_translated"):
            with self.subTest(fault):
                self.stage = self.new_stage()
                self.put_secrets(self.stage)
                self.sim(faults=[{"what": fault}])
                self.stage.config({"acme": self.account(["1", "2"])})
                daemon = self.stage.start()
                wait_for(lambda: daemon.account("acme")["state"] == "held", "the hold")
                account = daemon.account("acme")
                self.assertEqual(account["token"]["state"], "held")
                self.assertTrue(account["detail"], account)
                self.assertEqual(account["next_probe"], account["token"]["held_until"])
                self.assertIsNotNone(account["next_probe"])
                self.assert_stops(daemon)
                daemon = self.stage.start()
                wait_for(lambda: daemon.account("acme")["state"] == "held", "the hold")
                self.assertEqual(daemon.reload().status, 200)
                asked = assert_unchanged(self.asked, QUIET_S, "requests while throttled")
                self.assertEqual(asked, 1)
                # Nobody was paused for it, and no job's state moved.
                self.assertNotIn(("account.paused", "acme"), self.account_events(daemon))
                self.assertEqual({j["state"] for j in daemon.jobs("&account=acme")}, {"PENDING"})
                self.assert_stops(daemon)

    def test_never_more_than_five(self):
        """Whatever the API says of the tokens, and however often it is started."""
        self.sim(faults=[{"what": "invalid_token", "path": "api"}])
        self.stage.config({"acme": self.account(["1", "2", "3"])})
        for _ in range(8):
            daemon = self.stage.start()
            wait_for(lambda: daemon.account("acme")["state"] != "ok"
                     or daemon.account("acme")["polls"] > 2, "a pause")
            for _ in range(3):
                self.assertEqual(daemon.reload().status, 200)
            daemon.kill()
        self.assertLessEqual(self.asked(), 5)

    def test_passing_errors_of_the_accounts_server(self):
        """Each in a data center of its own: one more request, and nobody is paused."""
        faults = {"server": "500", "gateway": "502", "html": "html", "none": "empty",
                  "dropped": "drop", "reset": "reset", "no-token": "no_access_token",
                  "deep": "deep", "body": "endless_body", "headers": "endless_headers",
                  "cut": "truncate", "redirect": "302"}
        self.sim(dcs=tuple(faults), faults=[
            {"dc": dc, "what": what, "path": "token", "times": 1, **(
                {"location": "http://127.0.0.1:9/"} if what == "302" else {})}
            for dc, what in faults.items()])
        self.stage.config({dc: self.account([str(i)], datacenter=dc)
                           for i, dc in enumerate(faults)})
        daemon = self.stage.start()
        daemon.wait_finished(len(faults))
        self.assertEqual(self.account_events(daemon), [])
        for dc in faults:
            n = sum(r["dc"] == dc and r["path"] == "/oauth/v2/token"
                    for r in self.stage.simulator.requests())
            self.assertEqual(n, 2, dc)
        self.assert_stops(daemon)

    def test_milliseconds_of_old(self):
        self.sim(faults=[{"what": "legacy_milliseconds"}])
        self.stage.config({"acme": self.account(["1"])})
        daemon = self.stage.start()
        daemon.wait_finished(1)
        self.assertEqual(self.asked(), 1)
        self.assertEqual(daemon.account("acme")["token"]["state"], "ok")


class Refused(Tokens):
    def test_revoked_in_mid_life(self):
        """One refresh, no pause, and every job goes on."""
        sim = self.sim("--admin", life=[{"state": "ADDED", "polls": 3},
                                        {"state": "IN PROGRESS", "for": "2s"},
                                        {"state": "COMPLETED"}])
        self.stage.config({"acme": self.account([str(i) for i in range(1, 11)]),
                           "beta": self.account([str(i) for i in range(11, 21)])})
        daemon = self.stage.start()
        wait_for(lambda: any(job["state"] == "IN PROGRESS" for job in daemon.jobs()),
                 "jobs in progress")
        sim.admin("POST", "/revoke")
        daemon.wait_finished(20)
        self.assertEqual(self.asked(), 2)
        self.assertGreater(self.refused(), 0)
        self.assertEqual(self.account_events(daemon), [])
        for job in daemon.jobs():
            self.assertIsNone(job["last_error"], job)
        self.assert_stops(daemon)

    def test_a_fresh_token_refused_pauses(self):
        self.sim(faults=[{"what": "invalid_token", "path": "api"}])
        self.stage.config({"acme": self.account(["1", "2", "3", "4", "5"]),
                           "beta": self.account(["6", "7"]), "gamma": self.account(["8"])})
        daemon = self.stage.start()
        self.wait_paused(daemon, "gamma", "token")
        self.wait_paused(daemon, "beta", "token")
        account = self.wait_paused(daemon, "acme", "token")
        self.assertIn("data center", account["detail"])
        self.assertEqual(assert_unchanged(self.asked, QUIET_S, "requests of a paused account"), 2,
                         self.stage.simulator.requests())
        self.assertEqual({j["state"] for j in daemon.jobs()}, {"PENDING"})

    def test_one_that_is_always_refused_beside_a_good_one(self):
        """They share their tokens; the one's trouble costs the other nothing."""
        self.sim(life=[{"state": "IN PROGRESS", "for": "2s"}, {"state": "COMPLETED"}], jobs=[
            {"id": "1", "life": [{"fault": "invalid_token"}]},
            {"id": "*", "life": [{"state": "IN PROGRESS", "for": "2s"}, {"state": "COMPLETED"}]}])
        self.stage.config({"bad": self.account(["1"]),
                           "good": self.account([str(i) for i in range(10, 20)])})
        daemon = self.stage.start()
        self.wait_paused(daemon, "bad", "token")
        daemon.wait_finished(10)
        self.assertLessEqual(self.asked(), 3)
        self.assertEqual(self.account_events(daemon), [("account.paused", "bad")])

    def test_a_wrong_secret_until_the_file_is_replaced(self):
        self.stage.secret("client_secret", "wrong")
        self.sim()
        self.stage.config({"acme": self.account(["1", "2"]), "beta": self.account(["3"])})
        daemon = self.stage.start()
        account = self.wait_paused(daemon, "acme", "grant")
        self.assertIn("client_secret_file", account["detail"])
        self.assertEqual(account["token"]["state"], "refused")
        self.wait_paused(daemon, "beta", "grant")
        self.assertEqual(assert_unchanged(self.asked, QUIET_S, "requests with a wrong secret"), 1)
        self.stage.secret("client_secret", SECRET)
        daemon.wait_finished(3)
        self.assertEqual(self.asked(), 2)
        self.assertEqual(sorted(self.account_events(daemon)),
                         [("account.paused", "acme"), ("account.paused", "beta"),
                          ("account.resumed", "acme"), ("account.resumed", "beta")])
        self.assertEqual(daemon.account("acme")["token"]["state"], "ok")
        self.assert_stops(daemon)

    def test_a_wrong_refresh_token_and_a_wrong_client(self):
        self.stage.secret("refresh_token", "1000.wrong.wrong")
        self.sim()
        self.stage.config({"acme": self.account(["1"]),
                           "beta": self.account(["2"], client_id="1000.WRONG")})
        daemon = self.stage.start()
        self.assertIn("refresh_token_file", self.wait_paused(daemon, "acme", "grant")["detail"])
        self.assertIn("client_id", self.wait_paused(daemon, "beta", "grant")["detail"])
        self.stage.secret("refresh_token", REFRESH)
        self.stage.config({"acme": self.account(["1"]), "beta": self.account(["2"])})
        self.assertEqual(daemon.reload().status, 200)
        daemon.wait_finished(2)
        self.assertEqual(self.asked(), 3)

    def test_a_secret_that_cannot_be_read(self):
        """Only once the daemon runs: at its start that is an error of the configuration."""
        self.sim()
        self.stage.config({"acme": self.account(["1"])})
        daemon = self.stage.start()
        daemon.wait_finished(1)
        (self.stage.dir / "refresh_token").chmod(0o644)
        self.stage.config({"acme": self.account(["1", "2"])})
        self.assertEqual(daemon.reload().status, 422)
        (self.stage.dir / "refresh_token").chmod(0o600)
        self.assertEqual(daemon.reload().status, 200)
        daemon.wait_finished(2)
        self.assertEqual(self.asked(), 1)

    def test_what_was_read_stays_in_use_and_that_is_said(self):
        """Of secrets that tokens are made from, and of a ready token."""
        self.sim(life=[{"state": "IN PROGRESS", "for": "1h"}],
                 datacenters={"eu": {"tokens": [TOKEN]}})
        self.stage.secret("ready", TOKEN)
        self.stage.config({"acme": self.account(["1"]),
                           "beta": {"datacenter": "eu", "jobs": ["2"],
                                    "access_token_file": str(self.stage.dir / "ready")}})
        daemon = self.stage.start()
        wait_for(lambda: {job["state"] for job in daemon.jobs()} == {"IN PROGRESS"}, "answers")
        for account, name, spoil, words in (
                ("acme", "client_secret", lambda p: p.unlink(), "No such file"),
                ("acme", "client_secret", lambda p: p.chmod(0o644), "open to others"),
                ("acme", "refresh_token", lambda p: p.write_text("a\nb\n"), "more than one line"),
                ("beta", "ready", lambda p: p.write_text(""), "holds no secret"),
                ("beta", "ready", lambda p: p.unlink(), "No such file")):
            with self.subTest(account=account, words=words):
                path = self.stage.dir / name
                kept = path.read_text()
                spoil(path)
                wait_for(lambda: daemon.account(account)["token"]["problem"], "the problem",
                         why=lambda: str(daemon.account(account)))
                shown = daemon.account(account)
                self.assertIn(words, shown["token"]["problem"])
                self.assertIn(str(path), shown["token"]["problem"])
                self.assertEqual((shown["state"], shown["token"]["state"]), ("ok", "ok"))
                polls = shown["polls"]
                wait_for(lambda: daemon.account(account)["polls"] > polls + 5, "polls go on")
                said = f"account {account}: {path}: "
                warnings = [line for line in self.stage.log().splitlines()
                            if said in line and words in line]
                self.assertEqual(len(warnings), 1, self.stage.log())
                self.assertIn("warning", warnings[0])
                path.unlink(missing_ok=True)
                self.stage.secret(name, kept)
                wait_for(lambda: daemon.account(account)["token"]["problem"] is None, "the mending")
        self.assertEqual(self.account_events(daemon), [])

    def test_a_foreign_api_domain(self):
        self.sim(faults=[{"what": "foreign_api_domain"}])
        self.stage.config({"acme": self.account(["1", "2"])})
        daemon = self.stage.start()
        account = self.wait_paused(daemon, "acme", "api_domain")
        self.assertIn("zohoapis.invalid", account["detail"])
        assert_unchanged(lambda: len(self.stage.simulator.requests()), QUIET_S,
                         "requests with a foreign token")
        self.assertEqual(self.asked(), len(self.stage.simulator.requests()))
        self.assertEqual(self.account_events(daemon), [("account.paused", "acme")])

    def test_from_a_ready_token_to_a_refresh_token_and_back(self):
        self.sim("--admin", life=SLOW, datacenters={"eu": {"tokens": [TOKEN]}})
        ready = self.stage.account(["1"])
        self.stage.config({"acme": ready})
        daemon = self.stage.start()
        wait_for(lambda: daemon.job("acme", "1")["state"] == "IN PROGRESS", "an answer")
        self.assertEqual(self.asked(), 0)
        self.stage.config({"acme": self.account(["1"])})
        self.assertEqual(daemon.reload().status, 200)
        wait_for(self.asked, "a token")
        polls = daemon.job("acme", "1")["polls"]
        wait_for(lambda: daemon.job("acme", "1")["polls"] > polls + 2, "polls")
        self.assertEqual(daemon.account("acme")["token"]["state"], "ok")
        self.stage.config({"acme": ready})
        self.assertEqual(daemon.reload().status, 200)
        polls = daemon.job("acme", "1")["polls"]
        wait_for(lambda: daemon.job("acme", "1")["polls"] > polls + 2, "polls")
        self.assertIsNone(daemon.account("acme")["token"]["expires"])
        self.assertEqual(self.asked(), 1)
        self.assertEqual(self.refused(), 0)
        self.assert_stops(daemon)


class Crm(Tokens):
    """The twin service, by the same engine."""

    def test_jobs_of_crm(self):
        self.sim()
        self.stage.config({"acme": self.account(["1"], service="crm"),
                           "beta": self.account(["1"])}, hooks={"hook": self.stage.hook()})
        daemon = self.stage.start()
        daemon.wait_finished(2)
        records = {record.job[0]: record for record in self.stage.wait_records(2)}
        self.assertEqual(records["acme"].env["BULKWATCH_SERVICE"], "crm")
        self.assertEqual(records["beta"].env["BULKWATCH_SERVICE"], "bigin")
        # An object there, a word here: the module's name is the same.
        self.assertEqual(records["acme"].env["BULKWATCH_MODULE"],
                         records["beta"].env["BULKWATCH_MODULE"])
        self.assertTrue(records["acme"].env["BULKWATCH_MODULE"])
        self.assertIn("/crm/bulk/", records["acme"].env["BULKWATCH_DOWNLOAD_URL"])
        paths = {r["path"] for r in self.stage.simulator.requests() if r["method"] == "GET"}
        self.assertEqual(paths, {"/crm/bulk/v8/read/1", "/bigin/bulk/v2/read/1"})
        self.assertEqual(self.asked(), 1)
        self.assert_stops(daemon)


class Secrets(Tokens):
    def test_none_of_them_is_to_be_found(self):
        """In logs, sockets, database, and what the processes show of themselves."""
        sim = self.sim(life=[{"state": "IN PROGRESS", "for": "1s"}, {"state": "COMPLETED"}])
        sleeper = self.stage.hook(then="exec sleep 60\n", on=["job.completed"])
        self.stage.config({"acme": self.account(["1", "2"])}, hooks={"hook": sleeper},
                          log_level="debug", drain_timeout="0s")
        daemon = self.stage.start()
        daemon.wait_finished(2)
        self.stage.wait_records(2)
        text = next((self.stage.state_dir / "tokens").glob("*.token")).read_text()
        token = re.search(r"^access_token (\S+)$", text, re.M)[1]
        self.assertTrue(token.startswith("1000."))
        canaries = [SECRET, REFRESH, token]
        seen = {"log": self.stage.log().encode(), "sim": sim.log_file.read_bytes()}
        for path in ("status", "jobs", "accounts", "hooks", "events?after=0", "jobs/acme/1",
                     "jobs/acme/1/history"):
            reply = daemon.get("/v1/" + path)
            self.assertEqual(reply.status, 200)
            seen[path] = reply.data
        for pid in [daemon.pid, *children_of(daemon.pid)]:
            for name in ("environ", "cmdline"):
                try:
                    seen[f"{pid}/{name}"] = pathlib.Path(f"/proc/{pid}/{name}").read_bytes()
                except OSError:
                    self.assertNotEqual(pid, daemon.pid)  # a program that has ended
        for record in self.stage.records():
            seen[f"record {record.seq}"] = record.body + repr(record.env).encode()
        daemon.stop()
        seen["log at the end"] = self.stage.log().encode()
        for path in self.stage.state_dir.rglob("*"):
            if path.is_file() and path.suffix != ".token":
                seen[path.name] = path.read_bytes()
        self.assertIn("bulkwatch.db", seen)
        for name, data in seen.items():
            for canary in canaries:
                self.assertNotIn(canary.encode(), data, name)
        # The search itself finds what is there.
        self.assertIn(CLIENT.encode(), seen["log"])


if __name__ == "__main__":
    unittest.main()
