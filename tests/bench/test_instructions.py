#!/usr/bin/env python3
"""Guards the poll path: how many instructions of our own code an answer and a question cost.

Counted by callgrind, and of functions of our static libraries only: what libraries do is not ours,
and does not differ with the machine. Every turn of the loop answers all jobs, so that no clock has a say in it. The bounds in
instructions.json are a fifth above what is counted: lower them when the code becomes cheaper. A build that decides a hundred
times over must be found out.
"""

import json
import os
import pathlib
import re
import subprocess
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
BUILT = pathlib.Path(os.environ["BULKWATCH_BUILD"]) / "tests" / "bench"
BOUNDS = json.loads((HERE / "instructions.json").read_text())
N_JOBS, ROUNDS_BEFORE, N_ROUNDS = 100, 8, 24


def configure(directory):
    for name in ("state", "run"):
        (directory / name).mkdir(mode=0o700)
    token = directory / "token"
    token.touch(mode=0o600)
    token.write_text("1000.0123456789abcdef0123456789abcdef.fedcba9876543210fedcba9876543210\n")
    config = directory / "bulkwatchd.yaml"
    config.write_text(json.dumps({
        "state_dir": str(directory / "state"), "runtime_dir": str(directory / "run"),
        "log_level": "error", "poll": {"min_interval": "10ms", "max_interval": "10ms"},
        "accounts": {"one": {"datacenter": "eu", "access_token_file": str(token),
                             "max_in_flight": 100, "credits_per_day": 10000000,
                             "jobs": [str(3652397000000000000 + i) for i in range(N_JOBS)]}}}))
    return config


def own_instructions(profile, program):
    """Of functions in the program's own file: what a line of costs says after fl, fn and ob."""
    names, own, in_own, is_call = {}, 0, False, False
    for line in profile.read_text().splitlines():
        entry = re.match(r"(c?ob)=\((\d+)\)(?: (.*))?$", line)
        if entry:
            if entry[3]:
                names[entry[2]] = entry[3]
            if entry[1] == "ob":
                in_own = names[entry[2]] == str(program)
        elif line.startswith("calls="):
            is_call = True
        elif re.match(r"[+\-*\d]", line):
            if in_own and not is_call:
                own += int(line.split()[1])
            is_call = False
    return own


def count(program, kind, n):
    with tempfile.TemporaryDirectory(prefix="bulkwatch-instructions-") as directory:
        directory = pathlib.Path(directory)
        profile = directory / "profile"
        subprocess.run(
            ["valgrind", "-q", "--tool=callgrind", f"--callgrind-out-file={profile}",
             "--compress-pos=no", "--toggle-collect=poller_on_answer",
             "--toggle-collect=poller_dispatch", BUILT / program, configure(directory), kind, str(n)],
            check=True, timeout=240, stdout=subprocess.DEVNULL)
        return own_instructions(profile, BUILT / program)


def per_poll(program, kind):
    """The first rounds, in which all is new, are counted alone and taken off."""
    before = ROUNDS_BEFORE * N_JOBS
    more = before + N_ROUNDS * N_JOBS
    return (count(program, kind, more) - count(program, kind, before)) / (more - before)


class Instructions(unittest.TestCase):
    def check(self, kind):
        counted = per_poll("poll_path", kind)
        print(f"{kind}: {counted:.0f} instructions a poll, at most {BOUNDS[kind]}")
        self.assertGreater(counted, BOUNDS[kind] / 8, "the bound is far off, or nothing was counted")
        self.assertLessEqual(counted, BOUNDS[kind])

    def test_reply_as_before(self):
        self.check("same")

    def test_reply_in_other_words(self):
        self.check("reworded")

    def test_transition(self):
        self.check("transition")

    def test_slowdown_is_found(self):
        self.assertGreater(per_poll("poll_path_slow", "same"), BOUNDS["same"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
