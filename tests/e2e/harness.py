"""What the end-to-end tests share: a stage of real processes, and how to look at them.

A test has a stage of its own: a temporary directory, at most one simulator and one daemon, the
hooks' records. Everything that a stage started is ended with it, by process id, whatever happens;
what hooks leave behind is adopted (PR_SET_CHILD_SUBREAPER) and ended too. A daemon that a sanitizer
or an assertion complained about fails its test.

Nothing here waits for a time: wait_for() and assert_unchanged() look at conditions.
"""

import atexit
import ctypes
import http.client
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("BULKWATCH_BUILD", ROOT / "build"))
DAEMON = BUILD / "src" / "daemon" / "bulkwatchd"
RECORD = BUILD / "tests" / "e2e" / "record"
SIM = BUILD / "src" / "sim" / "bulkwatch-sim"
DATA = pathlib.Path(os.environ.get("BULKWATCH_TEST_DATA", ROOT / "tests" / "data"))

DEADLINE_S = 30
LOOK_EVERY_S = 0.03
QUIET_S = 1.0  # how long what must not happen is watched for
CREDITS = 10000000  # a day's polls at the pace of tests are many
TOKEN = "1000.0123456789abcdef0123456789abcdef.fedcba9876543210fedcba9876543210"
STATES_OF_DEFAULT_LIFE = ["ADDED", "IN PROGRESS", "COMPLETED"]

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
LIBC = ctypes.CDLL(None, use_errno=True)
COMPLAINTS = re.compile(
    r"AddressSanitizer|LeakSanitizer|UndefinedBehavior|runtime error:|Assertion .* failed")


# ---- waiting ----


def wait_for(condition, what, deadline_s=DEADLINE_S, why=None):
    """The first true value of the condition; why() is asked for the words of a failure."""
    deadline = time.monotonic() + deadline_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {deadline_s} s in vain for {what}"
                                 + (f": {why()}" if why else ""))
        time.sleep(LOOK_EVERY_S)


def wait_while_it_moves(condition, look, what, deadline_s=DEADLINE_S, why=None):
    """The first true value of the condition; what look() returns may stand still for so long. On a
    busy machine much takes long, but something happens all the time."""
    before = look()
    deadline = time.monotonic() + deadline_s
    while True:
        value = condition()
        if value:
            return value
        now = look()
        if now != before:
            before, deadline = now, time.monotonic() + deadline_s
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: nothing moved for {deadline_s} s"
                                 + (f": {why()}" if why else ""))
        time.sleep(LOOK_EVERY_S)


def assert_unchanged(look, for_seconds, what):
    """What look() returns must stay the same for so long."""
    before = look()
    deadline = time.monotonic() + for_seconds
    while time.monotonic() < deadline:
        now = look()
        if now != before:
            raise AssertionError(f"{what} changed: from {before!r} to {now!r}")
        time.sleep(LOOK_EVERY_S)
    return before


# ---- the sockets ----


def is_sanitized(pid):
    """What a sanitizer keeps for itself hides how much memory a process needs."""
    return "libasan" in pathlib.Path(f"/proc/{pid}/maps").read_text()


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout=DEADLINE_S):
        super().__init__("localhost", timeout=timeout)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Reply:
    def __init__(self, response, data):
        self.status = response.status
        self.headers = response.headers
        self.content_type = response.headers.get("Content-Type")
        self.data = data

    def json(self):
        return json.loads(self.data)

    def lines(self):
        return [json.loads(line) for line in self.data.decode().splitlines()]


def ask(path, method, target, body=None, headers=None, timeout=DEADLINE_S):
    """One request on the Unix socket at that path."""
    connection = UnixConnection(path, timeout)
    if body is not None and not isinstance(body, (bytes, str)):
        body = json.dumps(body)
    try:
        connection.request(method, target, body=body, headers=headers or {})
        response = connection.getresponse()
        return Reply(response, response.read())
    finally:
        connection.close()


class Stream(threading.Thread):
    """Follows /v1/events and keeps each whole line that arrives, until the end or close()."""

    def __init__(self, path, target, headers=None):
        super().__init__(daemon=True)
        self.lines = []
        self.is_over = False
        self.connection = UnixConnection(path)
        try:
            self.connection.request("GET", target, headers=headers or {})
            self.response = self.connection.getresponse()
        except BaseException:
            self.connection.close()
            raise
        self.status = self.response.status
        self.content_type = self.response.headers.get("Content-Type")
        # http.client lets go of the connection's socket when a reply ends with it.
        self.sock = self.connection.sock or self.response.fp.raw._sock
        self.start()

    def run(self):
        try:
            while True:
                line = self.response.readline()
                if not line.endswith(b"\n"):
                    break
                self.lines.append(line.decode().rstrip("\n"))
        except (OSError, http.client.HTTPException, ValueError):
            pass
        self.is_over = True

    def told(self):
        """The events of an NDJSON stream as they came, heartbeats left out."""
        return [line for line in list(self.lines)
                if line and not line.startswith('{"type":"heartbeat"')]

    def events(self):
        return [json.loads(line) for line in self.told()]

    def close(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.join(DEADLINE_S)
        self.response.close()
        self.connection.close()


# ---- processes ----


def die_with_parent():
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def opened_by(pid):
    """What its descriptors are."""
    links = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            links.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
        except OSError:
            pass  # closed meanwhile
    return links


def children_of(pid):
    children = []
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children += [int(word) for word in task.read_text().split()]
        except OSError:
            pass
    return children


class Simulator:
    def __init__(self, stage, options, script, dcs):
        self.port_file = stage.dir / "ports.yaml"
        self.log_file = stage.dir / "requests.jsonl"
        self.port_file.unlink(missing_ok=True)
        argv = [SIM, "--port-file", self.port_file, "--log", self.log_file, *options]
        for dc in dcs:
            argv += ["--dc", dc]
        if script is not None:
            text = script if isinstance(script, str) else json.dumps(script, indent=1)
            (stage.dir / "script.yaml").write_text(text)
            argv += ["--script", stage.dir / "script.yaml"]
        self.errors = stage.dir / "sim.stderr"
        with open(self.errors, "ab") as errors:
            self.process = stage.spawn(argv, stderr=errors)
        wait_for(lambda: self.port_file.exists() or self.process.poll() is not None,
                 "the simulator's ports")
        if not self.port_file.exists():
            raise AssertionError("the simulator ended: " + self.errors.read_text())
        ports = self.port_file.read_text()
        self.urls = dict(re.findall(r"^  ([a-z0-9_-]+):\n    api_url: (\S+)$", ports, re.M))
        admin = re.search(r"^# admin: http://127\.0\.0\.1:(\d+)$", ports, re.M)
        self.admin_port = int(admin[1]) if admin else None
        self.taken = 0   # of the log's bytes
        self.records = []

    def requests(self):
        """The log so far: a record a request."""
        with open(self.log_file, "rb") as log:
            log.seek(self.taken)
            new = log.read()
        new = new[:new.rfind(b"\n") + 1]
        self.taken += len(new)
        self.records += [json.loads(line) for line in new.splitlines()]
        return self.records

    def admin(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=DEADLINE_S)
        try:
            connection.request(method, path,
                               body=json.dumps(body) if body is not None else None)
            response = connection.getresponse()
            data = response.read()
            if response.status >= 300:
                raise AssertionError(f"{method} {path}: {response.status} {data!r}")
            return json.loads(data)
        finally:
            connection.close()

    def stop(self):
        self.process.terminate()
        self.process.wait(DEADLINE_S)


class Daemon:
    """One life of bulkwatchd."""

    def __init__(self, stage, process):
        self.stage = stage
        self.process = process
        self.pid = process.pid
        self.query = stage.runtime_dir / "query.sock"
        self.admin = stage.runtime_dir / "admin.sock"

    def is_ready(self):
        if self.process.poll() is not None:
            raise AssertionError(f"the daemon ended with {self.process.returncode}:\n"
                                 + self.stage.log())
        try:
            return self.get("/v1/status").status == 200
        except (OSError, http.client.HTTPException):
            return False

    def ask(self, method, target, **more):
        return ask(self.query if method in ("GET", "HEAD") else self.admin, method, target, **more)

    def get(self, target, **more):
        return self.ask("GET", target, **more)

    def post(self, target, body=None, **more):
        return self.ask("POST", target, body=body, **more)

    def delete(self, target, **more):
        return self.ask("DELETE", target, **more)

    def status(self):
        return self.get("/v1/status").json()

    def job(self, account, job_id):
        return self.get(f"/v1/jobs/{account}/{job_id}").json()

    def jobs(self, parameters=""):
        """All pages of the list."""
        jobs, after = [], ""
        while True:
            page = self.get(f"/v1/jobs?limit=1000{parameters}{after}").json()
            jobs += page["jobs"]
            if page["next"] is None:
                return jobs
            after = "&after=" + urllib.parse.quote(page["next"])

    def events(self, parameters=""):
        return self.get("/v1/events?after=0" + parameters).lines()

    def account(self, name):
        for account in self.get("/v1/accounts").json()["accounts"]:
            if account["name"] == name:
                return account
        raise AssertionError(f"there is no account {name}")

    def follow(self, after=0, parameters="", headers=None):
        return Stream(self.query, f"/v1/events?follow=true&after={after}{parameters}", headers)

    def counts(self):
        return self.status()["jobs"]

    def wait_finished(self, n, deadline_s=DEADLINE_S):
        wait_while_it_moves(lambda: self.counts()["finished"] == n, self.counts,
                            f"{n} finished jobs", deadline_s,
                            lambda: f"{self.counts()}\n{self.stage.log()[-2000:]}")

    def wait_delivered(self, deadline_s=DEADLINE_S):
        def rest():
            return [(hook["name"], hook["pending"], hook["running"])
                    for hook in self.status()["hooks"] if hook["pending"] or hook["running"]]
        wait_while_it_moves(lambda: not rest(), rest, "the hooks' deliveries", deadline_s, rest)

    def send(self, number):
        self.process.send_signal(number)

    def reload(self):
        return self.post("/v1/reload")

    def stop(self, number=signal.SIGTERM, deadline_s=DEADLINE_S):
        """Its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(deadline_s)

    def kill(self):
        self.process.kill()
        self.process.wait(DEADLINE_S)


# ---- hooks ----


# Around the program that records: what comes before and after is shell.
RECORDING = """#!/bin/sh
set -u
@BEFORE@
@RECORD@ "$1" $$
@THEN@"""


class Record:
    """What one run of a hook saw."""

    def __init__(self, path):
        environment, _, self.body = path.read_bytes().partition(b"\n\n")
        pairs = [pair.partition("=") for pair in environment.decode().split("\0") if pair]
        self.env = {name: value for name, _, value in pairs}
        self.env_names = [name for name, _, _ in pairs]
        self.pid = int(path.name.rpartition(".")[2])
        self.ended_ns = path.stat().st_mtime_ns
        # Nothing at all came if the daemon was killed just after the start.
        self.event = json.loads(self.body) if self.body else None
        self.id = self.env["BULKWATCH_EVENT_ID"]
        self.seq = int(self.env["BULKWATCH_EVENT_SEQ"])
        self.type = self.env["BULKWATCH_EVENT_TYPE"]
        self.hook = self.env["BULKWATCH_HOOK"]
        self.attempt = int(self.env["BULKWATCH_ATTEMPT"])
        self.job = (self.env["BULKWATCH_ACCOUNT"], self.env["BULKWATCH_JOB_ID"])


# ---- the stage ----


class Stage:
    spawned = []  # by all stages of this process

    def __init__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="bulkwatch-e2e-"))
        self.state_dir = self.dir / "state"
        self.runtime_dir = self.dir / "run"
        self.records_dir = self.dir / "records"
        self.config_file = self.dir / "bulkwatchd.yaml"
        self.log_file = self.dir / "daemon.stderr"
        for directory in (self.state_dir, self.runtime_dir, self.records_dir):
            directory.mkdir(mode=0o700)
        self.processes = []
        self.simulator = None
        self.daemon = None
        self.seen = {}  # records by file name
        atexit.register(self.remove)  # of a run that is cut off

    # -- processes --

    def spawn(self, argv, **more):
        process = subprocess.Popen([str(arg) for arg in argv], stdin=subprocess.DEVNULL,
                                   preexec_fn=die_with_parent, **more)
        self.processes.append(process)
        self.spawned.append(process)
        return process

    def sim(self, *options, script=None, dcs=("eu",)):
        self.simulator = Simulator(self, options, script, dcs)
        return self.simulator

    def environment(self, **more):
        known = {name: value for name, value in os.environ.items()
                 if name not in ("STATE_DIRECTORY", "RUNTIME_DIRECTORY", "CREDENTIALS_DIRECTORY",
                                 "NOTIFY_SOCKET")}
        known.update(PATH=os.environ.get("PATH", "/usr/bin:/bin"), HOME="/root", LANG="C.UTF-8",
                     TZ="Europe/Berlin", UNWANTED="this is nobody's business")
        known.update(more)
        return known

    def launch(self, *arguments, environment=None, wrapper=()):
        """A daemon that may end by itself."""
        with open(self.log_file, "ab") as log:
            process = self.spawn([*wrapper, DAEMON, *(arguments or ("-c", self.config_file))],
                                 stderr=log, stdout=log, cwd="/",
                                 env=environment or self.environment())
        self.daemon = Daemon(self, process)
        return self.daemon

    def start(self, **more):
        """A daemon that answers."""
        daemon = self.launch(**more)
        wait_for(daemon.is_ready, "the daemon's sockets", why=self.log)
        return daemon

    def run(self, *arguments, environment=None, deadline_s=DEADLINE_S):
        """A daemon that must end: its code and what it said."""
        done = subprocess.run([str(DAEMON), *map(str, arguments or ("-c", self.config_file))],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=deadline_s, cwd="/", text=True,
                              env=environment or self.environment(), check=False,
                              preexec_fn=die_with_parent)
        said = done.stdout + done.stderr
        if COMPLAINTS.search(said):
            raise AssertionError(said)
        return done.returncode, said

    def run_or_start(self):
        """For a daemon that may well start: its exit code, 0 once it answers and was stopped."""
        daemon = self.launch()
        wait_for(lambda: daemon.process.poll() is not None or daemon.is_ready(), "the daemon")
        return daemon.stop(), self.log()

    def log(self):
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    # -- configuration --

    def secret(self, name="token", text=TOKEN):
        """Written beside and renamed: never half there."""
        path = self.dir / name
        partial = self.dir / (name + ".new")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text + "\n")
        partial.rename(path)
        return path

    def program(self, name, text):
        """Renamed into place: one that is open for writing cannot be started (ETXTBSY)."""
        path = self.dir / name
        partial = self.dir / (name + ".new")
        partial.write_text(text)
        partial.chmod(0o755)
        partial.rename(path)
        return path

    def hook(self, name="hook", before="", then="", **options):
        """A hook that records; `before` and `then` are shell to be run before and after that."""
        program = RECORD
        if before or then:
            text = RECORDING.replace("@RECORD@", shlex.quote(str(RECORD)))
            program = self.program(f"{name}.sh",
                                   text.replace("@BEFORE@", before).replace("@THEN@", then))
        return {"exec": [str(program), str(self.records_dir)], **options}

    def account(self, jobs, datacenter="eu", **options):
        path = self.dir / "token"
        if not path.exists():
            self.secret()
        return {"datacenter": datacenter, "access_token_file": str(path),
                "credits_per_day": CREDITS, "jobs": jobs, **options}

    def config(self, accounts, hooks=None, poll=None, **options):
        """Written as JSON, which is YAML."""
        config = {"state_dir": str(self.state_dir), "runtime_dir": str(self.runtime_dir)}
        if self.simulator and "include" not in options and "datacenters" not in options:
            config["include"] = [str(self.simulator.port_file)]
        config["poll"] = {"min_interval": "50ms", "max_interval": "200ms", **(poll or {})}
        config["accounts"] = accounts
        if hooks:
            config["hooks"] = hooks
        config.update(options)
        partial = self.dir / "bulkwatchd.yaml.new"
        partial.write_text(json.dumps(config, indent=1, ensure_ascii=False))
        partial.rename(self.config_file)
        return config

    # -- evidence --

    def records(self):
        """Every finished recording of a hook, by seq, hook and attempt."""
        for path in self.records_dir.iterdir():
            if not path.name.startswith(".") and path.name not in self.seen:
                self.seen[path.name] = Record(path)
        return sorted(self.seen.values(), key=lambda r: (r.seq, r.hook, r.attempt))

    def wait_records(self, n, deadline_s=DEADLINE_S):
        wait_for(lambda: len(self.records()) >= n, f"{n} runs of hooks", deadline_s,
                 lambda: f"{len(self.records())} so far\n{self.log()[-2000:]}")
        return self.records()

    def database(self):
        """A connection to a copy of the database at rest."""
        copy = pathlib.Path(tempfile.mkdtemp(dir=self.dir, prefix="copy-"))
        for name in ("bulkwatch.db", "bulkwatch.db-wal"):
            if (self.state_dir / name).exists():
                shutil.copy(self.state_dir / name, copy / name)
        connection = sqlite3.connect(copy / "bulkwatch.db")
        connection.row_factory = sqlite3.Row
        return connection

    def rows(self, query, *values):
        connection = self.database()
        try:
            return [dict(row) for row in connection.execute(query, values)]
        finally:
            connection.close()

    def transitions(self):
        return self.rows("SELECT * FROM transitions ORDER BY seq")

    # -- the end --

    def end_process(self, process):
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(DEADLINE_S)

    def adopted(self):
        """Hooks that outlived their daemon became ours."""
        ours = {process.pid for process in self.spawned if process.returncode is None}
        return [pid for pid in children_of(os.getpid()) if pid not in ours]

    def end_adopted(self):
        while adopted := self.adopted():
            for pid in adopted:
                try:
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)
                except (ProcessLookupError, ChildProcessError):
                    pass

    def remove(self):
        for process in reversed(self.processes):
            self.end_process(process)
        self.end_adopted()
        self.spawned[:] = [process for process in self.spawned if process.returncode is None]
        shutil.rmtree(self.dir, ignore_errors=True)
        atexit.unregister(self.remove)

    def close(self):
        for process in reversed(self.processes):
            self.end_process(process)
        said = self.log()
        if self.simulator:
            said += self.simulator.errors.read_text(errors="replace")
        complaint = COMPLAINTS.search(said)
        self.remove()
        if complaint:
            raise AssertionError("a program is broken: " + said[max(0, complaint.start() - 200):][:8000])


def on_sigterm(_number, _frame):
    """A test that takes too long is told to end: then what it started ends too."""
    raise KeyboardInterrupt


class TestCase(unittest.TestCase):
    """A test with a stage."""

    maxDiff = None

    @classmethod
    def setUpClass(cls):
        LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        signal.signal(signal.SIGTERM, on_sigterm)

    def setUp(self):
        self.stage = Stage()
        self.addCleanup(self.stage.close)

    def new_stage(self):
        stage = Stage()
        self.addCleanup(stage.close)
        return stage

    def assert_stops(self, daemon, code=0, number=signal.SIGTERM):
        self.assertEqual(daemon.stop(number), code, self.stage.log())
