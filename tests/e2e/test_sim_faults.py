#!/usr/bin/env python3
"""bulkwatch-sim at the byte level: every fault, and when it strikes."""

import json
import socket
import time
import unittest

from harness import wait_for
from simkit import QUIET_S, Reply, SAMPLE_ID, TestCase, request_bytes, sample


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
                       script="faults: [{dc: eu, what: refuse, for: 2s}]")
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
        sim = self.sim(script="faults: [{what: '503', for: 2s}]")
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


if __name__ == "__main__":
    unittest.main()
