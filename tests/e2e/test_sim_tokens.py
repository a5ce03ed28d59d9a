#!/usr/bin/env python3
"""bulkwatch-sim at the byte level: tokens, limits, TLS."""

import pathlib
import shutil
import ssl
import stat
import tempfile
import threading
import unittest

from harness import wait_for
from simkit import FORM, Reply, TestCase, read_all, request_bytes, sample


class Tokens(TestCase):
    CLIENTS = """
organisations: {acme: {credits_per_day: 4}}
clients:
  - {client_id: c, client_secret: s, refresh_token: r, organisation: acme}
  - {client_id: brief, client_secret: s, refresh_token: r, expires_in: 3}
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
        self.assertEqual(token["expires_in"], 3)
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
        sim = self.sim(admin=True, script="datacenters: {eu: {concurrency: 2, latency: 2s}}")
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


if __name__ == "__main__":
    unittest.main()
