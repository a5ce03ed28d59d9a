#!/usr/bin/env python3
"""What the daemon and a service manager say to each other (sd_notify(3), sd_listen_fds(3))."""

import os
import pathlib
import signal
import socket
import stat
import sys
import threading
import unittest

from harness import DEADLINE_S, QUIET_S, TestCase, ask, assert_unchanged, wait_for

# Opens a listening socket a name=path, hands them over as a manager does, and becomes the program.
HAND_OVER = """
import os, socket, sys
count = sys.argv.index("--")
names, kept = [], []
for number, word in enumerate(sys.argv[1:count]):
    name, path = word.split("=", 1)
    handed = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    if os.path.exists(path):
        os.unlink(path)
    handed.bind(path)
    os.chmod(path, 0o640)
    handed.listen()
    kept.append(handed.detach())
    names.append(name)
high = [os.dup2(fd, 100 + i) for i, fd in enumerate(kept)]
for i, fd in enumerate(high):
    os.dup2(fd, 3 + i, inheritable=True)
    os.close(fd)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(names)),
                  LISTEN_FDNAMES=":".join(names))
os.execv(sys.argv[count + 1], sys.argv[count + 1:])
"""


class Manager:
    """Takes the datagrams, in order."""

    def __init__(self, address):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.settimeout(0.1)
        self.messages = []
        self.is_over = False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.is_over:
            try:
                self.messages.append(self.socket.recv(65536).decode())
            except TimeoutError:
                pass

    def lines(self):
        return [line for message in list(self.messages) for line in message.splitlines()]

    def statuses(self):
        return [line[len("STATUS="):] for line in self.lines() if line.startswith("STATUS=")]

    def count(self, line):
        return self.lines().count(line)

    def close(self):
        self.is_over = True
        self.thread.join(DEADLINE_S)
        self.socket.close()


class Notifying(TestCase):
    def setUp(self):
        super().setUp()
        self.stage.sim()
        self.address = str(self.stage.dir / "notify.sock")

    def listen(self, address=None):
        manager = Manager(address or self.address)
        self.addCleanup(manager.close)
        return manager

    def start(self, **environment):
        environment.setdefault("NOTIFY_SOCKET", self.address)
        return self.stage.start(environment=self.stage.environment(**environment))

    def test_a_life(self):
        manager = self.listen()
        self.stage.config({"acme": self.stage.account(["1", "2"])},
                          hooks={"load": self.stage.hook()})
        daemon = self.start()
        wait_for(lambda: "READY=1" in manager.lines(), "READY=1")
        self.assertEqual(manager.lines()[0], "READY=1")
        self.assertRegex(manager.statuses()[0], r"^2 jobs, 2 polled; 1 accounts; deliveries:")
        self.stage.wait_records(2)
        wait_for(lambda: "2 jobs, 0 polled; 1 accounts; deliveries: 0 running, 0 waiting"
                 in manager.statuses(), "the status at the end", why=manager.statuses)
        self.assert_stops(daemon)
        wait_for(lambda: "STOPPING=1" in manager.lines(), "STOPPING=1")
        self.assertEqual(manager.count("READY=1"), 1)
        self.assertNotIn("WATCHDOG=1", manager.lines())

    def test_an_abstract_address(self):
        name = f"bulkwatch-test-{os.getpid()}"
        manager = self.listen("\0" + name)
        self.stage.config({"acme": self.stage.account(["1"])})
        self.start(NOTIFY_SOCKET="@" + name)
        wait_for(lambda: "READY=1" in manager.lines(), "READY=1")

    def test_a_line_of_status_is_not_sent_at_every_turn(self):
        manager = self.listen()
        jobs = [str(n) for n in range(1, 60)]
        self.stage.config({"acme": self.stage.account(jobs)},
                          poll={"min_interval": "10ms", "max_interval": "20ms"})
        daemon = self.start()
        daemon.wait_finished(len(jobs))
        wait_for(lambda: manager.statuses()[-1].startswith("59 jobs, 0 polled"), "the last line")
        seconds = daemon.status()["uptime"]
        self.assertLessEqual(len(manager.statuses()), 2 + seconds / 2)
        self.assertEqual(len(set(manager.statuses())), len(manager.statuses()))

    def test_reload_is_told_whether_taken_or_refused(self):
        manager = self.listen()
        self.stage.config({"acme": self.stage.account(["1"])})
        daemon = self.start()
        self.stage.config({"acme": self.stage.account(["1", "2"])})
        self.assertEqual(daemon.reload().status, 200)
        self.stage.config_file.write_text("nonsense: 1\n")
        self.assertEqual(daemon.reload().status, 422)
        wait_for(lambda: manager.count("RELOADING=1") == 2 and manager.count("READY=1") == 3,
                 "both reloads", why=manager.lines)
        said = [line for line in manager.lines() if line in ("RELOADING=1", "READY=1")]
        self.assertEqual(said, ["READY=1", "RELOADING=1", "READY=1", "RELOADING=1", "READY=1"])

    def test_the_watchdog_is_fed_while_the_loop_turns(self):
        manager = self.listen()
        self.stage.config({"acme": self.stage.account(["1"])})
        daemon = self.start(WATCHDOG_USEC="300000")
        wait_for(lambda: manager.count("WATCHDOG=1") >= 5, "five pings")
        daemon.send(signal.SIGSTOP)
        try:
            status = pathlib.Path(f"/proc/{daemon.pid}/status")
            wait_for(lambda: "T (stopped)" in status.read_text(), "the stop")
            assert_unchanged(lambda: manager.count("WATCHDOG=1"), QUIET_S, "the pings")
        finally:
            daemon.send(signal.SIGCONT)
        before = manager.count("WATCHDOG=1")
        wait_for(lambda: manager.count("WATCHDOG=1") > before, "the next ping")

    def test_a_watchdog_of_another_process_is_not_ours(self):
        manager = self.listen()
        self.stage.config({"acme": self.stage.account(["1"])})
        self.start(WATCHDOG_USEC="100000", WATCHDOG_PID="1")
        assert_unchanged(lambda: manager.count("WATCHDOG=1"), QUIET_S, "the pings")

    def test_a_drain_asks_for_time(self):
        manager = self.listen()
        held = self.stage.dir / "held"
        held.touch()
        hook = self.stage.hook(then=f'while [ -e "{held}" ]; do sleep 0.05; done\n')
        self.stage.config({"acme": self.stage.account(["1"])}, hooks={"load": hook},
                          drain_timeout="30s")
        daemon = self.start()
        self.stage.wait_records(1)
        daemon.send(signal.SIGTERM)
        wait_for(lambda: any(line.startswith("EXTEND_TIMEOUT_USEC=") for line in manager.lines()),
                 "the request for more time")
        wait_for(lambda: manager.statuses()[-1].startswith("Stopping, 1 hooks run"), "the status")
        held.unlink()
        self.assertEqual(daemon.process.wait(DEADLINE_S), 0)

    def test_a_manager_that_is_gone_harms_nothing(self):
        manager = self.listen()
        self.stage.config({"acme": self.stage.account(["1"])})
        daemon = self.start(WATCHDOG_USEC="100000")
        wait_for(lambda: manager.count("WATCHDOG=1") >= 1, "a ping")
        manager.close()
        os.unlink(self.address)
        daemon.wait_finished(1)
        self.assert_stops(daemon)

    def test_an_address_that_is_none(self):
        for address in ("", "relative", "/" + "x" * 200, str(self.stage.dir / "nobody")):
            self.stage.config({"acme": self.stage.account(["1"])})
            daemon = self.start(NOTIFY_SOCKET=address)
            self.assert_stops(daemon)


class Activation(TestCase):
    def setUp(self):
        super().setUp()
        self.stage.sim()
        self.stage.config({"acme": self.stage.account(["1"])})
        self.query = self.stage.runtime_dir / "query.sock"
        self.admin = self.stage.runtime_dir / "admin.sock"

    def start(self, **sockets):
        words = [f"{name}={path}" for name, path in sockets.items()]
        return self.stage.start(wrapper=[sys.executable, "-c", HAND_OVER, *words, "--"])

    def test_sockets_are_taken_over_and_left_as_they_are(self):
        # In the other order than the daemon opens them: names count.
        daemon = self.start(admin=self.admin, query=self.query)
        before = {path: path.lstat() for path in (self.query, self.admin)}
        self.assertEqual(ask(self.query, "POST", "/v1/jobs", {"account": "acme", "id": "2"}).status,
                         405)
        self.assertEqual(ask(self.admin, "POST", "/v1/jobs", {"account": "acme", "id": "2"}).status,
                         201)
        self.assert_stops(daemon)
        for path, was in before.items():
            now = path.lstat()
            self.assertTrue(stat.S_ISSOCK(now.st_mode))
            self.assertEqual((now.st_ino, now.st_mode), (was.st_ino, was.st_mode))
            self.assertEqual(stat.S_IMODE(now.st_mode), 0o640)

    def test_one_of_two(self):
        daemon = self.start(query=self.query)
        self.assertEqual(stat.S_IMODE(self.query.lstat().st_mode), 0o640)
        self.assertEqual(stat.S_IMODE(self.admin.lstat().st_mode), 0o600)
        self.assertEqual(daemon.reload().status, 200)
        self.assert_stops(daemon)
        self.assertTrue(self.query.exists())
        self.assertFalse(self.admin.exists())

    def test_a_name_that_nobody_knows(self):
        other = self.stage.dir / "other.sock"
        daemon = self.start(other=other)
        self.assertIn("neither query nor admin", self.stage.log())
        self.assert_stops(daemon)

    def test_sockets_of_another_process_are_not_ours(self):
        daemon = self.stage.start(environment=self.stage.environment(
            LISTEN_PID="1", LISTEN_FDS="2", LISTEN_FDNAMES="query:admin"))
        self.assertEqual(stat.S_IMODE(self.query.lstat().st_mode), 0o660)
        self.assert_stops(daemon)

    def test_hooks_get_none_of_it(self):
        self.stage.config({"acme": self.stage.account(["1"])}, hooks={"load": self.stage.hook(
            then=f'ls /proc/self/fd >"{self.stage.dir}/fds"\n')})
        self.start(query=self.query, admin=self.admin)
        record = self.stage.wait_records(1)[0]
        self.assertFalse([name for name in record.env if name.startswith("LISTEN_")])
        fds = self.stage.dir / "fds"
        wait_for(lambda: fds.exists() and fds.read_text().split(), "the list of descriptors")
        # ls itself has the directory open.
        self.assertEqual(fds.read_text().split(), ["0", "1", "2", "3"])


if __name__ == "__main__":
    unittest.main()
