#!/usr/bin/env python3
"""Replies that nobody can use: no job's state moves, nothing grows, and no token goes astray."""

import pathlib
import re
import socket
import threading
import unittest

from harness import TestCase, wait_for, is_sanitized

TIMES = 4  # a fifth in a row would open the data center's circuit
GROWTH_MAX_KIB = 60 * 1024
# Slow answers count in a job's life, so that there are enough of the first kind.
LIFE = [{"state": "ADDED", "polls": TIMES + 2}, {"state": "IN PROGRESS", "polls": 1},
        {"state": "COMPLETED"}]
# Kind of reply: what the simulator does, and the class of the error that the job shows.
KINDS = {
    "html": ({"what": "html"}, "bad_reply"),
    "empty": ({"what": "empty"}, "bad_reply"),
    "no-content": ({"what": "204"}, "not_found"),
    "cut": ({"what": "truncate"}, "broken"),
    "cut-closed": ({"what": "truncate_closed"}, "bad_reply"),
    "cut-chunked": ({"what": "truncate_chunked"}, "broken"),
    "wrong-id": ({"what": "wrong_id"}, "bad_reply"),
    "deep": ({"what": "deep"}, "bad_reply"),
    "endless-body": ({"what": "endless_body"}, "bad_reply"),
    "endless-headers": ({"what": "endless_headers"}, "bad_reply"),
    "slow": ({"what": "slow", "delay": "200ms"}, "timeout"),
    "redirect": ({"what": "302"}, "http"),
    "nul-state": ({"what": "nul_state"}, "bad_reply"),
    "number-state": ({"what": "number_state"}, "bad_reply"),
    "long-state": ({"what": "long_state"}, "bad_reply"),
    "duplicate-keys": ({"what": "duplicate_keys"}, "bad_reply"),
    "trailing-garbage": ({"what": "trailing_garbage"}, "bad_reply"),
    "bad-utf8": ({"what": "bad_utf8"}, "bad_reply"),
    "internal-error": ({"what": "500"}, "server"),
    "silly-retry-after": ({"what": "503", "retry_after": "1e20"}, "server"),
    "reset": ({"what": "reset"}, "broken"),
    "junk": ({"what": "garbage"}, "bad_reply"),
}


class Elsewhere(threading.Thread):
    """A server to which nobody shall come."""

    def __init__(self):
        super().__init__(daemon=True)
        self.server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.server.getsockname()[1]}/"
        self.n_clients = 0
        self.start()

    def run(self):
        try:
            while True:
                self.server.accept()[0].close()
                self.n_clients += 1
        except OSError:
            pass

    def close(self):
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()
        self.join()


def memory_kib(pid, what):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(rf"^{what}:\s+(\d+) kB$", status, re.M)[1])


class BadReplies(TestCase):
    def setUp(self):
        super().setUp()
        self.assertEqual(len(KINDS), 22)
        self.elsewhere = Elsewhere()
        self.addCleanup(self.elsewhere.close)

    def account(self, name, job, **more):
        self.stage.secret(f"token-{name}", f"1000.canary.{name}")
        return {**self.stage.account([job], name, **more),
                "access_token_file": str(self.stage.dir / f"token-{name}")}

    def faults(self, after, **more):
        """Each kind in a data center of its own."""
        faults = [{"dc": name, "after": after, **fault, **more}
                  for name, (fault, _) in KINDS.items()]
        for fault in faults:
            if fault["what"] == "302":
                fault["location"] = self.elsewhere.url
        return faults

    def start(self, faults):
        """A daemon with an account for each kind, and one that is well."""
        sim = self.stage.sim(dcs=(*KINDS, "well"), script={
            "jobs": [{"id": "77", "life": [{"state": "IN PROGRESS", "polls": 60},
                                           {"state": "COMPLETED"}]},
                     {"id": "*", "life": LIFE}],
            "faults": faults})
        accounts = {name: self.account(name, str(1000 + i)) for i, name in enumerate(KINDS)}
        accounts["well"] = self.account("well", "77")
        self.stage.config(accounts, poll={"timeout": "1s"})
        return sim, self.stage.start()

    def assert_tokens_stay(self, sim):
        """Each data center saw one token, and no two the same."""
        seen = {}
        for record in sim.requests():
            seen.setdefault(record["dc"], set()).add(record["token"])
        self.assertEqual(set(seen), {*KINDS, "well"})
        for dc, tokens in seen.items():
            self.assertEqual(len(tokens), 1, dc)
        self.assertEqual(len(set.union(*seen.values())), len(seen))
        self.assertEqual(self.elsewhere.n_clients, 0)

    def test_they_come_and_go(self):
        """After the first answer, then the job goes on as if nothing had been."""
        sim, daemon = self.start(self.faults(1, times=TIMES))
        daemon.wait_finished(len(KINDS) + 1)
        struck = [record["dc"] for record in sim.requests() if record["fault"]]
        for name in KINDS:
            self.assertEqual(struck.count(name), TIMES, name)
        self.assert_tokens_stay(sim)
        self.assertEqual([e["type"] for e in daemon.events() if e["type"].startswith("account.")],
                         [])
        self.assert_stops(daemon)
        for i, name in enumerate(KINDS):
            states = [row["to_state"] for row in self.stage.transitions()
                      if row["job_id"] == str(1000 + i)]
            self.assertEqual(states, ["ADDED", "IN PROGRESS", "COMPLETED"], name)

    def test_they_stay(self):
        """The job keeps its state and shows the error; the others poll on; memory is bounded."""
        sim, daemon = self.start(self.faults(1))
        wait_for(lambda: sum(job["state"] == "ADDED" for job in daemon.jobs()) == len(KINDS),
                 "the first answers")
        before_kib = memory_kib(daemon.pid, "VmRSS")

        def failures():
            return {job["account"]: job["failures"] for job in daemon.jobs()
                    if job["account"] != "well"}
        wait_for(lambda: min(failures().values()) >= TIMES, "the failures",
                 why=lambda: str(failures()))
        wait_for(lambda: daemon.job("well", "77")["finished"], "the account that is well")
        for job in daemon.jobs():
            if job["account"] == "well":
                continue
            self.assertEqual(job["state"], "ADDED", job)
            self.assertEqual(job["last_error"]["class"], KINDS[job["account"]][1], job)
            self.assertEqual(daemon.account(job["account"])["state"], "ok", job)
        if not is_sanitized(daemon.pid):
            self.assertLess(memory_kib(daemon.pid, "VmHWM") - before_kib, GROWTH_MAX_KIB)
        self.assert_tokens_stay(sim)
        self.assertNotIn("canary", self.stage.log())
        self.assert_stops(daemon)


if __name__ == "__main__":
    unittest.main()
