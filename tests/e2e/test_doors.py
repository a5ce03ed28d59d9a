#!/usr/bin/env python3
"""The sockets under people who mean no good, and under very many who do: polling goes on, memory
stays, the CPU is idle afterwards; nobody misses an event, and everybody is told at once."""

import calendar
import http.client
import json
import os
import random
import resource
import selectors
import socket
import statistics
import threading
import time
import unittest

from harness import DEADLINE_S, Stream, TestCase, UnixConnection, wait_for, is_sanitized

MORE_MEMORY_KB = 40 * 1024
IDLE_CPU_S = 0.35  # in a second of quiet, jobs being polled meanwhile
WAKE_MEDIAN_S = 1.0  # what a busy machine may take; 50 ms is what a quiet one should
LIVES = [{"id": "1-999", "life": [{"state": "ADDED"}]},
         {"id": "1000-9999", "life": [{"state": "ADDED", "polls": 1}, {"state": "COMPLETED"}]}]


def memory_kb(pid, what="VmRSS"):
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(what + ":"))


def cpu_s(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class DoorsCase(TestCase):
    def start(self, jobs, wrapper=(), **options):
        self.sim = self.stage.sim("--admin", script={"jobs": LIVES})
        options.setdefault("poll", {"min_interval": "100ms", "max_interval": "100ms"})
        self.stage.config({"acme": self.stage.account(jobs, max_in_flight=20)}, **options)
        self.daemon = self.stage.start(wrapper=wrapper)
        return self.daemon

    def connect(self, path=None, timeout=DEADLINE_S):
        client = socket.socket(socket.AF_UNIX)
        self.addCleanup(client.close)
        client.settimeout(timeout)
        client.connect(str(path or self.daemon.query))
        return client

    def polls(self):
        return len(self.sim.requests())

    def assert_polling_goes_on(self):
        before = self.polls()
        wait_for(lambda: self.polls() > before + 3, "further polls", why=self.stage.log)

    def assert_memory(self, before_kb):
        peak = memory_kb(self.daemon.pid, "VmHWM")
        if is_sanitized(self.daemon.pid):
            return
        self.assertLess(peak - before_kb, MORE_MEMORY_KB, f"from {before_kb} kB to {peak} kB")

    def assert_idle(self):
        """Some second of the next ones costs little."""
        def cost():
            before, began = cpu_s(self.daemon.pid), time.monotonic()
            while time.monotonic() - began < 1:
                time.sleep(0.05)
            return cpu_s(self.daemon.pid) - before
        costs = []
        wait_for(lambda: costs.append(cost()) or costs[-1] < IDLE_CPU_S, "an idle CPU", 15,
                 lambda: f"CPU seconds a second: {costs}")

    def shout(self, pieces, path=None):
        """Sends until the other side has enough; what it said."""
        client = self.connect(path)
        said = b""
        try:
            for piece in pieces:
                client.sendall(piece)
            client.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        try:
            while piece := client.recv(65536):
                said += piece
        except OSError:
            pass
        client.close()
        return said


class Garbage(DoorsCase):
    def test_what_no_client_should_send(self):
        daemon = self.start(["1", "2", "3"])
        self.assert_polling_goes_on()
        before = memory_kb(daemon.pid)
        seed = int(os.environ.get("BULKWATCH_SEED", "1"))
        rng = random.Random(seed)
        megabyte = b"x" * 1024 * 1024
        head = b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\n"
        attacks = {
            "10 MB of headers": [b"GET /v1/status HTTP/1.1\r\n"] +
                                [b"X-%d: " % i + b"y" * 1000 + b"\r\n" for i in range(10000)],
            "10 MB in one header": [b"GET /v1/status HTTP/1.1\r\nX: "] + [megabyte] * 10,
            "a URL of 3 MB": [b"GET /", megabyte, megabyte, megabyte, b" HTTP/1.1\r\n\r\n"],
            "a query of 3 MB": [b"GET /v1/jobs?name=", megabyte, megabyte, megabyte,
                                b" HTTP/1.1\r\n\r\n"],
            "a body of 50 MB": [head + b"Content-Length: 52428800\r\n\r\n"] + [megabyte] * 50,
            "a body said to be huge": [head + b"Content-Length: 9223372036854775807\r\n\r\n"],
            "20 MB in chunks": [head + b"Transfer-Encoding: chunked\r\n\r\n"] +
                               [b"100000\r\n" + megabyte + b"\r\n"] * 20 + [b"0\r\n\r\n"],
            "chunks of a byte": [head + b"Transfer-Encoding: chunked\r\n\r\n"] +
                                [b"1\r\nx\r\n" * 1000] * 100,
            "a chunk of nonsense": [head + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n"],
            "pipelined without end": [b"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n" * 5000],
            "noise": [rng.randbytes(1024 * 1024) for _ in range(3)],
            "no line end": [b"G" * 10 * 1024 * 1024],
            "NULs": [bytes(5 * 1024 * 1024)],
        }
        for what, pieces in attacks.items():
            for path in (daemon.query, daemon.admin):
                with self.subTest(what=what, path=path.name, seed=seed):
                    self.shout(pieces, path)
                    self.assertEqual(daemon.get("/v1/status").status, 200)
        self.assert_polling_goes_on()
        self.assert_memory(before)
        self.assert_idle()
        self.assertEqual([job["id"] for job in daemon.jobs()], ["1", "2", "3"])
        self.assert_stops(daemon)

    def test_many_at_once(self):
        """Requests cut off at every place, at the same time as one that is well."""
        daemon = self.start(["1"])
        before = memory_kb(daemon.pid)
        request = b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 30\r\n\r\n" + b"{" * 30
        for _ in range(5):
            clients = [self.connect() for _ in range(len(request))]
            for i, client in enumerate(clients):
                client.sendall(request[:i])
            self.assertEqual(daemon.get("/v1/status").status, 200)
            for client in clients:
                client.close()
        self.assert_polling_goes_on()
        self.assert_memory(before)
        self.assert_idle()


class Crowds(DoorsCase):
    def test_streams_that_nobody_reads(self):
        """100 of them, and events that would fill them all many times over."""
        daemon = self.start([str(i) for i in range(1, 4)])
        before = memory_kb(daemon.pid)
        held = []
        for i in range(100):
            client = self.connect()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.sendall(b"GET /v1/events?follow=true HTTP/1.1\r\nHost: x\r\n" +
                           (b"Accept: text/event-stream\r\n\r\n" if i % 2 else b"\r\n"))
            held.append(client)
        reader = daemon.follow()
        for i in range(300):
            self.assertEqual(daemon.post("/v1/jobs", {"account": "acme", "id": str(1000 + i)})
                             .status, 201)
        daemon.wait_finished(300)
        n = daemon.status()["last_seq"]
        wait_for(lambda: len(reader.events()) == n, "all events for who reads")
        self.assertEqual([event["seq"] for event in reader.events()], list(range(1, n + 1)))
        self.assert_polling_goes_on()
        self.assert_memory(before)
        self.assert_idle()
        for client in held:
            client.close()
        reader.close()
        wait_for(lambda: b"bulkwatch_streams 0\n" in daemon.get("/metrics").data, "their leaving")
        self.assert_idle()
        self.assert_stops(daemon)

    def test_half_open_connections(self):
        """400 that say nothing, or half of it; the next client is served."""
        daemon = self.start(["1"])
        before = memory_kb(daemon.pid)
        clients = [self.connect() for _ in range(400)]
        for i, client in enumerate(clients):
            client.sendall((b"", b"G", b"GET /v1/status HTTP/1.1\r\nHost: ",
                            b"POST /v1/jobs HTTP/1.1\r\nContent-Length: 60000\r\n\r\n{")[i % 4])
        self.assertEqual(daemon.get("/v1/status").status, 200)
        self.assert_polling_goes_on()
        self.assert_memory(before)
        self.assert_idle()
        for client in clients:
            client.close()
        self.assert_idle()
        self.assert_stops(daemon)

    def test_64_descriptors_in_all(self):
        """More clients than there are descriptors: no spinning, polls go on, then all is well."""
        daemon = self.start(["1", "2"], wrapper=["prlimit", "--nofile=64:64"],
                            hooks={"load": self.stage.hook("load")})
        before = memory_kb(daemon.pid)
        clients = [self.connect() for _ in range(120)]
        for client in clients:
            client.sendall(b"GET /v1/jobs/acme/1/wait HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assert_polling_goes_on()
        self.assert_idle()
        for client in clients:
            client.close()
        wait_for(daemon.is_ready, "a place")
        self.assertEqual(daemon.post("/v1/jobs", {"account": "acme", "id": "1000"}).status, 201)
        daemon.wait_finished(1)
        self.stage.wait_records(1)
        self.assert_memory(before)
        self.assert_idle()
        self.assert_stops(daemon)

    def test_a_slow_reader_goes_on_where_it_was(self):
        """One that takes little is cut off at last, and misses nothing when it comes back."""
        daemon = self.start([])
        slow = self.connect()
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.sendall(b"GET /v1/events?follow=true HTTP/1.1\r\nHost: x\r\n\r\n")
        for i in range(150):
            daemon.post("/v1/jobs", {"account": "acme", "id": str(1000 + i)})
        daemon.wait_finished(150)
        n = daemon.status()["last_seq"]
        # It never reads: after the stall it is closed, whatever waits for it.
        wait_for(lambda: b"bulkwatch_streams 0\n" in daemon.get("/metrics").data,
                 "the end of its stream", 60)
        data = b""
        while piece := slow.recv(65536):
            data += piece
        events = [json.loads(line) for line in data.split(b"\r\n")
                  if line.startswith(b"{") and line.endswith(b"}\n")]
        seen = [event["seq"] for event in events]
        self.assertEqual(seen, list(range(1, len(seen) + 1)))
        self.assertTrue(0 < len(seen) < n, (len(seen), n))
        rest = daemon.get(f"/v1/events?after={seen[-1]}").lines()
        self.assertEqual([event["seq"] for event in rest], list(range(seen[-1] + 1, n + 1)))


class Promptness(DoorsCase):
    def test_waiters_wake_at_once(self):
        """50 of them, from the reply that finished the job to the answer; and they cost no poll."""
        daemon = self.start(["1"], poll={"min_interval": "20ms", "max_interval": "20ms"})
        waiters = [self.connect() for _ in range(50)]
        for client in waiters:
            client.sendall(b"GET /v1/jobs/acme/1/wait?timeout=5m HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_for(lambda: b"bulkwatch_waiters 50\n" in daemon.get("/metrics").data, "all of them")
        woken = []
        selector = selectors.DefaultSelector()
        self.addCleanup(selector.close)
        for client in waiters:
            selector.register(client, selectors.EVENT_READ)
        self.sim.admin("POST", "/jobs", {"jobs": [{"id": "1", "life": [{"state": "COMPLETED"}]}]})
        while len(woken) < 50:
            ready = selector.select(DEADLINE_S)
            self.assertTrue(ready, f"{len(woken)} of 50 woke")
            for key, _ in ready:
                woken.append(time.time())
                self.assertIn(b'"finished":true', key.fileobj.recv(65536))
                selector.unregister(key.fileobj)
        began = next(parse_time(request["at"]) for request in self.sim.requests()
                     if request["job"] == "1" and request["state"] == "COMPLETED")
        median = statistics.median(at - began for at in woken)
        print(f"50 waiters: median {median * 1000:.1f} ms, last {(max(woken) - began) * 1000:.1f} ms "
              "after the reply", flush=True)
        self.assertLess(median, WAKE_MEDIAN_S)

    def test_a_thousand_waiters_are_cheap(self):
        """They are told by one poll, and cost nothing while other jobs come and go."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard < 1700:
            self.skipTest(f"only {hard} descriptors are allowed here")
        # max_clients and the 512 that the daemon keeps for itself are all that it needs.
        resource.setrlimit(resource.RLIMIT_NOFILE, (1700, hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        daemon = self.start(["1"], max_clients=1100)
        before = memory_kb(daemon.pid)
        clients = [self.connect() for _ in range(1000)]
        for client in clients:
            client.sendall(b"GET /v1/jobs/acme/1/wait?timeout=5m HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_for(lambda: b"bulkwatch_waiters 1000\n" in daemon.get("/metrics").data, "all of them")
        for i in range(100):
            daemon.post("/v1/jobs", {"account": "acme", "id": str(1000 + i)})
        daemon.wait_finished(100)
        self.assert_idle()
        self.assert_memory(before)
        self.sim.admin("POST", "/jobs", {"jobs": [{"id": "1", "life": [{"state": "COMPLETED"}]}]})
        for client in clients:
            reply = http.client.HTTPResponse(client)
            reply.begin()
            job = json.loads(reply.read())
            self.assertEqual((job["id"], job["state"]), ("1", "COMPLETED"))
        self.assert_stops(daemon)

    def test_a_list_and_a_stream_join_without_a_gap(self):
        """Two connections, while jobs are added and finish all the time: the list, then what
        follows, is all that ever happened."""
        daemon = self.start([str(1000 + i) for i in range(50)])
        stop = threading.Event()

        def load():
            i = 2000
            while not stop.is_set():
                daemon.post("/v1/jobs", {"account": "acme", "id": str(i)})
                i += 1
        loader = threading.Thread(target=load, daemon=True)
        loader.start()
        try:
            views = [self.join_up() for _ in range(5)]
        finally:
            stop.set()
            loader.join(DEADLINE_S)
        total = len(daemon.jobs())
        daemon.wait_finished(total)
        wanted = {(job["account"], job["id"]): job["state"] for job in daemon.jobs()}
        last = daemon.status()["last_seq"]
        for states, stream, after in views:
            wait_for(lambda: stream.events() and stream.events()[-1]["seq"] == last, "its end")
            events = stream.events()
            self.assertEqual([event["seq"] for event in events],
                             list(range(after + 1, last + 1)))
            for event in events:
                states[(event["account"], event["job_id"])] = event["job"]["state"]
            self.assertEqual(states, wanted)
            stream.close()

    def join_up(self):
        """All pages over one connection, the stream over another: the states, the stream, where it
        began."""
        states, target, last_seq = {}, "/v1/jobs?limit=20", None
        connection = UnixConnection(self.daemon.query)
        while target:
            connection.request("GET", target)
            page = json.loads(connection.getresponse().read())
            last_seq = page["last_seq"] if last_seq is None else last_seq
            for job in page["jobs"]:
                states[(job["account"], job["id"])] = job["state"]
            target = page["next"] and f"/v1/jobs?limit=20&after={page['next']}"
        connection.close()
        return states, Stream(self.daemon.query, f"/v1/events?follow=true&after={last_seq}"), last_seq

    def test_bursts_of_many_sizes(self):
        """As many events in one commit as are kept for all who follow, fewer, and more."""
        nowhere = {"api_url": "http://127.0.0.1:1", "accounts_url": "http://127.0.0.1:1"}
        ids = []

        def configure(n):
            ids.extend([str(1000 + len(ids) + i) for i in range(n)])
            self.stage.config({"acme": self.stage.account(ids)}, datacenters={"eu": nowhere})
        configure(1)
        daemon = self.stage.start()
        stream = daemon.follow()
        for n in (1, 127, 128, 129, 130, 200, 257):
            configure(n)
            self.assertEqual(daemon.reload().status, 200)
            wait_for(lambda: stream.told() and stream.events()[-1]["seq"] == len(ids), "the last event")
            self.assertEqual([event["seq"] for event in stream.events()], [*range(1, len(ids) + 1)], n)
        stream.close()
        self.assert_stops(daemon)

    def test_followers_all_get_the_same(self):
        """80 of them with different wishes, some from the beginning, some at the end."""
        daemon = self.start([str(1000 + i) for i in range(100)])
        daemon.wait_finished(100)
        wishes = ["", "&type=job.completed", "&account=acme", "&type=job.added,job.watched"]
        streams = [(daemon.follow(after, wishes[i % 4]), after, wishes[i % 4])
                   for i in range(80) for after in [(0, 150, 300)[i % 3]]]
        for i in range(100):
            daemon.post("/v1/jobs", {"account": "acme", "id": str(2000 + i)})
        daemon.wait_finished(200)
        for stream, after, wish in streams:
            expected = daemon.get(f"/v1/events?after={after}{wish}").lines()
            wait_for(lambda: len(stream.events()) >= len(expected), "its events")
            self.assertEqual(stream.events(), expected)
            stream.close()


def parse_time(text):
    """Seconds of Unix time of RFC 3339 in UTC."""
    return calendar.timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")) + float(text[19:-1])


if __name__ == "__main__":
    unittest.main(verbosity=2)
