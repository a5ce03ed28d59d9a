#!/usr/bin/env python3
"""bulkwatch, the command line, against canned answers: what it asks, prints and exits with."""

import fcntl
import json
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from fake_daemon import FakeDaemon, Reply, event, job, problem  # noqa: E402

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


class Usage(Case):
    def test_no_verb(self):
        _, error = self.run_ctl(code=2)
        self.assertIn("verb is missing", error)

    def test_unknown_verb(self):
        _, error = self.run_ctl("statsu", code=2)
        self.assertIn('did you mean "status"?', error)
        _, error = self.run_ctl("xyzzyplugh", code=2)
        self.assertNotIn("did you mean", error)

    def test_unknown_option(self):
        _, error = self.run_ctl("list", "--acount", "x", code=2)
        self.assertIn("did you mean --account?", error)

    def test_bad_values(self):
        for args in (["list", "--limit", "0"], ["list", "--limit", "x"], ["list", "--limit"],
                     ["list", "--finished=yes"], ["list", "extra"], ["show"],
                     ["show", "a", "b"], ["events", "--after=-1"], ["config", "chekc"],
                     ["list", "--finished", "--unfinished"],
                     ["list", "--name", "a", "--name", "b"]):
            self.run_ctl(*args, code=2)
        self.assertEqual(self.daemon.requests, [])

    def test_help_of_each_verb(self):
        text, _ = self.run_ctl("--help")
        verbs = re.findall(r"^  ([a-z]+)  ", text, re.M)
        self.assertIn("status", verbs)
        for verb in verbs:
            text, _ = self.run_ctl(verb, "--help")
            self.assertTrue(text.startswith("usage: bulkwatch " + verb), text)
            self.assertIn("--json", text)

    def test_version(self):
        text, _ = self.run_ctl("--version")
        self.assertRegex(text, r"^bulkwatch \d+\.\d+\.\d+\n$")

    def test_full_disk_behind_stdout(self):
        with open("/dev/full", "wb") as full:
            done = subprocess.run([BINARY, "--help"], stdout=full, stderr=subprocess.PIPE,
                                  timeout=DEADLINE, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"cannot write", done.stderr)


class Documents(Case):
    """The manual and the completions against the table of verbs, by way of --help."""

    def verbs(self):
        return re.findall(r"^  ([a-z]+)  ", self.run_ctl("--help")[0], re.M)

    def options(self, verb):
        text = self.run_ctl(verb, "--help")[0].split("Options of every verb:")[0]
        return re.findall(r"^  (?:-\w, )?--([a-z-]+)", text, re.M)

    def test_manual(self):
        with open(os.path.join(ROOT, "docs/man/bulkwatch.1"), encoding="utf-8") as page:
            manual = page.read()
        section = manual.split(".Sh VERBS")[1].split(".Sh ")[0]
        documented = re.findall(r"^\.It Cm ([a-z]+)", section, re.M)
        self.assertEqual(documented, self.verbs())
        blocks = re.split(r"^\.It Cm ", section, flags=re.M)[1:]
        for block in blocks:
            verb = block.split()[0]
            named = re.findall(r"Fl -([a-z-]+)", block.splitlines()[0] + block)
            self.assertEqual(sorted(set(named)), sorted(self.options(verb)), verb)

    def test_completions_are_as_shipped(self):
        for shell, name in (("bash", "bulkwatch"), ("zsh", "_bulkwatch"),
                            ("fish", "bulkwatch.fish")):
            with open(os.path.join(ROOT, "completions", shell, name), encoding="utf-8") as script:
                self.assertEqual(self.run_ctl("completion", shell)[0], script.read(), shell)

    def complete(self, *words):
        """What bash offers for the last of the words."""
        script = os.path.join(ROOT, "completions/bash/bulkwatch")
        program = ('source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
                   'compopt() { :; }; _bulkwatch; printf "%s\\n" "${COMPREPLY[@]}"')
        path = os.path.dirname(BINARY) + ":" + os.environ["PATH"]
        done = subprocess.run(["bash", "-c", program, "bash", script, *words],
                              env=self.environment(PATH=path), capture_output=True,
                              timeout=DEADLINE, check=True)
        return done.stdout.decode().split()

    def test_bash_completes(self):
        self.daemon.jobs = [job("acme-eu", "1"), job("other", "2")]
        self.assertEqual(self.complete("bulkwatch", "sta"), ["status"])
        self.assertEqual(self.complete("bulkwatch", "show", "acme"), ["acme-eu/1"])
        self.assertEqual(self.complete("bulkwatch", "list", "--fin"), ["--finished"])
        self.assertEqual(self.complete("bulkwatch", "list", "--account", "o"), ["other"])
        self.assertEqual(self.complete("bulkwatch", "config", "ch"), ["check"])
        self.assertEqual(self.complete("bulkwatch", "--runtime-dir", self.dir, "list", "--sta"),
                         ["--state"])


class Unreachable(Case):
    def test_no_daemon(self):
        for path in ("/nonexistent", self.dir):
            if path == self.dir:
                self.daemon.stop()
            _, error = self.run_ctl("--runtime-dir", path, "status", code=69)
            self.assertIn(path + "/query.sock", error)
            self.assertIn("systemctl start bulkwatchd", error)

    def test_stale_socket(self):
        self.daemon.servers[0].shutdown()
        self.daemon.servers[0].server_close()
        try:
            _, error = self.run_ctl("status", code=69)
        finally:
            self.daemon.servers[0].server_address = os.path.join(self.dir, "query.sock")
        self.assertIn("nobody answers", error)

    def test_path_too_long(self):
        _, error = self.run_ctl("--runtime-dir", "/" + "x" * 120, "status", code=78)
        self.assertIn("too long", error)

    @unittest.skipUnless(os.geteuid() == 0, "needs root, to give its rights up")
    def test_not_permitted(self):
        os.chmod(self.dir, 0o755)
        os.chmod(os.path.join(self.dir, "query.sock"), 0o660)
        binary = shutil.copy(BINARY, os.path.join(self.dir, "bulkwatch"))

        def become_nobody():
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)

        done = subprocess.run([binary, "status"], env=self.environment(), timeout=DEADLINE,
                              preexec_fn=become_nobody, capture_output=True, check=False)
        self.assertEqual(done.returncode, 77, done.stderr)
        self.assertIn(b"members of the group root", done.stderr)

    def test_broken_answers(self):
        for body, length in ((b'{"version":', None), (b"", None), (b"<html>", None),
                             (b'{"a":1,"a":2}', None), (b"[" * 200000, None)):
            self.daemon.routes["GET", "/v1/status"] = Reply(body, length=length)
            _, error = self.run_ctl("status", code=1)
            self.assertIn("answer is", error)
        self.daemon.routes["GET", "/v1/status"] = Reply(b"{}", length=100)
        self.assertIn("broke off", self.run_ctl("status", code=69)[1])

    def test_answer_too_long(self):
        self.daemon.routes["GET", "/v1/status"] = Reply(b" " * (17 << 20))
        self.assertIn("longer than 16 MiB", self.run_ctl("status", code=1)[1])

    def test_proxies_play_no_part(self):
        self.run_ctl("status", http_proxy="http://127.0.0.1:1", ALL_PROXY="http://127.0.0.1:1")


class Problems(Case):
    def test_words_and_codes(self):
        for status, code in ((400, 2), (403, 77), (405, 77), (500, 1), (503, 1)):
            self.daemon.routes["GET", "/v1/status"] = problem(
                status, "Bad thing", "it is\x1b[31m bad", errors=[
                    {"file": "/etc/x.yaml", "line": 3, "column": 5, "message": "no such key"},
                    "plain words", {"odd": 1}])
            _, error = self.run_ctl("status", code=code)
            self.assertIn("Bad thing: it is?[31m bad\n", error)
            self.assertIn("/etc/x.yaml:3:5: no such key\n", error)
            self.assertIn("plain words\n", error)
            self.assertIn('{"odd":1}', error)

    def test_html_of_the_http_library(self):
        self.daemon.routes["GET", "/v1/status"] = Reply(b"<HTML>no</HTML>", 501, "text/html")
        self.assertIn("HTTP status 501", self.run_ctl("status", code=1)[1])


class Status(Case):
    def test_plain(self):
        self.daemon.accounts = ["acme-eu"]
        text, _ = self.run_ctl("status")
        lines = text.splitlines()
        self.assertIn("version\t0.1.0", lines)
        self.assertIn("jobs.by_state.COMPLETED\t2", lines)
        self.assertIn("accounts.acme-eu.state\tok", lines)
        self.assertIn("accounts.acme-eu.reason\t-", lines)

    def test_json_is_the_answer(self):
        text, _ = self.run_ctl("--json", "status")
        self.assertEqual(json.loads(text), self.daemon.status())

    def test_terminal(self):
        self.daemon.accounts = ["acme-eu", "other"]
        text = self.on_terminal("status")
        self.assertIn("\x1b[", text)
        self.assertIn("1h 2m", text)
        self.assertRegex(bare(text), r"(?m)^NAME +STATE$")
        self.assertRegex(bare(text), r"(?m)^acme-eu +ok$")
        self.assertNotIn("\x1b", self.on_terminal("status", NO_COLOR="1"))
        self.assertNotIn("\x1b", self.on_terminal("status", TERM="dumb"))


class List(Case):
    def test_plain_lines(self):
        self.daemon.jobs = [
            job("acme-eu", "3652397000000646004", "nightly", "COMPLETED"),
            job("acme-eu", "18446744073709551616", None, "IN PROGRESS", paused=True, last_error={
                "at": "2026-11-24T05:00:00.000Z", "class": "timeout", "message": "too\tslow"}),
        ]
        text, _ = self.run_ctl("list")
        self.assertEqual(text.splitlines(), [
            "acme-eu\t3652397000000646004\tnightly\tCOMPLETED\ttrue\t2026-11-24T05:00:00.000Z"
            "\t-\t3\tfalse\t-",
            "acme-eu\t18446744073709551616\t-\tIN PROGRESS\tfalse\t2026-11-24T05:00:00.000Z"
            "\t-\t3\ttrue\ttimeout",
        ])

    def test_pages(self):
        self.daemon.jobs = [job("a", str(i + 1)) for i in range(950)]
        self.daemon.page_max = 100
        text, _ = self.run_ctl("list")
        self.assertEqual([line.split("\t")[1] for line in text.splitlines()],
                         [str(i + 1) for i in range(950)])
        merged = json.loads(self.run_ctl("list", "--json")[0])
        self.assertEqual(merged["jobs"], self.daemon.jobs)
        self.assertEqual((merged["next"], merged["last_seq"]), (None, 7))
        cut = json.loads(self.run_ctl("list", "--json", "--limit", "120")[0])
        self.assertEqual((len(cut["jobs"]), cut["next"]), (120, "120"))

    def test_long_queries_make_smaller_pages(self):
        fields = ["f%d" % i for i in range(2000)]
        self.daemon.jobs = [job("a", str(i + 1), query={"fields": fields}) for i in range(100)]
        text, _ = self.run_ctl("list")
        self.assertEqual(len(text.splitlines()), 100)

    def test_circles_end(self):
        self.daemon.routes["GET", "/v1/jobs"] = Reply({"jobs": [], "next": "x", "last_seq": 1})
        self.assertIn("circles", self.run_ctl("list", code=1)[1])

    def test_filters(self):
        self.daemon.jobs = [job("a", "1"), job("a", "2", "x y&z", "IN PROGRESS"),
                            job("b", "3", state="LOST")]
        self.assertEqual(len(self.run_ctl("list", "-a", "a")[0].splitlines()), 2)
        self.assertIn("\t2\t", self.run_ctl("list", "--state", "IN PROGRESS")[0])
        self.assertIn("\t2\t", self.run_ctl("list", "--name", "x y&z")[0])
        self.assertIn("\t3\t", self.run_ctl("list", "--finished")[0])
        self.assertEqual(len(self.run_ctl("list", "--unfinished")[0].splitlines()), 2)

    def test_empty(self):
        self.assertEqual(self.run_ctl("list")[0], "")
        self.assertEqual(json.loads(self.run_ctl("list", "--json")[0])["jobs"], [])
        self.assertIn("No jobs are watched yet", self.on_terminal("list"))
        self.assertIn("No job fits", self.on_terminal("list", "--finished"))

    def test_terminal_fits(self):
        self.daemon.jobs = [
            job("acme-eu", "3652397000000646004", "\u65e5\u672c\u8a9e" * 20, "COMPLETED",
                last_error={"at": None, "class": "timeout", "message": "m" * 100}),
            job("acme-eu", "1", "short"),
        ]
        for columns in (40, 80, 120):
            for line in bare(self.on_terminal("list", columns=columns)).splitlines():
                width = sum(2 if ord(c) > 0x2e80 else 1 for c in line)
                self.assertLessEqual(width, columns, line)
        text = bare(self.on_terminal("list", columns=100))
        self.assertRegex(text, r"(?m)^JOB +NAME +STATE")
        self.assertIn("\u2026", text)
        self.assertIn("ago", text)
        self.assertNotIn("\u65e5", self.on_terminal("list", columns=100, LC_ALL="C"))

    def test_nothing_moves_the_cursor(self):
        evil = "\x1b[2J\x9b31m\u202eevil\x07\x7f"
        self.daemon.jobs = [job("a", "1", evil, evil)]
        for text in (self.on_terminal("list", NO_COLOR="1"), self.run_ctl("list")[0],
                     self.on_terminal("show", "a/1", NO_COLOR="1"),
                     self.run_ctl("show", "a/1")[0], self.run_ctl("show", "a/1", "--json")[0],
                     self.run_ctl("list", "--json")[0]):
            self.assertNotRegex(text, "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]")
        self.assertEqual(json.loads(self.run_ctl("show", "a/1", "--json")[0])["name"], evil)


class Show(Case):
    def setUp(self):
        super().setUp()
        self.daemon.accounts = ["acme-eu", "other"]
        self.daemon.jobs = [
            job("acme-eu", "1", "nightly", "COMPLETED", result={
                "page": 1, "count": 20, "per_page": 200000, "more_records": False,
                "download_url": "/bigin/bulk/v2/read/1/result",
                "url": "https://www.zohoapis.eu/bigin/bulk/v2/read/1/result"}),
            job("acme-eu", "2", "twice"), job("other", "3", "twice"),
            job("acme-eu", "4"), job("other", "4"),
            job("acme-eu", "5", watched=False), job("other", "5"),
        ]

    def test_ways_to_name_a_job(self):
        for name in ("1", "nightly", "acme-eu/1", "acme-eu/nightly"):
            self.assertEqual(json.loads(self.run_ctl("show", name, "--json")[0])["id"], "1")
        self.assertEqual(json.loads(self.run_ctl("--json", "show", "5")[0])["account"], "other")
        self.assertEqual(
            json.loads(self.run_ctl("--json", "show", "acme-eu/5")[0])["watched"], False)

    def test_ambiguous(self):
        for name, jobs in (("twice", ("acme-eu/2", "other/3")), ("4", ("acme-eu/4", "other/4"))):
            _, error = self.run_ctl("show", name, code=2)
            for candidate in jobs:
                self.assertIn(candidate, error)

    def test_none(self):
        for name in ("99", "nobody", "acme-eu/99", "nowhere/1"):
            self.assertIn("there is no job", self.run_ctl("show", name, code=4)[1])
        for name in ("", "/", "acme-eu/", "/1"):
            self.run_ctl("show", name, code=2)

    def test_name_in_an_unknown_account(self):
        self.daemon.routes["GET", "/v1/jobs"] = problem(404, "Not found", "no account nowhere")
        self.assertIn("no account nowhere", self.run_ctl("show", "nowhere/nightly", code=4)[1])

    def test_encoding(self):
        self.run_ctl("show", "a?b#c/../1", code=4)
        self.assertNotIn("/v1/jobs/a", self.asked())

    def test_plain(self):
        lines = self.run_ctl("show", "1")[0].splitlines()
        self.assertIn("state\tCOMPLETED", lines)
        self.assertIn("result.count\t20", lines)
        self.assertIn("query.fields.1\tOwner", lines)
        self.assertIn("last_error\t-", lines)

    def test_terminal(self):
        text = bare(self.on_terminal("show", "1"))
        self.assertIn("acme-eu/1  nightly\n", text)
        self.assertRegex(text, r"State +COMPLETED, since .* ago\n")
        self.assertRegex(text, r"Operation +read of Contacts\n")
        self.assertRegex(text, r"Result +20 records, page 1, no more records\n")
        self.assertRegex(text, r"Download +https://www.zohoapis.eu/bigin/bulk/v2/read/1/result\n")


class Events(Case):
    def setUp(self):
        super().setUp()
        self.daemon.events = [
            event(1, "job.watched", "a", "1"),
            event(2, "job.added", "a", "1", None, "ADDED"),
            event(3, "account.paused", "b"),
            event(5, "job.completed", "a", "1", "ADDED", "COMPLETED"),
        ]

    def test_plain(self):
        text, _ = self.run_ctl("events")
        lines = text.splitlines()
        self.assertEqual(len(lines), 4)
        self.assertEqual(lines[0], "1\t2026-11-24T05:00:01.123Z\tjob.watched\ta\t1\t-\t-")
        self.assertEqual(lines[3].split("\t")[5:], ["ADDED", "COMPLETED"])

    def test_pages_and_limits(self):
        self.daemon.page_max = 1
        self.assertEqual(len(self.run_ctl("events")[0].splitlines()), 4)
        self.assertEqual(len(self.run_ctl("events", "--after", "2")[0].splitlines()), 2)
        self.assertEqual(len(self.run_ctl("events", "--limit", "3")[0].splitlines()), 3)

    def test_json_lines(self):
        lines = self.run_ctl("events", "--json")[0].splitlines()
        self.assertEqual([json.loads(line) for line in lines], self.daemon.events)

    def test_parameters(self):
        self.run_ctl("events", "--type", "job.*,hook.dead", "--account", "a", "--after", "3")
        query = self.daemon.requests[0][3]
        self.assertEqual(query, {"after": "3", "type": "job.*,hook.dead", "account": "a"})

    def test_pruned(self):
        self.daemon.routes["GET", "/v1/events"] = problem(
            410, "Gone", "events are pruned", pruned_through=41)
        self.assertIn("--after 41", self.run_ctl("events", code=1)[1])

    def test_follow_goes_on_after_the_last_seq(self):
        """Each connection is ended by the daemon; nothing is lost or shown twice."""
        rest = list(self.daemon.events)
        queries = []

        def stream(query, handler):
            queries.append(query)
            lines = [{"type": "heartbeat", "last_seq": 9}]
            if rest:
                lines.append(rest.pop(0))
            return Reply("".join(json.dumps(one) + "\n" for one in lines).encode(),
                         kind="application/x-ndjson")

        self.daemon.stream = stream
        text, _ = self.run_ctl("events", "--follow", "--limit", "4")
        self.assertEqual([line.split("\t")[0] for line in text.splitlines()], ["1", "2", "3", "5"])
        self.assertEqual([query["after"] for query in queries], ["0", "1", "2", "3"])
        self.assertEqual({query["follow"] for query in queries}, {"true"})

    def test_garbage_in_the_stream(self):
        self.daemon.stream = lambda query, handler: Reply(b'{"seq":1,\n', kind="x/y")
        self.assertIn("stream of events is", self.run_ctl("events", code=1)[1])

    def test_terminal(self):
        text = bare(self.on_terminal("events"))
        self.assertRegex(text, r"2026-11-24 05:00:05 +#5 +job.completed +a/1  ADDED -> COMPLETED\n")

    def test_history(self):
        self.daemon.jobs = [job("a", "1")]
        self.daemon.routes["GET", "/v1/jobs/a/1/history"] = Reply(
            {"events": [one for one in self.daemon.events if one["job_id"]]})
        self.assertEqual(len(self.run_ctl("history", "a/1")[0].splitlines()), 3)
        self.assertEqual(len(json.loads(self.run_ctl("history", "a/1", "--json")[0])["events"]), 3)


class Config(Case):
    def write(self, text):
        path = os.path.join(self.dir, "x.yaml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def test_check(self):
        bad = self.write("stat_dir: /x\npoll: 3\n")
        text, error = self.run_ctl("config", "check", bad, code=78)
        self.assertIn(bad + ":1:1: error:", error)
        self.assertIn('did you mean "state_dir"', error)
        self.assertIn("2 errors", text)
        answer = json.loads(self.run_ctl("--json", "config", "check", bad, code=78)[0])
        self.assertFalse(answer["valid"])
        errors = [one for one in answer["problems"] if one["severity"] == "error"]
        self.assertEqual([one["line"] for one in errors], [1, 2])
        good = self.write("state_dir: /x\n")
        self.assertIn("valid, 1 warning", self.run_ctl("config", "check", good)[0])

    def test_show_can_be_read_again(self):
        shown = self.run_ctl("config", "show", self.write("retain: 7d\n"))[0]
        self.assertIn("retain: 7d\n", shown)
        again = self.run_ctl("config", "show", self.write(shown))[0]
        self.assertEqual(again, shown)
        self.run_ctl("--json", "config", "show", code=2)
        self.run_ctl("config", "show", "/nonexistent", code=78)

    def test_file_of_the_daemon(self):
        path = self.write("retain: 9d\n")
        self.daemon.routes["GET", "/v1/status"] = Reply({"config_file": path})
        self.assertIn("retain: 9d\n", self.run_ctl("config", "show")[0])

    @unittest.skipIf(os.path.exists("/etc/bulkwatch/bulkwatchd.yaml"), "this machine has one")
    def test_default_file_without_daemon(self):
        self.daemon.stop()
        _, error = self.run_ctl("config", "check", code=78)
        self.assertIn("/etc/bulkwatch/bulkwatchd.yaml: error: ", error)
        self.assertNotIn("not running", error)


class Doctor(Case):
    def test_findings(self):
        status = {"version": self.run_ctl("--version")[0].split()[1], "config_file": None,
                  "accounts": [{"name": "a", "state": "ok", "reason": None}],
                  "hooks": [{"name": "load", "state": "ok", "dead": 0}],
                  "database": {"state": "ok", "detail": None}}
        self.daemon.routes["GET", "/v1/status"] = Reply(status)
        text, _ = self.run_ctl("doctor")
        self.assertEqual({line.split("\t")[0] for line in text.splitlines()}, {"ok"})
        status["accounts"] += [{"name": "b", "state": "held", "reason": "credits are spent"}]
        status["hooks"][0]["dead"] = 2
        self.daemon.routes["GET", "/v1/status"] = Reply(status)
        text, _ = self.run_ctl("doctor")
        self.assertIn("warning\taccount b\theld: credits are spent\n", text)
        self.assertIn("warning\thook load\t2 deliveries are dead", text)
        status["database"] = {"state": "full", "detail": "no room"}
        status["accounts"] += [{"name": "c", "state": "paused", "reason": "scope missing"}]
        self.daemon.routes["GET", "/v1/status"] = Reply(status)
        text, _ = self.run_ctl("doctor", code=1)
        self.assertIn("error\taccount c\tpaused: scope missing\n", text)
        self.assertIn("error\tdatabase\tfull: no room\n", text)
        found = json.loads(self.run_ctl("doctor", "--json", code=1)[0])["findings"]
        self.assertEqual(len(found), len(text.splitlines()))

    def test_configuration(self):
        path = os.path.join(self.dir, "x.yaml")
        with open(path, "w", encoding="utf-8") as file:
            file.write("nonsense: 1\n")
        self.daemon.routes["GET", "/v1/status"] = Reply({"config_file": path, "accounts": []})
        text, _ = self.run_ctl("doctor", code=1)
        self.assertIn("error\tconfiguration\t" + path + ":1:1: ", text)

    def test_no_daemon(self):
        self.daemon.stop()
        self.assertIn("error\tdaemon\t", self.run_ctl("doctor", code=1)[0])


class Wait(Case):
    """Jobs that end while they are waited for: a stream that the test feeds."""

    def setUp(self):
        super().setUp()
        self.daemon.accounts = ["a"]
        self.daemon.jobs = [job("a", "1", "one"), job("a", "2"), job("a", "3", None, "COMPLETED"),
                            job("a", "4", None, "LOST"), job("a", "5", watched=False)]
        self.daemon.events = [event(7, "job.added", "a", "1", None, "ADDED")]
        self.lines = []
        self.over = threading.Event()
        self.addCleanup(self.over.set)
        self.daemon.stream = self.stream

    def stream(self, query, handler):
        """A stream as the daemon's: what there is after the seq, then silence, held open."""
        after = int(query["after"])
        handler.close_connection = True
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n"
                            b"Connection: close\r\n\r\n"
                            b'{"type":"heartbeat","last_seq":7}\n')
        for line in self.lines:
            if line["seq"] > after:
                handler.wfile.write(json.dumps(line).encode() + b"\n")
        self.over.wait(DEADLINE)

    def ends(self, seq, job_id, state, kind):
        return event(seq, kind, "a", job_id, "ADDED", state, job("a", job_id, None, state))

    def test_finished_already(self):
        self.assertEqual(self.run_ctl("wait", "3")[0], "a\t3\t-\tCOMPLETED\n")
        self.run_ctl("wait", "4", code=3)
        self.run_ctl("wait", "3", "4", code=3)
        self.run_ctl("wait", "99", code=4)
        self.assertNotIn("/v1/events", self.asked())

    def test_completes(self):
        self.lines = [self.ends(8, "2", "COMPLETED", "job.completed"),
                      self.ends(9, "1", "COMPLETED", "job.completed")]
        self.assertEqual(self.run_ctl("wait", "one")[0], "a\t1\t-\tCOMPLETED\n")
        self.assertEqual(self.run_ctl("wait", "1", "2", "3")[0].splitlines(),
                         ["a\t3\t-\tCOMPLETED", "a\t2\t-\tCOMPLETED", "a\t1\t-\tCOMPLETED"])
        queries = [request[3] for request in self.daemon.requests if request[2] == "/v1/events"]
        self.assertEqual(queries[0], {"after": "7", "type": "job.*", "follow": "true"})
        self.assertEqual(json.loads(self.run_ctl("wait", "1", "--json")[0])["state"], "COMPLETED")

    def test_fails(self):
        self.lines = [self.ends(8, "1", "FAILURE", "job.failed"),
                      self.ends(9, "2", "COMPLETED", "job.completed")]
        self.run_ctl("wait", "1", code=3)
        self.assertEqual(len(self.run_ctl("wait", "1", "2", code=3)[0].splitlines()), 2)

    def test_any(self):
        self.lines = [self.ends(8, "2", "COMPLETED", "job.completed")]
        self.assertEqual(self.run_ctl("wait", "--any", "1", "2")[0], "a\t2\t-\tCOMPLETED\n")
        self.run_ctl("wait", "--any", "--all", "1", code=2)

    def test_time_out(self):
        text, error = self.run_ctl("wait", "1", "3", "--timeout", "300ms", code=124)
        self.assertEqual(text, "a\t3\t-\tCOMPLETED\n")
        self.assertIn("a/1 is not finished after 300ms: ADDED", error)
        self.assertIn("bulkwatch wait --timeout 300ms a/1", error)
        self.run_ctl("wait", "1", "--timeout", "0s", code=124)
        self.run_ctl("wait", "1", "--timeout", "5 minutes", code=2)

    def test_unwatched(self):
        self.assertIn("no longer watched", self.run_ctl("wait", "a/5", code=1)[1])
        gone = event(8, "job.unwatched", "a", "1", None, None, job("a", "1", watched=False))
        self.lines = [gone]
        self.assertIn("no longer watched", self.run_ctl("wait", "1", code=1)[1])

    def test_progress_on_a_terminal_only(self):
        text = self.on_terminal("wait", "1", "--timeout", "1500ms", code=124)
        self.assertIn("waiting for a/1, ADDED: ", text)
        self.assertNotIn("waiting for", self.run_ctl("wait", "1", "--timeout", "10ms",
                                                     code=124)[1])

    def test_watch(self):
        self.lines = [event(8, "account.paused", "a"),
                      event(9, "job.in_progress", "a", "2", "ADDED", "IN PROGRESS"),
                      self.ends(10, "1", "COMPLETED", "job.completed")]
        text, _ = self.run_ctl("watch", "1")
        self.assertEqual([line.split("\t")[0] for line in text.splitlines()], ["10"])


class Changes(Case):
    def setUp(self):
        super().setUp()
        self.daemon.accounts = ["a"]
        self.daemon.jobs = [job("a", "1", "one"), job("a", "2")]

    def changes(self):
        return [request for request in self.daemon.requests if request[1] != "GET"]

    def test_add(self):
        self.daemon.routes["POST", "/v1/jobs"] = Reply(job("a", "7"), 201)
        self.run_ctl("add", "a", "7", "--name", 'n "x"')
        kind, _, _, _, body = self.changes()[0]
        self.assertEqual((kind, json.loads(body)),
                         ("admin", {"account": "a", "id": "7", "name": 'n "x"'}))
        self.assertEqual(json.loads(self.run_ctl("--json", "add", "a", "7")[0])["id"], "7")
        self.assertIn("is watched from now on", self.on_terminal("add", "a", "7"))
        self.daemon.routes["POST", "/v1/jobs"] = Reply(job("a", "7"), 200)
        self.assertIn("was watched already", self.on_terminal("add", "a", "7"))
        self.daemon.routes["POST", "/v1/jobs"] = problem(404, "Unknown account", "b")
        self.assertIn("Unknown account: b", self.run_ctl("add", "b", "7", code=1)[1])
        for bad in ("x", "123456789012345678901", ""):
            self.run_ctl("add", "a", bad, code=2)

    def test_changes_of_a_job(self):
        for verb, method, path, status in (
                ("remove", "DELETE", "/v1/jobs/a/1", 204), ("poll", "POST", "/v1/jobs/a/1/poll", 202),
                ("pause", "POST", "/v1/jobs/a/1/pause", 202),
                ("resume", "POST", "/v1/jobs/a/1/resume", 202)):
            self.daemon.requests.clear()
            self.daemon.routes[method, path] = Reply(None, status)
            self.assertEqual(self.run_ctl(verb, "one"), ("", ""))
            self.assertEqual(self.changes()[0][:3], ("admin", method, path))
            self.assertIn("a/1 ", self.on_terminal(verb, "one"))
            self.run_ctl(verb, "99", code=4)

    def test_several(self):
        self.daemon.routes["DELETE", "/v1/jobs/a/2"] = Reply(None, 204)
        self.run_ctl("remove", "99", "2", code=4)
        self.run_ctl("pause", "2", code=4)
        self.assertEqual([request[1:3] for request in self.changes()], [
            ("DELETE", "/v1/jobs/a/2"), ("POST", "/v1/jobs/a/2/pause")])

    def test_not_permitted(self):
        self.daemon.routes["DELETE", "/v1/jobs/a/1"] = problem(405, "Not here")
        self.run_ctl("remove", "1", code=77)

    def test_reload(self):
        self.daemon.routes["POST", "/v1/reload"] = Reply({"added": 1})
        self.assertEqual(self.run_ctl("reload")[0], "added\t1\n")
        self.daemon.routes["POST", "/v1/reload"] = problem(422, "Refused", "1 error", errors=[
            {"file": "/x.yaml", "line": 1, "column": 2, "message": "bad"}])
        self.assertIn("/x.yaml:1:2: bad", self.run_ctl("reload", code=78)[1])
        self.daemon.routes["POST", "/v1/reload"] = problem(503, "Later")
        self.run_ctl("reload", code=1)

    def test_hooks(self):
        hooks = {"hooks": [{"name": "load", "on": ["job.completed"], "pending": 2}]}
        self.daemon.routes["GET", "/v1/hooks"] = Reply(hooks)
        self.assertEqual(self.run_ctl("hooks")[0].splitlines(), [
            "load.name\tload", "load.on.0\tjob.completed", "load.pending\t2"])
        self.assertEqual(json.loads(self.run_ctl("hooks", "--json")[0]), hooks)
        self.assertRegex(bare(self.on_terminal("hooks")), r"(?m)^load +job.completed +2$")
        self.daemon.routes["POST", "/v1/hooks/load/test"] = Reply({"exit": 0})
        self.assertEqual(self.run_ctl("hooks", "test", "load")[0], "exit\t0\n")
        self.assertIn("Nothing here", self.run_ctl("hooks", "test", "x", code=1)[1])
        self.run_ctl("hooks", "test", code=2)
        self.run_ctl("hooks", "tset", "load", code=2)

    def test_deliveries(self):
        rows = {"deliveries": [
            {"id": "5", "hook": "load", "event_seq": 9, "account": "a", "job_id": "1",
             "state": "dead", "attempts": [{"exit": 1}, {"exit": 1}]},
            {"id": "6", "hook": "load", "event_seq": 10, "account": None, "job_id": None,
             "state": "pending", "attempts": 3}]}
        self.daemon.routes["GET", "/v1/deliveries"] = Reply(rows)
        self.assertEqual(self.run_ctl("deliveries", "--state", "dead", "--hook", "load")[0],
                         "5\tload\t9\ta\t1\tdead\t2\n6\tload\t10\t-\t-\tpending\t3\n")
        self.assertEqual(self.daemon.requests[-1][3], {"state": "dead", "hook": "load"})
        self.run_ctl("deliveries", "--state", "dad", code=2)
        self.daemon.routes["POST", "/v1/deliveries/5/retry"] = Reply(None, 202)
        self.run_ctl("deliveries", "retry", "5")
        self.run_ctl("deliveries", "retry", "77", code=1)

    def test_backup(self):
        path = os.path.join(self.dir, "copy.db")
        body = b"SQLite format 3\0" + bytes(3 << 20)
        self.daemon.routes["GET", "/v1/backup"] = Reply(body, kind="application/octet-stream")
        self.run_ctl("backup", path)
        with open(path, "rb") as copy:
            self.assertEqual(copy.read(), body)
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        self.assertIn("exists", self.run_ctl("backup", path, code=1)[1])
        before = sorted(os.listdir(self.dir))
        other = path + "2"
        for reply, code in ((problem(500, "No"), 1), (Reply(b"<html>nothing</html>"), 1),
                            (Reply(body, length=len(body) + 1), 69)):
            self.daemon.routes["GET", "/v1/backup"] = reply
            self.run_ctl("backup", other, code=code)
            self.assertEqual(sorted(os.listdir(self.dir)), before)

    def test_why(self):
        self.daemon.routes["GET", "/v1/jobs/a/1/why"] = Reply({"sentence": "In 5s: its turn."})
        self.assertEqual(self.run_ctl("why", "1")[0], "sentence\tIn 5s: its turn.\n")


if __name__ == "__main__":
    unittest.main()
