#!/usr/bin/env python3
"""bulkwatch on a real terminal (tmux): the live view of watch, and wait with its progress, at 80x24
and other sizes, without colour, without UTF-8, and the terminal as it was afterwards."""

import os
import re
import shlex
import shutil
import subprocess
import tempfile
import unittest

from harness import BUILD, DEADLINE_S, TestCase, wait_for

CTL = BUILD / "src" / "ctl" / "bulkwatch"
LIVES = [{"id": "1-999", "life": [{"state": "ADDED"}]},
         {"id": "1000-1999", "life": [{"state": "IN PROGRESS"}]},
         {"id": "2000-2999", "life": [{"state": "COMPLETED"}]}]
NAME = "nächtlich ✓"


class Terminal:
    """A tmux server of our own with one window, in which a shell runs."""

    def __init__(self, runtime_dir, width, height, **environment):
        self.dir = tempfile.mkdtemp(prefix="bw-tmux-")
        self.environment = {"PATH": os.environ["PATH"], "HOME": self.dir, "TMUX_TMPDIR": self.dir,
                            "TERM": "screen-256color", "LC_ALL": "C.UTF-8",
                            "BULKWATCH_RUNTIME_DIR": str(runtime_dir), "TZ": "UTC"}
        # Of the shell alone: the terminal itself can show everything.
        inner = " ".join(f"{name}={shlex.quote(value)}"
                         for name, value in {"PS1": "ready> ", **environment}.items())
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS"):
            if name in os.environ:
                self.environment[name] = os.environ[name]
        self.tmux("new-session", "-d", "-x", str(width), "-y", str(height),
                  f"exec env {inner} sh -i")
        self.tmux("set-option", "-g", "window-size", "manual")
        wait_for(self.is_at_prompt, "the shell", why=self.text)

    def tmux(self, *arguments):
        done = subprocess.run(["tmux", "-u", "-f", "/dev/null", *arguments], env=self.environment,
                              capture_output=True, timeout=DEADLINE_S, check=True)
        return done.stdout.decode()

    def type(self, *keys):
        self.tmux("send-keys", *keys)

    def run(self, *arguments):
        self.type(" ".join(shlex.quote(str(argument)) for argument in [CTL, *arguments]), "Enter")

    def resize(self, width, height):
        self.tmux("resize-window", "-x", str(width), "-y", str(height))

    def text(self):
        return self.tmux("capture-pane", "-p")

    def lines(self):
        return self.text().rstrip("\n").split("\n")

    def is_at_prompt(self):
        return self.text().rstrip().endswith("ready>")

    def colours(self):
        return set(re.findall(r"\x1b\[(3[0-7]|1|2)m", self.tmux("capture-pane", "-p", "-e")))

    def cursor_is_shown(self):
        return self.tmux("display-message", "-p", "#{cursor_flag}").strip() == "1"

    def is_alternate(self):
        return self.tmux("display-message", "-p", "#{alternate_on}").strip() == "1"

    def wait_text(self, *words):
        wait_for(lambda: all(word in self.text() for word in words), words, why=self.text)
        return self.text()

    def close(self):
        try:
            self.tmux("kill-server")
        except subprocess.CalledProcessError:
            pass
        shutil.rmtree(self.dir, ignore_errors=True)


@unittest.skipUnless(shutil.which("tmux"), "there is no tmux here")
class TerminalCase(TestCase):
    def start(self, jobs, **options):
        self.sim = self.stage.sim("--admin", script={"jobs": LIVES})
        self.stage.config({"acme": self.stage.account(jobs)}, **options)
        daemon = self.stage.start()
        wait_for(lambda: not daemon.jobs("&state=PENDING"), "first answers")
        return daemon

    def terminal(self, width=80, height=24, **environment):
        terminal = Terminal(self.stage.runtime_dir, width, height, **environment)
        self.addCleanup(terminal.close)
        return terminal

    def assert_fits(self, terminal, width, height):
        """The whole screen is used, and nothing was pushed out of it."""
        def fits():
            lines = terminal.lines()
            return (lines[0].startswith("bulkwatch  ") and len(lines) <= height
                    and lines[-1].startswith("q quit") and max(map(len, lines)) <= width)
        wait_for(fits, f"a frame of {width}x{height}", why=terminal.text)

    def finish(self, job_id):
        self.sim.admin("POST", "/jobs", {"jobs": [{"id": job_id,
                                                   "life": [{"state": "COMPLETED"}]}]})


class Watch(TerminalCase):
    def test_at_80x24(self):
        daemon = self.start([{"id": "1", "name": NAME}, "1000", "2000"])
        terminal = self.terminal()
        terminal.run("watch")
        text = terminal.wait_text("3 jobs: 2 open, 1 finished", "acme/1000", "IN PROGRESS",
                                  NAME, "WHAT JUST HAPPENED", "job.completed")
        self.assertTrue(terminal.is_alternate())
        self.assert_fits(terminal, 80, 24)
        self.assertRegex(text, r"JOB +NAME +STATE +AGE +NEXT POLL")
        self.assertRegex(text, r"\[#+\.+\] +33%")
        self.assertIn("32", terminal.colours())
        # What happens is shown without a key.
        self.finish("1000")
        daemon.wait_finished(2)
        terminal.wait_text("1 open, 2 finished", "66%", "IN PROGRESS -> COMPLETED")
        daemon.post("/v1/jobs", {"account": "acme", "id": "7"})
        terminal.wait_text("4 jobs", "acme/7")
        terminal.type("q")
        wait_for(lambda: not terminal.is_alternate(), "its end", why=terminal.text)
        wait_for(terminal.is_at_prompt, "the shell", why=terminal.text)
        self.assertNotIn("WHAT JUST HAPPENED", terminal.text())
        self.assertTrue(terminal.cursor_is_shown())
        terminal.type("echo typed$((1+1))", "Enter")
        terminal.wait_text("typed2")

    def test_resize(self):
        self.start([str(i) for i in range(1, 61)])
        terminal = self.terminal()
        terminal.run("watch")
        terminal.wait_text("60 jobs", "acme/1 ")
        for width, height in ((120, 40), (40, 10), (200, 60), (20, 5), (80, 24)):
            terminal.resize(width, height)
            if width >= 40:
                self.assert_fits(terminal, width, height)
        wide = sum("acme/" in line and "job." not in line for line in terminal.lines())
        terminal.resize(80, 50)
        wait_for(lambda: sum("acme/" in line and "job." not in line
                             for line in terminal.lines()) > wide, "more jobs", why=terminal.text)
        terminal.type("C-c")
        wait_for(lambda: not terminal.is_alternate(), "its end", why=terminal.text)
        self.assertTrue(terminal.cursor_is_shown())

    def test_pages_and_filters(self):
        self.start([*map(str, range(1, 61)), "2000", "2001"])
        terminal = self.terminal()
        terminal.run("watch")

        def jobs():
            return terminal.text().split("WHAT JUST")[0]

        terminal.wait_text("62 jobs", "acme/1 ", "now: open jobs", "space next page")
        self.assertNotIn("acme/2000 ", jobs())
        terminal.type("Space")
        wait_for(lambda: "acme/1 " not in jobs(), "the next page", why=terminal.text)
        terminal.wait_text("b back")
        terminal.type("b")
        terminal.wait_text("acme/1 ")
        terminal.type("a", "a")
        terminal.wait_text("now: finished jobs", "acme/2000 ", "acme/2001 ")
        self.assertNotIn("acme/1 ", jobs())

    def test_without_colour(self):
        self.start(["1", "2000"])
        terminal = self.terminal(NO_COLOR="1")
        terminal.run("watch")
        terminal.wait_text("2 jobs", "COMPLETED")
        self.assert_fits(terminal, 80, 24)
        self.assertEqual(terminal.colours(), set())

    def test_without_utf8(self):
        self.start([{"id": "1", "name": NAME}, "2000"])
        terminal = self.terminal(LC_ALL="C")
        terminal.run("watch")
        text = terminal.wait_text("2 jobs", "n?chtlich ?")
        self.assertTrue(text.isascii(), text)
        self.assert_fits(terminal, 80, 24)

    def test_a_daemon_that_goes_and_comes_back(self):
        daemon = self.start(["1", "1000"])
        terminal = self.terminal()
        terminal.run("watch")
        terminal.wait_text("2 jobs", "acme/1000")
        self.assert_stops(daemon)
        terminal.wait_text("does not answer", "acme/1000")
        self.assert_fits(terminal, 80, 24)
        daemon = self.stage.start()
        wait_for(lambda: "does not answer" not in terminal.text(), "its return", why=terminal.text)
        self.finish("1000")
        daemon.wait_finished(1)
        terminal.wait_text("1 open, 1 finished", "job.completed")

    def test_what_stands_in_the_way(self):
        daemon = self.start(["1", "2000"], hooks={"sick": {"exec": ["/bin/false"], "attempts": 1}})
        self.sim.admin("POST", "/jobs", {"jobs": [{"id": "1", "life": [
            {"fault": "invalid_token"}]}]})
        wait_for(lambda: daemon.account("acme")["state"] == "paused", "the pause")
        terminal = self.terminal()
        terminal.run("watch")
        terminal.wait_text("account acme is paused: ", "hook sick: gave up on 1")
        self.assert_fits(terminal, 80, 24)

    def test_stopped_and_continued(self):
        self.start(["1"])
        terminal = self.terminal()
        terminal.run("watch")
        terminal.wait_text("1 job:", "acme/1 ")
        terminal.type("C-z")
        wait_for(lambda: not terminal.is_alternate() and terminal.is_at_prompt(), "the shell",
                 why=terminal.text)
        terminal.type("fg", "Enter")
        wait_for(terminal.is_alternate, "its return", why=terminal.text)
        terminal.wait_text("1 job:", "acme/1 ")
        terminal.type("q")
        wait_for(lambda: not terminal.is_alternate(), "its end", why=terminal.text)

    def test_no_terminal_no_screen(self):
        daemon = self.start(["1", "1000"])
        pipe = subprocess.Popen([CTL, "--runtime-dir", self.stage.runtime_dir, "watch"],
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        self.addCleanup(pipe.stdout.close)
        self.addCleanup(pipe.wait)
        self.addCleanup(pipe.kill)
        wait_for(lambda: b"bulkwatch_streams 1\n" in daemon.get("/metrics").data, "its stream")
        self.finish("1000")
        line = pipe.stdout.readline()
        self.assertEqual(line.rstrip("\n").split("\t")[2:],
                         ["job.completed", "acme", "1000", "IN PROGRESS", "COMPLETED"])

    def test_a_dumb_terminal_gets_lines(self):
        daemon = self.start(["1000"])
        terminal = self.terminal(TERM="dumb")
        terminal.run("watch")
        wait_for(lambda: b"bulkwatch_streams 1\n" in daemon.get("/metrics").data, "its stream")
        self.finish("1000")
        terminal.wait_text("job.completed")
        self.assertFalse(terminal.is_alternate())

    def test_nobody_there(self):
        terminal = self.terminal()
        terminal.run("watch")
        terminal.wait_text("bulkwatch: ")
        terminal.type("echo code=$?", "Enter")
        terminal.wait_text("code=69")
        self.assertFalse(terminal.is_alternate())


class Wait(TerminalCase):
    def test_progress(self):
        self.start(["1", {"id": "1000", "name": NAME}])
        for environment in ({}, {"NO_COLOR": "1"}, {"LC_ALL": "C"}):
            with self.subTest(environment=environment):
                terminal = self.terminal(**environment)
                terminal.run("wait", "1")
                terminal.wait_text("waiting for acme/1, ADDED")
                terminal.resize(40, 10)
                terminal.wait_text("waiting for acme/1, ADDED")
                if "NO_COLOR" in environment:
                    self.assertEqual(terminal.colours(), set())
                terminal.type("C-c")
                wait_for(terminal.is_at_prompt, "the shell", why=terminal.text)

    def test_the_end(self):
        self.start(["1", {"id": "1000", "name": NAME}])
        terminal = self.terminal()
        terminal.run("wait", "1000", "1")
        terminal.wait_text("0 of 2 jobs finished")
        self.finish("1000")
        terminal.wait_text("1 of 2 jobs finished", NAME, "COMPLETED")
        self.finish("1")
        wait_for(lambda: terminal.text().count("COMPLETED") == 2, "both", why=terminal.text)
        terminal.type("echo code=$?", "Enter")
        terminal.wait_text("code=0")
        self.assertNotIn("jobs finished", terminal.text())

    def test_the_time_is_up(self):
        self.start(["1"])
        terminal = self.terminal(200)
        terminal.run("wait", "1", "--timeout", "500ms")
        terminal.wait_text("is not finished after 500ms", "bulkwatch wait --timeout 500ms acme/1")
        terminal.type("echo code=$?", "Enter")
        terminal.wait_text("code=124")


if __name__ == "__main__":
    unittest.main(verbosity=2)
