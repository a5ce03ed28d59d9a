#!/usr/bin/env python3
"""Very many who ask at once: in which order they are answered, and what their answers cost."""

import http.client
import json
import signal
import socket
import unittest

from harness import is_sanitized, wait_for
from test_doors import DoorsCase, memory_kb


class Desk(DoorsCase):
    def test_many_who_ask_at_once_take_turns(self):
        """No turn of the loop answers them all: an administrator who comes last does not wait
        for them. Whoever closed his half of the connection is answered in full, too."""
        daemon = self.start([str(1000 + i) for i in range(200)])
        daemon.wait_finished(200)
        readers = [self.connect() for _ in range(150)]
        admin = self.connect(daemon.admin)
        daemon.send(signal.SIGSTOP)
        try:
            for i, client in enumerate(readers):
                client.sendall(b"GET /v1/jobs?limit=1000 HTTP/1.1\r\nHost: x\r\n\r\n")
                if i % 2:
                    client.shutdown(socket.SHUT_WR)
            admin.sendall(b"DELETE /v1/jobs/acme/1000 HTTP/1.1\r\nHost: x\r\n\r\n")
        finally:
            daemon.send(signal.SIGCONT)
        self.assertIn(b" 204 ", admin.recv(4096))
        sizes = []
        for client in readers:
            reply = http.client.HTTPResponse(client)
            reply.begin()
            sizes.append(len(json.loads(reply.read())["jobs"]))
        self.assertEqual(set(sizes) | {200}, {199, 200})

    def test_pages_of_large_jobs_end_early_and_lose_nobody(self):
        ids = [str(1000 + i) for i in range(700)]
        self.stage.sim(script={"jobs": [{"id": "*", "query": {"criteria": "x" * 15000},
                                         "life": [{"state": "ADDED"}]}]})
        self.stage.config({"acme": self.stage.account(ids, max_in_flight=20)})
        daemon = self.stage.start()
        wait_for(lambda: daemon.counts()["by_state"].get("ADDED") == len(ids), "the first answers")
        page = daemon.get("/v1/jobs?limit=1000")
        self.assertLess(len(page.data), 9 * 1024 * 1024)
        self.assertLess(len(page.json()["jobs"]), len(ids))
        self.assertEqual([job["id"] for job in daemon.jobs()], ids)
        self.assert_stops(daemon)

    def test_pages_that_nobody_takes(self):
        """300 who ask for large pages and read nothing: they take no more memory than some, and who
        asks for little is answered meanwhile."""
        daemon = self.start([str(1000 + i) for i in range(600)])
        daemon.wait_finished(600)
        before = memory_kb(daemon.pid)
        # Memory is looked at without sanitizers; with them a few show what they are to show.
        n_readers = 60 if is_sanitized(daemon.pid) else 300
        readers = [self.connect() for _ in range(n_readers)]
        for client in readers:
            client.sendall(b"GET /v1/jobs?limit=1000 HTTP/1.1\r\nHost: x\r\n\r\n")
        for _ in range(20):
            self.assertEqual(daemon.get("/v1/jobs/acme/1000").status, 200)
            self.assertEqual(daemon.post("/v1/jobs/acme/1000/poll").status, 202)
        # They go on where it stopped as soon as somebody reads or leaves.
        for client in readers[:n_readers // 2]:
            client.close()
        for client in readers[n_readers // 2:]:
            reply = http.client.HTTPResponse(client)
            reply.begin()
            self.assertEqual(len(json.loads(reply.read())["jobs"]), 600)
        self.assert_memory(before)
        self.assert_idle()
        self.assert_stops(daemon)


if __name__ == "__main__":
    unittest.main(verbosity=2)
