#!/usr/bin/env python3
"""How the daemon starts, refuses to start, reloads and stops; and what it never lets out."""

import datetime
import json
import os
import pathlib
import shutil
import signal
import socket
import sqlite3
import subprocess
import unittest

from harness import DAEMON, DEADLINE_S, QUIET_S, TestCase, ask, assert_unchanged, children_of, wait_for
from tracekit import can_trace

USAGE, BAD_DATABASE, BUSY, CONFIG = 2, 65, 69, 78
CANARY = "1000.canary0canary1canary2canary3canary4.canary5canary6canary7canary8"
FAKETIME = shutil.which("faketime")


def contents(directory, but=()):
    return {str(path.relative_to(directory)): path.read_bytes()
            for path in sorted(directory.rglob("*")) if path.is_file() and path.name not in but}


class Starting(TestCase):
    """Exit codes, and that what is refused is left alone."""

    def setUp(self):
        super().setUp()
        self.stage.sim()
        self.stage.config({"acme": self.stage.account(["1"])})

    def assert_refused(self, code, *words, arguments=(), **more):
        got, said = self.stage.run(*arguments, **more)
        self.assertEqual(got, code, said)
        for word in words:
            self.assertIn(word, said)
        return said

    def test_help_and_version(self):
        self.assert_refused(0, "Usage: bulkwatchd", arguments=["--help"])
        code, said = self.stage.run("--version")
        self.assertEqual(code, 0)
        self.assertRegex(said, r"^bulkwatchd \d+\.\d+\.\d+\n$")

    def test_output_that_nobody_takes(self):
        self.stage.config({})
        for words in ("--help", "--version", f"--check -c {self.stage.config_file}"):
            for redirection in (">/dev/full", ">&-"):
                done = subprocess.run(["sh", "-c", f'exec "$@" {redirection}', "sh", DAEMON, *words.split()],
                                      stderr=subprocess.PIPE, timeout=DEADLINE_S, check=False)
                self.assertEqual(done.returncode, 1, (words, redirection))
                self.assertIn(b"cannot write", done.stderr)

    def test_usage(self):
        config = self.stage.config_file
        for arguments in (["--nonsense"], ["-c"], ["-c", config, "more"], ["--config"]):
            self.assert_refused(USAGE, arguments=arguments)

    def test_a_config_that_is_not_there(self):
        missing = self.stage.dir / "missing.yaml"
        self.assert_refused(CONFIG, str(missing), arguments=["-c", missing])
        self.assert_refused(CONFIG, str(missing), arguments=["-c", missing, "--check"])

    def test_every_problem_is_told_with_its_place(self):
        path = self.stage.dir / "bad.yaml"
        path.write_text("stat_dir: /tmp\npoll:\n  min_interval: soon\naccounts:\n  acme:\n"
                        "    datacenter: mars\n    access_token_file: nowhere\n    jobs: [12x]\n")
        for arguments in (["-c", path, "--check"], ["-c", path]):
            said = self.assert_refused(CONFIG, arguments=arguments)
            self.assertRegex(said, rf"{path}:1:1: .*stat_dir.*did you mean .*state_dir")
            self.assertRegex(said, rf"{path}:3:17: ")
            self.assertRegex(said, rf"{path}:6:17: .*mars")
            self.assertRegex(said, rf"{path}:8:12: ")
        self.assertEqual(contents(self.stage.state_dir), {})

    def test_check_finds_nothing_wrong_and_touches_nothing(self):
        config = self.stage.config_file
        self.assert_refused(0, "ok", arguments=["--check", "-c", config])
        self.assertEqual(contents(self.stage.state_dir), {})
        self.assertEqual(list(self.stage.runtime_dir.iterdir()), [])

    def test_check_finds_what_a_start_would(self):
        """A directory that is named; and a useless secret, with which a start goes on."""
        accounts = self.stage.account(["1"])
        missing, file = self.stage.dir / "rel" / "nope", self.stage.config_file
        for key, path, words in (("state_dir", missing, "does not exist"),
                                 ("runtime_dir", missing, "does not exist"),
                                 ("state_dir", file, "is not a directory")):
            with self.subTest(key=key, path=path):
                self.stage.config({"acme": accounts}, **{key: str(path)})
                said = self.assert_refused(CONFIG, arguments=["--check", "-c", file])
                self.assertRegex(said, rf"{file}:\d+:\d+: error: {key}: {path} {words}")
                self.assert_refused(CONFIG)
        self.stage.config({"acme": accounts}, metrics_textfile="/dev/stdout")
        said = self.assert_refused(CONFIG, arguments=["--check", "-c", file])
        self.assertRegex(said, r"error: metrics_textfile: /dev/stdout is not a regular file")
        self.stage.config({"acme": accounts})
        self.stage.secret("token", "")
        said = self.assert_refused(CONFIG, arguments=["--check", "-c", file])
        self.assertRegex(said, r"error: access_token_file: .*token holds no secret")
        daemon = self.stage.start()
        wait_for(lambda: daemon.account("acme")["state"] == "paused", "the pause")
        self.assertRegex(self.stage.log(), r"warning: .*access_token_file: .*token holds no secret")
        self.assertEqual(daemon.stop(), 0)

    def test_credentials_without_their_directory(self):
        accounts = {"acme": {"datacenter": "eu", "access_token_file": "%d/token", "jobs": ["1"]}}
        self.stage.config(accounts)
        config = self.stage.config_file
        self.assert_refused(0, "CREDENTIALS_DIRECTORY", arguments=["--check", "-c", config])
        self.assert_refused(CONFIG, "CREDENTIALS_DIRECTORY")
        environment = self.stage.environment(CREDENTIALS_DIRECTORY=str(self.stage.dir))
        self.stage.secret("token")
        daemon = self.stage.start(environment=environment)
        daemon.wait_finished(1)

    def test_a_secret_that_others_could_read(self):
        self.stage.secret("token").chmod(0o644)
        self.assert_refused(CONFIG, "token", "0644")

    def test_directories_of_the_environment(self):
        state, run = self.stage.dir / "state2", self.stage.dir / "run2"
        for directory in (state, run):
            directory.mkdir()
        config = json.loads(self.stage.config_file.read_text())
        del config["state_dir"], config["runtime_dir"]
        self.stage.config_file.write_text(json.dumps(config))
        self.stage.runtime_dir = run
        daemon = self.stage.start(environment=self.stage.environment(
            STATE_DIRECTORY=str(state), RUNTIME_DIRECTORY=str(run)))
        daemon.wait_finished(1)
        self.assertTrue((state / "bulkwatch.db").exists())

    def test_unusable_state_directories(self):
        file = self.stage.dir / "file"
        file.write_text("")
        unusable = [self.stage.dir / "missing", file, pathlib.Path("/proc")]
        if os.geteuid() != 0:
            locked = self.stage.dir / "locked"
            locked.mkdir(mode=0o500)
            unusable.append(locked)
        for directory in unusable:
            with self.subTest(directory=directory):
                self.stage.config({"acme": self.stage.account(["1"])}, state_dir=str(directory))
                self.assert_refused(CONFIG, str(directory))

    def test_unusable_runtime_directories(self):
        for directory in (self.stage.dir / "missing", pathlib.Path("/proc")):
            self.stage.config({"acme": self.stage.account(["1"])}, runtime_dir=str(directory))
            self.assert_refused(CONFIG, str(directory))

    def test_without_descriptors_it_may_be_started_again(self):
        """Nobody has to mend the configuration first: neither 65 nor 78, wherever they run out."""
        self.stage.config({"acme": self.stage.account(["1"])}, include=[str(self.stage.dir / "*.inc")],
                          hooks={"hook": self.stage.hook()})
        (self.stage.dir / "a.inc").write_text("hooks: {}\n")
        # The leak sanitizer needs descriptors of its own.
        environment = self.stage.environment(ASAN_OPTIONS="detect_leaks=0")
        for n in range(3, 30):
            daemon = self.stage.launch(wrapper=["prlimit", f"--nofile={n}"],
                                       environment=environment)
            wait_for(lambda: daemon.process.poll() is not None or daemon.admin.exists(), "a start")
            if daemon.process.poll() is None:
                self.assert_stops(daemon)
                break
            # 127 is the dynamic linker's.
            self.assertIn(daemon.process.returncode, (1, 70, 74, 127), (n, self.stage.log()))
        self.assertIn("Too many open files", self.stage.log())

    def test_a_directory_of_the_configuration_that_cannot_be_read(self):
        """What it would have included is not just left out."""
        loop = self.stage.dir / "conf.d"
        loop.symlink_to(loop)
        self.stage.config({"acme": self.stage.account(["1"])}, include=["conf.d/*.yaml"])
        code, said = self.stage.run()
        self.assertEqual(code, 78)
        self.assertIn('include: "conf.d/*.yaml" cannot be searched: Too many levels', said)

    def test_a_socket_path_that_is_too_long(self):
        directory = self.stage.dir / ("x" * 100)
        directory.mkdir()
        self.stage.config({"acme": self.stage.account(["1"])}, runtime_dir=str(directory))
        self.assert_refused(CONFIG, "runtime_dir")
        self.assertEqual(contents(self.stage.state_dir), {})

    def test_something_in_the_way_of_a_socket(self):
        for name in ("query.sock", "admin.sock"):
            with self.subTest(name=name):
                path = self.stage.runtime_dir / name
                path.write_text("precious")
                self.assert_refused(CONFIG, str(path), "not a socket")
                self.assertEqual(path.read_text(), "precious")
                path.unlink()

    def test_another_server_on_a_socket(self):
        path = self.stage.runtime_dir / "query.sock"
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))
            server.listen()
            self.assert_refused(BUSY, str(path))
            self.assertTrue(path.is_socket())

    def test_a_second_instance(self):
        daemon = self.stage.start()
        first_runtime = self.stage.runtime_dir
        other = self.stage.dir / "other"
        other.mkdir()
        account = {"acme": self.stage.account(["1"])}
        for changed in ({"runtime_dir": str(other)}, {"state_dir": str(other)}, {}):
            with self.subTest(changed=changed):
                self.stage.config(account, **changed)
                self.assert_refused(BUSY, "another instance")
        self.assertTrue((first_runtime / "query.sock").is_socket())
        self.assertEqual(daemon.get("/v1/status").status, 200)
        daemon.wait_finished(1)
        self.assert_stops(daemon)
        self.assertFalse((first_runtime / "query.sock").exists())

    def test_stale_sockets_are_taken_away(self):
        daemon = self.stage.start()
        daemon.kill()
        self.assertTrue(daemon.query.is_socket())
        self.stage.start().wait_finished(1)

    def test_modes_of_what_it_makes(self):
        previous = os.umask(0)
        self.addCleanup(os.umask, previous)
        daemon = self.stage.start()
        self.assertEqual(daemon.query.stat().st_mode & 0o777, 0o660)
        self.assertEqual(daemon.admin.stat().st_mode & 0o777, 0o600)
        for path in self.stage.state_dir.iterdir():
            self.assertEqual(path.stat().st_mode & 0o077, 0, path)

    @unittest.skipUnless(FAKETIME, "faketime(1) is not installed")
    def test_an_absurd_clock(self):
        environment = self.stage.environment(TZ="UTC",
                                             ASAN_OPTIONS="verify_asan_link_order=0")
        for when in ("1999-01-01 00:00:00", "1970-01-02 00:00:00"):
            daemon = self.stage.launch(wrapper=[FAKETIME, "-f", "@" + when],
                                       environment=environment)
            self.assertEqual(daemon.process.wait(DEADLINE_S), 1, self.stage.log())
            self.assertIn("the clock says " + when[:4], self.stage.log())
        self.assertEqual(contents(self.stage.state_dir), {})


class Databases(TestCase):
    """A database that is damaged, newer or another program's: exit 65, and not a byte changes."""

    def setUp(self):
        super().setUp()
        self.stage.sim()
        self.stage.config({"acme": self.stage.account([str(i) for i in range(1, 21)])},
                          poll={"min_interval": "10ms", "max_interval": "20ms"})
        self.database = self.stage.state_dir / "bulkwatch.db"
        self.daemon = self.stage.start()
        self.daemon.wait_finished(20)

    def assert_untouched(self, *words):
        before = contents(self.stage.state_dir)
        code, said = self.stage.run()
        self.assertEqual(code, BAD_DATABASE, said)
        for word in words:
            self.assertIn(word, said)
        self.assertEqual(contents(self.stage.state_dir), before)

    def spoil(self, offset, data):
        with open(self.database, "r+b") as file:
            file.seek(offset)
            file.write(data)

    def test_garbage_in_the_middle(self):
        self.assert_stops(self.daemon)
        size = self.database.stat().st_size
        self.assertGreater(size, 3 * 4096)
        whole = self.database.read_bytes()
        for page in range(1, size // 4096, 3):
            self.spoil(page * 4096, b"\xff" * 64)
            self.assert_untouched(str(self.database))
            self.database.write_bytes(whole)
        self.assert_stops(self.stage.start())

    def test_cut_short(self):
        self.assert_stops(self.daemon)
        os.truncate(self.database, self.database.stat().st_size // 2 // 4096 * 4096)
        self.assert_untouched(str(self.database))

    def test_no_database_at_all(self):
        self.assert_stops(self.daemon)
        self.database.write_bytes(b"Dear diary, " * 1000)
        self.assert_untouched("not a database")

    def test_damaged_under_a_hot_log(self):
        self.daemon.kill()
        self.assertTrue((self.stage.state_dir / "bulkwatch.db-wal").stat().st_size > 0)
        wal = self.stage.state_dir / "bulkwatch.db-wal"
        if self.database.stat().st_size > 0:
            self.spoil(100, b"\xff" * (self.database.stat().st_size - 100))
        before = wal.read_bytes()
        code, _ = self.stage.run_or_start()
        # What is damaged may stand in the log anew: then all is well. Otherwise all is left alone.
        self.assertIn(code, (0, BAD_DATABASE))
        if code == BAD_DATABASE:
            self.assertEqual(wal.read_bytes(), before)

    def test_gone_but_for_its_log(self):
        self.daemon.kill()
        self.database.unlink()
        self.assert_untouched("is missing")
        self.assertFalse(self.database.exists())

    def test_removed_under_the_running_daemon(self):
        """All is still there, but only as long as the process: that is said, and a backup saves it."""
        self.database.unlink()
        database = self.daemon.status()["database"]
        self.assertEqual(database["state"], "removed")
        self.assertIn("bulkwatch backup", database["detail"])
        path = self.stage.dir / "saved.db"
        path.write_bytes(ask(self.daemon.admin, "GET", "/v1/backup").data)
        connection = sqlite3.connect(path)
        try:
            finished = connection.execute("SELECT count(*) FROM jobs WHERE finished").fetchone()
        finally:
            connection.close()
        self.assertEqual(finished, (20,))
        wait_for(lambda: "file was removed" in self.stage.log(), "the words in the log")
        self.assert_stops(self.daemon)
        for left in self.stage.state_dir.glob("bulkwatch.db*"):
            left.unlink()
        path.rename(self.database)
        self.assertEqual(self.stage.start().counts()["finished"], 20)

    def pragma(self, text):
        self.assert_stops(self.daemon)
        connection = sqlite3.connect(self.database)
        connection.execute(text)
        connection.commit()
        connection.close()

    def test_newer(self):
        self.pragma("PRAGMA user_version = 99")
        self.assert_untouched("newer version")

    def test_newer_by_its_log(self):
        """Only the write-ahead log says so."""
        self.assert_stops(self.daemon)
        connection = sqlite3.connect(self.database)
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("PRAGMA user_version = 99")
        connection.commit()
        kept = contents(self.stage.state_dir, but=["bulkwatch.lock", "ballast"])
        connection.close()
        for name, data in kept.items():
            (self.stage.state_dir / name).write_bytes(data)
        (self.stage.state_dir / "bulkwatch.db-shm").unlink(missing_ok=True)
        self.assertGreater((self.stage.state_dir / "bulkwatch.db-wal").stat().st_size, 0)
        self.assert_untouched("newer version")

    def test_another_programs(self):
        self.pragma("PRAGMA application_id = 7")
        self.assert_untouched("not one of bulkwatch")

    def test_contradicting_itself(self):
        self.pragma("UPDATE meta SET last_seq = 1")
        self.assert_untouched(str(self.database))


class Stopping(TestCase):
    WAITING = """
touch "$1/../started.$BULKWATCH_EVENT_SEQ.$BULKWATCH_ATTEMPT"
while ! [ -e "$1/../go" ]; do sleep 0.02; done
"""

    def start_waiting_hook(self, **options):
        stage = self.stage
        self.sim = stage.sim(script={"jobs": [{"id": "1", "life": [{"state": "COMPLETED"}]},
                                              {"id": "2", "life": [{"state": "ADDED"}]}]})
        stage.config({"acme": stage.account(["1", "2"])},
                     hooks={"slow": stage.hook("slow", then=self.WAITING, retry_first="50ms")},
                     **options)
        daemon = stage.start()
        wait_for(lambda: list(stage.dir.glob("started.*.1")), "the hook", why=stage.log)
        return daemon

    def delivery(self):
        rows = self.stage.rows("SELECT * FROM deliveries")
        self.assertEqual(len(rows), 1)
        return rows[0]

    def check_drain(self, number):
        daemon = self.start_waiting_hook()
        wait_for(lambda: len(self.sim.requests()) > 3, "polls")
        daemon.send(number)
        wait_for(lambda: "stopping" in self.stage.log(), "its word")
        # What was on its way when it was told may still arrive.
        wait_for(lambda: daemon.process.poll() is None, "the daemon")
        assert_unchanged(daemon.process.poll, QUIET_S, "that it waits")
        assert_unchanged(lambda: len(self.sim.requests()), QUIET_S, "polls while it drains")
        (self.stage.dir / "go").touch()
        self.assertEqual(daemon.process.wait(DEADLINE_S), 0, self.stage.log())
        delivery = self.delivery()
        self.assertEqual((delivery["state"], delivery["attempts"]), ("delivered", 1))
        self.assertFalse(daemon.query.exists())
        self.assertFalse(daemon.admin.exists())

    def test_sigterm_waits_for_a_running_hook(self):
        self.check_drain(signal.SIGTERM)

    def test_sigint_too(self):
        self.check_drain(signal.SIGINT)

    def check_it_goes_on(self, event):
        """The hook that was cut off runs again: the next attempt of the same event."""
        (self.stage.dir / "go").touch()
        daemon = self.stage.start()
        daemon.wait_delivered()
        record = max(self.stage.records(), key=lambda r: r.attempt)
        self.assertEqual((record.id, record.attempt), (event.id, 2))
        self.assertEqual(record.event, event.event)
        self.assert_stops(daemon)
        self.assertEqual((self.delivery()["state"], self.delivery()["attempts"]), ("delivered", 2))

    def test_a_second_sigterm_ends_it_at_once(self):
        daemon = self.start_waiting_hook()
        event = self.stage.records()[0]
        daemon.send(signal.SIGTERM)
        wait_for(lambda: "stopping" in self.stage.log(), "its word")
        assert_unchanged(daemon.process.poll, QUIET_S, "that it waits")
        daemon.send(signal.SIGTERM)
        self.assertEqual(daemon.process.wait(5), 0, self.stage.log())
        self.assertIn(self.delivery()["state"], ("running", "pending"))
        self.check_it_goes_on(event)

    def test_the_drain_has_an_end(self):
        daemon = self.start_waiting_hook(drain_timeout="300ms")
        event = self.stage.records()[0]
        self.assertEqual(daemon.stop(deadline_s=DEADLINE_S), 0, self.stage.log())
        took_s = self.said_at("notice: stopped") - self.said_at("notice: stopping")
        self.assertGreater(took_s, 0.29)
        self.assertLess(took_s, 5)
        self.check_it_goes_on(event)

    def said_at(self, words):
        """When the daemon said that, by its own clock."""
        [line] = [line for line in self.stage.log().splitlines() if words in line]
        return datetime.datetime.fromisoformat(line.split(" ")[0]).timestamp()

    def test_a_stop_puts_no_poll_off(self):
        """What ought to have been asked while nobody was there is asked soon after the next start."""
        stage = self.stage
        sim = stage.sim(script={"jobs": [{"id": "*", "life": [{"state": "ADDED"}]}]})
        stage.config({"acme": stage.account(["1", "2"])}, poll={"max_interval": "1h"})
        daemon = stage.start()
        wait_for(lambda: {r["job"] for r in sim.requests()} == {"1", "2"}, "the first polls")
        self.assert_stops(daemon)
        connection = sqlite3.connect(stage.state_dir / "bulkwatch.db")
        self.addCleanup(connection.close)
        with connection:
            connection.executescript("".join(f"UPDATE job SET {name} = {name} - 3600000;" for name in (
                "since_at", "watched_since_at", "last_polled_at", "last_answered_at")))
        connection.close()
        polls = len(sim.requests())
        daemon = stage.start()
        wait_for(lambda: {r["job"] for r in sim.requests()[polls:]} == {"1", "2"}, "the next polls",
                 why=lambda: str(daemon.jobs()))

    def test_a_stop_cuts_off_a_request_that_hangs(self):
        stage = self.stage
        sim = stage.sim(script={"jobs": [{"id": "1", "faults": [{"what": "hang"}]}]})
        stage.config({"acme": stage.account(["1"])})
        daemon = stage.start()
        wait_for(lambda: daemon.status()["in_flight"] == 1 and sim.process.poll() is None,
                 "the request")
        self.assertEqual(daemon.stop(deadline_s=10), 0)
        self.assertEqual(stage.transitions(), [])

    def test_streams_and_waiters_end_with_it(self):
        stage = self.stage
        stage.sim(script={"jobs": [{"id": "1", "life": [{"state": "ADDED"}]}]})
        stage.config({"acme": stage.account(["1"])})
        daemon = stage.start()
        stream = daemon.follow()
        wait_for(lambda: len(stream.events()) == 2, "the events")
        with socket.socket(socket.AF_UNIX) as waiter, socket.socket(socket.AF_UNIX) as silent:
            for s in (waiter, silent):
                s.settimeout(DEADLINE_S)
                s.connect(str(daemon.query))
            waiter.sendall(b"GET /v1/jobs/acme/1/wait HTTP/1.1\r\nHost: localhost\r\n\r\n")
            self.assertEqual(daemon.job("acme", "1")["state"], "ADDED")
            self.assert_stops(daemon)
            for s in (waiter, silent):
                while s.recv(4096):
                    pass
        wait_for(lambda: stream.is_over, "the stream's end")
        stream.close()


class Hangup(TestCase):
    """SIGHUP reloads; what is refused changes nothing."""

    def test_sighup(self):
        stage = self.stage
        sim = stage.sim(script={"jobs": [{"id": "*", "life": [{"state": "ADDED"}]}]})
        stage.config({"acme": stage.account(["1"])})
        good = stage.config_file.read_text()
        daemon = stage.start()
        stage.config_file.write_text(good.replace('"jobs"', '"jops"'))
        daemon.send(signal.SIGHUP)
        wait_for(lambda: "reload refused" in stage.log(), "its refusal")
        self.assertRegex(stage.log(), r"bulkwatchd\.yaml:\d+:\d+: .*jops.*did you mean .*jobs")
        self.assertEqual([job["id"] for job in daemon.jobs()], ["1"])
        polls = len(sim.requests())
        wait_for(lambda: len(sim.requests()) > polls + 1, "the old configuration at work")
        stage.config({"acme": stage.account(["1", "2"])})
        daemon.send(signal.SIGHUP)
        wait_for(lambda: [job["id"] for job in daemon.jobs()] == ["1", "2"], "the new job")
        wait_for(lambda: any(r["job"] == "2" for r in sim.requests()), "its poll")
        stage.config_file.unlink()
        daemon.send(signal.SIGHUP)
        wait_for(lambda: stage.log().count("reload refused") == 2, "its refusal")
        self.assertEqual(len(daemon.jobs()), 2)
        self.assert_stops(daemon)


class Secrets(TestCase):
    """The access token goes to Zoho and nowhere else."""

    SPY = """
for f in environ cmdline status; do
cat "/proc/$$/$f" "/proc/$PPID/$f" >>"$1/../seen.$$" 2>/dev/null
done
echo "$BULKWATCH_JOB_ID"
exit 1
"""

    def test_the_token_stays_inside(self):
        stage = self.stage
        stage.secret("token", CANARY)
        echo = json.dumps({"code": "SOMETHING", "message": f"no: {CANARY}", "status": "error"})
        document = {"data": [{"id": "5", "operation": "read", "state": "COMPLETED",
                              "query": {"module": CANARY}, "created_by": {"id": "1", "name": "A"},
                              "created_time": "2026-01-01T00:00:00Z"}]}
        (stage.dir / "echo.json").write_text(json.dumps(document))
        sim = stage.sim(script={"jobs": [
            {"id": "1"}, {"id": "2", "life": [{"state": "FAILURE"}]},
            {"id": "3", "faults": [{"what": "status", "status": 400, "body": echo,
                                    "content_type": "application/json"}]},
            {"id": "4", "faults": [{"what": "302", "location": "/" + CANARY}]},
            {"id": "5", "sample": "echo.json"}]})
        (stage.dir / "echo.json").unlink()
        (stage.dir / "script.yaml").unlink()
        stage.config({"acme": stage.account(["1", "2", "3", "4", "5"])}, log_level="debug",
                     hooks={"spy": stage.hook("spy", then=self.SPY, attempts=2, on=["job.*"],
                                              retry_first="20ms", retry_max="20ms")})
        daemon = stage.start()
        wait_for(lambda: daemon.counts()["finished"] == 2, "the ends")
        wait_for(lambda: {r["job"] for r in sim.requests()} == set("12345"), "the polls")
        wait_for(lambda: all(daemon.job("acme", i)["last_error"] for i in "345"), "the errors")
        daemon.wait_delivered()
        self.assertTrue(all(r["authorization"] for r in sim.requests()))
        said = self.everything_said(daemon)
        self.assertNotIn(CANARY[5:], said)
        self.assert_stops(daemon)
        for path in stage.dir.rglob("*"):
            if path.is_file() and path.name != "token":
                self.assertNotIn(CANARY[5:].encode(), path.read_bytes(), path)
        self.assertTrue(list(stage.dir.glob("seen.*")))

    def everything_said(self, daemon):
        targets = ["/v1/status", "/v1/jobs", "/v1/accounts", "/v1/hooks", "/v1/events",
                   *(f"/v1/jobs/acme/{i}{more}" for i in "12345" for more in ("", "/history"))]
        said = [daemon.get(target).data.decode() for target in targets]
        said.append(daemon.reload().data.decode())
        said.append(pathlib.Path(f"/proc/{daemon.pid}/cmdline").read_text())
        try:
            said.append(pathlib.Path(f"/proc/{daemon.pid}/environ").read_text())
            self.assertEqual(os.geteuid(), 0, "its own user can look into it")
        except PermissionError:
            pass
        return "".join(said)

    def test_its_memory_is_shown_to_nobody(self):
        """Neither dumped nor open to its own user, from before a secret is in it; root sees that by
        its calls alone."""
        stage = self.stage
        reason = can_trace()
        if reason:
            print("skipped: " + reason, flush=True)
            self.skipTest(reason)
        stage.sim()
        stage.config({"acme": stage.account(["1"])})
        trace = stage.dir / "trace"
        daemon = stage.start(
            wrapper=["strace", "-D", "-qq", "-o", trace, "-e", "trace=prctl,openat"],
            # LeakSanitizer wants to trace, too.
            environment=stage.environment(ASAN_OPTIONS="detect_leaks=0"))
        daemon.wait_finished(1)
        self.assert_stops(daemon)
        calls = trace.read_text().splitlines()
        of_token = [i for i, call in enumerate(calls) if f'"{stage.dir}/token"' in call]
        of_dumpable = [i for i, call in enumerate(calls) if "PR_SET_DUMPABLE" in call]
        if os.geteuid() == 0:  # nobody else's strace can read a path from there on
            self.assertTrue(of_token)
        self.assertEqual(len(of_dumpable), 1)
        self.assertRegex(calls[of_dumpable[0]], r"PR_SET_DUMPABLE, (SUID_DUMP_DISABLE|0)\) += 0$")
        self.assertTrue(all(i > of_dumpable[0] for i in of_token), calls)

    def test_what_a_program_is_born_with(self):
        stage = self.stage
        stage.sim(script={"jobs": [{"id": "1", "life": [{"state": "COMPLETED"}]}]})
        stage.config({"acme": stage.account(["1"])},
                     hooks={"sleep": {"exec": ["/bin/sleep", "1000"]}}, drain_timeout="10ms")
        daemon = stage.start()

        def child():
            for pid in children_of(daemon.pid):
                process = pathlib.Path(f"/proc/{pid}")
                # exec gives it its name before its arguments.
                if ((process / "comm").read_text() == "sleep\n" and
                        (process / "cmdline").read_bytes()):
                    return process
            return None
        process = wait_for(child, "the hook", why=stage.log)
        self.assertEqual((process / "cmdline").read_bytes(), b"/bin/sleep\x001000\0")
        # What it was born with stays open; what its loader reads does not.
        wait_for(lambda: {path.name for path in (process / "fd").iterdir()} == {"0", "1", "2"},
                 "nothing but its input and output", why=lambda: str(list((process / "fd").iterdir())))
        self.assertRegex(os.readlink(process / "fd" / "0"), r"^pipe:")
        self.assertEqual(os.readlink(process / "cwd"), "/")
        self.assertEqual(os.getpgid(int(process.name)), int(process.name))
        status = dict(line.split(":\t", 1)
                      for line in (process / "status").read_text().splitlines())
        self.assertEqual((int(status["SigBlk"], 16), int(status["SigIgn"], 16)), (0, 0))
        self.assertEqual(status["Umask"], "0077")
        limits = (process / "limits").read_text()
        self.assertRegex(limits, r"Max core file size +0 +0 ")
        names = {pair.split(b"=")[0] for pair in (process / "environ").read_bytes().split(b"\0")}
        self.assertNotIn(b"UNWANTED", names)
        self.assert_stops(daemon)


if __name__ == "__main__":
    unittest.main()
