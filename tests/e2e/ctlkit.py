"""bulkwatch, the command line, run against canned answers (fake_daemon.py)."""

import fcntl
import os
import pty
import re
import shutil
import struct
import subprocess
import tempfile
import termios
import unittest

from fake_daemon import FakeDaemon

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BINARY = os.path.join(
    os.environ.get("BULKWATCH_BUILD", os.path.join(ROOT, "build")), "src/ctl/bulkwatch")
DEADLINE = 60


class Case(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="bw-ctl-")
        self.addCleanup(shutil.rmtree, self.dir)
        self.daemon = FakeDaemon(self.dir)
        self.addCleanup(self.daemon.stop)

    def environment(self, **more):
        kept = {key: value for key, value in os.environ.items()
                if key in ("PATH", "HOME", "TMPDIR", "ASAN_OPTIONS", "UBSAN_OPTIONS")}
        return {**kept, "LC_ALL": "C.UTF-8", "TZ": "UTC", "TERM": "xterm",
                "BULKWATCH_RUNTIME_DIR": self.dir, **more}

    def run_ctl(self, *args, code=0, **more):
        done = subprocess.run([BINARY, *args], env=self.environment(**more), timeout=DEADLINE,
                              stdin=subprocess.DEVNULL, capture_output=True, check=False)
        self.assertEqual(done.returncode, code, (args, done.stdout, done.stderr))
        return done.stdout.decode(), done.stderr.decode()

    def on_terminal(self, *args, columns=80, code=0, **more):
        """What it writes to a terminal of so many columns, stdout and stderr together."""
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 25, columns, 0, 0))
        child = subprocess.Popen([BINARY, *args], env=self.environment(**more), stdin=slave,
                                 stdout=slave, stderr=slave)
        os.close(slave)
        pieces = []
        while True:
            try:
                piece = os.read(master, 65536)
            except OSError:  # EIO: the last writer is gone
                break
            if not piece:
                break
            pieces.append(piece)
        os.close(master)
        self.assertEqual(child.wait(DEADLINE), code, pieces)
        return b"".join(pieces).decode().replace("\r\n", "\n")

    def asked(self, method="GET"):
        return [request[2] for request in self.daemon.requests if request[1] == method]


def bare(text):
    return re.sub(r"\x1b\[[0-9;]*m", "", text)
