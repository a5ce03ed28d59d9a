#!/usr/bin/env python3
"""bulkwatch-sim at the byte level: lives, paths, HTTP, the admin port."""

import io
import json
import socket
import unittest
import zipfile

from harness import wait_for
from simkit import (
    DEADLINE_S, FORM, Reply, SAMPLE_ID, Sim, TestCase, read_all, request_bytes, sample)


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
        sim.admin("/faults", "POST", "faults: [{what: status, status: 418, delay: 2s, "
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


if __name__ == "__main__":
    unittest.main()
