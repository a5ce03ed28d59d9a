#!/usr/bin/env python3
"""GET /v1/backup: a whole copy of a database in use, and what goes on while it is made."""

import concurrent.futures
import socket
import sqlite3
import unittest

from harness import DEADLINE_S, ask, opened_by, wait_for
from test_query import QueryCase

PADDING_MB = 48
COPIED_A_TURN_MB = 4  # at most


class Backup(QueryCase):
    def open_copy(self, data):
        copy = self.stage.dir / "copy.db"
        copy.write_bytes(data)
        connection = sqlite3.connect(copy)
        self.addCleanup(connection.close)
        self.assertEqual(connection.execute("PRAGMA integrity_check").fetchall(), [("ok",)])
        self.assertEqual(connection.execute("PRAGMA journal_mode").fetchall(), [("delete",)])
        return connection

    def test_what_follows_a_restored_copy_has_other_ids(self):
        """Its numbers were given to other events already, whose ids somebody may remember."""
        daemon = self.start({"acme": ["1001"]})
        daemon.wait_finished(1)
        copy = ask(daemon.admin, "GET", "/v1/backup").data
        last = daemon.status()["last_seq"]
        daemon.post("/v1/jobs", {"account": "acme", "id": "1002"})
        daemon.wait_finished(2)
        lost = [event for event in daemon.events() if event["seq"] > last]
        self.assert_stops(daemon)
        for path in self.stage.state_dir.glob("bulkwatch.db*"):
            path.unlink()
        (self.stage.state_dir / "bulkwatch.db").write_bytes(copy)
        daemon = self.stage.start()
        self.assertIn("is a copy from a backup", self.stage.log())
        daemon.post("/v1/jobs", {"account": "acme", "id": "1003"})
        daemon.wait_finished(2)
        new = [event for event in daemon.events() if event["seq"] > last]
        self.assertTrue({event["seq"] for event in new} & {event["seq"] for event in lost})
        self.assertFalse({event["id"] for event in new} & {event["id"] for event in lost})
        # The name stays its own.
        name = daemon.status()["database"]["instance"]
        daemon.kill()
        self.assertEqual(self.stage.start().status()["database"]["instance"], name)

    def assert_nothing_is_left(self):
        self.assertEqual([p.name for p in self.stage.state_dir.glob("backup*")], [])

    def start_large(self):
        """With a database that takes many turns to copy, and does not fit into the page cache."""
        daemon = self.start({"acme": ["1", "2"]})
        self.assert_stops(daemon)
        database = sqlite3.connect(self.stage.state_dir / "bulkwatch.db")
        with database:
            database.executemany("INSERT INTO small_value VALUES (?, hex(randomblob(65536)))",
                                 [(f"padding-{i}",) for i in range(PADDING_MB * 8)])
        database.close()
        return self.stage.start()

    def begin(self, daemon):
        """A request for a copy whose answer is not read yet."""
        client = socket.socket(socket.AF_UNIX)
        self.addCleanup(client.close)
        client.settimeout(DEADLINE_S)
        client.connect(str(daemon.admin))
        client.sendall(b"GET /v1/backup HTTP/1.1\r\nHost: x\r\n\r\n")
        return client

    def is_copying(self, daemon):
        """The copy has no name: it is found by its descriptor."""
        return any("/backup-" in link for link in opened_by(daemon.pid))

    def test_a_copy_while_it_works(self):
        daemon = self.start({"acme": [str(1000 + i) for i in range(50)]})
        daemon.wait_finished(50)
        reply = ask(daemon.admin, "GET", "/v1/backup")
        self.assertEqual(reply.status, 200, reply.data[:200])
        [(n,)] = self.open_copy(reply.data).execute("SELECT count(*) FROM transitions").fetchall()
        self.assertEqual(n, 100)
        self.assertIn(ask(daemon.query, "GET", "/v1/backup").status, (404, 405))
        self.assert_nothing_is_left()
        daemon.post("/v1/jobs", {"account": "acme", "id": "1"})
        self.assert_stops(daemon)

    def test_all_else_goes_on(self):
        daemon = self.start_large()
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            asked = pool.submit(ask, daemon.admin, "GET", "/v1/backup")
            wait_for(lambda: self.is_copying(daemon) or asked.done(), "the copy")
            client = self.begin(daemon)  # who is next waits without holding anybody up
            n = 0
            while not asked.done():
                reply = daemon.post("/v1/jobs", {"account": "acme", "id": str(10000 + n)})
                self.assertEqual(reply.status, 201)
                n += 1
            reply = asked.result()
        self.assertEqual(reply.status, 200, reply.data[:200])
        self.assertGreaterEqual(n, PADDING_MB // COPIED_A_TURN_MB // 2)
        copy = self.open_copy(reply.data)
        [(padding,)] = copy.execute("SELECT sum(length(value)) FROM small_value "
                                    "WHERE name LIKE 'padding%'").fetchall()
        self.assertEqual(padding, PADDING_MB << 20)
        # What was committed meanwhile is in it up to some moment, and nothing beyond.
        found = [int(row[0]) for row in copy.execute(
            "SELECT job_id FROM jobs WHERE length(job_id) = 5 ORDER BY job_id")]
        self.assertEqual(found, list(range(10000, 10000 + len(found))))
        self.assertGreater(len(found), 0)
        copy.close()
        self.assertTrue(client.recv(65536).startswith(b"HTTP/1.1 200 "))
        self.assert_nothing_is_left()
        self.assertEqual(daemon.get("/v1/jobs?limit=1").status, 200)

    def test_one_who_leaves_ends_the_copy(self):
        daemon = self.start_large()
        clients = [self.begin(daemon) for _ in range(3)]
        wait_for(lambda: self.is_copying(daemon), "the copy")
        for client in clients:
            client.close()
        wait_for(lambda: not self.is_copying(daemon), "its end")
        self.assertEqual(daemon.post("/v1/jobs", {"account": "acme", "id": "3"}).status, 201)
        self.assert_nothing_is_left()

    def test_a_stop_in_the_middle(self):
        daemon = self.start_large()
        self.begin(daemon)
        wait_for(lambda: self.is_copying(daemon), "the copy")
        self.assert_stops(daemon)
        self.assert_nothing_is_left()


if __name__ == "__main__":
    unittest.main(verbosity=2)
