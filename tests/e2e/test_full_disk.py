#!/usr/bin/env python3
"""A disk that fills up: polls and hooks pause, the sockets answer and say so, and all goes on.

The state directory is a small tmpfs in a mount namespace of this process: as root, or in a user
namespace of its own; where neither is allowed, the tests are skipped with the reason.
"""

import ctypes
import errno
import os
import signal
import unittest

from evidence import Evidence
from harness import DEADLINE_S, LIBC, QUIET_S, TestCase, assert_unchanged, children_of, wait_for

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
MS_REC = 0x4000
MS_PRIVATE = 1 << 18
MNT_DETACH = 2
SIZE_MB = 64        # room for the ballast, for the write-ahead log at its longest, and some more
SMALL_SIZE_MB = 24  # less than that, but much more than the database needs
N_JOBS = 20
N_STEPS = 25
N_RELOADED = 3000
FIRED = {"job.unknown_state", "job.completed"}


def call(name, *arguments):
    if getattr(LIBC, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def enter_namespace():
    uid, gid = os.geteuid(), os.getegid()
    call("unshare", CLONE_NEWNS | (CLONE_NEWUSER if uid else 0))
    if uid:
        for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"),
                           ("gid_map", f"0 {gid} 1")):
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
                file.write(text)
    call("mount", b"none", b"/", None, MS_REC | MS_PRIVATE, None)


class FullDisk(TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        try:
            enter_namespace()
        except OSError as error:
            reason = f"no mount namespace of its own: {error}"
            print("skipped: " + reason, flush=True)
            raise unittest.SkipTest(reason) from error

    def mount(self, size_mb=SIZE_MB):
        path = str(self.stage.state_dir).encode()
        call("mount", b"tmpfs", path, b"tmpfs", 0, f"size={size_mb}m,mode=0700".encode())
        # Before the stage is taken down.
        self.addCleanup(lambda: call("umount2", path, MNT_DETACH))
        self.filler = self.stage.state_dir / "filler"

    def fill(self):
        """Takes all the room that there is at this moment."""
        with open(self.filler, "ab", buffering=0) as file:
            for size in (1 << 20, 1 << 16, 4096):
                try:
                    while True:
                        file.write(b"\0" * size)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise

    def database_state(self, daemon):
        return daemon.status()["database"]["state"]

    def fill_until_it_says_so(self, daemon):
        def is_full():
            self.fill()
            return self.database_state(daemon) == "full"
        wait_for(is_full, "a full disk")
        self.fill()  # what it gave up to have room for what was running

    def free(self, daemon):
        self.filler.unlink()
        wait_for(lambda: self.database_state(daemon) == "ok", "its going on", why=self.stage.log)

    def start(self, then="", size_mb=SIZE_MB):
        stage = self.stage
        self.mount(size_mb)
        self.ids = [str(1000 + i) for i in range(N_JOBS)]
        self.sim = stage.sim(script={"jobs": [{"id": "*", "life": [
            *({"state": f"STEP {i}", "polls": 2} for i in range(N_STEPS)),
            {"state": "COMPLETED"}]}]})
        stage.config({"acme": stage.account(self.ids)},
                     hooks={"all": stage.hook("all", then=then, on=sorted(FIRED), parallel=4)},
                     poll={"min_interval": "20ms", "max_interval": "60ms"}, drain_timeout="2s")
        return stage.start()

    def wait_quiet(self, daemon):
        """What was on its way when it filled up has arrived, and what ran has ended."""
        wait_for(lambda: daemon.status()["in_flight"] == 0 and not children_of(daemon.pid), "quiet")

    def test_it_pauses_and_goes_on_by_itself(self):
        evidence = Evidence(FIRED)
        daemon = self.start()
        stream = daemon.follow()
        for n in range(1, 4):
            wait_for(lambda: len(stream.told()) > n * 50, "events")
            self.fill_until_it_says_so(daemon)
            self.check_pause(daemon, stream)
            self.free(daemon)
        daemon.wait_finished(N_JOBS, deadline_s=50)
        daemon.wait_delivered()
        last = daemon.status()["last_seq"]
        wait_for(lambda: len(stream.told()) >= last, "the stream")
        evidence.announced += stream.told()
        stream.close()
        evidence.take_end(self.stage, daemon)
        self.assertEqual(list(evidence.check()), [])
        # Nobody was killed, so nothing was told twice either.
        self.assertEqual(len(evidence.announced), len(evidence.final))
        self.assertEqual({attempt for *_, attempt in evidence.records}, {1})
        self.assertGreaterEqual(self.stage.log().count("the disk is full"), 3)

    def check_pause(self, daemon, stream):
        self.wait_quiet(daemon)
        wait_for(lambda: self.is_still(stream), "standstill")
        assert_unchanged(lambda: (len(self.sim.requests()), len(stream.told()),
                                  len(self.stage.records())), QUIET_S,
                         "polls, events and hooks on a full disk")
        self.assertEqual(self.database_state(daemon), "full")
        self.assertTrue(daemon.status()["database"]["detail"])
        self.assertEqual(len(daemon.jobs()), N_JOBS)
        self.assertEqual(len(daemon.events()), len(stream.told()))
        for method, target, body in (
                ("POST", "/v1/jobs", {"account": "acme", "id": "7"}),
                ("DELETE", f"/v1/jobs/acme/{self.ids[0]}", None),
                ("POST", f"/v1/jobs/acme/{self.ids[0]}/pause", None)):
            reply = daemon.ask(method, target, body=body)
            self.assertEqual((reply.status, reply.content_type),
                             (507, "application/problem+json"))
        self.assertGreaterEqual(daemon.reload().status, 500)
        self.assertEqual(daemon.get("/v1/jobs/acme/7").status, 404)

    def is_still(self, stream):
        before = len(stream.told()), len(self.stage.records())
        wait_for(lambda: len(self.sim.requests()), "the log")
        return before == (len(stream.told()), len(self.stage.records()))

    def test_a_hook_that_ends_meanwhile_is_not_run_again(self):
        daemon = self.start(then="while ! [ -e \"$1/../go\" ]; do sleep 0.02; done\n")
        self.stage.wait_records(4)
        self.fill_until_it_says_so(daemon)
        (self.stage.dir / "go").touch()
        self.wait_quiet(daemon)
        ran = assert_unchanged(lambda: len(self.stage.records()), QUIET_S, "runs")
        self.assertEqual(ran, 4)
        self.free(daemon)
        daemon.wait_finished(N_JOBS, deadline_s=50)
        daemon.wait_delivered()
        self.assert_stops(daemon)
        rows = self.stage.rows("SELECT * FROM deliveries")
        self.assertEqual({(row["state"], row["attempts"]) for row in rows}, {("delivered", 1)})
        self.assertEqual(len(self.stage.records()), N_JOBS * (N_STEPS + 1))

    def test_what_ended_meanwhile_is_recorded_by_a_stop(self):
        """There is room again, but the daemon is told to stop before it has seen that."""
        daemon = self.start(then="while ! [ -e \"$1/../go\" ]; do sleep 0.02; done\n")
        self.stage.wait_records(4)
        self.fill_until_it_says_so(daemon)
        (self.stage.dir / "go").touch()
        self.wait_quiet(daemon)
        daemon.send(signal.SIGSTOP)
        self.filler.unlink()
        daemon.send(signal.SIGTERM)
        daemon.send(signal.SIGCONT)
        self.assertEqual(daemon.process.wait(DEADLINE_S), 0, self.stage.log())
        states = {row["state"] for row in self.stage.rows("SELECT * FROM deliveries WHERE attempts > 0")}
        self.assertEqual(states, {"delivered"})

    def test_its_own_log_does_not_keep_it_from_going_on(self):
        """Nobody else takes any room: what the log took is used again, or given back."""
        daemon = self.start(size_mb=SMALL_SIZE_MB)
        daemon.wait_finished(N_JOBS, deadline_s=40)
        daemon.wait_delivered()
        self.assert_stops(daemon)
        self.assertEqual(len(self.stage.transitions()), N_JOBS * (N_STEPS + 1))

    def test_a_reload_that_fills_it_is_done_when_there_is_room(self):
        stage = self.stage
        self.mount(SMALL_SIZE_MB)
        stage.sim(script={"jobs": [{"id": "*", "life": [{"state": "COMPLETED"}]}]})
        stage.config({"acme": stage.account(["1", "2"])})
        daemon = stage.start()
        daemon.wait_finished(2)
        wanted = {"2", *(str(1000 + i) for i in range(N_RELOADED))}
        stage.config({"acme": stage.account(sorted(wanted))})
        self.fill()  # it does not know that yet: nothing is written
        reply = daemon.reload()
        self.assertEqual(reply.status, 507, reply.data)
        self.assertIn("when there is room", reply.json()["detail"])
        self.assertEqual(self.database_state(daemon), "full")
        self.assertEqual(daemon.get("/v1/jobs/acme/1000").status, 404)
        self.free(daemon)
        wait_for(lambda: daemon.status()["jobs"]["watched"] == len(wanted), "the jobs",
                 why=stage.log)
        self.assertFalse(daemon.get("/v1/jobs/acme/1").json()["watched"])
        daemon.wait_finished(len(wanted), deadline_s=50)
        self.assert_stops(daemon)

    def test_stopped_and_started_on_a_full_disk(self):
        """It may refuse to start (74); it may not lose anything, and starts when there is room."""
        for end in ("stop", "kill"):
            with self.subTest(end=end):
                self.check_end_on_full_disk(end)

    def check_end_on_full_disk(self, end):
        evidence = Evidence(FIRED)
        if self.stage.simulator:  # the second time
            daemon = self.stage.start()
        else:
            daemon = self.start()
        stream = daemon.follow()
        wait_for(lambda: len(stream.told()) > 50, "events")
        self.fill_until_it_says_so(daemon)
        if end == "kill":
            daemon.kill()
        else:
            self.assertIn(daemon.stop(), (0, 74), self.stage.log())
        wait_for(lambda: stream.is_over, "the stream's end")
        stream.close()
        evidence.announced += stream.told()
        self.fill()
        code, said = self.stage.run_or_start()
        self.assertIn(code, (0, 74), said)
        self.filler.unlink()
        daemon = self.stage.start()
        lines = daemon.get("/v1/events").data.decode().splitlines()
        evidence.final = lines
        self.assertEqual([*evidence.check_journal(), *evidence.check_announced()], [])
        if end == "kill":
            daemon.wait_finished(N_JOBS, deadline_s=50)
            daemon.wait_delivered()
        self.assert_stops(daemon)


if __name__ == "__main__":
    unittest.main()
