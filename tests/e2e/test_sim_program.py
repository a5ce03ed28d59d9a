#!/usr/bin/env python3
"""bulkwatch-sim as a program: its command line, its scripts, how it ends."""

import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import unittest

from harness import wait_for
from simkit import DEADLINE_S, PROGRAM, TestCase


class CommandLine(TestCase):
    def run_program(self, *options):
        done = subprocess.run([str(PROGRAM), *map(str, options)], capture_output=True, text=True,
                              timeout=DEADLINE_S, check=False)
        return done.returncode, done.stdout, done.stderr

    def test_signals_end_it_well(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            sim = self.sim()
            held = sim.connect()
            self.addCleanup(held.close)
            self.assertEqual(sim.stop(number), 0)

    def test_help_and_version(self):
        code, out, _ = self.run_program("--help")
        self.assertEqual(code, 0)
        for option in ("--script", "--dc", "--tls", "--tls-self-signed", "--port-file", "--log",
                       "--admin", "--seed", "--speed", "--version"):
            self.assertIn(option, out)
        code, out, _ = self.run_program("--version")
        self.assertEqual(code, 0)
        self.assertRegex(out, r"^bulkwatch-sim \d+\.\d+\.\d+\n$")

    def test_output_that_nobody_takes(self):
        for option in ("--help", "--version"):
            for redirection in (">/dev/full", ">&-"):
                done = subprocess.run(["sh", "-c", f'exec "$@" {redirection}', "sh", PROGRAM, option],
                                      stderr=subprocess.PIPE, timeout=DEADLINE_S, check=False)
                self.assertEqual(done.returncode, 1, (option, redirection))
                self.assertIn(b"cannot write", done.stderr)

    def test_usage(self):
        for options in (["--nonsense"], ["--dc"], ["--dc", "UPPER"], ["--dc", "eu=0"],
                        ["--dc", "eu=70000"], ["--dc", "eu", "--dc", "eu"], ["--tls", "only-one"],
                        ["--speed", "0"], ["--speed", "x"], ["--seed", "-1"], ["argument"],
                        ["--tls", "a", "b", "--tls-self-signed", "c"]):
            code, out, err = self.run_program(*options)
            self.assertEqual((code, out), (2, ""), options)
            self.assertIn("--help", err)

    def test_other_failures(self):
        for options in (["--log", "/nonexistent/log"], ["--port-file", "/nonexistent/ports"],
                        ["--tls", "/nonexistent/cert", "/nonexistent/key"],
                        ["--tls-self-signed", "/nonexistent/dir/dir"]):
            code, _, err = self.run_program("--dc", "eu", *options)
            self.assertEqual(code, 1, err)
            self.assertIn("/nonexistent", err)
        with socket.create_server(("127.0.0.1", 0)) as taken:
            code, _, err = self.run_program("--dc", f"eu={taken.getsockname()[1]}")
        self.assertEqual(code, 1)
        self.assertIn("eu cannot listen", err)

    def test_a_chosen_port(self):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        sim = self.sim(dcs=(f"eu={port}",))
        self.assertEqual(sim.ports, {"eu": port})

    def test_a_stale_port_file_is_no_answer(self):
        directory = pathlib.Path(tempfile.mkdtemp(prefix="bulkwatch-sim-stale-"))
        self.addCleanup(shutil.rmtree, directory)
        stale = directory / "ports.yaml"
        stale.write_text("stale")
        code, _, _ = self.run_program("--port-file", stale, "--script", directory / "missing.yaml")
        self.assertEqual(code, 78)
        self.assertFalse(stale.exists())

    def test_a_port_file_that_is_no_file_stays(self):
        """/dev/stdout, for one: a link, or a device, that is not ours to replace."""
        directory = pathlib.Path(tempfile.mkdtemp(prefix="bulkwatch-sim-ports-"))
        self.addCleanup(shutil.rmtree, directory)
        (directory / "link").symlink_to(directory / "file")
        os.mkfifo(directory / "fifo")
        (directory / "directory").mkdir()
        for name in ("link", "fifo", "directory"):
            before = (directory / name).lstat()
            code, _, err = self.run_program("--dc", "eu", "--port-file", directory / name)
            self.assertEqual(code, 1, err)
            self.assertIn("is not a regular file", err)
            self.assertEqual((directory / name).lstat(), before)

    def script_problems(self, text):
        directory = pathlib.Path(tempfile.mkdtemp(prefix="bulkwatch-sim-script-"))
        self.addCleanup(shutil.rmtree, directory)
        (directory / "s.yaml").write_text(text)
        code, _, err = self.run_program("--script", directory / "s.yaml")
        self.assertEqual(code, 78, err)
        return err.replace(str(directory) + "/", "")

    def test_every_problem_of_a_script_with_its_place(self):
        err = self.script_problems("""\
jobs:
  - id: 12x
    lief: []
  - {id: 1, dc: eux, life: [{state: ADDED}, {state: B, polls: 1, for: 1s}]}
  - {life: [{state: A, fault: hang}], final: B}
faults:
  - {what: hagn}
  - {what: delay}
  - {what: status}
  - {what: wrong_id, path: token}
  - {what: "503", times: 0, every: 0, probability: 2, for: soon, retry_after: "a\\nb"}
  - {dc: eu}
clients: [{client_id: a, organisation: nobody}]
datacenters: {eu: {latency: long, port: 0}, Bad: {}}
more: 1
""")
        for place in ("2:9: error: \"12x\" is no id",
                      "3:5: error: unknown key \"lief\" in a job; did you mean \"life\"?",
                      "4:17: error: there is no data center \"eux\"; did you mean",
                      "4:29: error: a step needs polls or for",
                      "4:45: error: a step has polls or for, not both",
                      "5:5: error: a job needs an id",
                      "5:13: error: a step has one of state, fault and sample",
                      "5:39: error: final says nothing where there is a life",
                      "7:12: error: \"hagn\" is no fault; did you mean \"hang\"?",
                      "8:12: error: delay needs delay",
                      "9:12: error: status needs status",
                      "10:12: error: wrong_id cannot happen on that path",
                      "11:26: error: times must be",
                      "11:36: error: every must be",
                      "11:52: error: probability must be",
                      "11:60: error: for must be a duration",
                      "11:79: error: retry_after must be",
                      "12:5: error: a fault needs what",
                      "13:11: error: a client needs client_secret",
                      "13:11: error: a client needs refresh_token",
                      "13:40: error: there is no organisation \"nobody\"",
                      "14:29: error: latency must be",
                      "14:41: error: port must be",
                      "14:45: error: the name of a data center",
                      "15:1: error: unknown key \"more\""):
            self.assertIn("s.yaml:" + place, err)
        self.assertEqual(len(err.splitlines()), 25, err)

    def test_scripts_that_are_none(self):
        for text in ("", "[]", "a: &x 1", "jobs: [", "jobs: {}", "jobs: []\njobs: []",
                     "--- {}\n--- {}"):
            self.assertIn("s.yaml", self.script_problems(text))

    def test_log_is_appended_to(self):
        sim = self.sim()
        sim.poll()
        sim.stop()
        sim.port_file.unlink()
        again = subprocess.Popen([str(PROGRAM), "--dc", "eu", "--log", str(sim.log_file),
                                  "--port-file", str(sim.port_file)], stderr=subprocess.DEVNULL)
        self.addCleanup(again.wait)
        self.addCleanup(again.terminate)
        port = wait_for(lambda: sim.port_file.exists() and re.search(
            r"api_url: \S+:(\d+)", sim.port_file.read_text()), "the ports")[1]
        sim.ports["eu"] = int(port)
        sim.poll()
        self.assertEqual([record["seq"] for record in sim.log()], [1, 1])


if __name__ == "__main__":
    unittest.main()
