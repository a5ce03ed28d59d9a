#!/usr/bin/env python3
"""The two sockets and the command line, as people and their scripts use them."""

import concurrent.futures
import email.utils
import http.server
import json
import signal
import socket
import sqlite3
import subprocess
import threading
import time
import unittest

from harness import (BUILD, DATA, DEADLINE_S, QUIET_S, Stream, TestCase, assert_unchanged, ask, wait_for)

CTL = BUILD / "src" / "ctl" / "bulkwatch"
TIME = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"
JOB_MEMBERS = set("""account id name datacenter service state finished watched paused since
watched_since last_polled last_answered next_poll polls failures last_error operation created_by
created_time query result""".split())
HEARTBEAT_S = 15
LIVES = [{"id": "1-999", "life": [{"state": "ADDED"}]},
         {"id": "1000-1999", "life": [{"state": "ADDED", "polls": 1}, {"state": "COMPLETED"}]},
         {"id": "2000-2999", "life": [{"state": "FAILURE"}]}]


class QueryCase(TestCase):
    def start(self, accounts, **options):
        self.sim = self.stage.sim(script={"jobs": LIVES})
        self.stage.config({name: self.stage.account(jobs, max_in_flight=20)
                           for name, jobs in accounts.items()}, **options)
        return self.stage.start()

    def polls(self, job_id):
        return sum(r["job"] == job_id for r in self.sim.requests())

    def assert_problem(self, reply, status):
        self.assertEqual(reply.status, status, reply.data)
        self.assertEqual(reply.content_type, "application/problem+json")
        problem = reply.json()
        self.assertEqual(problem["status"], status)
        for member in ("type", "title", "detail"):
            self.assertTrue(problem[member])
        return problem["detail"]


class Lists(QueryCase):
    def test_pages(self):
        ids = [str(i) for i in range(1, 251)]
        daemon = self.start({"acme": ids})
        sizes, seen, after = [], [], ""
        while after is not None:
            page = daemon.get("/v1/jobs" + after).json()
            self.assertEqual(set(page), {"jobs", "next", "last_seq"})
            sizes.append(len(page["jobs"]))
            seen += [job["id"] for job in page["jobs"]]
            after = page["next"] and f"?after={page['next']}"
        self.assertEqual(sizes, [100, 100, 50])
        self.assertEqual(sorted(seen, key=int), ids)
        self.assertEqual(len(daemon.get("/v1/jobs?limit=1000").json()["jobs"]), 250)
        self.assertEqual(len(daemon.get("/v1/jobs?limit=1").json()["jobs"]), 1)
        exact = daemon.get("/v1/jobs?limit=250").json()
        self.assertEqual((len(exact["jobs"]), exact["next"]), (250, None))

    def test_pages_hold_still_while_jobs_come_and_go(self):
        daemon = self.start({"acme": [str(i) for i in range(1, 101)]})
        first = daemon.get("/v1/jobs?limit=50").json()
        self.assertEqual(daemon.delete(f"/v1/jobs/acme/{first['jobs'][0]['id']}").status, 204)
        self.assertEqual(daemon.post("/v1/jobs", {"account": "acme", "id": "500"}).status, 201)
        seen = [job["id"] for job in first["jobs"]]
        after = first["next"]
        while after is not None:
            page = daemon.get(f"/v1/jobs?limit=50&after={after}").json()
            seen += [job["id"] for job in page["jobs"]]
            after = page["next"]
        self.assertEqual(sorted(seen, key=int), [*(str(i) for i in range(1, 101)), "500"])

    def test_filters(self):
        daemon = self.start({"acme": ["1", "1000", "2000", {"id": "2", "name": "nightly"}],
                             "bolt": ["1", "1001", {"id": "3", "name": "nightly"}]})
        daemon.wait_finished(3)
        wait_for(lambda: not daemon.jobs("&state=PENDING"), "first answers")

        def listed(parameters):
            return sorted((job["account"], job["id"]) for job in daemon.jobs(parameters))
        self.assertEqual(len(listed("")), 7)
        self.assertEqual(listed("&account=bolt"), [("bolt", "1"), ("bolt", "1001"), ("bolt", "3")])
        self.assertEqual(listed("&finished=true"),
                         [("acme", "1000"), ("acme", "2000"), ("bolt", "1001")])
        self.assertEqual(listed("&finished=false&account=acme"), [("acme", "1"), ("acme", "2")])
        self.assertEqual(listed("&state=FAILURE"), [("acme", "2000")])
        self.assertEqual(listed("&state=COMPLETED&account=acme"), [("acme", "1000")])
        self.assertEqual(listed("&name=nightly"), [("acme", "2"), ("bolt", "3")])
        self.assertEqual(listed("&name=nobody"), [])
        self.assertEqual(listed("&state=IN%20PROGRESS"), [])
        page = daemon.get("/v1/jobs?finished=true&limit=2").json()
        self.assertEqual(len(page["jobs"]), 2)
        rest = daemon.get(f"/v1/jobs?finished=true&limit=2&after={page['next']}").json()
        self.assertEqual((len(rest["jobs"]), rest["next"]), (1, None))

    def test_a_job(self):
        daemon = self.start({"acme": [{"id": "1000", "name": "nächtlich"}, "1"]})
        daemon.wait_finished(1)
        reply = daemon.get("/v1/jobs/acme/1000")
        self.assertEqual((reply.status, reply.content_type), (200, "application/json"))
        job = reply.json()
        self.assertLessEqual(JOB_MEMBERS, set(job))
        self.assertEqual((job["account"], job["id"], job["name"], job["datacenter"],
                          job["service"], job["state"], job["finished"], job["watched"],
                          job["paused"], job["polls"], job["failures"], job["last_error"]),
                         ("acme", "1000", "nächtlich", "eu", "bigin", "COMPLETED", True, True,
                          False, 2, 0, None))
        for member in ("since", "watched_since", "last_polled", "last_answered"):
            self.assertRegex(job[member], TIME)
        self.assertIsNone(job["next_poll"])
        wait_for(lambda: daemon.job("acme", "1")["state"] == "ADDED", "an answer")
        job = daemon.job("acme", "1")
        self.assertIsNone(job["name"])
        self.assertIsNone(job["result"])
        wait_for(lambda: daemon.job("acme", "1")["next_poll"], "its next poll")
        history = daemon.get("/v1/jobs/acme/1000/history").json()["events"]
        self.assertEqual([event["type"] for event in history],
                         ["job.watched", "job.added", "job.completed"])
        self.assertEqual(history, [e for e in daemon.events() if e["job_id"] == "1000"])

    def test_status_accounts_and_hooks(self):
        daemon = self.start({"acme": ["1000", "1"]}, hooks={"load": {"exec": ["/bin/true"]}})
        daemon.wait_finished(1)
        wait_for(lambda: daemon.job("acme", "1")["state"] == "ADDED", "an answer")
        status = daemon.status()
        self.assertEqual(status["jobs"]["by_state"], {"ADDED": 1, "COMPLETED": 1})
        self.assertEqual(status["config_file"], str(self.stage.config_file))
        self.assertEqual(status["database"]["state"], "ok")
        self.assertEqual(status["last_seq"], daemon.events()[-1]["seq"])
        self.assertGreater(status["uptime"], 0)
        self.assertTrue(status["version"])
        account = daemon.account("acme")
        self.assertEqual((account["state"], account["reason"]), ("ok", None))
        self.assertLessEqual({"name", "state", "reason", "token", "limits"}, set(account))
        hooks = daemon.get("/v1/hooks").json()["hooks"]
        self.assertEqual([hook["name"] for hook in hooks], ["load"])


class LateServer(http.server.BaseHTTPRequestHandler):
    """A Zoho whose clock is an hour behind, and that knows no job."""

    def date_time_string(self, timestamp=None):
        return email.utils.formatdate(time.time() - 3600, usegmt=True)

    def do_GET(self):
        body = (DATA / "zoho" / "error-internal.json").read_bytes()
        self.send_response(500)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Clocks(QueryCase):
    def ahead(self, daemon):
        [datacenter] = daemon.status()["datacenters"]
        return datacenter["clock_ahead"]

    def test_of_a_server_that_is_right(self):
        daemon = self.start({"acme": ["1"], "beta": ["2"]})
        wait_for(lambda: self.ahead(daemon) is not None, "an answer")
        self.assertLess(abs(self.ahead(daemon)), 3)

    def test_of_a_server_that_is_behind(self):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), LateServer)
        self.addCleanup(server.server_close)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.shutdown)
        url = f"http://127.0.0.1:{server.server_port}"
        self.stage.config({"acme": self.stage.account(["1"], datacenter="late")},
                          datacenters={"late": {"api_url": url, "accounts_url": url}})
        daemon = self.stage.start()
        wait_for(lambda: self.ahead(daemon) is not None, "an answer")
        self.assertAlmostEqual(self.ahead(daemon), -3600, delta=3)
        [datacenter] = daemon.status()["datacenters"]
        self.assertEqual((datacenter["name"], datacenter["api_url"]), ("late", url))
        wait_for(lambda: daemon.status()["datacenters"][0]["state"] == "down", "the circuit")
        self.assertTrue(daemon.status()["datacenters"][0]["problem"])


class Refusals(QueryCase):
    """What is wrong is told, and nothing that comes over a socket hurts the daemon."""

    def test_problems(self):
        daemon = self.start({"acme": ["1"]})
        for target, status in (
                ("/v1/jobs?limit=0", 400), ("/v1/jobs?limit=1001", 400),
                ("/v1/jobs?limit=ten", 400), ("/v1/jobs?limit=", 400), ("/v1/jobs?after=x", 400),
                ("/v1/jobs?after=-1", 400), ("/v1/jobs?finished=yes", 400),
                ("/v1/jobs?nonsense=1", 400), ("/v1/jobs?limit=1&limit=2", 400),
                ("/v1/jobs?name=%FF", 400), ("/v1/jobs?name=%0", 400),
                ("/v1/jobs?account=nobody", 404), ("/v1/jobs/nobody/1", 404),
                ("/v1/jobs/acme/2", 404), ("/v1/jobs/acme/1/2", 404),
                ("/v1/jobs/acme/" + "1" * 21, 404), ("/v1/jobs/acme/%00", 404),
                ("/v1/jobs/acme/2/history", 404), ("/v1/jobs/acme/2/wait", 404),
                ("/v1/jobs/acme/1/wait?timeout=2h", 400),
                ("/v1/jobs/acme/1/wait?timeout=soon", 400), ("/v1/jobs/acme/1?x=1", 400),
                ("/", 404), ("/v1", 404), ("/v1/", 404), ("/v1/jobs/", 404), ("/v2/jobs", 404),
                ("/v1/jobs/acme/..", 404), ("//v1/jobs", 404), ("/v1/status?x=1", 400),
                ("/v1/events?after=-1", 400), ("/v1/events?follow=maybe", 400),
                ("/v1/events?type=job.nonsense", 400), ("/v1/events?type=hook", 400),
                ("/v1/events?account=nobody", 404), ("/v1/deliveries?state=lost", 400)):
            with self.subTest(target=target):
                for path in (daemon.query, daemon.admin):
                    self.assert_problem(ask(path, "GET", target), status)
        self.assertIn("limit", self.assert_problem(daemon.get("/v1/jobs?limit=0"), 400))
        self.assertIn("nonsense", self.assert_problem(daemon.get("/v1/jobs?nonsense=1"), 400))

    def test_changes_go_to_the_other_socket(self):
        daemon = self.start({"acme": ["1"]})
        for method, target, allow in (
                ("POST", "/v1/jobs", "GET, HEAD"), ("DELETE", "/v1/jobs/acme/1", "GET, HEAD"),
                ("POST", "/v1/jobs/acme/1/poll", None), ("POST", "/v1/jobs/acme/1/pause", None),
                ("POST", "/v1/reload", None), ("POST", "/v1/deliveries/1/retry", None)):
            with self.subTest(method=method, target=target):
                reply = ask(daemon.query, method, target,
                            {"account": "acme", "id": "2"} if target == "/v1/jobs" else None)
                self.assertIn("admin.sock", self.assert_problem(reply, 405))
                self.assertIn("Allow", reply.headers)
                if allow:
                    self.assertEqual(reply.headers["Allow"], allow)
        self.assertEqual([job["id"] for job in daemon.jobs()], ["1"])
        self.assertTrue(daemon.job("acme", "1")["watched"])

    def test_methods(self):
        daemon = self.start({"acme": ["1"]})
        for method, target in (("PUT", "/v1/jobs"), ("DELETE", "/v1/jobs"), ("POST", "/v1/status"),
                               ("DELETE", "/v1/reload"), ("GET", "/v1/reload"),
                               ("POST", "/v1/jobs/acme/1")):
            with self.subTest(method=method, target=target):
                reply = ask(daemon.admin, method, target)
                self.assert_problem(reply, 405)
                self.assertTrue(reply.headers["Allow"])
        self.assertEqual(ask(daemon.admin, "GET", "/v1/reload").headers["Allow"], "POST")

    def test_head(self):
        daemon = self.start({"acme": ["1000"]})
        daemon.wait_finished(1)
        for target in ("/v1/jobs", "/v1/jobs/acme/1000", "/v1/jobs/acme/2", "/v1/jobs?limit=0"):
            get, head = daemon.get(target), daemon.ask("HEAD", target)
            self.assertEqual((head.status, head.content_type, head.data),
                             (get.status, get.content_type, b""))
            self.assertEqual(head.headers["Content-Length"], str(len(get.data)))

    def test_bodies(self):
        daemon = self.start({"acme": ["1"]})
        for body, status in (
                ("", 400), ("{", 400), ("[]", 400), ("null", 400), ("[" * 60000, 400), ("{}", 400),
                ({"account": "acme"}, 400), ({"id": "2"}, 400),
                ('{"account":"acme","id":2}', 400), ({"account": "acme", "id": "2x"}, 400),
                ({"account": "acme", "id": ""}, 400), ({"account": "acme", "id": "1" * 21}, 400),
                ({"account": "acme", "id": "2", "colour": "red"}, 400),
                ({"account": "acme", "id": "2", "name": ""}, 400),
                ({"account": "acme", "id": "2", "name": "a/b"}, 400),
                ({"account": "acme", "id": "2", "name": "12"}, 400),
                ({"account": "acme", "id": "2", "name": "x" * 129}, 400),
                ({"account": "acme", "id": "2", "name": "a\nb"}, 400),
                ('{"account":"acme","id":"2","id":"3"}', 400),
                (b'{"account":"acme","id":"2","name":"\xff"}', 400),
                ('{"account":"acme","id":"2"} more', 400),
                ({"account": "nobody", "id": "2"}, 404)):
            with self.subTest(body=str(body)[:60]):
                reply = daemon.post("/v1/jobs", body)
                self.assert_problem(reply, status)
        self.assertEqual([job["id"] for job in daemon.jobs()], ["1"])
        self.assertIn("colour", daemon.post("/v1/jobs", {"colour": 1}).json()["detail"])

    def test_what_is_no_http(self):
        daemon = self.start({"acme": ["1"]})
        for data in (b"\0" * 1000, b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\xff\xfe\r\n\r\n",
                     b"GET /v1/status HTTP/1.1\r\n" + b"X: y\r\n" * 100000,
                     b"GET /" + b"a" * 1000000 + b" HTTP/1.1\r\n\r\n",
                     b"POST /v1/jobs HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
                     b"POST /v1/jobs HTTP/1.1\r\nContent-Length: 100000\r\n\r\n" + b"[" * 100000,
                     b"POST /v1/jobs HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
                     b"POST /v1/jobs HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\n",
                     b"GET http://elsewhere/v1/status HTTP/1.1\r\nHost: elsewhere\r\n\r\n",
                     b"GET /v1/jobs/acme/1/wait HTTP/1.1\r\nHost: x\r\n\r\nmore of it",
                     b"GET /v1/events?follow=true HTTP/1.1\r\nHost: x\r\n\r\nmore of it"):
            for path in (daemon.query, daemon.admin):
                with socket.socket(socket.AF_UNIX) as client:
                    client.settimeout(DEADLINE_S)
                    client.connect(str(path))
                    try:
                        client.sendall(data)
                        client.shutdown(socket.SHUT_WR)
                        while client.recv(65536):
                            pass
                    except OSError:
                        pass
                self.assertEqual(daemon.get("/v1/status").status, 200)
        self.assertEqual([job["id"] for job in daemon.jobs()], ["1"])
        self.assert_stops(daemon)

    def test_the_cap_on_clients(self):
        """Beyond it one waits for a place; those who are served are served on."""
        daemon = self.start({"acme": ["1"]}, max_clients=8)
        stream = daemon.follow()
        clients = [socket.socket(socket.AF_UNIX) for _ in range(20)]
        self.addCleanup(lambda: [client.close() for client in clients])
        for client in clients:
            client.settimeout(DEADLINE_S)
            client.connect(str(daemon.query))
        with self.assertRaises(TimeoutError):
            ask(daemon.query, "GET", "/v1/status", timeout=QUIET_S)
        wait_for(lambda: len(stream.events()) >= 2, "the events of one who is served")
        for client in clients:
            client.close()
        wait_for(daemon.is_ready, "a place")
        stream.close()


class Events(QueryCase):
    def test_reading_on(self):
        daemon = self.start({"acme": ["1000", "1001"], "bolt": ["2000"]})
        daemon.wait_finished(3)
        reply = daemon.get("/v1/events")
        self.assertEqual((reply.status, reply.content_type), (200, "application/x-ndjson"))
        events = reply.lines()
        self.assertEqual([event["seq"] for event in events], list(range(1, 9)))
        for event in events:
            self.assertLessEqual({"seq", "id", "type", "at", "account", "job_id", "from_state",
                                  "to_state", "job"}, set(event))
        for after in (0, 3, 8):
            self.assertEqual(daemon.get(f"/v1/events?after={after}").lines(), events[after:])
        self.assertEqual(daemon.get("/v1/events?after=1000000").lines(), [])
        self.assertEqual(daemon.get("/v1/events?limit=2").lines(), events[:2])

        def of(*types):
            return [event for event in events if event["type"] in types]
        self.assertEqual(daemon.get("/v1/events?type=job.failed").lines(), of("job.failed"))
        self.assertEqual(daemon.get("/v1/events?type=job.failed,job.added").lines(),
                         of("job.failed", "job.added"))
        self.assertEqual(daemon.get("/v1/events?type=job.*").lines(), events)
        self.assertEqual(daemon.get("/v1/events?type=account.*,hook.dead").lines(), [])
        self.assertEqual(daemon.get("/v1/events?account=bolt").lines(),
                         [event for event in events if event["account"] == "bolt"])
        self.assertEqual(
            daemon.get("/v1/events?after=5", headers={"Last-Event-ID": "7"}).lines(), events[7:])
        self.assert_problem(daemon.get("/v1/events", headers={"Last-Event-ID": "x"}), 400)

    def test_following(self):
        daemon = self.start({"acme": ["1"]})
        page = daemon.get("/v1/jobs").json()
        everything = daemon.follow()
        joined = daemon.follow(page["last_seq"])
        completed = daemon.follow(0, "&type=job.completed")
        sse = Stream(daemon.query, "/v1/events?follow=true",
                     {"Accept": "text/event-stream", "Last-Event-ID": "1"})
        self.assertEqual(everything.content_type, "application/x-ndjson")
        self.assertEqual(sse.content_type, "text/event-stream")
        for i in range(5):
            self.assertEqual(daemon.post("/v1/jobs", {"account": "acme", "id": str(1000 + i)})
                             .status, 201)
        daemon.wait_finished(5)
        wait_for(lambda: daemon.job("acme", "1")["state"] == "ADDED", "the last event")
        events = daemon.events()
        self.assertEqual(len(events), 2 + 5 * 3)
        for stream, expected in (
                (everything, events), (joined, events[page["last_seq"]:]),
                (completed, [e for e in events if e["type"] == "job.completed"])):
            wait_for(lambda: len(stream.lines) == len(expected), "the events")
            self.assertEqual(stream.events(), expected)
        wait_for(lambda: sum(line.startswith("data: ") for line in sse.lines) == len(events) - 1,
                 "the events as they come to a browser")
        blocks = "\n".join(sse.lines).strip().split("\n\n")
        for event, block in zip(events[1:], blocks, strict=True):
            head, data = block.split("\n")
            self.assertEqual(head, f"id: {event['seq']}")
            self.assertEqual(json.loads(data.removeprefix("data: ")), event)
        for stream in (everything, joined, completed, sse):
            stream.close()

    def test_what_is_accepted(self):
        daemon = self.start({"acme": ["1"]})
        for accept, is_sse in (("text/event-stream", True), ("TEXT/Event-Stream", True),
                               ("text/html, text/event-stream", True),
                               ("application/json,text/event-stream;q=0.5", True),
                               ("text/event-stream ; charset=utf-8", True), ("*/*", False),
                               ("text/event-stream;q=0", False), ("text/event-stream; q=0.0", False),
                               ("x-text/event-stream", False), ("text/event-streams", False),
                               ("", False), (",;,", False)):
            reply = daemon.get("/v1/events?limit=1", headers={"Accept": accept})
            self.assertEqual(reply.content_type,
                             "text/event-stream" if is_sse else "application/x-ndjson", accept)

    def test_overdue_is_told_once(self):
        """Over restarts too, however the daemon ended."""
        daemon = self.start({"acme": ["1"]}, poll={"overdue_after": "1s"},
                            hooks={"late": self.stage.hook("late", on=["job.overdue"])})
        for end in (daemon.kill, lambda: self.assert_stops(daemon), lambda: None):
            wait_for(lambda: daemon.events("&type=job.overdue"), "the event")
            self.stage.wait_records(1)
            daemon.wait_delivered()
            end()
            if daemon.process.poll() is not None:
                daemon = self.stage.start()
        assert_unchanged(lambda: len(daemon.events("&type=job.overdue")), 2, "number of events")
        [event] = daemon.events("&type=job.overdue")
        self.assertEqual((event["from_state"], event["to_state"], event["job"]["state"]),
                         ("ADDED", "ADDED", "ADDED"))
        self.assertEqual(len(self.stage.records()), 1)

    def test_overdue_is_counted_from_the_first_watch(self):
        """Over restarts: a job that was watched for so long is overdue as soon as the daemon is back."""
        daemon = self.start({"acme": ["1", "2"]}, poll={"overdue_after": "1h"})
        wait_for(lambda: self.polls("1") and self.polls("2"), "polls")
        self.assert_stops(daemon)
        connection = sqlite3.connect(self.stage.state_dir / "bulkwatch.db")
        self.addCleanup(connection.close)
        with connection:
            connection.execute("UPDATE job SET watched_since_at = watched_since_at - 3600000 WHERE id = '1'")
        connection.close()
        daemon = self.stage.start()
        wait_for(lambda: daemon.events("&type=job.overdue"), "the event")
        assert_unchanged(lambda: len(daemon.events("&type=job.overdue")), QUIET_S, "number of events")
        [event] = daemon.events("&type=job.overdue")
        self.assertEqual(event["job_id"], "1")

    def test_heartbeats(self):
        """Beats go on while nothing happens, so that nobody takes the connection for dead."""
        daemon = self.start({"acme": ["1000"]})
        daemon.wait_finished(1)
        last = daemon.events()[-1]["seq"]
        lines = daemon.follow(last)
        sse = Stream(daemon.query, f"/v1/events?follow=true&after={last}",
                     {"Accept": "text/event-stream"})
        wait_for(lambda: lines.lines and sse.lines, "heartbeats", HEARTBEAT_S + 10)
        self.assertEqual(json.loads(lines.lines[0]), {"type": "heartbeat", "last_seq": last})
        self.assertTrue(sse.lines[0].startswith(":"), sse.lines[0])
        daemon.post("/v1/jobs", {"account": "acme", "id": "2000"})
        wait_for(lambda: len(lines.events()) == 2, "the stream goes on")
        lines.close()
        sse.close()

    def test_a_reader_that_reads_nothing_hurts_nobody(self):
        daemon = self.start({"acme": [str(1000 + i) for i in range(300)]})
        with socket.socket(socket.AF_UNIX) as idle:
            idle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            idle.connect(str(daemon.query))
            idle.sendall(b"GET /v1/events?follow=true HTTP/1.1\r\nHost: x\r\n\r\n")
            reader = daemon.follow()
            daemon.wait_finished(300)
            wait_for(lambda: len(reader.events()) == 900, "all events for who reads")
            reader.close()


class Waiting(QueryCase):
    def test_wait(self):
        self.sim = self.stage.sim("--admin", script={"jobs": [
            {"id": "1", "life": [{"state": "ADDED"}]},
            {"id": "2", "life": [{"state": "ADDED"}]},
            {"id": "3", "life": [{"state": "COMPLETED"}]}]})
        self.stage.config({"acme": self.stage.account(["1", "2", "3"])})
        daemon = self.stage.start()
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            waiters = [pool.submit(daemon.get, f"/v1/jobs/acme/{i}/wait?timeout=10m")
                       for i in ("1", "1", "1", "3")]
            wait_for(waiters[3].done, "the end of 3")
            self.assertEqual(waiters[3].result().json()["state"], "COMPLETED")
            assert_unchanged(lambda: [w.done() for w in waiters[:3]], QUIET_S, "those who wait")
            self.sim.admin("POST", "/jobs", {"jobs": [{"id": "1", "life": [
                {"state": "COMPLETED"}]}]})
            for waiter in waiters[:3]:
                job = waiter.result(DEADLINE_S).json()
                self.assertEqual((job["id"], job["finished"], job["state"]),
                                 ("1", True, "COMPLETED"))
        began = time.monotonic()
        job = daemon.get("/v1/jobs/acme/2/wait?timeout=300ms").json()
        self.assertEqual((job["state"], job["finished"]), ("ADDED", False))
        self.assertTrue(0.25 < time.monotonic() - began < 5)
        daemon.delete("/v1/jobs/acme/2")
        job = daemon.get("/v1/jobs/acme/2/wait").json()
        self.assertEqual((job["watched"], job["finished"]), (False, False))

    def test_wait_ends_when_nobody_watches_any_more(self):
        daemon = self.start({"acme": ["1"]})
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            waiter = pool.submit(daemon.get, "/v1/jobs/acme/1/wait?timeout=20s")
            assert_unchanged(waiter.done, QUIET_S, "who waits")
            daemon.delete("/v1/jobs/acme/1")
            self.assertIs(waiter.result(5).json()["watched"], False)

    def test_many_who_leave(self):
        """Each round needs the places of the one before it."""
        daemon = self.start({"acme": ["1"]}, max_clients=250)
        for _ in range(4):
            clients = [socket.socket(socket.AF_UNIX) for _ in range(200)]
            for client in clients:
                client.connect(str(daemon.query))
                client.sendall(b"GET /v1/jobs/acme/1/wait HTTP/1.1\r\nHost: x\r\n\r\n")
            self.assertEqual(daemon.get("/v1/status").status, 200)
            for client in clients:
                client.close()
        self.assert_stops(daemon)


class Changes(QueryCase):
    def test_add_and_remove(self):
        daemon = self.start({"acme": ["1"]})
        wish = {"account": "acme", "id": "2", "name": "by hand"}
        reply = daemon.post("/v1/jobs", wish)
        self.assertEqual((reply.status, reply.content_type), (201, "application/json"))
        job = reply.json()
        self.assertEqual((job["id"], job["name"], job["state"], job["watched"]),
                         ("2", "by hand", "PENDING", True))
        reply = daemon.post("/v1/jobs", wish)
        self.assertEqual((reply.status, reply.json()["id"]), (200, "2"))
        wait_for(lambda: daemon.job("acme", "2")["state"] == "ADDED", "its first answer")
        # It stays over a reload and a restart, though the configuration knows nothing of it.
        self.assertEqual(daemon.reload().status, 200)
        self.assertTrue(daemon.job("acme", "2")["watched"])
        self.assert_stops(daemon)
        daemon = self.stage.start()
        job = daemon.job("acme", "2")
        self.assertEqual((job["watched"], job["name"], job["state"]), (True, "by hand", "ADDED"))
        reply = daemon.delete("/v1/jobs/acme/2")
        self.assertEqual((reply.status, reply.data), (204, b""))
        self.assert_problem(daemon.delete("/v1/jobs/acme/2"), 404)
        self.assertEqual([job["id"] for job in daemon.jobs()], ["1"])
        self.assertFalse(daemon.job("acme", "2")["watched"])
        self.assert_stops(daemon)
        daemon = self.stage.start()
        self.assertEqual([job["id"] for job in daemon.jobs()], ["1"])

    def test_a_configured_job_stays_removed(self):
        daemon = self.start({"acme": ["1", "3"]})
        self.assertEqual(daemon.delete("/v1/jobs/acme/1").status, 204)
        self.assertEqual(daemon.reload().status, 200)
        self.assertEqual([job["id"] for job in daemon.jobs()], ["3"])
        self.assert_stops(daemon)
        daemon = self.stage.start()
        self.assertEqual([job["id"] for job in daemon.jobs()], ["3"])
        self.assertEqual(daemon.post("/v1/jobs", {"account": "acme", "id": "1"}).status, 201)
        self.assertEqual(daemon.reload().status, 200)
        self.assert_stops(daemon)
        daemon = self.stage.start()
        self.assertEqual(sorted(job["id"] for job in daemon.jobs()), ["1", "3"])

    def test_pause_and_resume(self):
        daemon = self.start({"acme": ["1"]})
        wait_for(lambda: self.polls("1") > 1, "polls")
        reply = daemon.post("/v1/jobs/acme/1/pause")
        self.assertEqual((reply.status, reply.json()["paused"]), (202, True))
        wait_for(lambda: daemon.status()["in_flight"] == 0, "quiet")
        assert_unchanged(lambda: self.polls("1"), QUIET_S, "polls of a paused job")
        self.assertIsNone(daemon.job("acme", "1")["next_poll"])
        self.assert_problem(daemon.post("/v1/jobs/acme/1/poll"), 409)
        self.assert_stops(daemon)
        daemon = self.stage.start()
        self.assertTrue(daemon.job("acme", "1")["paused"])
        assert_unchanged(lambda: self.polls("1"), QUIET_S, "polls of a paused job")
        reply = daemon.post("/v1/jobs/acme/1/resume")
        self.assertEqual((reply.status, reply.json()["paused"]), (202, False))
        polls = self.polls("1")
        wait_for(lambda: self.polls("1") > polls, "polls")
        for verb in ("poll", "pause", "resume"):
            self.assert_problem(daemon.post(f"/v1/jobs/acme/9/{verb}"), 404)

    def test_poll_now(self):
        daemon = self.start({"acme": ["1", "1000"]},
                            poll={"min_interval": "1h", "max_interval": "1h"})
        wait_for(lambda: self.polls("1") == 1 and self.polls("1000") == 1, "first polls")
        wait_for(lambda: daemon.status()["in_flight"] == 0, "their answers")
        assert_unchanged(lambda: len(self.sim.requests()), QUIET_S, "polls before min_interval")
        self.assertEqual(daemon.post("/v1/jobs/acme/1000/poll").status, 202)
        daemon.wait_finished(1)
        self.assertEqual((self.polls("1"), self.polls("1000")), (1, 2))
        self.assertEqual(daemon.post("/v1/jobs/acme/1/poll").status, 202)
        wait_for(lambda: self.polls("1") == 2, "the poll")

    def test_a_lost_job_is_revived_by_a_poll(self):
        sim = self.sim = self.stage.sim("--admin", script={"jobs": [
            {"id": "1", "life": [{"fault": "not_found"}]},
            {"id": "2", "life": [{"state": "ADDED"}]}]})
        self.stage.config({"acme": self.stage.account(["1", "2"])},
                          hooks={"load": self.stage.hook("load")}, poll={"lost_after": "300ms"})
        daemon = self.stage.start()
        daemon.wait_finished(1)
        self.assertEqual(daemon.job("acme", "1")["state"], "LOST")
        record = self.stage.wait_records(1)[0]
        self.assertEqual((record.type, record.job[1]), ("job.lost", "1"))
        polls = assert_unchanged(lambda: self.polls("1"), QUIET_S, "polls of a lost job")
        self.assertGreaterEqual(polls, 3)
        sim.admin("POST", "/jobs", {"jobs": [{"id": "1", "life": [
            {"state": "ADDED", "polls": 1}, {"state": "COMPLETED"}]}]})
        self.assertEqual(daemon.post("/v1/jobs/acme/1/poll").status, 202)
        wait_for(lambda: daemon.job("acme", "1")["state"] == "COMPLETED", "its end")
        self.assertEqual([r.type for r in self.stage.wait_records(2)],
                         ["job.lost", "job.completed"])

    def test_an_account_whose_every_job_is_unknown_is_paused_instead(self):
        self.sim = self.stage.sim(script={"jobs": [{"id": "*", "life": [{"fault": "not_found"}]}]})
        self.stage.config({"acme": self.stage.account(["1", "2", "3"])},
                          poll={"lost_after": "100ms"})
        daemon = self.stage.start()
        wait_for(lambda: daemon.account("acme")["state"] == "paused", "the pause")
        self.assertEqual({job["state"] for job in daemon.jobs()}, {"PENDING"})
        self.assertEqual([e["account"] for e in daemon.events("&type=account.paused")], ["acme"])


class CommandLine(QueryCase):
    """bulkwatch against the real daemon."""

    def bulkwatch(self, *arguments, deadline_s=2 * DEADLINE_S):
        done = subprocess.run(
            [CTL, "--runtime-dir", self.stage.runtime_dir, *arguments], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=deadline_s,
            check=False)
        return done.returncode, done.stdout, done.stderr

    def ok(self, *arguments):
        code, out, err = self.bulkwatch(*arguments)
        self.assertEqual((code, err), (0, ""), (arguments, out, err))
        return out

    def test_verbs(self):
        daemon = self.start({"acme": [{"id": "1", "name": "nightly"}, "1000", "2000"]},
                            hooks={"load": {"exec": ["/bin/true"]}})
        daemon.wait_finished(2)
        daemon.wait_delivered()
        self.assertEqual(self.bulkwatch("wait", "1000")[0], 0)
        self.assertEqual(self.bulkwatch("wait", "1000", "2000")[0], 3)
        self.assertEqual(self.bulkwatch("wait", "--any", "1", "1000")[0], 0)
        self.assertEqual(self.bulkwatch("wait", "--timeout", "100ms", "nightly")[0], 124)
        self.assertEqual(self.bulkwatch("show", "nobody")[0], 4)
        self.assertEqual(self.bulkwatch("nonsense")[0], 2)
        self.assertEqual(len(self.ok("list").splitlines()), 3)
        self.assertEqual(json.loads(self.ok("--json", "show", "nightly"))["id"], "1")
        self.ok("add", "acme", "1001", "--name", "one more")
        self.assertEqual(self.bulkwatch("wait", "one more")[0], 0)
        history = self.ok("history", "acme/1001").splitlines()
        self.assertEqual([line.split("\t")[2] for line in history],
                         ["job.watched", "job.added", "job.completed"])
        self.assertIn("COMPLETED", self.ok("show", "1001"))
        self.ok("pause", "nightly")
        self.assertTrue(daemon.job("acme", "1")["paused"])
        self.ok("resume", "nightly")
        self.assertFalse(daemon.job("acme", "1")["paused"])
        self.ok("poll", "nightly")
        self.ok("remove", "1001")
        self.assertFalse(daemon.job("acme", "1001")["watched"])
        self.assertIn("acme", self.ok("status"))
        self.assertIn("load", self.ok("hooks"))
        self.assertEqual(len(self.ok("deliveries").splitlines()), 3)
        self.ok("reload")
        self.ok("config", "check")
        copy = self.stage.dir / "copy.db"
        self.ok("backup", str(copy))
        connection = sqlite3.connect(copy)
        self.assertEqual(connection.execute("PRAGMA quick_check").fetchall(), [("ok",)])
        connection.close()
        events = self.ok("events")
        self.assertIn("job.completed", events)
        self.assert_stops(daemon)
        self.assertEqual(self.bulkwatch("list")[0], 69)

    def test_what_was_meant(self):
        self.start({"acme": [{"id": "1", "name": "contacts"}, {"id": "2", "name": "contacts"},
                             {"id": "3", "name": "deals"}], "beta": ["7"]})
        for given, meant in (("contact", "contacts"), ("cnotacts", "contacts"), ("daels", "deals"),
                             ("acme/deal", "acme/deals"), ("acme/7", "beta/7"),
                             ("nowhere/3", "acme/3")):
            code, out, said = self.bulkwatch("show", given)
            self.assertEqual((code, out), (4, ""))
            self.assertIn(f'there is no job "{given}"; did you mean "{meant}"? ', said)
        for given in ("zzzzzz", "99", "acme/99", "beta/deals"):
            code, _, said = self.bulkwatch("show", given)
            self.assertEqual(code, 4)
            self.assertNotIn("did you mean", said)

    def test_who_follows_for_nobody_ends(self):
        daemon = self.start({"acme": ["1000"]})
        daemon.wait_finished(1)
        follower = subprocess.Popen(
            [CTL, "--runtime-dir", self.stage.runtime_dir, "events", "--follow"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self.addCleanup(follower.kill)
        follower.stdout.readline()
        follower.stdout.close()
        self.assertEqual(follower.wait(DEADLINE_S), -signal.SIGPIPE)

    def test_wait_outlives_the_daemon(self):
        """However it ends, and be it before anything was heard of it."""
        sim = self.sim = self.stage.sim("--admin", script={"jobs": [
            {"id": "*", "life": [{"state": "ADDED"}]}]})
        self.stage.config({"acme": self.stage.account(["1", "2"])})
        daemon = self.stage.start()
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            waits = [pool.submit(self.bulkwatch, "wait", "1", "--timeout", "1m"),
                     pool.submit(self.bulkwatch, "wait", "--any", "1", "2")]
            for end in ("kill", "stop"):
                wait_for(lambda: b"bulkwatch_streams 2\n" in daemon.get("/metrics").data, "both")
                getattr(daemon, end)()
                daemon = self.stage.start()
            sim.admin("POST", "/jobs", {"jobs": [{"id": "1", "life": [{"state": "COMPLETED"}]}]})
            for waiting in waits:
                self.assertEqual(waiting.result(DEADLINE_S)[0], 0, waiting.result())
        self.assert_stops(daemon)

    def test_wait_sees_the_end(self):
        sim = self.sim = self.stage.sim("--admin", script={"jobs": [
            {"id": "1", "life": [{"state": "ADDED"}]}]})
        self.stage.config({"acme": self.stage.account(["1"])})
        self.stage.start()
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(self.bulkwatch, "wait", "1")
            assert_unchanged(waiting.done, QUIET_S, "who waits")
            sim.admin("POST", "/jobs", {"jobs": [{"id": "1", "life": [{"state": "FAILURE"}]}]})
            self.assertEqual(waiting.result(DEADLINE_S)[0], 3)


if __name__ == "__main__":
    unittest.main()
