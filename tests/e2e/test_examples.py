#!/usr/bin/env python3
"""Each curl command of the manual is run, in the order of the page, against a daemon that watches
the jobs that the page speaks of. Only the directory of the sockets is another one."""

import json
import re
import shlex
import signal
import subprocess
import unittest

from harness import DEADLINE_S, ROOT, TestCase

PAGES = ("docs/man/bulkwatch-api.7", "docs/operations.md")
ROUTES = ROOT / "src" / "daemon" / "control.c"
SOCKETS = "/run/bulkwatch/"
LIVES = [{"id": "3652397000000646008", "life": [{"state": "IN PROGRESS"}]},
         {"id": "*", "life": [{"state": "ADDED", "polls": 1}, {"state": "COMPLETED"}]}]
JOBS = ["3652397000000646004", "3652397000000646005", "3652397000000646008"]
OTHERS = [str(3652397000000647000 + i) for i in range(22)]  # for delivery 22


def examples_of(text):
    """Commands as a shell would read them, roff's escapes and the continuation of lines undone."""
    commands, so_far = [], ""
    for line in text.replace("\\e", "\\").splitlines():
        line = re.sub(r"^\.Dl ", "", line).strip()
        if so_far or line.startswith("curl "):
            so_far += line
            if so_far.endswith("\\"):
                so_far = so_far[:-1]
            else:
                commands.append(so_far)
                so_far = ""
    commands = [command for command in commands if SOCKETS in command]
    if not commands:
        raise AssertionError("there is no example")
    return commands


class Examples(TestCase):
    def start(self):
        self.stage.sim(script={"jobs": LIVES})
        # Each delivery is dead at once, so that any may be tried again.
        self.stage.config({"acme-eu": self.stage.account(JOBS + OTHERS, max_in_flight=20)},
                          hooks={"load": {"exec": ["/bin/false"], "attempts": 1}})
        daemon = self.stage.start()
        daemon.wait_finished(len(JOBS + OTHERS) - 1)
        daemon.wait_delivered()
        return daemon

    def curl(self, command, *more):
        self.assertIn(SOCKETS, command)
        argv = shlex.split(command.replace(SOCKETS, f"{self.stage.runtime_dir}/"))
        return subprocess.Popen([*argv, "--silent", "--show-error", *more], cwd=self.stage.dir,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE)

    def follow(self, command):
        """One that does not end by itself: it is ended when it has brought an event."""
        process = self.curl(command, "--fail")
        line = process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=DEADLINE_S)
        self.assertTrue(re.match(rb'id: [0-9]+\n|\{"seq":', line), (command, line))

    def run_one(self, command):
        """What it printed."""
        if "follow=true" in command:
            self.follow(command)
            return b""
        out, err = self.curl(command, "--write-out", "%{stderr}%{http_code}").communicate(
            timeout=2 * DEADLINE_S)
        self.assertRegex(err.decode(), r"^2[0-9][0-9]$", (command, out))
        return out

    def run_all(self, text):
        commands = examples_of(text)
        for command in commands:
            out = self.run_one(command)
            if out and "metrics" not in command and "/events?" not in command:
                json.loads(out)
        return commands

    def test_every_one_of_them(self):
        self.start()
        commands = []
        for page in PAGES:
            with self.subTest(page=page):
                commands += self.run_all((ROOT / page).read_text())
        copy = (self.stage.dir / "bulkwatch.copy.db").read_bytes()
        self.assertTrue(copy.startswith(b"SQLite format 3\0"))
        # No route is without one.
        paths = re.findall(r'\{LISTEN_([A-Z]+), "([^"]+)"', ROUTES.read_text())
        self.assertGreater(len(paths), 20)
        for method, path in paths:
            pattern = re.escape("http://localhost" + path)
            pattern = re.sub(r"\\\{[a-z]+\\\}", "[^/ ?']+", pattern) + r"(?:[?' ]|$)"
            found = [command for command in commands if re.search(pattern, command)]
            if method in ("POST", "DELETE"):
                found = [command for command in found
                         if f"--request {method}" in command or "--data" in command]
            self.assertTrue(found, f"{method} {path} has no example")

    def test_what_is_wrong_is_seen(self):
        self.start()
        page = (ROOT / PAGES[0]).read_text()
        for old, new in (("/v1/plan\n", "/v1/plans\n"), ('"name":"deals"', '"nom":"deals"'),
                         ("jobs?state=", "jobs?status="), ("events?after=20&", "events?after=x&")):
            self.assertIn(old, page)
            with self.subTest(new=new), self.assertRaises(AssertionError):
                self.run_all(page.replace(old, new))
        with self.assertRaises(AssertionError):
            examples_of("curl http://localhost/")


if __name__ == "__main__":
    unittest.main(verbosity=2)
