#!/usr/bin/env python3
"""bulkwatch, the command line: events, waiting, changes, configuration and the doctor."""

import json
import os
import threading
import unittest

from ctlkit import DEADLINE, Case, bare
from fake_daemon import Reply, event, job, problem


class Events(Case):
    def setUp(self):
        super().setUp()
        self.daemon.events = [
            event(1, "job.watched", "a", "1"),
            event(2, "job.added", "a", "1", None, "ADDED"),
            event(3, "account.paused", "b"),
            event(5, "job.completed", "a", "1", "ADDED", "COMPLETED"),
        ]

    def test_plain(self):
        text, _ = self.run_ctl("events")
        lines = text.splitlines()
        self.assertEqual(len(lines), 4)
        self.assertEqual(lines[0], "1\t2026-11-24T05:00:01.123Z\tjob.watched\ta\t1\t-\t-")
        self.assertEqual(lines[3].split("\t")[5:], ["ADDED", "COMPLETED"])

    def test_pages_and_limits(self):
        self.daemon.page_max = 1
        self.assertEqual(len(self.run_ctl("events")[0].splitlines()), 4)
        self.assertEqual(len(self.run_ctl("events", "--after", "2")[0].splitlines()), 2)
        self.assertEqual(len(self.run_ctl("events", "--limit", "3")[0].splitlines()), 3)

    def test_json_lines(self):
        lines = self.run_ctl("events", "--json")[0].splitlines()
        self.assertEqual([json.loads(line) for line in lines], self.daemon.events)

    def test_parameters(self):
        self.run_ctl("events", "--type", "job.*,hook.dead", "--account", "a", "--after", "3")
        query = self.daemon.requests[0][3]
        self.assertEqual(query, {"after": "3", "type": "job.*,hook.dead", "account": "a"})

    def test_pruned(self):
        self.daemon.routes["GET", "/v1/events"] = problem(
            410, "Gone", "events are pruned", pruned_through=41)
        self.assertIn("--after 41", self.run_ctl("events", "--after", "0", code=1)[1])
        # Refused even after that: no endless asking.
        self.assertIn("--after 41", self.run_ctl("events", code=1)[1])
        self.assertEqual([request[3].get("after") for request in self.daemon.requests],
                         ["0", "0", "41"])

    def test_follow_goes_on_after_the_last_seq(self):
        """Each connection is ended by the daemon; nothing is lost or shown twice."""
        rest = list(self.daemon.events)
        queries = []

        def stream(query, handler):
            queries.append(query)
            lines = [{"type": "heartbeat", "last_seq": 9}]
            if rest:
                lines.append(rest.pop(0))
            return Reply("".join(json.dumps(one) + "\n" for one in lines).encode(),
                         kind="application/x-ndjson")

        self.daemon.stream = stream
        text, _ = self.run_ctl("events", "--follow", "--limit", "4")
        self.assertEqual([line.split("\t")[0] for line in text.splitlines()], ["1", "2", "3", "5"])
        self.assertEqual([query["after"] for query in queries], ["0", "1", "2", "3"])
        self.assertEqual({query["follow"] for query in queries}, {"true"})

    def test_garbage_in_the_stream(self):
        self.daemon.stream = lambda query, handler: Reply(b'{"seq":1,\n', kind="x/y")
        self.assertIn("stream of events is", self.run_ctl("events", code=1)[1])

    def test_terminal(self):
        text = bare(self.on_terminal("events"))
        self.assertRegex(text, r"2026-11-24 05:00:05 +#5 +job.completed +a/1  ADDED -> COMPLETED\n")

    def test_history(self):
        self.daemon.jobs = [job("a", "1")]
        self.daemon.routes["GET", "/v1/jobs/a/1/history"] = Reply(
            {"events": [one for one in self.daemon.events if one["job_id"]]})
        self.assertEqual(len(self.run_ctl("history", "a/1")[0].splitlines()), 3)
        self.assertEqual(len(json.loads(self.run_ctl("history", "a/1", "--json")[0])["events"]), 3)


class Config(Case):
    def write(self, text):
        path = os.path.join(self.dir, "x.yaml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def test_check(self):
        bad = self.write("stat_dir: /x\npoll: 3\n")
        text, error = self.run_ctl("config", "check", bad, code=78)
        self.assertIn(bad + ":1:1: error:", error)
        self.assertIn('did you mean "state_dir"', error)
        self.assertIn("2 errors", text)
        answer = json.loads(self.run_ctl("--json", "config", "check", bad, code=78)[0])
        self.assertFalse(answer["valid"])
        errors = [one for one in answer["problems"] if one["severity"] == "error"]
        self.assertEqual([one["line"] for one in errors], [1, 2])
        good = self.write(f"state_dir: {self.dir}\n")
        self.assertIn("valid, 1 warning", self.run_ctl("config", "check", good)[0])
        # Whoever asks may not be on the daemon's machine.
        elsewhere = self.write("state_dir: /nonexistent\n")
        text, error = self.run_ctl("config", "check", elsewhere)
        self.assertIn("valid, 2 warnings", text)
        self.assertIn(":1:12: warning: state_dir: /nonexistent does not exist", error)

    def test_show_can_be_read_again(self):
        shown = self.run_ctl("config", "show", self.write("retain: 7d\n"))[0]
        self.assertIn("retain: 7d\n", shown)
        again = self.run_ctl("config", "show", self.write(shown))[0]
        self.assertEqual(again, shown)
        config = self.write("retain: 7d\nmax_clients: 9\naccounts:\n  a: {datacenter: eu, "
                            "access_token_file: '%d/t', jobs: [5, {id: 6, name: \"7 'x' \\\\\"}]}\n"
                            "hooks: {h: {exec: [/bin/true, \"8\", '']}}\n")
        shown = json.loads(self.run_ctl("--json", "config", "show", config)[0])
        self.assertEqual((shown["retain"], shown["max_clients"]), ("7d", 9))
        self.assertEqual(shown["accounts"]["a"]["jobs"],
                         [{"id": "5"}, {"id": "6", "name": "7 'x' \\"}])
        self.assertEqual(shown["accounts"]["a"]["poll"]["max_interval"], "5m")
        self.assertEqual(shown["hooks"]["h"]["exec"], ["/bin/true", "8", ""])
        self.assertEqual(shown["hooks"]["h"]["attempts"], 20)
        self.run_ctl("config", "show", "/nonexistent", code=78)

    def test_file_of_the_daemon(self):
        path = self.write("retain: 9d\n")
        self.daemon.routes["GET", "/v1/status"] = Reply({"config_file": path})
        self.assertIn("retain: 9d\n", self.run_ctl("config", "show")[0])

    @unittest.skipIf(os.path.exists("/etc/bulkwatch/bulkwatchd.yaml"), "this machine has one")
    def test_default_file_without_daemon(self):
        self.daemon.stop()
        _, error = self.run_ctl("config", "check", code=78)
        self.assertIn("/etc/bulkwatch/bulkwatchd.yaml: error: ", error)
        self.assertNotIn("not running", error)


class Doctor(Case):
    def setUp(self):
        super().setUp()
        self.modes(query=0o660, admin=0o600)
        self.status = {
            "version": self.run_ctl("--version")[0].split()[1], "config_file": None,
            "datacenters": [{"name": "eu", "api_url": "https://www.zohoapis.eu", "state": "ok",
                             "problem": None, "clock_ahead": -1.5}],
            "accounts": [{"name": "a", "state": "ok", "reason": None, "detail": None,
                          "token": {"state": "ok", "problem": None}}],
            "hooks": [{"name": "load", "state": "ok", "dead": 0}],
            "database": {"state": "ok", "detail": None}}

    def modes(self, **modes):
        for name, mode in modes.items():
            os.chmod(os.path.join(self.dir, name + ".sock"), mode)

    def findings(self, code=0):
        self.daemon.routes["GET", "/v1/status"] = Reply(self.status)
        text, _ = self.run_ctl("doctor", code=code)
        found = json.loads(self.run_ctl("doctor", "--json", code=code)[0])["findings"]
        self.assertEqual([f"{f['finding']}\t{f['subject']}\t{f['message']}" for f in found],
                         text.splitlines())
        return {f["subject"]: (f["finding"], f["message"]) for f in found}

    def assert_finds(self, subject, finding, *words, code=None):
        found = self.findings(code if code is not None else int(finding == "error"))[subject]
        self.assertEqual(found[0], finding, found)
        for word in words:
            self.assertIn(word, found[1])

    def test_all_is_well(self):
        found = self.findings()
        self.assertEqual({finding for finding, _ in found.values()}, {"ok"}, found)
        self.assertEqual(set(found), {"socket query.sock", "socket admin.sock", "daemon",
                                      "database", "datacenter eu", "account a", "hook load"})

    def test_limits_and_dead_letters(self):
        self.status["accounts"][0].update(state="held", reason="credits", detail="are spent")
        self.status["hooks"][0]["dead"] = 2
        self.status["version"] = "0.0.1"
        self.assert_finds("account a", "warning", "held: credits: are spent", "credits_per_day")
        self.assert_finds("hook load", "warning", "2 deliveries are dead", "retry --hook load")
        self.assert_finds("daemon", "warning", "restart it after an upgrade")
        self.status["hooks"][0].update(dead=0, state="parked")
        self.assert_finds("hook load", "warning", "parked", "put it back")

    def test_what_somebody_must_mend(self):
        for reason, remedy in (("token", "new token"), ("grant", "new refresh token"),
                               ("scope", "scopes"), ("permission", "right to export"),
                               ("api_domain", "set datacenter"), ("secret", "mode"),
                               ("all_lost", "data center"), ("path", "bigin or crm")):
            self.status["accounts"][0].update(state="paused", reason=reason, detail="as told")
            with self.subTest(reason=reason):
                self.assert_finds("account a", "error", f"paused: {reason}: as told; ", remedy)
        self.status["accounts"][0].update(
            state="ok", reason=None, detail=None, token={"state": "missing", "problem": "no file"})
        self.assert_finds("account a", "error", "token: no file")
        self.status["accounts"][0]["token"]["state"] = "ok"
        self.assert_finds("account a", "warning", "token: no file")

    def test_database(self):
        self.status["database"] = {"state": "full", "detail": "no room"}
        self.assert_finds("database", "error", "full: no room")

    def test_clocks_and_data_centers(self):
        for ahead, finding, words in ((9, "ok", "agree"), (-11, "warning", "11 s behind"),
                                      (299, "warning", "299 s ahead"), (301, "error", "301 s ahead"),
                                      (-86400, "error", "86400 s behind"), (None, "ok", "not known")):
            self.status["datacenters"][0]["clock_ahead"] = ahead
            with self.subTest(ahead=ahead):
                self.assert_finds("datacenter eu", finding, words)
        self.status["datacenters"][0].update(state="down", problem="no route")
        self.assert_finds("datacenter eu", "error", "https://www.zohoapis.eu fails: no route", "DNS")

    def test_sockets(self):
        self.modes(query=0o666)
        self.assert_finds("socket query.sock", "error", "0666", "0660")
        self.modes(query=0o600, admin=0o660)
        self.assert_finds("socket query.sock", "ok", code=1)
        self.assert_finds("socket admin.sock", "error", "0660", "0600 is right")
        os.unlink(os.path.join(self.dir, "admin.sock"))
        self.assert_finds("socket admin.sock", "error", "systemctl status")
        with open(os.path.join(self.dir, "admin.sock"), "w", encoding="utf-8"):
            pass
        self.assert_finds("socket admin.sock", "error", "is no socket")

    def test_configuration(self):
        path = os.path.join(self.dir, "x.yaml")
        with open(path, "w", encoding="utf-8") as file:
            file.write("nonsense: 1\n")
        self.daemon.routes["GET", "/v1/status"] = Reply({"config_file": path, "accounts": []})
        text, _ = self.run_ctl("doctor", code=1)
        self.assertIn("error\tconfiguration\t" + path + ":1:1: ", text)
        # Of the whole file: no line of it is named.
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"state_dir: {self.dir}\nruntime_dir: {self.dir}\n")
        text, _ = self.run_ctl("doctor")
        self.assertIn(f"warning\tconfiguration\t{path}: there are no accounts", text)

    def test_no_daemon(self):
        self.daemon.stop()
        text = self.run_ctl("doctor", code=1)[0]
        self.assertIn("error\tdaemon\t", text)
        self.assertIn("systemctl status bulkwatchd", text)


class Wait(Case):
    """Jobs that end while they are waited for: a stream that the test feeds."""

    def setUp(self):
        super().setUp()
        self.daemon.accounts = ["a"]
        self.daemon.jobs = [job("a", "1", "one"), job("a", "2"), job("a", "3", None, "COMPLETED"),
                            job("a", "4", None, "LOST"), job("a", "5", watched=False)]
        self.daemon.events = [event(7, "job.added", "a", "1", None, "ADDED")]
        self.lines = []
        self.over = threading.Event()
        self.addCleanup(self.over.set)
        self.daemon.stream = self.stream

    def stream(self, query, handler):
        """A stream as the daemon's: what there is after the seq, then silence, held open."""
        after = int(query["after"])
        handler.close_connection = True
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n"
                            b"Connection: close\r\n\r\n"
                            b'{"type":"heartbeat","last_seq":7}\n')
        for line in self.lines:
            if line["seq"] > after:
                handler.wfile.write(json.dumps(line).encode() + b"\n")
        self.over.wait(DEADLINE)

    def ends(self, seq, job_id, state, kind):
        return event(seq, kind, "a", job_id, "ADDED", state, job("a", job_id, None, state))

    def test_finished_already(self):
        self.assertEqual(self.run_ctl("wait", "3")[0], "a\t3\t-\tCOMPLETED\n")
        self.run_ctl("wait", "4", code=3)
        self.run_ctl("wait", "3", "4", code=3)
        self.run_ctl("wait", "99", code=4)
        self.assertNotIn("/v1/events", self.asked())

    def test_completes(self):
        self.lines = [self.ends(8, "2", "COMPLETED", "job.completed"),
                      self.ends(9, "1", "COMPLETED", "job.completed")]
        self.assertEqual(self.run_ctl("wait", "one")[0], "a\t1\t-\tCOMPLETED\n")
        self.assertEqual(self.run_ctl("wait", "1", "2", "3")[0].splitlines(),
                         ["a\t3\t-\tCOMPLETED", "a\t2\t-\tCOMPLETED", "a\t1\t-\tCOMPLETED"])
        queries = [request[3] for request in self.daemon.requests if request[2] == "/v1/events"]
        self.assertEqual(queries[0], {"after": "7", "type": "job.*", "follow": "true"})
        self.assertEqual(json.loads(self.run_ctl("wait", "1", "--json")[0])["state"], "COMPLETED")

    def test_fails(self):
        self.lines = [self.ends(8, "1", "FAILURE", "job.failed"),
                      self.ends(9, "2", "COMPLETED", "job.completed")]
        self.run_ctl("wait", "1", code=3)
        self.assertEqual(len(self.run_ctl("wait", "1", "2", code=3)[0].splitlines()), 2)

    def test_any(self):
        self.lines = [self.ends(8, "2", "COMPLETED", "job.completed")]
        self.assertEqual(self.run_ctl("wait", "--any", "1", "2")[0], "a\t2\t-\tCOMPLETED\n")
        self.run_ctl("wait", "--any", "--all", "1", code=2)

    def test_time_out(self):
        text, error = self.run_ctl("wait", "1", "3", "--timeout", "300ms", code=124)
        self.assertEqual(text, "a\t3\t-\tCOMPLETED\n")
        self.assertIn("a/1 is not finished after 300ms: ADDED", error)
        self.assertIn("bulkwatch wait --timeout 300ms a/1", error)
        self.run_ctl("wait", "1", "--timeout", "0s", code=124)
        self.run_ctl("wait", "1", "--timeout", "5 minutes", code=2)

    def test_unwatched(self):
        self.assertIn("no longer watched", self.run_ctl("wait", "a/5", code=1)[1])
        gone = event(8, "job.unwatched", "a", "1", None, None, job("a", "1", watched=False))
        self.lines = [gone]
        self.assertIn("no longer watched", self.run_ctl("wait", "1", code=1)[1])

    def test_progress_on_a_terminal_only(self):
        text = self.on_terminal("wait", "1", "--timeout", "1500ms", code=124)
        self.assertIn("waiting for a/1, ADDED: ", text)
        self.assertNotIn("waiting for", self.run_ctl("wait", "1", "--timeout", "10ms",
                                                     code=124)[1])

    def test_watch(self):
        self.lines = [event(8, "account.paused", "a"),
                      event(9, "job.in_progress", "a", "2", "ADDED", "IN PROGRESS"),
                      self.ends(10, "1", "COMPLETED", "job.completed")]
        text, _ = self.run_ctl("watch", "1")
        self.assertEqual([line.split("\t")[0] for line in text.splitlines()], ["10"])


class Changes(Case):
    def setUp(self):
        super().setUp()
        self.daemon.accounts = ["a"]
        self.daemon.jobs = [job("a", "1", "one"), job("a", "2")]

    def changes(self):
        return [request for request in self.daemon.requests if request[1] != "GET"]

    def test_add(self):
        self.daemon.routes["POST", "/v1/jobs"] = Reply(job("a", "7"), 201)
        self.run_ctl("add", "a", "7", "--name", 'n "x"')
        kind, _, _, _, body = self.changes()[0]
        self.assertEqual((kind, json.loads(body)),
                         ("admin", {"account": "a", "id": "7", "name": 'n "x"'}))
        self.assertEqual(json.loads(self.run_ctl("--json", "add", "a", "7")[0])["id"], "7")
        self.assertIn("is watched from now on", self.on_terminal("add", "a", "7"))
        self.daemon.routes["POST", "/v1/jobs"] = Reply(job("a", "7"), 200)
        self.assertIn("was watched already", self.on_terminal("add", "a", "7"))
        self.daemon.routes["POST", "/v1/jobs"] = problem(404, "Unknown account", "b")
        self.assertIn("Unknown account: b", self.run_ctl("add", "b", "7", code=1)[1])
        for bad in ("x", "123456789012345678901", ""):
            self.run_ctl("add", "a", bad, code=2)

    def test_changes_of_a_job(self):
        for verb, method, path, status in (
                ("remove", "DELETE", "/v1/jobs/a/1", 204), ("poll", "POST", "/v1/jobs/a/1/poll", 202),
                ("pause", "POST", "/v1/jobs/a/1/pause", 202),
                ("resume", "POST", "/v1/jobs/a/1/resume", 202)):
            self.daemon.requests.clear()
            self.daemon.routes[method, path] = Reply(None, status)
            self.assertEqual(self.run_ctl(verb, "one"), ("", ""))
            self.assertEqual(self.changes()[0][:3], ("admin", method, path))
            self.assertIn("a/1 ", self.on_terminal(verb, "one"))
            self.run_ctl(verb, "99", code=4)

    def test_several(self):
        self.daemon.routes["DELETE", "/v1/jobs/a/2"] = Reply(None, 204)
        self.run_ctl("remove", "99", "2", code=4)
        self.run_ctl("pause", "2", code=4)
        self.assertEqual([request[1:3] for request in self.changes()], [
            ("DELETE", "/v1/jobs/a/2"), ("POST", "/v1/jobs/a/2/pause")])

    def test_not_permitted(self):
        self.daemon.routes["DELETE", "/v1/jobs/a/1"] = problem(405, "Not here")
        self.run_ctl("remove", "1", code=77)

    def test_reload(self):
        self.daemon.routes["POST", "/v1/reload"] = Reply({"added": 1})
        self.assertEqual(self.run_ctl("reload")[0], "added\t1\n")
        self.daemon.routes["POST", "/v1/reload"] = problem(422, "Refused", "1 error", errors=[
            {"file": "/x.yaml", "line": 1, "column": 2, "message": "bad"}])
        self.assertIn("/x.yaml:1:2: bad", self.run_ctl("reload", code=78)[1])
        self.daemon.routes["POST", "/v1/reload"] = problem(503, "Later")
        self.run_ctl("reload", code=1)

    def test_hooks(self):
        hooks = {"hooks": [{"name": "load", "on": ["job.completed"], "pending": 2}]}
        self.daemon.routes["GET", "/v1/hooks"] = Reply(hooks)
        self.assertEqual(self.run_ctl("hooks")[0].splitlines(), [
            "load.name\tload", "load.on.0\tjob.completed", "load.pending\t2"])
        self.assertEqual(json.loads(self.run_ctl("hooks", "--json")[0]), hooks)
        self.assertRegex(bare(self.on_terminal("hooks")), r"(?m)^load +job.completed +2$")
        self.daemon.routes["POST", "/v1/hooks/load/test"] = Reply({"exit": 0})
        self.assertEqual(self.run_ctl("hooks", "test", "load")[0], "exit\t0\n")
        self.assertIn("Nothing here", self.run_ctl("hooks", "test", "x", code=1)[1])
        self.run_ctl("hooks", "test", code=2)
        self.run_ctl("hooks", "tset", "load", code=2)

    def test_deliveries(self):
        rows = {"deliveries": [
            {"id": "5", "hook": "load", "event_seq": 9, "account": "a", "job_id": "1",
             "state": "dead", "attempts": [{"exit": 1}, {"exit": 1}]},
            {"id": "6", "hook": "load", "event_seq": 10, "account": None, "job_id": None,
             "state": "pending", "attempts": 3}]}
        self.daemon.routes["GET", "/v1/deliveries"] = Reply(rows)
        self.assertEqual(self.run_ctl("deliveries", "--state", "dead", "--hook", "load")[0],
                         "5\tload\t9\ta\t1\tdead\t2\n6\tload\t10\t-\t-\tpending\t3\n")
        self.assertEqual(self.daemon.requests[-1][3],
                         {"state": "dead", "hook": "load", "limit": "200"})
        self.run_ctl("deliveries", "--state", "dad", code=2)
        self.daemon.routes["POST", "/v1/deliveries/5/retry"] = Reply(None, 202)
        self.run_ctl("deliveries", "retry", "5")
        self.run_ctl("deliveries", "retry", "77", code=1)

    def test_backup(self):
        path = os.path.join(self.dir, "copy.db")
        body = b"SQLite format 3\0" + bytes(3 << 20)
        self.daemon.routes["GET", "/v1/backup"] = Reply(body, kind="application/octet-stream")
        self.run_ctl("backup", path)
        with open(path, "rb") as copy:
            self.assertEqual(copy.read(), body)
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        self.assertIn("exists", self.run_ctl("backup", path, code=1)[1])
        before = sorted(os.listdir(self.dir))
        other = path + "2"
        for reply, code in ((problem(500, "No"), 1), (Reply(b"<html>nothing</html>"), 1),
                            (Reply(body, length=len(body) + 1), 69)):
            self.daemon.routes["GET", "/v1/backup"] = reply
            self.run_ctl("backup", other, code=code)
            self.assertEqual(sorted(os.listdir(self.dir)), before)

    def test_plan_of_nothing(self):
        self.daemon.routes["GET", "/v1/plan"] = Reply({"accounts": []})
        self.assertEqual(self.run_ctl("plan")[0], "")
        self.assertIn("No accounts are configured", self.on_terminal("plan"))

    def test_why(self):
        self.daemon.routes["GET", "/v1/jobs/a/1/why"] = Reply({"sentence": "In 5s: its turn."})
        self.assertEqual(self.run_ctl("why", "1")[0], "sentence\tIn 5s: its turn.\n")


if __name__ == "__main__":
    unittest.main()
