#!/usr/bin/env python3
"""To whom the daemon talks: only to who proves to be the data center, and never a byte before."""

import socket
import ssl
import threading
import unittest
import warnings

from harness import DEADLINE_S, QUIET_S, TOKEN, TestCase, assert_unchanged, wait_for


class Listener(threading.Thread):
    """A server that keeps all that clients say: plain, or within TLS."""

    def __init__(self, context=None, address="127.0.0.1"):
        super().__init__(daemon=True)
        self.context = context
        self.heard = []       # one entry a connection: the bytes (within TLS if there is a context)
        self.handshakes = []  # one entry a connection: the error, or None
        self.server = socket.create_server((address, 0))
        self.server.settimeout(0.1)
        self.is_over = False
        self.port = self.server.getsockname()[1]
        self.start()

    def run(self):
        while not self.is_over:
            try:
                client, _ = self.server.accept()
            except TimeoutError:
                continue
            with client:
                client.settimeout(2)
                self.serve(client)
        self.server.close()

    def serve(self, client):
        said = b""
        try:
            if self.context:
                client = self.context.wrap_socket(client, server_side=True)
            self.handshakes.append(None)
        except (OSError, ssl.SSLError) as error:
            self.handshakes.append(error)
        else:
            try:
                while b"\r\n\r\n" not in said:
                    piece = client.recv(65536)
                    if not piece:
                        break
                    said += piece
                client.sendall(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n"
                               b"Connection: close\r\n\r\n")
            except (OSError, ssl.SSLError):
                pass
        self.heard.append(said)
        client.close()

    def close(self):
        self.is_over = True
        self.join(DEADLINE_S)


class Certificates(TestCase):
    def start(self, url, **datacenter):
        self.stage.config({"acme": self.stage.account(["1"])},
                          datacenters={"eu": {"api_url": url, "accounts_url": url, **datacenter}})
        return self.stage.start()

    def sim_with_tls(self):
        directory = self.stage.dir / "tls"
        directory.mkdir()
        sim = self.stage.sim("--tls-self-signed", directory)
        self.assertTrue(sim.urls["eu"].startswith("https://localhost:"), sim.urls)
        return sim, directory

    def assert_tls_error(self, daemon):
        error = wait_for(lambda: daemon.job("acme", "1")["last_error"], "the error")
        self.assertEqual(error["class"], "tls")
        self.assertRegex(error["message"], "(?i)certificate")
        self.assertEqual(daemon.job("acme", "1")["state"], "PENDING")
        return error

    def test_a_certificate_that_is_not_trusted(self):
        sim, directory = self.sim_with_tls()
        daemon = self.start(sim.urls["eu"])
        self.assert_tls_error(daemon)
        assert_unchanged(lambda: len(sim.requests()), QUIET_S, "requests")
        self.assertEqual(sim.requests(), [])
        # With its authority it is trusted, from the next reload on.
        self.start_again(daemon, sim.urls["eu"], ca_file=str(directory / "ca.pem"))
        daemon.wait_finished(1)
        self.assertIsNone(daemon.job("acme", "1")["last_error"])
        self.assertTrue(all(r["authorization"] for r in sim.requests()))

    def start_again(self, daemon, url, **datacenter):
        self.stage.config({"acme": self.stage.account(["1"])},
                          datacenters={"eu": {"api_url": url, "accounts_url": url, **datacenter}})
        self.assertEqual(daemon.reload().status, 200)

    def test_with_ca_file_from_the_start(self):
        sim, directory = self.sim_with_tls()
        self.start(sim.urls["eu"], ca_file=str(directory / "ca.pem")).wait_finished(1)
        self.assertEqual(len(sim.requests()), 6)

    def test_not_a_byte_of_the_request_arrives(self):
        """What a server without a trusted certificate sees, decrypted."""
        _, directory = self.sim_with_tls()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(directory / "cert.pem", directory / "key.pem")
        listener = Listener(context)
        self.addCleanup(listener.close)
        daemon = self.start(f"https://localhost:{listener.port}")
        self.assert_tls_error(daemon)
        wait_for(lambda: len(listener.heard) >= 2, "two attempts")
        self.assertEqual(set(listener.heard), {b""})
        # The same server, trusted: now the listener does hear what it must not have heard.
        self.start_again(daemon, f"https://localhost:{listener.port}",
                         ca_file=str(directory / "ca.pem"))
        wait_for(lambda: listener.heard[-1], "the request")
        self.assertIn(TOKEN.encode(), listener.heard[-1])

    def test_another_hosts_certificate(self):
        """Trusted, but for localhost and 127.0.0.1, not for 127.0.0.2."""
        _, directory = self.sim_with_tls()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(directory / "cert.pem", directory / "key.pem")
        listener = Listener(context, "127.0.0.2")
        self.addCleanup(listener.close)
        daemon = self.start(f"https://127.0.0.2:{listener.port}",
                            ca_file=str(directory / "ca.pem"))
        self.assert_tls_error(daemon)
        wait_for(lambda: listener.heard, "the end of the connection")
        self.assertEqual(set(listener.heard), {b""})

    def test_tls_to_a_server_that_speaks_none(self):
        listener = Listener()
        self.addCleanup(listener.close)
        daemon = self.start(f"https://localhost:{listener.port}")
        error = wait_for(lambda: daemon.job("acme", "1")["last_error"], "the error")
        self.assertIn(error["class"], ("tls", "broken"))
        for heard in listener.heard:
            self.assertNotIn(b"GET", heard)
            self.assertNotIn(TOKEN.encode(), heard)

    def test_old_versions_of_tls_are_refused(self):
        _, directory = self.sim_with_tls()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(directory / "cert.pem", directory / "key.pem")
        context.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # that is why they are tried
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        listener = Listener(context)
        self.addCleanup(listener.close)
        daemon = self.start(f"https://localhost:{listener.port}",
                            ca_file=str(directory / "ca.pem"))
        error = wait_for(lambda: daemon.job("acme", "1")["last_error"], "the error")
        self.assertEqual(error["class"], "tls")
        self.assertEqual(set(listener.heard), {b""})
        self.assertNotIn(None, listener.handshakes)


class Urls(TestCase):
    def check(self, url, ok):
        self.stage.config({"acme": self.stage.account(["1"])},
                          datacenters={"eu": {"api_url": url, "accounts_url": url}})
        code, said = self.stage.run("--check", "-c", self.stage.config_file)
        self.assertEqual(code, 0 if ok else 78, (url, said))
        return said

    def test_plain_http_is_for_loopback_alone(self):
        for url in ("http://127.0.0.1:8080", "http://127.9.9.9:1", "http://localhost:8080",
                    "http://[::1]:8080", "https://www.zohoapis.eu", "https://192.0.2.1:8443"):
            self.check(url, True)
        text = self.stage.config_file
        for url in ("http://www.zohoapis.eu", "http://192.0.2.1", "http://128.0.0.1",
                    "http://localhost.example.com", "http://0x7f.1", "http://127.0.0.1.example.com",
                    "http://[::2]", "http://0.0.0.0", "http://localhost@example.com"):
            said = self.check(url, False)
            line = next(i for i, words in enumerate(text.read_text().splitlines(), 1)
                        if '"api_url"' in words)
            self.assertRegex(said, rf"{text}:{line}:\d+: ")

    def test_urls_that_are_none(self):
        for url in ("ftp://127.0.0.1", "www.zohoapis.eu", "https://", "https://user@example.com",
                    "https://example.com/path", "https://example.com?x=1", "https://example.com:0",
                    "https://example.com:99999", "https://exa mple.com", "file:///etc/passwd"):
            self.check(url, False)


class Redirects(TestCase):
    """A token goes nowhere but to the data center."""

    STATUSES = (301, 302, 303, 307, 308)

    def test_a_redirect_is_not_followed(self):
        listener = Listener()
        self.addCleanup(listener.close)
        stage = self.stage
        sim = stage.sim(script={"jobs": [
            {"id": str(status), "faults": [
                {"what": "status", "status": status,
                 "location": f"http://127.0.0.1:{listener.port}/"}]}
            for status in self.STATUSES]})
        stage.config({"acme": stage.account([str(status) for status in self.STATUSES])})
        daemon = stage.start()
        for status in self.STATUSES:
            error = wait_for(lambda: daemon.job("acme", str(status))["last_error"], "the error")
            self.assertEqual(error["class"], "http")
            self.assertIn(str(status), error["message"])
            self.assertEqual(daemon.job("acme", str(status))["state"], "PENDING")
        self.assertEqual(daemon.account("acme")["state"], "ok")
        self.assertEqual({r["path"].rpartition("/")[2] for r in sim.requests()},
                         {str(status) for status in self.STATUSES})
        self.assertEqual(listener.heard, [])

    def test_a_proxy_of_the_environment_is_not_used(self):
        listener = Listener()
        self.addCleanup(listener.close)
        stage = self.stage
        stage.sim()
        stage.config({"acme": stage.account(["1"])})
        proxy = f"http://127.0.0.1:{listener.port}"
        daemon = stage.start(environment=stage.environment(
            http_proxy=proxy, https_proxy=proxy, all_proxy=proxy, HTTPS_PROXY=proxy,
            ALL_PROXY=proxy))
        daemon.wait_finished(1)
        self.assertEqual(listener.heard, [])


if __name__ == "__main__":
    unittest.main()
