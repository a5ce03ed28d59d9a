#!/usr/bin/env python3
"""bulkwatch, the command line: what it takes, documents, and cannot reach, and what it shows."""

import json
import os
import re
import shutil
import subprocess
import unittest

from ctlkit import BINARY, DEADLINE, ROOT, Case, bare
from fake_daemon import Reply, job, problem


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

    OPTION = re.compile(r"^  (?:-\w, )?--([a-z-]+)", re.M)

    def options(self, verb):
        return self.OPTION.findall(self.run_ctl(verb, "--help")[0].split("Options of every verb:")[0])

    def options_of_every_verb(self):
        text = self.run_ctl("list", "--help")[0].split("Options of every verb:")[1]
        return set(self.OPTION.findall(text))

    def test_manual(self):
        with open(os.path.join(ROOT, "docs/man/bulkwatch.1"), encoding="utf-8") as page:
            manual = page.read()
        section = manual.split(".Sh VERBS")[1].split(".Sh ")[0]
        documented = re.findall(r"^\.It Cm ([a-z]+)", section, re.M)
        self.assertEqual(documented, self.verbs())
        blocks = re.split(r"^\.It Cm ", section, flags=re.M)[1:]
        for block in blocks:
            verb = block.split()[0]
            named = set(re.findall(r"Fl -([a-z-]+)", block)) - self.options_of_every_verb()
            self.assertEqual(sorted(named), sorted(self.options(verb)), verb)

    def test_completions_are_as_shipped(self):
        for shell, name in (("bash", "bulkwatch"), ("zsh", "_bulkwatch"),
                            ("fish", "bulkwatch.fish")):
            with open(os.path.join(ROOT, "completions", shell, name), encoding="utf-8") as script:
                self.assertEqual(self.run_ctl("completion", shell)[0], script.read(), shell)


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


if __name__ == "__main__":
    unittest.main()
