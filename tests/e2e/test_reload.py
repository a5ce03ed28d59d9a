#!/usr/bin/env python3
"""Reloads in full flight: no event is lost or repeated, no hook runs twice."""

import itertools
import json
import pathlib
import subprocess
import unittest

from harness import BUILD, DEADLINE_S, QUIET_S, TOKEN, TestCase, assert_unchanged, opened_by, wait_for

N_MANY = 300
N_STEADY = 20
N_RELOADS = 6
N_SECRETS = 30
STATES = ["ADDED", "IN PROGRESS", "COMPLETED"]


class Many(TestCase):
    """Hundreds of jobs go and as many others come, again and again, while all are polled."""

    def test_hundreds_of_jobs_go_and_come(self):
        stage = self.stage
        self.sim = stage.sim(script={"jobs": [{"id": "*", "life": [
            # An answer that comes when its job is no longer watched is nobody's: one a reload.
            {"state": "ADDED", "polls": N_RELOADS + 2}, {"state": "IN PROGRESS", "polls": N_RELOADS + 2},
            {"state": "COMPLETED"}]}]})
        self.steady = [str(10000 + i) for i in range(N_STEADY)]
        self.groups = [[str(base + i) for i in range(N_MANY)] for base in (20000, 30000)]
        self.write(self.groups[0])
        daemon = stage.start()
        stream = daemon.follow()
        for i in range(1, N_RELOADS + 1):
            polls = len(self.sim.requests())
            wait_for(lambda: len(self.sim.requests()) > polls + 100 or
                     daemon.counts()["finished"] == daemon.counts()["watched"], "polls")
            self.write(self.groups[i % 2])
            result = daemon.reload()
            self.assertEqual(result.status, 200, result.data)
            told = result.json()
            self.assertEqual((told["watched"], told["unwatched"], told["kept"]),
                             (N_MANY, N_MANY, N_STEADY))
        self.write(self.groups[0] + self.groups[1])
        self.assertEqual(daemon.reload().status, 200)
        daemon.wait_finished(2 * N_MANY + N_STEADY, deadline_s=50)
        daemon.wait_delivered()
        events = daemon.events()
        wait_for(lambda: len(stream.told()) >= len(events), "the stream")
        self.assertEqual(stream.events(), events)
        stream.close()
        self.assert_stops(daemon)
        self.check_events(events)
        self.check_deliveries(events)
        self.check_polls()

    def write(self, many):
        """The many stand in a file of their own, the steady ones in the configuration."""
        stage = self.stage
        (stage.dir / "many.jobs").write_text(
            "# id, then its name\n" + "".join(f"{i} number {i}\n" for i in many))
        hooks = {"steady": stage.hook("steady", on=["job.*"]),
                 "count": {"exec": ["/bin/true"], "parallel": 4}}
        stage.config({"acme": stage.account(
            [{"id": i, "hooks": ["steady", "count"]} for i in self.steady],
            jobs_file="many.jobs", hooks=["count"], max_in_flight=20)}, hooks=hooks)

    def check_events(self, events):
        self.assertEqual([event["seq"] for event in events], list(range(1, len(events) + 1)))
        by_job = {}
        for event in events:
            by_job.setdefault(event["job_id"], []).append(event)
        self.assertEqual(set(by_job), {*self.steady, *self.groups[0], *self.groups[1]})
        for job_id, mine in by_job.items():
            steps = [e["to_state"] for e in mine if e["to_state"]]
            self.assertEqual(steps, STATES, job_id)
            froms = [e["from_state"] for e in mine if e["to_state"]]
            self.assertEqual(froms, [None, *STATES[:-1]])
            # Watched, then unwatched and watched in turn, and no step while nobody watches.
            is_watched = False
            for event in mine:
                if event["type"] in ("job.watched", "job.unwatched"):
                    self.assertNotEqual(is_watched, event["type"] == "job.watched", job_id)
                    is_watched = not is_watched
                else:
                    self.assertTrue(is_watched, (job_id, event["type"]))
            self.assertTrue(is_watched)
            n_watched = sum(e["type"] == "job.watched" for e in mine)
            if job_id in self.steady:
                self.assertEqual(n_watched, 1)
            else:
                self.assertEqual(n_watched, 1 + N_RELOADS // 2)

    def check_deliveries(self, events):
        rows = self.stage.rows("SELECT * FROM deliveries")
        completed = {e["seq"] for e in events if e["type"] == "job.completed"}
        count = [row for row in rows if row["hook"] == "count"]
        self.assertEqual(sorted(row["event_seq"] for row in count), sorted(completed))
        self.assertEqual({(row["state"], row["attempts"]) for row in rows}, {("delivered", 1)})
        due = [e["seq"] for e in events if e["job_id"] in self.steady]
        self.assertEqual([record.seq for record in self.stage.records()], due)

    def check_polls(self):
        """A job that is finished is not polled when it is watched once more."""
        for _, polls in itertools.groupby(
                sorted(self.sim.requests(), key=lambda r: (r["job"], r["seq"])),
                key=lambda r: r["job"]):
            states = [r["state"] for r in polls]
            # One whose answer came when it was no longer watched is asked again, once a reload.
            self.assertLessEqual(states.count("COMPLETED"), 1 + N_RELOADS)
            self.assertEqual(states[-1], "COMPLETED")


class Changes(TestCase):
    def setUp(self):
        super().setUp()
        self.sim = self.stage.sim("--admin", script={"jobs": [
            {"id": "1-9", "life": [{"state": "ADDED"}]},
            {"id": "10-19", "life": [{"state": "ADDED", "polls": 2}, {"state": "COMPLETED"}]},
            {"id": "20", "life": [{"state": "ADDED"}],
             "faults": [{"what": "invalid_token", "times": 1}]}]})

    def types(self, daemon, job_id):
        history = daemon.get(f"/v1/jobs/acme/{job_id}/history").json()["events"]
        return [event["type"] for event in history]

    def polls(self, job_id):
        return sum(r["job"] == job_id for r in self.sim.requests())

    def test_a_job_leaves_and_comes_back(self):
        stage = self.stage
        stage.config({"acme": stage.account(["1", "2"])})
        daemon = stage.start()
        wait_for(lambda: self.polls("1") and self.polls("2"), "polls")
        wait_for(lambda: len(self.types(daemon, "2")) == 2, "its first state")
        stage.config({"acme": stage.account(["1"])})
        self.assertEqual(daemon.reload().status, 200)
        self.assertEqual([job["id"] for job in daemon.jobs()], ["1"])
        gone = daemon.job("acme", "2")
        self.assertEqual((gone["state"], gone["watched"], gone["next_poll"]),
                         ("ADDED", False, None))
        self.assertEqual(self.types(daemon, "2"), ["job.watched", "job.added", "job.unwatched"])
        # A request on its way may arrive yet.
        wait_for(lambda: daemon.status()["in_flight"] <= 1, "quiet")
        polls = self.polls("2")
        assert_unchanged(lambda: self.polls("2") <= polls + 1, QUIET_S, "polls of what left")
        stage.config({"acme": stage.account([{"id": "2", "name": "back again"}, "1"])})
        self.assertEqual(daemon.reload().status, 200)
        back = daemon.job("acme", "2")
        self.assertEqual((back["state"], back["watched"], back["name"]),
                         ("ADDED", True, "back again"))
        polls = self.polls("2")
        wait_for(lambda: self.polls("2") > polls, "polls of what came back")
        self.assertEqual(self.types(daemon, "2"),
                         ["job.watched", "job.added", "job.unwatched", "job.watched"])

    def test_keys_that_need_a_restart_are_named(self):
        stage = self.stage
        stage.config({"acme": stage.account(["1"])})
        daemon = stage.start()
        other = stage.dir / "other"
        other.mkdir()
        for changed in ({"state_dir": str(other)}, {"runtime_dir": str(other)},
                        {"max_clients": 7}):
            with self.subTest(changed=changed):
                stage.config({"acme": stage.account(["1", "2"])}, **changed)
                reply = daemon.reload()
                self.assertEqual(reply.status, 422)
                self.assertEqual(reply.content_type, "application/problem+json")
                self.assertIn(next(iter(changed)), reply.json()["detail"])
                self.assertEqual([job["id"] for job in daemon.jobs()], ["1"])
        stage.config({"acme": stage.account(["1"])}, max_clients=8, state_dir=str(other))
        self.assertRegex(daemon.reload().json()["detail"], "state_dir.*max_clients")

    def test_a_bad_config_is_refused_with_every_problem(self):
        stage = self.stage
        stage.config({"acme": stage.account(["1"])})
        daemon = stage.start()
        stage.config({"acme": stage.account(["1", "x"], nonsense=1)}, poll={"max_interval": "9"})
        reply = daemon.reload()
        self.assertEqual((reply.status, reply.content_type), (422, "application/problem+json"))
        problem = reply.json()
        self.assertEqual(problem["status"], 422)
        self.assertGreaterEqual(len(problem["errors"]), 3)
        text = stage.config_file.read_text().splitlines()
        for error in problem["errors"]:
            self.assertEqual(error["file"], str(stage.config_file))
            self.assertLessEqual(error["line"], len(text))
            self.assertTrue(error["detail"] and error["column"])
        self.assertEqual(len(daemon.jobs()), 1)
        polls = self.polls("1")
        wait_for(lambda: self.polls("1") > polls, "the old configuration at work")

    def test_a_new_token_is_taken_without_a_reload(self):
        stage = self.stage
        stage.config({"acme": stage.account(["1"])})
        stage.start()
        wait_for(lambda: self.polls("1") > 1, "polls")
        self.assertEqual(len({r["token"] for r in self.sim.requests()}), 1)
        stage.secret("token", TOKEN[::-1].replace("0001", "1000", 1))
        wait_for(lambda: len({r["token"] for r in self.sim.requests()}) == 2, "the new token")
        old = self.sim.requests()[0]["token"]
        at = len(self.sim.requests())
        wait_for(lambda: len(self.sim.requests()) > at + 3, "more polls")
        self.assertNotIn(old, {r["token"] for r in self.sim.requests()[at:]})

    def test_a_token_that_became_unfit_is_not_used(self):
        """While it cannot be read, the old one goes on; what is wrong is said."""
        stage = self.stage
        stage.config({"acme": stage.account(["1"])})
        daemon = stage.start()
        wait_for(lambda: self.polls("1") > 1, "polls")
        good = (stage.dir / "token").read_text()
        for text, mode, words in (("two words", 0o600, ""), (TOKEN[::-1], 0o620, "writable"),
                                  (TOKEN[::-1], 0o604, "open to others"), (TOKEN[::-1], 0o602, "open")):
            with self.subTest(mode=oct(mode), text=text):
                self.put_token(text, mode)
                wait_for(lambda: words in (daemon.account("acme")["token"]["problem"] or "-"), "the problem")
                polls = self.polls("1")
                wait_for(lambda: self.polls("1") > polls + 1, "polls")
                self.assertEqual(len({r["token"] for r in self.sim.requests()}), 1)
                self.put_token(good, 0o600)
                wait_for(lambda: not daemon.account("acme")["token"]["problem"], "its end")

    def test_secrets_that_are_replaced_again_and_again(self):
        """Whatever is opened to read one is closed."""
        stage = self.stage
        # Its secret is read before anybody finds out that nobody listens there.
        hooks = {"chat": {"url": "http://127.0.0.1:1/", "secret_file": str(stage.secret("chat", "chat"))}}
        stage.config({"acme": stage.account(["1"])}, hooks=hooks,
                     poll={"min_interval": "10ms", "max_interval": "20ms"})
        daemon = stage.start()
        wait_for(lambda: self.polls("1"), "its poll")
        before = opened_by(daemon.pid)
        for i in range(N_SECRETS):
            stage.secret("token", f"1000.{i}")
            stage.secret("chat", f"chat{i}")
            self.assertEqual(daemon.reload().status, 200)
            self.assertEqual(daemon.post("/v1/hooks/chat/test").status, 200)
            wait_for(lambda i=i: len({r["token"] for r in self.sim.requests()}) == 2 + i,
                     "the new token")
        after = opened_by(daemon.pid)
        # Connections come and go.
        self.assertLess(len(after), len(before) + N_SECRETS // 3)
        wait_for(lambda: not [path for path in opened_by(daemon.pid)
                              if path.startswith((f"{stage.dir}/token", f"{stage.dir}/chat"))],
                 "the secrets' files to be closed")

    def put_token(self, text, mode):
        """With its mode from the first moment."""
        partial = self.stage.dir / "token.partial"
        partial.write_text(text)
        partial.chmod(mode)
        partial.rename(self.stage.dir / "token")

    def test_a_paused_account_is_asked_at_once(self):
        """What paused it may be mended where nobody here can see that: the next probe is a minute away."""
        stage = self.stage
        stage.config({"acme": stage.account(["20"])})
        daemon = stage.start()
        wait_for(lambda: daemon.account("acme")["state"] == "paused", "the pause")
        polls = assert_unchanged(lambda: self.polls("20"), QUIET_S, "polls of a paused account")
        self.assertEqual(polls, 1)
        self.assertEqual(daemon.reload().status, 200)
        wait_for(lambda: daemon.account("acme")["state"] == "ok", "its return",
                 why=lambda: str(daemon.account("acme")))
        wait_for(lambda: self.polls("20") > polls + 1, "more polls")

    def test_a_job_gets_other_hooks(self):
        """What the configuration says when it ends counts, not what it said when it began."""
        stage = self.stage
        hooks = {name: stage.hook(name) for name in ("first", "second")}
        stage.config({"acme": stage.account([{"id": "1", "hooks": ["first"]}])}, hooks=hooks)
        daemon = stage.start()
        wait_for(lambda: daemon.job("acme", "1")["state"] == "ADDED", "its state")
        stage.config({"acme": stage.account([{"id": "1", "hooks": ["second"]}])}, hooks=hooks)
        self.assertEqual(daemon.reload().json()["kept"], 1)
        self.sim.admin("POST", "/jobs", {"jobs": [{"id": "1", "life": [{"state": "COMPLETED"}]}]})
        daemon.wait_finished(1)
        daemon.wait_delivered()
        assert_unchanged(lambda: len(stage.records()), QUIET_S, "runs")
        self.assertEqual([record.hook for record in stage.records()], ["second"])

    def test_a_new_hook_gets_no_old_events(self):
        stage = self.stage
        stage.config({"acme": stage.account(["10", "11"])}, hooks={"old": stage.hook("old")})
        daemon = stage.start()
        daemon.wait_finished(2)
        daemon.wait_delivered()
        stage.config({"acme": stage.account(["10", "11", "12"])},
                     hooks={"old": stage.hook("old"), "new": stage.hook("new")})
        self.assertEqual(daemon.reload().status, 200)
        daemon.wait_finished(3)
        daemon.wait_delivered()
        assert_unchanged(lambda: len(stage.records()), QUIET_S, "runs")
        ran = sorted((record.hook, record.job[1]) for record in stage.records())
        self.assertEqual(ran, [("new", "12"), ("old", "10"), ("old", "11"), ("old", "12")])

    def test_what_a_removed_hook_owes_waits_for_its_return(self):
        stage = self.stage
        failing = stage.hook("load", then="exit 1\n", retry_first="20ms", retry_max="40ms",
                             attempts=1000)
        stage.config({"acme": stage.account(["10"])}, hooks={"load": failing})
        daemon = stage.start()
        stage.wait_records(2)
        stage.config({"acme": stage.account(["10"])})
        self.assertEqual(daemon.reload().status, 200)
        wait_for(lambda: [h["running"] for h in daemon.status()["hooks"]] == [0], "the last run")
        assert_unchanged(lambda: len(stage.records()), QUIET_S, "runs of a removed hook")
        hook = daemon.status()["hooks"][0]
        self.assertEqual((hook["name"], hook["pending"]), ("load", 1))
        self.assert_stops(daemon)
        daemon = stage.start()
        assert_unchanged(lambda: len(stage.records()), QUIET_S, "runs of a removed hook")
        stage.config({"acme": stage.account(["10"])}, hooks={"load": stage.hook("load")})
        self.assertEqual(daemon.reload().status, 200)
        daemon.wait_delivered()
        last = max(stage.records(), key=lambda record: record.attempt)
        self.assertEqual({record.id for record in stage.records()}, {last.id})
        self.assert_stops(daemon)
        rows = stage.rows("SELECT * FROM deliveries")
        self.assertEqual([(row["state"], row["attempts"]) for row in rows],
                         [("delivered", last.attempt)])

    def test_a_reload_while_a_hook_runs(self):
        stage = self.stage
        waiting = "while ! [ -e \"$1/../go\" ]; do sleep 0.02; done\n"
        hooks = {"slow": stage.hook("slow", then=waiting)}
        stage.config({"acme": stage.account(["10"])}, hooks=hooks)
        daemon = stage.start()
        stage.wait_records(1)
        for i in range(5):
            stage.config({"acme": stage.account(["10", str(11 + i)])}, hooks=hooks)
            self.assertEqual(daemon.reload().status, 200)
        (stage.dir / "go").touch()
        wait_for(lambda: daemon.job("acme", "15")["finished"], "the last job")
        daemon.wait_delivered()
        self.assertEqual(len({record.id for record in stage.records()}), len(stage.records()))

    def test_an_account_leaves_and_comes_back(self):
        stage = self.stage
        both = {"acme": stage.account(["1", "10"]), "bolt": stage.account(["2"])}
        stage.config(both)
        daemon = stage.start()
        daemon.wait_finished(1)
        wait_for(lambda: daemon.job("acme", "1")["state"] == "ADDED", "its state")
        stage.config({"bolt": both["bolt"]})
        self.assertEqual(daemon.reload().status, 200)
        self.assertEqual([a["name"] for a in daemon.get("/v1/accounts").json()["accounts"]],
                         ["bolt"])
        self.assertEqual(daemon.get("/v1/jobs?account=acme").status, 404)
        self.assertEqual(daemon.job("acme", "10")["state"], "COMPLETED")
        self.assert_stops(daemon)
        daemon = stage.start()
        self.assertEqual([job["id"] for job in daemon.jobs()], ["2"])
        stage.config(both)
        self.assertEqual(daemon.reload().status, 200)
        polls = self.polls("1"), self.polls("10")
        wait_for(lambda: self.polls("1") > polls[0], "polls")
        self.assertEqual(self.polls("10"), polls[1])
        self.assertEqual(daemon.job("acme", "10")["state"], "COMPLETED")

    def test_included_files(self):
        stage = self.stage
        directory = stage.dir / "conf.d"
        directory.mkdir()
        (directory / "10-sim.yaml").write_text(self.sim.port_file.read_text())
        (directory / "20-acme.yaml").write_text(json.dumps(
            {"accounts": {"acme": stage.account(["1"])}}))
        stage.config({}, include=["conf.d/*.yaml"])
        daemon = stage.start()
        self.assertEqual([job["id"] for job in daemon.jobs()], ["1"])
        (directory / "30-bolt.yaml").write_text(json.dumps(
            {"accounts": {"bolt": stage.account(["2"])}}))
        self.assertEqual(daemon.reload().status, 200)
        wait_for(lambda: self.polls("2"), "its poll")
        (directory / "40-twice.yaml").write_text(json.dumps(
            {"accounts": {"bolt": stage.account(["3"])}}))
        reply = daemon.reload()
        self.assertEqual(reply.status, 422)
        files = {pathlib.Path(error["file"]).name for error in reply.json()["errors"]}
        self.assertEqual(files, {"40-twice.yaml"})


class Differences(TestCase):
    """bulkwatch config diff: what a reload would change."""

    def diff(self, *arguments, **more):
        done = subprocess.run([BUILD / "src" / "ctl" / "bulkwatch", "--runtime-dir",
                               self.stage.runtime_dir, *arguments], capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=DEADLINE_S, check=False, **more)
        return done.returncode, done.stdout, done.stderr

    def test_diff(self):
        stage = self.stage
        stage.sim()
        hooks = {"load": {"exec": ["/bin/true", "a: b"]}}
        stage.config({"acme": stage.account(["1"]), "bolt": stage.account(["2"])}, hooks=hooks)
        daemon = stage.start()
        self.assertEqual(self.diff("config", "diff"), (0, "", ""))
        stage.config({"acme": stage.account(["1", "3"], max_in_flight=7)}, hooks=hooks,
                     max_clients=99, poll={"timeout": "9s"})
        code, out, err = self.diff("config", "diff")
        self.assertEqual((code, err), (1, ""))
        lines = out.splitlines()
        for line in ("- accounts.acme.max_in_flight: 4", "+ accounts.acme.max_in_flight: 7",
                     "- accounts.bolt.max_in_flight: 4", "- poll.timeout: 30s", "+ poll.timeout: 9s",
                     "- max_clients: 1024", "+ max_clients: 99  (needs a restart)"):
            self.assertIn(line, lines)
        self.assertFalse([line for line in lines if "hooks.load" in line or "jobs" in line], out)
        code, out, _ = self.diff("--json", "config", "diff")
        changes = {change["path"]: change for change in json.loads(out)["changes"]}
        self.assertEqual(code, 1)
        self.assertEqual(changes["max_clients"], {"path": "max_clients", "old": "1024", "new": "99",
                                                  "needs_restart": True})
        self.assertIsNone(changes["accounts.bolt.max_in_flight"]["new"])
        # Another file; one that is wrong; and after a reload nothing is left to change.
        other = stage.dir / "other.yaml"
        other.write_text("nonsense: 1\n")
        code, out, err = self.diff("config", "diff", str(other))
        self.assertEqual((code, out), (78, ""))
        self.assertIn("other.yaml:1:1", err)
        stage.config({"acme": stage.account(["1", "3"], max_in_flight=7)}, hooks=hooks,
                     poll={"timeout": "9s"})
        self.assertEqual(daemon.reload().status, 200)
        self.assertEqual(self.diff("config", "diff"), (0, "", ""))
        self.assertEqual(self.diff("config", "diff", str(stage.config_file))[0], 0)

    def test_the_environment_of_the_daemon_counts(self):
        """What systemd names for it is not in the file, and no difference."""
        stage = self.stage
        credentials = stage.dir / "credentials"
        credentials.mkdir(mode=0o700)
        stage.sim()
        stage.account(["1"])
        (stage.dir / "token").rename(credentials / "token")
        config = stage.config({"acme": {"datacenter": "eu", "access_token_file": "%d/token",
                                        "jobs": ["1"]}})
        del config["state_dir"], config["runtime_dir"]
        stage.config_file.write_text(json.dumps(config))
        stage.start(environment=stage.environment(
            STATE_DIRECTORY=str(stage.state_dir), RUNTIME_DIRECTORY=str(stage.runtime_dir),
            CREDENTIALS_DIRECTORY=str(credentials)))
        self.assertEqual(self.diff("config", "diff"), (0, "", ""))

    def test_who_may_ask(self):
        stage = self.stage
        stage.sim()
        stage.config({"acme": stage.account(["1"])})
        daemon = stage.start()
        self.assertEqual(daemon.get("/v1/config").status, 405)
        self.assertEqual(self.diff("config", "diff")[0], 0)
        self.assert_stops(daemon)
        self.assertEqual(self.diff("config", "diff")[0], 69)


if __name__ == "__main__":
    unittest.main()
