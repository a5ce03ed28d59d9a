"""bulkwatch-sim at the byte level: a running one, and requests and replies as they are."""

import json
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import unittest

from harness import DATA, SIM as PROGRAM, wait_for

SAMPLES = DATA / "zoho"
DEADLINE_S = 20
QUIET_S = 0.3  # how long nothing must come from a connection that hangs
SAMPLE_ID = "3652397000000646004"
FORM = "grant_type=refresh_token&client_id=%s&client_secret=%s&refresh_token=%s"


class Reply:
    def __init__(self, raw):
        self.raw = raw
        head, self.has_head, self.body = raw.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        self.line = lines[0]
        self.status = int(lines[0].split(" ")[1]) if raw else None
        self.headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(": ")
            self.headers[name.lower()] = value

    def json(self):
        return json.loads(self.body)

    def state(self):
        return self.json()["data"][0]["state"]

    def code(self):
        return self.json()["code"]


def request_bytes(path, method="GET", token="abc", body=None, close=True, extra=""):
    lines = [f"{method} {path} HTTP/1.1", "Host: test"]
    if token is not None:
        lines.append(f"Authorization: Zoho-oauthtoken {token}")
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    if close:
        lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n" + extra + "\r\n" + (body or "")).encode()


class Sim:
    """A running simulator; its data centers' ports are in .ports."""

    def __init__(self, *options, script=None, dcs=("eu",), admin=False, files=None):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="bulkwatch-sim-"))
        self.process = None
        for name, content in (files or {}).items():
            (self.dir / name).write_bytes(content)
        self.port_file = self.dir / "ports.yaml"
        self.log_file = self.dir / "log.jsonl"
        argv = [PROGRAM, "--port-file", self.port_file, "--log", self.log_file, *options]
        for dc in dcs:
            argv += ["--dc", dc]
        if admin:
            argv.append("--admin")
        if script is not None:
            (self.dir / "script.yaml").write_text(script)
            argv += ["--script", self.dir / "script.yaml"]
        self.errors = open(self.dir / "stderr", "w+b")
        self.process = subprocess.Popen(
            [str(arg) for arg in argv], stderr=self.errors, stdin=subprocess.DEVNULL)
        try:
            wait_for(lambda: self.port_file.exists() or self.process.poll() is not None,
                     "the ports")
            if not self.port_file.exists():
                raise AssertionError("it ended: " + (self.dir / "stderr").read_text())
        except AssertionError:
            self.stop()
            shutil.rmtree(self.dir)
            raise
        self.ports_text = self.port_file.read_text()
        self.ports = {}
        for name, port in re.findall(
                r"^  ([a-z0-9_-]+):\n    api_url: https?://[a-z0-9.]+:(\d+)$",
                self.ports_text, re.M):
            self.ports[name] = int(port)
        admin_port = re.search(r"^# admin: http://127\.0\.0\.1:(\d+)$", self.ports_text, re.M)
        self.admin_port = int(admin_port[1]) if admin_port else None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        code = self.stop()
        said = (self.dir / "stderr").read_text()
        shutil.rmtree(self.dir)
        if code != 0 or "runtime error" in said:
            raise AssertionError(f"it ended with {code}: {said}")

    def stop(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            code = self.process.wait(DEADLINE_S)
        finally:
            self.process.kill()
        self.errors.close()
        return code

    def connect(self, dc="eu"):
        return socket.create_connection(("127.0.0.1", self.ports[dc]), timeout=DEADLINE_S)

    def exchange(self, data, port):
        with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S) as s:
            s.sendall(data)
            return read_all(s)

    def get(self, path, dc="eu", **more):
        return Reply(self.exchange(request_bytes(path, **more), self.ports[dc]))

    def poll(self, job="1", dc="eu", service="bigin", version="v2", **more):
        return self.get(f"/{service}/bulk/{version}/read/{job}", dc, **more)

    def result(self, job="1", dc="eu"):
        return self.get(f"/bigin/bulk/v2/read/{job}/result", dc)

    def token(self, dc="eu", client="c", secret="s", refresh="r", **more):
        return self.get("/oauth/v2/token", dc, method="POST", token=None,
                        body=FORM % (client, secret, refresh), **more)

    def admin(self, path, method="GET", body=None):
        return Reply(self.exchange(
            request_bytes(path, method, token=None, body=body), self.admin_port))

    def stats(self):
        return self.admin("/stats").json()

    def log(self):
        return [json.loads(line) for line in self.log_file.read_text().splitlines()]


def read_all(s):
    data = b""
    while True:
        piece = s.recv(65536)
        if not piece:
            return data
        data += piece


def sample(name):
    return json.loads((SAMPLES / (name + ".json")).read_text())


class TestCase(unittest.TestCase):
    def sim(self, *options, **more):
        sim = Sim(*options, **more)
        self.addCleanup(sim.__exit__)
        return sim

    def fault(self, what, **more):
        """A simulator in which that fault strikes always, and the job 1 is COMPLETED."""
        options = "".join(f", {key}: {json.dumps(value)}" for key, value in more.items())
        return self.sim(script=f"""
jobs: [{{id: "*", life: [{{state: COMPLETED}}]}}]
faults: [{{what: {what}{options}}}]
""")
