"""Who the daemon meets in a soak: hooks that fail and hang, a webhook's server with moods, clients
that come, go, read nothing and talk nonsense."""

import http.server
import random
import socket
import threading
import time

from harness import UnixConnection

FINISHED = ["job.completed", "job.failed", "job.lost"]

# $1 is the file in which successes are noted: a line is one write.
HOOKS = {
    "plain": "",
    "failing": "[ $(( $$ % 3 )) -ne 0 ] || { echo it failed; exit 1; }\n",
    "hanging": "[ $(( $$ % 40 )) -ne 0 ] || exec sleep 3600\n",
    "noisy": "head -c 100000 /dev/zero\n",
}
NOTING = "#!/bin/sh\n%secho \"$BULKWATCH_EVENT_ID\" >>\"$1\"\n"
FORGETFUL = "[ $(( $$ % 20 )) -ne 0 ] || exit 0\n"  # the planted fault: done, it says, and is not


class Hooks:
    """Programs and the server of a webhook; each notes the events that it was done with."""

    def __init__(self, stage, seed, is_forgetful=False):
        self.stage = stage
        self.noted = {name: stage.dir / f"{name}.noted" for name in HOOKS}
        self.receiver = Receiver(seed)
        self.config = {
            "call": {"url": f"http://127.0.0.1:{self.receiver.port}/hook", **self.options()}}
        for name, before in HOOKS.items():
            if is_forgetful and name == "plain":
                before = FORGETFUL
            program = stage.program(f"{name}.sh", NOTING % before)
            self.noted[name].touch()
            self.config[name] = {"exec": [str(program), str(self.noted[name])], **self.options()}

    def options(self):
        return {"on": FINISHED, "attempts": 1000, "timeout": "3s", "retry_first": "100ms",
                "retry_max": "3s", "parallel": 6}

    def done_with(self, name):
        if name == "call":
            return set(self.receiver.taken)
        return set(self.noted[name].read_text().split())

    def missing(self, events):
        """Faults: events that a hook was never done with."""
        for name in self.config:
            missing = set(events) - self.done_with(name)
            if missing:
                yield f"hook {name} was not run for {len(missing)} of {len(events)} events: {sorted(missing)[:3]}"


class Receiver:
    """The server of a webhook: most of what comes is taken."""

    def __init__(self, seed):
        chance = random.Random(seed)
        self.taken = []
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                mood = chance.random()
                if mood < 0.02:
                    self.close_connection = True
                    return
                if mood < 0.04:
                    time.sleep(0.5)
                status = 500 if mood > 0.97 else 503 if mood > 0.95 else 200
                if status == 200 and body:
                    receiver.taken.append(self.headers["webhook-id"])
                self.send_response(status)
                self.send_header("Content-Length", "2")
                if status == 503:
                    self.send_header("Retry-After", "1")
                self.end_headers()
                self.wfile.write(b"ok")

            def handle(self):
                try:
                    super().handle()
                except OSError:
                    pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


class Clients:
    """Visits to the sockets, a few at any time."""

    STAY_S = 4.0

    def __init__(self, daemon, chance):
        self.daemon = daemon
        self.chance = chance
        self.open = []  # (socket, when it leaves)
        self.n = 0

    def turn(self):
        now = time.monotonic()
        for sock, leaves in self.open:
            if leaves <= now:
                sock.close()
        self.open = [(sock, leaves) for sock, leaves in self.open if leaves > now]
        if len(self.open) < 20:
            self.visit(now)

    def visit(self, now):
        request = self.chance.choice([
            b"GET /v1/events?follow=true HTTP/1.1\r\n\r\n", b"GET /v1/jobs?limit=1000 HTTP/1.1\r\n\r\n",
            b"GET /metrics HTTP/1.1\r\n\r\n", b"GET /v1/deliveries?limit=500 HTTP/1.1\r\n\r\n",
            b"GET /v1/jobs/acme/1/wait?timeout=3s HTTP/1.1\r\n\r\n", b"GET /v1/plan HTTP/1.1\r\n\r\n",
            b"POST /v1/jobs HTTP/1.1\r\nContent-Length: 100\r\n\r\n{", b"", b"\x16\x03\x01 nonsense\r\n\r\n",
            b"GET /v1/accounts HTTP/1.1\r\n\r\n" * 20])
        path = self.daemon.admin if self.chance.random() < 0.2 else self.daemon.query
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.settimeout(1)
            sock.connect(str(path))
            sock.sendall(request)
            if self.chance.random() < 0.5:
                sock.recv(4096)
        except OSError:
            pass  # it was killed, or is full of clients
        self.open.append((sock, now + self.chance.random() * self.STAY_S))
        self.n += 1

    def backup(self, path):
        """A copy of the database, read to its end or left in the middle."""
        connection = UnixConnection(path, 10)
        try:
            connection.request("GET", "/v1/backup")
            connection.getresponse().read(self.chance.choice([100, 10_000_000]))
        except OSError:
            pass
        finally:
            connection.close()

    def leave(self):
        for sock, _ in self.open:
            sock.close()
        self.open = []
