#!/usr/bin/env python3
"""Completions, in the shells themselves: what stands on the line after TAB."""

import fcntl
import os
import pty
import select
import shutil
import subprocess
import termios
import time
import unittest

from ctlkit import BINARY, DEADLINE, ROOT, Case
from fake_daemon import Reply, job

SCRIPTS = {"bash": "completions/bash/bulkwatch", "zsh": "completions/zsh/_bulkwatch",
           "fish": "completions/fish/bulkwatch.fish"}


class Shell:
    """An interactive shell on a terminal, in which ^X^L tells what the line is, and ^U empties it."""

    ARGV = {"bash": ["bash", "--norc", "--noprofile", "-i"], "zsh": ["zsh", "-f", "-i"],
            "fish": ["fish", "--no-config", "-i"]}
    SETUP = {
        "bash": "bind 'set bell-style none'; bind 'set page-completions off'; "
                "bind 'set completion-query-items 0'; bind 'set show-all-if-ambiguous on'; "
                "tell() { printf '%s\\0' \"$READLINE_LINE\" >\"$OUT.new\"; mv \"$OUT.new\" \"$OUT\"; }; "
                "bind -x '\"\\C-x\\C-l\": tell'; source \"$SCRIPT\"",
        "zsh": "unsetopt beep; autoload -U compinit; compinit -u -D; "
               "tell() { printf '%s\\0' \"$BUFFER\" >\"$OUT.new\"; mv \"$OUT.new\" \"$OUT\" }; "
               "zle -N tell; bindkey -e; bindkey '^X^L' tell; source \"$SCRIPT\"",
        "fish": "function tell; printf '%s\\0' (commandline) >\"$OUT.new\"; "
                "mv \"$OUT.new\" \"$OUT\"; end; bind \\cx\\cl tell; source \"$SCRIPT\"",
    }

    def __init__(self, name, environment, directory):
        self.name = name
        self.out = os.path.join(directory, "line")
        ready = os.path.join(directory, "ready")
        self.master, slave = pty.openpty()
        environment = {**environment, "OUT": self.out, "HOME": directory + ".xdg", "READY": ready,
                       "SCRIPT": os.path.join(ROOT, SCRIPTS[name]), "XDG_CONFIG_HOME": directory + ".xdg",
                       "XDG_DATA_HOME": directory + ".xdg"}
        self.process = subprocess.Popen(self.ARGV[name], stdin=slave, stdout=slave, stderr=slave,
                                        env=environment, cwd=directory, start_new_session=True,
                                        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(slave)
        self.said = b""
        self.type(self.SETUP[name] + '; echo >"$READY"\r')
        self.wait_for(lambda: os.path.exists(ready), "its setup")

    def type(self, text):
        os.write(self.master, text.encode())

    def wait_for(self, condition, what):
        """What it writes meanwhile is taken from its hands."""
        deadline = time.monotonic() + DEADLINE
        while not condition():
            if select.select([self.master], [], [], 0.02)[0]:
                self.said += os.read(self.master, 65536)
            if time.monotonic() > deadline:
                raise AssertionError(f"{self.name}: waited in vain for {what}: {self.said[-2000:]!r}")

    def after_tab(self, line):
        """The line after TAB behind it."""
        self.type(line + "\t\x18\x0c")
        self.wait_for(lambda: os.path.exists(self.out), f"the line after {line!r}")
        with open(self.out, "rb") as file:
            found = file.read()
        os.unlink(self.out)
        self.type("\x15")
        return found.rstrip(b"\0").decode()

    def close(self):
        self.process.kill()
        self.process.wait(DEADLINE)
        os.close(self.master)


class Completions(Case):
    NAMES = {"bash": "nightly\\ export", "zsh": "nightly\\ export", "fish": "nightly\\ export"}

    def setUp(self):
        super().setUp()
        self.daemon.accounts = ["acme-eu", "other"]
        self.daemon.jobs = [job("acme-eu", "3652397000000646004", "nightly export"),
                            job("other", "77", "solo")]
        self.daemon.routes["GET", "/v1/accounts"] = Reply({"accounts": [
            {"name": "acme-eu", "datacenter": "eu", "state": "ok"},
            {"name": "other", "datacenter": "us", "state": "paused"}]})
        self.daemon.routes["GET", "/v1/hooks"] = Reply({"hooks": [
            {"name": "load", "state": "ok"}, {"name": "chat", "state": "parked"}]})
        self.daemon.routes["GET", "/v1/deliveries"] = Reply({"deliveries": [
            {"id": "4711", "hook": "load", "job_id": "77"}]})
        os.mkdir(os.path.join(self.dir, "home"))
        self.home = os.path.join(self.dir, "home")
        programs = os.path.join(self.dir, "bin")
        os.mkdir(programs)
        shutil.copy("/bin/true", os.path.join(programs, "frobnicate"))
        self.path = os.pathsep.join([os.path.dirname(BINARY), programs, os.environ["PATH"]])

    def shell(self, name):
        if not shutil.which(name):
            self.skipTest(f"there is no {name}")
        shell = Shell(name, self.environment(PATH=self.path), self.home)
        self.addCleanup(shell.close)
        return shell

    def check(self, name):
        with open(os.path.join(self.home, "file.yaml"), "w", encoding="utf-8"):
            pass
        os.mkdir(os.path.join(self.home, "folder"))
        shell = self.shell(name)
        escaped = self.NAMES[name]
        for typed, wanted in (
                ("sta", "status "), ("consu", "consume "), ("--runt", "--runtime-dir "),
                ("list --fin", "list --finished "), ("list --account o", "list --account other "),
                ("list --account=o", "list --account=other "), ("list -a o", "list -a other "),
                ("list --state ADD", "list --state ADDED "),
                ("show acme", "show acme-eu/3652397000000646004 "),
                ("show nigh", f"show {escaped} "), ("wait other/77 so", "wait other/77 solo "),
                ("add oth", "add other "), ("add other 7", "add other 7"),
                ("hooks te", "hooks test "), ("hooks test lo", "hooks test load "),
                ("deliveries --hook ch", "deliveries --hook chat "),
                ("deliveries --state dea", "deliveries --state dead "),
                ("deliveries re", "deliveries re"), ("deliveries ret", "deliveries retry "),
                ("deliveries retry 4", "deliveries retry 4711 "),
                ("deliveries show 4", "deliveries show 4711 "),
                ("config ch", "config check "), ("config check fi", "config check file.yaml "),
                ("config show fi", "config show file.yaml "), ("backup fi", "backup file.yaml "),
                ("events --type job.comp", "events --type job.completed "),
                ("events --type job.lost,hook", "events --type job.lost,hook.dead "),
                ("completion fi", "completion fish "), ("status x", "status x"),
                (f"--runtime-dir {self.dir} show so", f"--runtime-dir {self.dir} show solo "),
                (f"--runtime-dir={self.dir} show so", f"--runtime-dir={self.dir} show solo "),
                ("--runtime-dir /nonexistent show so", "--runtime-dir /nonexistent show so"),
                ("show -- so", "show -- solo "), ("--json sta", "--json status "),
                ("consume pipe --ex", "consume pipe --exec "),
                ("consume pipe --exec frobn", "consume pipe --exec frobnicate ")):
            with self.subTest(shell=name, typed=typed):
                found = shell.after_tab("bulkwatch " + typed)
                # After a directory or a common beginning no shell adds a blank.
                self.assertEqual(found.rstrip(), ("bulkwatch " + wanted).rstrip())
                if wanted.endswith(" "):
                    self.assertTrue(found.endswith(" "), repr(found))
        for typed in ("--runtime-dir fo", "--runtime-dir=fo", "consume n --state-dir fo"):
            with self.subTest(shell=name, typed=typed):
                self.assertEqual(shell.after_tab("bulkwatch " + typed), f"bulkwatch {typed}lder/")

    def test_bash(self):
        self.check("bash")

    def test_zsh(self):
        self.check("zsh")

    def test_fish(self):
        self.check("fish")

    def candidates(self, shell, *words, code=0):
        text, _ = self.run_ctl("completion", shell, "--", *words, code=code)
        return text.splitlines()

    def test_what_the_scripts_are_told(self):
        self.assertEqual(self.candidates("zsh", "show", ""), [
            "words", "acme-eu/3652397000000646004\tnightly export, ADDED",
            "nightly export\tacme-eu/3652397000000646004", "other/77\tsolo, ADDED",
            "solo\tother/77"])
        self.assertEqual(self.candidates("bash", "show", "o"), ["words", "other/77"])
        self.assertEqual(self.candidates("bash", "list", "--account", "=", "o"), ["words", "other"])
        self.assertEqual(self.candidates("bash", "list", "--account", "="),
                         ["words", "acme-eu", "other"])
        self.assertEqual(self.candidates("fish", "add", "other", ""), ["words"])
        self.assertEqual(self.candidates("fish", "backup", "x", ""), ["words"])
        self.assertEqual(self.candidates("fish", "nonsense", "st")[1].split("\t")[0], "status")

    def test_what_no_shell_should_read(self):
        evil = "$(touch /tmp/x)\x1b[2J`id`;\u202e"
        self.daemon.jobs = [job("a", "1", evil, evil), job("a", "2", "a'b"), job("a", "3", "ok")]
        self.assertEqual(self.candidates("bash", "show", ""), ["words", "a/1", "a/2", "a/3", "ok"])
        for line in self.candidates("zsh", "show", ""):
            self.assertNotRegex(line, "[\x00-\x08\x0a-\x1f\x7f-\x9f\u202e]")

    def test_without_a_daemon(self):
        self.daemon.stop()
        self.assertEqual(self.candidates("bash", "show", "")[0:], ["words"])

    def test_a_million_jobs_are_not_read(self):
        self.daemon.jobs = [job("a", str(i + 1)) for i in range(5000)]
        self.assertEqual(len(self.candidates("fish", "show", "")), 1001)


if __name__ == "__main__":
    unittest.main()
