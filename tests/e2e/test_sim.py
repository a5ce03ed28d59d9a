#!/usr/bin/env python3
"""bulkwatch-sim at the byte level: lives, faults, tokens, limits, TLS, scripts, the admin port."""

import io
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import ssl
import stat
import struct
import subprocess
import tempfile
import threading
import time
import unittest
import zipfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("BULKWATCH_BUILD", ROOT / "build"))
PROGRAM = BUILD / "src" / "sim" / "bulkwatch-sim"
SAMPLES = ROOT / "tests" / "data" / "zoho"
DEADLINE_S = 20
QUIET_S = 0.3  # how long nothing must come from a connection that hangs
SAMPLE_ID = "3652397000000646004"
FORM = "grant_type=refresh_token&client_id=%s&client_secret=%s&refresh_token=%s"


def wait_for(condition, what):
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError("waited in vain for " + what)


class Reply:
    def __init__(self, raw):
        self.raw = raw
        head, self.has_head, self.body = raw.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        self.line = lines[0]
        self.status = int(lines[0].split(" ")[1]) if raw else None
        self.headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(": ")
            self.headers[name.lower()] = value

    def json(self):
        return json.loads(self.body)

    def state(self):
        return self.json()["data"][0]["state"]

    def code(self):
        return self.json()["code"]


def request_bytes(path, method="GET", token="abc", body=None, close=True, extra=""):
    lines = [f"{method} {path} HTTP/1.1", "Host: test"]
    if token is not None:
        lines.append(f"Authorization: Zoho-oauthtoken {token}")
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    if close:
        lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n" + extra + "\r\n" + (body or "")).encode()


class Sim:
    """A running simulator; its data centers' ports are in .ports."""

    def __init__(self, *options, script=None, dcs=("eu",), admin=False, files=None):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="bulkwatch-sim-"))
        self.process = None
        for name, content in (files or {}).items():
            (self.dir / name).write_bytes(content)
        self.port_file = self.dir / "ports.yaml"
        self.log_file = self.dir / "log.jsonl"
        argv = [PROGRAM, "--port-file", self.port_file, "--log", self.log_file, *options]
        for dc in dcs:
            argv += ["--dc", dc]
        if admin:
            argv.append("--admin")
        if script is not None:
            (self.dir / "script.yaml").write_text(script)
            argv += ["--script", self.dir / "script.yaml"]
        self.errors = open(self.dir / "stderr", "w+b")
        self.process = subprocess.Popen(
            [str(arg) for arg in argv], stderr=self.errors, stdin=subprocess.DEVNULL)
        try:
            wait_for(lambda: self.port_file.exists() or self.process.poll() is not None,
                     "the ports")
            if not self.port_file.exists():
                raise AssertionError("it ended: " + (self.dir / "stderr").read_text())
        except AssertionError:
            self.stop()
            shutil.rmtree(self.dir)
            raise
        self.ports_text = self.port_file.read_text()
        self.ports = {}
        for name, port in re.findall(
                r"^  ([a-z0-9_-]+):\n    api_url: https?://[a-z0-9.]+:(\d+)$",
                self.ports_text, re.M):
            self.ports[name] = int(port)
        admin_port = re.search(r"^# admin: http://127\.0\.0\.1:(\d+)$", self.ports_text, re.M)
        self.admin_port = int(admin_port[1]) if admin_port else None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        code = self.stop()
        said = (self.dir / "stderr").read_text()
        shutil.rmtree(self.dir)
        if code != 0 or "runtime error" in said:
            raise AssertionError(f"it ended with {code}: {said}")

    def stop(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            code = self.process.wait(DEADLINE_S)
        finally:
            self.process.kill()
        self.errors.close()
        return code

    def connect(self, dc="eu"):
        return socket.create_connection(("127.0.0.1", self.ports[dc]), timeout=DEADLINE_S)

    def exchange(self, data, port):
        with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S) as s:
            s.sendall(data)
            return read_all(s)

    def get(self, path, dc="eu", **more):
        return Reply(self.exchange(request_bytes(path, **more), self.ports[dc]))

    def poll(self, job="1", dc="eu", service="bigin", version="v2", **more):
        return self.get(f"/{service}/bulk/{version}/read/{job}", dc, **more)

    def result(self, job="1", dc="eu"):
        return self.get(f"/bigin/bulk/v2/read/{job}/result", dc)

    def token(self, dc="eu", client="c", secret="s", refresh="r", **more):
        return self.get("/oauth/v2/token", dc, method="POST", token=None,
                        body=FORM % (client, secret, refresh), **more)

    def admin(self, path, method="GET", body=None):
        return Reply(self.exchange(
            request_bytes(path, method, token=None, body=body), self.admin_port))

    def stats(self):
        return self.admin("/stats").json()

    def log(self):
        return [json.loads(line) for line in self.log_file.read_text().splitlines()]


def read_all(s):
    data = b""
    while True:
        piece = s.recv(65536)
        if not piece:
            return data
        data += piece


def sample(name):
    return json.loads((SAMPLES / (name + ".json")).read_text())


class TestCase(unittest.TestCase):
    def sim(self, *options, **more):
        sim = Sim(*options, **more)
        self.addCleanup(sim.__exit__)
        return sim

    def fault(self, what, **more):
        """A simulator in which that fault strikes always, and the job 1 is COMPLETED."""
        options = "".join(f", {key}: {json.dumps(value)}" for key, value in more.items())
        return self.sim(script=f"""
jobs: [{{id: "*", life: [{{state: COMPLETED}}]}}]
faults: [{{what: {what}{options}}}]
""")


class Lives(TestCase):
    def test_default_life_is_that_of_the_samples(self):
        sim = self.sim()
        names = ["added"] * 2 + ["in-progress"] * 3 + ["completed"] * 2
        for name in names:
            reply = sim.poll(SAMPLE_ID)
            self.assertEqual(reply.status, 200)
            self.assertEqual(reply.headers["content-type"], "application/json;charset=UTF-8")
            # Not only equal: the members stand in the same order.
            self.assertEqual(json.dumps(reply.json()), json.dumps(sample(name)))

    def test_failure_is_that_of_the_sample(self):
        sim = self.sim(script="jobs: [{id: 111111000000052009, life: [{state: FAILURE}]}]")
        reply = sim.poll("111111000000052009")
        self.assertEqual(json.dumps(reply.json()), json.dumps(sample("failure")))

    def test_jobs_of_two_data_centers_are_two(self):
        sim = self.sim(dcs=("eu", "us"))
        states = [sim.poll("7", "eu").state() for _ in range(6)]
        self.assertEqual(states[-1], "COMPLETED")
        self.assertEqual(sim.poll("7", "us").state(), "ADDED")

    def test_the_six_data_centers_are_the_default(self):
        sim = self.sim(dcs=())
        self.assertEqual(list(sim.ports), ["us", "eu", "au", "in", "cn", "jp"])
        for dc in sim.ports:
            self.assertEqual(sim.poll(dc=dc).state(), "ADDED")

    def test_crm_twin_has_its_module_as_an_object_and_its_own_url(self):
        sim = self.sim(script="jobs: [{id: 5, life: [{state: COMPLETED}]}]")
        data = sim.poll("5", service="crm", version="v8").json()["data"][0]
        self.assertEqual(data["query"]["module"]["api_name"], "Contacts")
        self.assertEqual(data["result"]["download_url"], "/crm/bulk/v8/read/5/result")
        for version in ("v2", "v9"):
            self.assertEqual(sim.poll("5", version=version).status, 200)

    def test_script_says_what_a_document_holds(self):
        sim = self.sim(script="""
jobs:
  - id: 8
    dc: eu
    service: bigin
    life: [{state: QUEUED, polls: 1}, {state: "SÜSS ODER SALZIG", polls: 2}, {state: COMPLETED}]
    operation: export
    module: Deals
    page: 3
    count: 0
    per_page: 100
    more_records: true
    fields: [Name, "123", 456]
    created_by: {id: 99, name: Ann}
    created_time: "2026-01-01T00:00:00Z"
    download_url: /bigin/bulk/v7/read/8/result
    extra: {file_type: csv, big: 12345678901234567890, flag: true, list: [1, "1", null, 1.5]}
""")
        states = [sim.poll("8").state() for _ in range(4)]
        self.assertEqual(states, ["QUEUED"] + ["SÜSS ODER SALZIG"] * 2 + ["COMPLETED"])
        data = sim.poll("8").json()["data"][0]
        self.assertEqual(data["operation"], "export")
        self.assertEqual(data["query"]["module"], "Deals")
        self.assertEqual(data["query"]["fields"], ["Name", "123", "456"])
        self.assertEqual(data["query"]["page"], 3)
        self.assertEqual(data["result"], {
            "page": 3, "count": 0, "download_url": "/bigin/bulk/v7/read/8/result",
            "per_page": 100, "more_records": True})
        self.assertEqual(data["created_by"], {"id": "99", "name": "Ann"})
        self.assertEqual(data["created_time"], "2026-01-01T00:00:00Z")
        self.assertEqual(data["big"], 12345678901234567890)
        self.assertEqual(data["list"], [1, "1", None, 1.5])
        self.assertEqual(sim.poll("8", service="crm", version="v8").code(), "RESOURCE_NOT_FOUND")

    def test_query_and_result_verbatim_ranges_and_patterns(self):
        sim = self.sim(script="""
jobs:
  - id: 18446744073709551615-18446744073709551700
    final: FAILED
    query: {a: [1]}
    result: {b: "2"}
  - {id: "77?", life: [{state: ONE}]}
  - {id: "88*", life: [{state: TWO}]}
""")
        for job in ("18446744073709551615", "18446744073709551650", "18446744073709551700"):
            for _ in range(6):
                data = sim.poll(job).json()["data"][0]
            self.assertEqual((data["state"], data["query"], data["result"]),
                             ("FAILED", {"a": [1]}, {"b": "2"}))
        states = [sim.poll(job).state() for job in ("770", "88", "887766", "18446744073709551701")]
        self.assertEqual(states, ["ONE", "TWO", "TWO", "ADDED"])

    def test_samples_are_served_verbatim(self):
        body = b'{"data": [ {"id":"1"} ],\n "odd": "\xff\x00"}'
        sim = self.sim(files={"odd.json": body}, script="""
jobs:
  - {id: 1, sample: odd.json}
  - {id: 2, life: [{state: ADDED, polls: 1}, {sample: odd.json}]}
""")
        self.assertEqual(sim.poll("1").body, body)
        self.assertEqual([sim.poll("2").state(), sim.poll("2").body], ["ADDED", body])

    def test_a_step_may_be_a_fault(self):
        sim = self.sim(script="""
jobs: [{id: 1, life: [{state: ADDED, polls: 1}, {fault: not_found, polls: 2}, {fault: "204"}]}]
""")
        replies = [sim.poll() for _ in range(4)]
        self.assertEqual([reply.status for reply in replies], [200, 404, 404, 204])
        self.assertEqual(replies[1].json()["details"], {"resource": "1"})

    def test_time_passes_asked_or_not(self):
        sim = self.sim("--speed", "100", script="""
jobs: [{id: 1, life: [{state: ADDED, for: 5s}, {state: IN PROGRESS, for: 5s}, {state: COMPLETED}]}]
""")
        self.assertEqual(sim.poll().state(), "ADDED")
        wait_for(lambda: sim.poll().state() == "COMPLETED", "the end of the job")
        record = sim.log()[-1]
        self.assertGreaterEqual(record["state_age_ms"], 0)
        self.assertLess(record["state_age_ms"], DEADLINE_S * 1000)

    def test_time_does_not_run_ahead(self):
        sim = self.sim(script="""
jobs: [{id: 1, duration: 10h}, {id: 2, life: [{state: A, for: 1h}, {state: B}]}]
""")
        self.assertEqual([sim.poll("1").state() for _ in range(9)], ["ADDED"] * 9)
        self.assertEqual([sim.poll("2").state() for _ in range(9)], ["A"] * 9)

    def test_a_seed_repeats_what_is_random(self):
        ids = [str(job) for job in range(40)]

        def first_states(seed):
            """At the first poll no time has passed: what is said then is the draw alone."""
            script = 'jobs: [{id: "*", duration: "lognormal(median 50ms, sigma 5)"}]'
            with Sim("--seed", seed, script=script) as sim:
                return [sim.poll(job).state() for job in ids]

        def statuses(seed):
            with Sim("--seed", seed, script="faults: [{what: '503', probability: 0.5}]") as sim:
                return [sim.poll(job).status for job in ids]

        for draw in (first_states, statuses):
            first = draw("7")
            self.assertEqual(first, draw("7"))
            self.assertNotEqual(first, draw("8"))
            self.assertGreater(len(set(first)), 1)


class Paths(TestCase):
    def test_what_is_not_there(self):
        sim = self.sim()
        for path in ("/", "/bigin/bulk/v2/read/", "/bigin/bulk/v2/read/12x",
                     "/bigin/bulk/v1/read/1", "/bigin/bulk/v2/read/" + "1" * 21,
                     "/bigin/bulk/v2/read/1/other",
                     "/bigin/bulk/v2/../v2/read/1"):
            reply = sim.get(path)
            self.assertEqual((reply.status, reply.code()), (404, "INVALID_URL_PATTERN"), path)

    def test_authorization_is_needed(self):
        sim = self.sim()
        for extra in ("", "Authorization: Bearer abc\r\n", "Authorization: Zoho-oauthtoken\r\n",
                      "Authorization: Zoho-oauthtoken a b\r\n"):
            reply = sim.poll(token=None, extra=extra)
            self.assertEqual((reply.status, reply.json()), (401, sample("error-invalid-token")))

    def test_wrong_method(self):
        sim = self.sim()
        self.assertEqual(sim.poll(method="POST", body="").code(), "INVALID_REQUEST_METHOD")
        head = sim.poll(method="HEAD")
        self.assertEqual((head.status, head.body), (400, b""))

    def test_download(self):
        sim = self.sim(script="""
jobs:
  - {id: 1, life: [{state: ADDED, polls: 1}, {state: COMPLETED}], count: 3, fields: [Name, Phone]}
  - {id: 2, life: [{state: COMPLETED}], count: 100000}
""")
        self.assertEqual(sim.result().status, 404)
        self.assertEqual(sim.poll().state(), "ADDED")
        self.assertEqual(sim.poll().state(), "COMPLETED")
        reply = sim.result()
        self.assertEqual(reply.status, 200)
        self.assertIn("filename=1.zip", reply.headers["content-disposition"])
        with zipfile.ZipFile(io.BytesIO(reply.body)) as archive:
            self.assertIsNone(archive.testzip())
            self.assertEqual(archive.namelist(), ["1.csv"])
            rows = archive.read("1.csv").decode().splitlines()
        self.assertEqual((rows[0], len(rows)), ("Id,Name,Phone", 4))
        sim.poll("2")
        with zipfile.ZipFile(io.BytesIO(sim.result("2").body)) as archive:
            self.assertEqual(len(archive.read("2.csv").splitlines()), 1001)

    def test_ten_downloads_a_minute(self):
        sim = self.sim(script="jobs: [{id: 1, life: [{state: COMPLETED}]}]")
        sim.poll()
        statuses = [sim.result().status for _ in range(12)]
        self.assertEqual(statuses, [200] * 10 + [429] * 2)


class Http(TestCase):
    def test_keep_alive_and_pipelining(self):
        sim = self.sim()
        path = "/bigin/bulk/v2/read/1"
        with sim.connect() as s:
            s.sendall(request_bytes(path, close=False) * 2 + request_bytes(path))
            data = read_all(s)
        self.assertEqual(data.count(b"HTTP/1.1 200 OK\r\n"), 3)
        self.assertEqual({record["connection"] for record in sim.log()}, {1})

    def test_a_request_in_single_bytes(self):
        sim = self.sim()
        with sim.connect() as s:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in request_bytes("/oauth/v2/token", "POST", body=FORM % ("a", "b", "c")):
                s.sendall(bytes([byte]))
            self.assertIn("access_token", Reply(read_all(s)).json())

    def test_half_closed_client_gets_its_answer(self):
        sim = self.sim()
        with sim.connect() as s:
            s.sendall(request_bytes("/bigin/bulk/v2/read/1", close=False))
            s.shutdown(socket.SHUT_WR)
            self.assertEqual(Reply(read_all(s)).state(), "ADDED")

    def test_bad_requests(self):
        sim = self.sim()
        two = "Authorization: Zoho-oauthtoken x\r\n"
        cases = {
            b"GARBAGE\r\n\r\n": 400,
            b"GET / HTTP/3.0\r\n\r\n": 505,
            b"GET relative HTTP/1.1\r\n\r\n": 400,
            b"GET / HTTP/1.1\r\nNo colon\r\n\r\n": 400,
            b"GET / HTTP/1.1\r\nX: \0\r\n\r\n": 400,
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n": 501,
            b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n": 400,
            b"POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n": 413,
            b"GET / HTTP/1.1\r\nX: " + b"x" * 70000: 431,
            request_bytes("/bigin/bulk/v2/read/1", extra=two): 400,
        }
        for data, status in cases.items():
            reply = Reply(sim.exchange(data, sim.ports["eu"]))
            self.assertEqual(reply.status, status, data[:60])

    def test_thousands_of_connections(self):
        sim = self.sim(admin=True)
        n = 2000
        sockets = []
        try:
            for _ in range(n):
                sockets.append(sim.connect())
            for s in sockets:
                s.sendall(request_bytes("/bigin/bulk/v2/read/1"))
            for s in sockets:
                self.assertEqual(Reply(read_all(s)).status, 200)
        finally:
            for s in sockets:
                s.close()
        stats = sim.stats()["datacenters"]["eu"]
        self.assertEqual(stats["requests"], n)
        self.assertGreaterEqual(stats["connections"]["open_max"], n // 2)


class Faults(TestCase):
    def test_errors_of_the_api(self):
        expected = {
            "invalid_token": (401, sample("error-invalid-token")),
            "scope_mismatch": (401, sample("error-scope-mismatch")),
            "no_permission": (403, sample("error-no-permission")),
            "'429'": (429, sample("error-too-many-requests")),
            "'500'": (500, sample("error-internal")),
            "authentication_failure": (401, "AUTHENTICATION_FAILURE"),
            "invalid_oauthtoken": (401, "INVALID_OAUTHTOKEN"),
            "authorization_failed": (400, "AUTHORIZATION_FAILED"),
            "invalid_url_pattern": (404, "INVALID_URL_PATTERN"),
        }
        for what, (status, body) in expected.items():
            with self.subTest(what):
                reply = self.fault(what).poll()
                self.assertEqual(reply.status, status)
                self.assertEqual(reply.json() if isinstance(body, dict) else reply.code(), body)
                self.assertNotIn("retry-after", reply.headers)
        reply = self.fault("not_found").poll(SAMPLE_ID)
        self.assertEqual((reply.status, reply.json()), (404, sample("error-not-found")))

    def test_statuses_of_proxies(self):
        for status in (502, 503, 504):
            reply = self.fault(f"'{status}'").poll()
            self.assertEqual(reply.status, status)
            self.assertIn(b"<html>", reply.body)
            self.assertTrue(reply.headers["content-type"].startswith("text/html"))
        reply = self.fault("status", status=418, body="tea\n", content_type="text/x").poll()
        self.assertEqual((reply.status, reply.body, reply.headers["content-type"]),
                         (418, b"tea\n", "text/x"))

    def test_no_body_and_elsewhere(self):
        for status in (204, 304):
            reply = self.fault(f"'{status}'").poll()
            self.assertEqual((reply.status, reply.body), (status, b""))
            self.assertNotIn("content-length", reply.headers)
        reply = self.fault("'302'").poll()
        self.assertEqual((reply.status, reply.headers["location"]),
                         (302, "https://elsewhere.invalid/"))
        reply = self.fault("'302'", location="http://127.0.0.1:1/x").poll()
        self.assertEqual(reply.headers["location"], "http://127.0.0.1:1/x")

    def test_retry_after_as_it_is_given(self):
        for value in ("30", "-5", "abc", "1e20", "Thu, 01 Jan 1970 00:00:00 GMT",
                      "Fri, 31 Dec 9999 23:59:59 GMT"):
            reply = self.fault("'429'", retry_after=value).poll()
            self.assertEqual((reply.status, reply.headers["retry-after"]), (429, value))

    def test_hang(self):
        sim = self.fault("hang")
        with sim.connect() as s:
            s.sendall(request_bytes("/bigin/bulk/v2/read/1"))
            s.settimeout(QUIET_S)
            with self.assertRaises(socket.timeout):
                s.recv(1)
        self.assertEqual(sim.log()[0]["status"], None)
        self.assertEqual(sim.log()[0]["fault"], "hang")

    def test_drop_and_reset(self):
        self.assertEqual(self.fault("drop").poll().raw, b"")
        sim = self.fault("reset")
        with sim.connect() as s:
            s.sendall(request_bytes("/bigin/bulk/v2/read/1"))
            with self.assertRaises(ConnectionResetError):
                s.recv(1)

    def test_refuse_from_the_start_and_again(self):
        sim = self.sim(admin=True, dcs=("eu", "us"),
                       script="faults: [{dc: eu, what: refuse, for: 300ms}]")
        with self.assertRaises(ConnectionRefusedError):
            sim.connect("eu")
        self.assertEqual(sim.poll(dc="us").status, 200)

        def is_back():
            try:
                return sim.poll().status == 200
            except ConnectionRefusedError:
                return False
        wait_for(is_back, "the data center")

    def test_refuse_at_a_request_until_reset(self):
        sim = self.sim(admin=True, script="faults: [{what: refuse, after: 1}]")
        idle = sim.connect()
        self.addCleanup(idle.close)
        self.assertEqual(sim.poll().status, 200)
        self.assertEqual(sim.poll().raw, b"")
        with self.assertRaises(ConnectionRefusedError):
            sim.connect()
        self.assertEqual(idle.recv(1), b"")
        self.assertEqual(sim.admin("/reset", "POST", "").status, 200)
        self.assertEqual(sim.poll().status, 200)

    def test_delay_and_slow(self):
        begun = time.monotonic()
        self.assertEqual(self.fault("delay", delay="300ms").poll().state(), "COMPLETED")
        self.assertGreaterEqual(time.monotonic() - begun, 0.3)
        sim = self.fault("slow", delay="1ms")
        with sim.connect() as s:
            s.sendall(request_bytes("/bigin/bulk/v2/read/1"))
            pieces = iter(lambda: s.recv(65536), b"")
            pieces = list(pieces)
        self.assertGreater(len(pieces), 20)
        self.assertEqual(Reply(b"".join(pieces)).state(), "COMPLETED")

    def test_truncated_bodies(self):
        whole = self.sim(script="jobs: [{id: 1, life: [{state: COMPLETED}]}]").poll().body
        reply = self.fault("truncate").poll()
        self.assertEqual(int(reply.headers["content-length"]), len(whole))
        self.assertEqual(reply.body, whole[:len(whole) // 2])
        reply = self.fault("truncate", bytes=7).poll()
        self.assertEqual(reply.body, whole[:7])
        reply = self.fault("truncate_closed", bytes=9).poll()
        self.assertNotIn("content-length", reply.headers)
        self.assertEqual(reply.body, whole[:9])
        reply = self.fault("truncate_chunked", bytes=9).poll()
        self.assertEqual(reply.headers["transfer-encoding"], "chunked")
        self.assertEqual(reply.body, b"%x\r\n" % len(whole) + whole[:9])

    def test_other_bodies(self):
        reply = self.fault("html").poll()
        self.assertEqual(reply.status, 200)
        self.assertTrue(reply.body.startswith(b"<html>"))
        reply = self.fault("empty").poll()
        self.assertEqual((reply.status, reply.body), (200, b""))
        self.assertEqual(reply.headers["content-length"], "0")
        with self.assertRaises(ValueError):
            self.fault("garbage").poll().json()
        reply = self.fault("trailing_garbage").poll()
        value, end = json.JSONDecoder().raw_decode(reply.body.decode())
        self.assertEqual(value["data"][0]["state"], "COMPLETED")
        self.assertNotEqual(reply.body[end:].strip(), b"")
        reply = self.fault("wrong_content_type").poll()
        self.assertEqual((reply.state(), reply.headers["content-type"]),
                         ("COMPLETED", "text/html;charset=UTF-8"))
        self.assertEqual(self.fault("deep").poll().body, b"[" * 200000)
        self.assertEqual(self.fault("deep", bytes=5).poll().body, b"[" * 5)

    def test_changed_documents(self):
        self.assertEqual(self.fault("wrong_id").poll("19").json()["data"][0]["id"], "10")
        self.assertEqual(self.fault("nul_state").poll().state(), "COMPLETED\0")
        self.assertEqual(self.fault("number_state").poll().state(), 7)
        self.assertEqual(self.fault("long_state").poll().state(), "X" * 4096)
        self.assertEqual(self.fault("long_state", bytes=65).poll().state(), "X" * 65)
        self.assertIn(b'"state":"ADDED","state":"COMPLETED"',
                      self.fault("duplicate_keys").poll().body)
        body = self.fault("bad_utf8").poll().body
        with self.assertRaises(UnicodeDecodeError):
            body.decode()
        reply = self.fault("big_body").poll()
        self.assertGreater(len(reply.body), 2 << 20)
        self.assertEqual(reply.state(), "COMPLETED")
        self.assertLess(len(self.fault("big_body", bytes=10).poll().body), 3000)

    def test_endless(self):
        for what, mark in (("endless_body", b"\r\n\r\n"), ("endless_headers", b"X-Endless: ")):
            sim = self.fault(what)
            with sim.connect() as s:
                s.sendall(request_bytes("/bigin/bulk/v2/read/1"))
                data = b""
                while len(data) < 3 << 20:
                    piece = s.recv(65536)
                    self.assertTrue(piece)
                    data += piece
            self.assertIn(mark, data)
            if what == "endless_headers":
                self.assertNotIn(b"\r\n\r\n", data)
            else:
                self.assertTrue(Reply(data).body.startswith(b'9\r\n{"data":['))
            # The others are still served, and the endless one ends when its client leaves.
            self.assertIsNone(sim.process.poll())

    def test_http10(self):
        reply = self.fault("http10").poll(close=False)
        self.assertEqual(reply.line, "HTTP/1.0 200 OK")
        self.assertNotIn("content-length", reply.headers)
        self.assertEqual(reply.state(), "COMPLETED")

    def test_when_a_fault_strikes(self):
        cases = {
            "{what: '503', after: 2}": [200, 200, 503, 503, 503, 503],
            "{what: '503', times: 2}": [503, 503, 200, 200, 200, 200],
            "{what: '503', every: 3}": [503, 200, 200, 503, 200, 200],
            "{what: '503', after: 1, every: 2, times: 2}": [200, 503, 200, 503, 200, 200],
            "{what: '503', probability: 0}": [200] * 6,
            "{what: '503', dc: us}": [200] * 6,
            "{what: '503', job: 2}": [200] * 6,
            "{what: '503', job: 1}": [503] * 6,
            "{what: '503', path: token}": [200] * 6,
            "{what: '503', path: any, times: forever}": [503] * 6,
            "{what: '503', times: 1}, {what: '502', times: 1}": [503, 502, 200, 200, 200, 200],
        }
        for fault, expected in cases.items():
            with self.subTest(fault):
                sim = self.sim(dcs=("eu", "us"), script=f"faults: [{fault}]")
                self.assertEqual([sim.poll().status for _ in range(6)], expected)

    def test_a_window_of_time(self):
        sim = self.sim(script="faults: [{what: '503', for: 200ms}]")
        self.assertEqual(sim.poll().status, 503)
        wait_for(lambda: sim.poll().status == 200, "the end of the window")

    def test_faults_of_jobs_and_data_centers(self):
        sim = self.sim(dcs=(), script="""
datacenters: {eu: {faults: [{what: "502"}]}, moon: {latency: 1ms}}
jobs: [{id: 5, dc: us, faults: [{what: "504"}]}]
""")
        self.assertEqual(sim.poll("5", "eu").status, 502)
        self.assertEqual(sim.poll("5", "us").status, 504)
        self.assertEqual(sim.poll("6", "us").status, 200)
        self.assertEqual(sim.poll("5", "moon").status, 200)

    def test_struck_polls_do_not_move_a_life_on(self):
        sim = self.sim(script="faults: [{what: truncate, times: 5}]")
        for _ in range(5):
            sim.poll()
        self.assertEqual([sim.poll().state() for _ in range(3)], ["ADDED"] * 2 + ["IN PROGRESS"])

    def test_latency(self):
        sim = self.sim(script="datacenters: {eu: {latency: 'uniform(200ms, 250ms)'}}")
        begun = time.monotonic()
        self.assertEqual(sim.poll().status, 200)
        self.assertGreaterEqual(time.monotonic() - begun, 0.2)


class Tokens(TestCase):
    CLIENTS = """
organisations: {acme: {credits_per_day: 4}}
clients:
  - {client_id: c, client_secret: s, refresh_token: r, organisation: acme}
  - {client_id: brief, client_secret: s, refresh_token: r, expires_in: 1}
  - {client_id: few, client_secret: s, refresh_token: r, live_tokens: 1}
  - {client_id: home, client_secret: s, refresh_token: r, dc: us}
"""

    def test_answer_is_like_the_sample(self):
        sim = self.sim()
        reply = sim.token()
        self.assertEqual(reply.status, 200)
        expected = sample("token")
        self.assertEqual(list(reply.json()), list(expected))
        self.assertEqual(reply.json()["expires_in"], expected["expires_in"])
        self.assertEqual(reply.json()["api_domain"], f"http://127.0.0.1:{sim.ports['eu']}")
        self.assertRegex(reply.json()["access_token"], r"^1000\.[0-9a-f]{32}\.[0-9a-f]{32}$")

    def test_errors_are_answers_of_200(self):
        sim = self.sim(script=self.CLIENTS, dcs=("eu", "us"))
        invalid_client = sample("token-error-invalid-client")
        for reply, body in (
                (sim.token(client="nobody"), invalid_client),
                (sim.token(client="home"), invalid_client),
                (sim.token(secret="wrong"), {"error": "invalid_client_secret"}),
                (sim.token(refresh="wrong"), sample("token-error-invalid-code"))):
            self.assertEqual((reply.status, reply.json()), (200, body))
        self.assertIn("access_token", sim.token("us", client="home").json())
        reply = sim.get("/oauth/v2/token?" + FORM % ("c", "s", "r"), method="POST", body="")
        self.assertNotIn("access_token", reply.json())

    def test_a_token_is_good_in_its_data_center_alone(self):
        sim = self.sim(script=self.CLIENTS, dcs=("eu", "us"))
        token = sim.token().json()["access_token"]
        self.assertEqual(sim.poll(token=token).status, 200)
        self.assertEqual(sim.poll(token=token, dc="us").code(), "INVALID_TOKEN")
        self.assertEqual(sim.poll(token="other").code(), "INVALID_TOKEN")

    def test_ready_tokens(self):
        sim = self.sim(script="datacenters: {eu: {tokens: [ready]}}", dcs=("eu", "us"))
        self.assertEqual(sim.poll(token="ready").status, 200)
        self.assertEqual(sim.poll(token="ready", dc="us").status, 401)
        self.assertEqual(sim.poll(token="other").status, 401)

    def test_expiry(self):
        sim = self.sim(script=self.CLIENTS, dcs=("eu", "us"))
        token = sim.token(client="brief").json()
        self.assertEqual(token["expires_in"], 1)
        self.assertEqual(sim.poll(token=token["access_token"]).status, 200)
        wait_for(lambda: sim.poll(token=token["access_token"]).status == 401, "the expiry")

    def test_eviction(self):
        sim = self.sim(script=self.CLIENTS, dcs=("eu", "us"))
        first, second = (sim.token(client="few").json()["access_token"] for _ in range(2))
        self.assertEqual(sim.poll(token=first).status, 401)
        self.assertEqual(sim.poll(token=second).status, 200)
        sim = self.sim(script="clients: [{client_id: c, client_secret: s, refresh_token: r, "
                              "tokens_per_10m: 99}]")
        tokens = [sim.token().json()["access_token"] for _ in range(16)]
        self.assertEqual([sim.poll(token=token).status for token in tokens], [401] + [200] * 15)

    def test_throttle(self):
        sim = self.sim()
        replies = [sim.token() for _ in range(11)]
        self.assertTrue(all("access_token" in reply.json() for reply in replies[:10]))
        self.assertEqual((replies[10].status, replies[10].json()),
                         (200, sample("token-error-throttled")))
        self.assertIn("access_token", sim.token(refresh="another").json())

    def test_faults(self):
        for what, body in (("throttled", sample("token-error-throttled")),
                           ("invalid_code", sample("token-error-invalid-code")),
                           ("invalid_client", sample("token-error-invalid-client")),
                           ("invalid_client_secret", {"error": "invalid_client_secret"})):
            self.assertEqual(self.fault(what).token().json(), body)
        self.assertEqual(self.fault("throttled", status=400).token().status, 400)
        reply = self.fault("throttled_translated").token().json()
        self.assertEqual(list(reply), list(sample("token-error-throttled")))
        self.assertEqual(reply["status"], "failure")
        self.assertNotEqual(reply["error"], "Access Denied")
        self.assertNotIn("access_token", self.fault("no_access_token").token().json())
        reply = self.fault("legacy_milliseconds").token().json()
        self.assertEqual(list(reply), list(sample("token-legacy-milliseconds")))
        self.assertEqual((reply["expires_in_sec"], reply["expires_in"]), (3600, 3600000))
        reply = self.fault("foreign_api_domain").token().json()
        self.assertEqual(reply["api_domain"], "https://www.zohoapis.invalid")
        self.assertEqual(self.fault("'500'", path="token").token().status, 500)

    def test_credits(self):
        sim = self.sim(script=self.CLIENTS, dcs=("eu", "us"))
        token = sim.token().json()["access_token"]
        replies = [sim.poll(token=token) for _ in range(5)]
        self.assertEqual([reply.status for reply in replies], [200] * 4 + [429])
        remaining = [reply.headers.get("x-api-credits-remaining") for reply in replies]
        self.assertEqual(remaining[:4], [None, "2", "1", "0"])

    def test_concurrency(self):
        sim = self.sim(admin=True, script="datacenters: {eu: {concurrency: 2, latency: 500ms}}")
        statuses = []
        threads = [threading.Thread(target=lambda: statuses.append(sim.poll().status))
                   for _ in range(2)]
        for thread in threads:
            thread.start()
        wait_for(lambda: sim.stats()["datacenters"]["eu"]["in_flight"] == 2, "two in flight")
        self.assertEqual(sim.poll().status, 429)
        for thread in threads:
            thread.join()
        self.assertEqual(statuses, [200, 200])
        self.assertEqual(sim.poll().status, 200)


class Tls(TestCase):
    def connect(self, sim, ca, name="localhost"):
        context = ssl.create_default_context(cafile=str(ca))
        return context.wrap_socket(sim.connect(), server_hostname=name)

    def exchange(self, tls):
        with tls:
            tls.sendall(request_bytes("/bigin/bulk/v2/read/1"))
            return Reply(read_all(tls))

    def test_self_signed(self):
        directory = pathlib.Path(tempfile.mkdtemp(prefix="bulkwatch-sim-tls-"))
        self.addCleanup(shutil.rmtree, directory)
        sim = self.sim("--tls-self-signed", directory / "made", admin=True)
        made = directory / "made"
        port = sim.ports["eu"]
        self.assertIn(f"    api_url: https://localhost:{port}\n", sim.ports_text)
        self.assertIn(f"    accounts_url: https://localhost:{port}\n", sim.ports_text)
        self.assertIn(f'    ca_file: "{made.resolve()}/ca.pem"\n', sim.ports_text)
        self.assertEqual(stat.S_IMODE((made / "key.pem").stat().st_mode), 0o600)
        for name in ("localhost", "127.0.0.1"):
            self.assertEqual(self.exchange(self.connect(sim, made / "ca.pem", name)).status, 200)
        with self.assertRaises(ssl.SSLCertVerificationError):
            self.connect(sim, made / "ca.pem", "example.com")
        with self.assertRaises(ssl.SSLCertVerificationError):
            ssl.create_default_context().wrap_socket(sim.connect(), server_hostname="localhost")
        wait_for(lambda: sim.stats()["datacenters"]["eu"]["tls_failures"] >= 2, "the failures")
        self.assertEqual(sim.stats()["datacenters"]["eu"]["requests"], 2)

        other = self.sim("--tls", made / "cert.pem", made / "key.pem", script="""
jobs: [{id: 1, life: [{state: COMPLETED}]}]
faults: [{what: drop, times: 1}, {what: truncate, times: 1}, {what: truncate_closed, times: 1}]
""")
        self.assertEqual(self.exchange(self.connect(other, made / "ca.pem")).raw, b"")
        reply = self.exchange(self.connect(other, made / "ca.pem"))
        self.assertEqual(len(reply.body), int(reply.headers["content-length"]) // 2)
        reply = self.exchange(self.connect(other, made / "ca.pem"))
        self.assertNotIn("content-length", reply.headers)
        self.assertEqual(self.exchange(self.connect(other, made / "ca.pem")).state(), "COMPLETED")


class Admin(TestCase):
    def test_stats_and_requests(self):
        sim = self.sim(admin=True)
        sim.poll("5")
        sim.poll("5", token=None)
        sim.token()
        stats = sim.stats()
        eu = stats["datacenters"]["eu"]
        self.assertEqual(
            (stats["requests"], stats["tokens_issued"], eu["token_requests"]), (3, 1, 1))
        self.assertEqual(eu["status"], {"200": 2, "401": 1})
        self.assertEqual(stats["jobs"], {"eu/5": {"requests": 1, "state": "ADDED"}})
        self.assertEqual(eu["connections"]["total"], 3)
        lines = [json.loads(line) for line in sim.admin("/requests?after=1").body.splitlines()]
        self.assertEqual([line["seq"] for line in lines], [2, 3])
        self.assertEqual(len(sim.admin("/requests?limit=1").body.splitlines()), 1)
        self.assertEqual(lines, sim.log()[1:])

    def test_log_never_holds_a_token(self):
        sim = self.sim(admin=True)
        for token in ("canary-one", "canary-one", "canary-two"):
            sim.poll(token=token)
        first, again, other = sim.log()
        self.assertTrue(first["authorization"])
        self.assertEqual(first["token"], again["token"])
        self.assertNotEqual(first["token"], other["token"])
        self.assertNotIn("canary", sim.log_file.read_text() + (sim.dir / "stderr").read_text())
        sim.token(secret="canary-three", refresh="canary-four")
        self.assertNotIn("canary", sim.log_file.read_text())
        self.assertEqual(
            list(first), ["seq", "at", "dc", "connection", "method", "path", "job", "status",
                          "fault", "state", "state_age_ms", "authorization", "token"])
        self.assertRegex(first["at"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")

    def test_changes_while_it_runs(self):
        sim = self.sim(admin=True)
        self.assertEqual(sim.poll("5").state(), "ADDED")
        reply = sim.admin("/jobs", "POST", '{"jobs":[{"id":"5","life":[{"state":"COMPLETED"}]}]}')
        self.assertEqual(reply.status, 201)
        self.assertEqual(sim.poll("5").state(), "COMPLETED")
        self.assertEqual(
            sim.admin("/faults", "POST", "faults: [{what: '503', times: 1}]").status, 201)
        self.assertEqual([sim.poll("5").status, sim.poll("5").status], [503, 200])
        self.assertEqual(sim.admin("/reset", "POST", "").status, 200)
        self.assertEqual(sim.poll("5").state(), "ADDED")
        self.assertEqual(sim.stats()["requests"], 1)

    def test_a_reset_leaves_what_is_being_answered(self):
        sim = self.sim(admin=True)
        sim.admin("/faults", "POST", "faults: [{what: status, status: 418, delay: 500ms, "
                                     "content_type: text/odd, body: odd}]")
        with sim.connect() as s:
            s.sendall(request_bytes("/bigin/bulk/v2/read/1"))
            wait_for(lambda: sim.stats()["datacenters"]["eu"]["in_flight"] == 1, "the request")
            sim.admin("/reset", "POST", "")
            reply = Reply(read_all(s))
        self.assertEqual((reply.status, reply.headers["content-type"], reply.body),
                         (418, "text/odd", b"odd"))

    def test_refusals(self):
        sim = self.sim(admin=True)
        for body, words in (("{", "body:"),
                            ('{"faults":[{"what":"hnag"}]}', 'did you mean \\"hang\\"'),
                            ("clients: []", "unknown key"),
                            ("jobs: [{id: 1, sample: /etc/passwd}]", "no files are read")):
            reply = sim.admin("/faults", "POST", body)
            self.assertEqual(reply.status, 400)
            self.assertIn(words, reply.body.decode())
        self.assertEqual(sim.admin("/nothing").status, 404)
        self.assertEqual(sim.admin("/quit").status, 405)
        self.assertEqual(sim.admin("/requests?after=x").status, 400)

    def test_revoke(self):
        sim = self.sim(admin=True, dcs=("eu", "us"))
        tokens = {dc: sim.token(dc).json()["access_token"] for dc in ("eu", "us")}
        self.assertEqual(sim.admin("/revoke?dc=eu", "POST", "").json(), {"grants": 1})
        self.assertEqual(sim.poll(token=tokens["eu"]).status, 401)
        self.assertEqual(sim.poll(token=tokens["us"], dc="us").status, 200)
        self.assertEqual(sim.poll(token=sim.token().json()["access_token"]).status, 200)
        sim.admin("/revoke?client_id=c&refresh=true", "POST", "")
        self.assertEqual(sim.token().json(), sample("token-error-invalid-code"))
        self.assertEqual(sim.admin("/revoke?dc=moon", "POST", "").status, 404)

    def test_quit(self):
        sim = self.sim(admin=True)
        self.assertEqual(sim.admin("/quit", "POST", "").json(), {"quit": True})
        self.assertEqual(sim.process.wait(DEADLINE_S), 0)


class CommandLine(TestCase):
    def run_program(self, *options):
        done = subprocess.run([str(PROGRAM), *map(str, options)], capture_output=True, text=True,
                              timeout=DEADLINE_S, check=False)
        return done.returncode, done.stdout, done.stderr

    def test_signals_end_it_well(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            sim = self.sim()
            held = sim.connect()
            self.addCleanup(held.close)
            self.assertEqual(sim.stop(number), 0)

    def test_help_and_version(self):
        code, out, _ = self.run_program("--help")
        self.assertEqual(code, 0)
        for option in ("--script", "--dc", "--tls", "--tls-self-signed", "--port-file", "--log",
                       "--admin", "--seed", "--speed", "--version"):
            self.assertIn(option, out)
        code, out, _ = self.run_program("--version")
        self.assertEqual(code, 0)
        self.assertRegex(out, r"^bulkwatch-sim \d+\.\d+\.\d+\n$")

    def test_usage(self):
        for options in (["--nonsense"], ["--dc"], ["--dc", "UPPER"], ["--dc", "eu=0"],
                        ["--dc", "eu=70000"], ["--dc", "eu", "--dc", "eu"], ["--tls", "only-one"],
                        ["--speed", "0"], ["--speed", "x"], ["--seed", "-1"], ["argument"],
                        ["--tls", "a", "b", "--tls-self-signed", "c"]):
            code, out, err = self.run_program(*options)
            self.assertEqual((code, out), (2, ""), options)
            self.assertIn("--help", err)

    def test_other_failures(self):
        for options in (["--log", "/nonexistent/log"], ["--port-file", "/nonexistent/ports"],
                        ["--tls", "/nonexistent/cert", "/nonexistent/key"],
                        ["--tls-self-signed", "/nonexistent/dir/dir"]):
            code, _, err = self.run_program("--dc", "eu", *options)
            self.assertEqual(code, 1, err)
            self.assertIn("/nonexistent", err)
        with socket.create_server(("127.0.0.1", 0)) as taken:
            code, _, err = self.run_program("--dc", f"eu={taken.getsockname()[1]}")
        self.assertEqual(code, 1)
        self.assertIn("eu cannot listen", err)

    def test_a_chosen_port(self):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        sim = self.sim(dcs=(f"eu={port}",))
        self.assertEqual(sim.ports, {"eu": port})

    def test_a_stale_port_file_is_no_answer(self):
        directory = pathlib.Path(tempfile.mkdtemp(prefix="bulkwatch-sim-stale-"))
        self.addCleanup(shutil.rmtree, directory)
        stale = directory / "ports.yaml"
        stale.write_text("stale")
        code, _, _ = self.run_program("--port-file", stale, "--script", directory / "missing.yaml")
        self.assertEqual(code, 78)
        self.assertFalse(stale.exists())

    def script_problems(self, text):
        directory = pathlib.Path(tempfile.mkdtemp(prefix="bulkwatch-sim-script-"))
        self.addCleanup(shutil.rmtree, directory)
        (directory / "s.yaml").write_text(text)
        code, _, err = self.run_program("--script", directory / "s.yaml")
        self.assertEqual(code, 78, err)
        return err.replace(str(directory) + "/", "")

    def test_every_problem_of_a_script_with_its_place(self):
        err = self.script_problems("""\
jobs:
  - id: 12x
    lief: []
  - {id: 1, dc: eux, life: [{state: ADDED}, {state: B, polls: 1, for: 1s}]}
  - {life: [{state: A, fault: hang}], final: B}
faults:
  - {what: hagn}
  - {what: delay}
  - {what: status}
  - {what: wrong_id, path: token}
  - {what: "503", times: 0, every: 0, probability: 2, for: soon, retry_after: "a\\nb"}
  - {dc: eu}
clients: [{client_id: a, organisation: nobody}]
datacenters: {eu: {latency: long, port: 0}, Bad: {}}
more: 1
""")
        for place in ("2:9: error: \"12x\" is no id",
                      "3:5: error: unknown key \"lief\" in a job; did you mean \"life\"?",
                      "4:17: error: there is no data center \"eux\"; did you mean",
                      "4:29: error: a step needs polls or for",
                      "4:45: error: a step has polls or for, not both",
                      "5:5: error: a job needs an id",
                      "5:13: error: a step has one of state, fault and sample",
                      "5:39: error: final says nothing where there is a life",
                      "7:12: error: \"hagn\" is no fault; did you mean \"hang\"?",
                      "8:12: error: delay needs delay",
                      "9:12: error: status needs status",
                      "10:12: error: wrong_id cannot happen on that path",
                      "11:26: error: times must be",
                      "11:36: error: every must be",
                      "11:52: error: probability must be",
                      "11:60: error: for must be a duration",
                      "11:79: error: retry_after must be",
                      "12:5: error: a fault needs what",
                      "13:11: error: a client needs client_secret",
                      "13:11: error: a client needs refresh_token",
                      "13:40: error: there is no organisation \"nobody\"",
                      "14:29: error: latency must be",
                      "14:41: error: port must be",
                      "14:45: error: the name of a data center",
                      "15:1: error: unknown key \"more\""):
            self.assertIn("s.yaml:" + place, err)
        self.assertEqual(len(err.splitlines()), 25, err)

    def test_scripts_that_are_none(self):
        for text in ("", "[]", "a: &x 1", "jobs: [", "jobs: {}", "jobs: []\njobs: []",
                     "--- {}\n--- {}"):
            self.assertIn("s.yaml", self.script_problems(text))

    def test_log_is_appended_to(self):
        sim = self.sim()
        sim.poll()
        sim.stop()
        sim.port_file.unlink()
        again = subprocess.Popen([str(PROGRAM), "--dc", "eu", "--log", str(sim.log_file),
                                  "--port-file", str(sim.port_file)], stderr=subprocess.DEVNULL)
        self.addCleanup(again.wait)
        self.addCleanup(again.terminate)
        port = wait_for(lambda: sim.port_file.exists() and re.search(
            r"api_url: \S+:(\d+)", sim.port_file.read_text()), "the ports")[1]
        sim.ports["eu"] = int(port)
        sim.poll()
        self.assertEqual([record["seq"] for record in sim.log()], [1, 1])


if __name__ == "__main__":
    unittest.main()
