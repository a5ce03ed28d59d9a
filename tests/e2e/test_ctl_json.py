#!/usr/bin/env python3
"""Each verb against a daemon that runs: with --json what is printed is JSON, and what it should be;
and what becomes of output that nobody takes."""

import json
import os
import signal
import subprocess
import unittest

from harness import BUILD, DEADLINE_S, TestCase

CTL = BUILD / "src" / "ctl" / "bulkwatch"
LIVES = [{"id": "1-999", "life": [{"state": "ADDED"}]},
         {"id": "1000-1999", "life": [{"state": "ADDED", "polls": 1}, {"state": "COMPLETED"}]},
         {"id": "2000-2999", "life": [{"state": "FAILURE"}]}]
JOB = {"account", "id", "state", "finished", "watched", "paused", "result"}
EVENT = {"seq", "id", "type", "at", "account", "job_id", "from_state", "to_state"}
DELIVERY = {"id", "hook", "event_seq", "state", "attempts", "history"}

# Arguments, exit code, how many values are printed (None: some), members that each has. They are run
# in this order; @ stands for a file of the test, # for the id of a dead delivery.
VERBS = {
    "status": [("", 0, 1, {"version", "last_seq", "jobs", "accounts", "hooks", "database"})],
    "list": [("", 0, 1, {"jobs", "next", "last_seq"}), ("--finished --limit 1", 0, 1, {"jobs"}),
             ("--account nowhere", 1, 0, None)],
    "show": [("1", 0, 1, JOB), ("nightly", 0, 1, JOB), ("nobody", 4, 0, None)],
    "history": [("1000", 0, 1, {"events"}), ("77", 4, 0, None)],
    "why": [("1", 0, 1, {"sentence", "reasons"})],
    "wait": [("1000", 0, 1, JOB), ("1000 2000", 3, 2, JOB), ("--any 1000 1", 0, 1, JOB),
             ("1 --timeout 1ms", 124, 0, None)],
    "watch": [("1000", 0, 0, None)],
    "events": [("", 0, None, EVENT), ("--limit 2", 0, 2, EVENT), ("--type job.lost", 0, 0, None)],
    "add": [("acme 77 --name seven", 0, 1, JOB), ("acme 77", 0, 1, JOB), ("nowhere 1", 1, 0, None),
            ("acme x", 2, 0, None)],
    "pause": [("1 2", 0, 2, JOB), ("nobody", 4, 0, None)],
    "resume": [("1 2", 0, 2, JOB)],
    "poll": [("1", 0, 1, JOB)],
    "remove": [("77", 0, 1, JOB), ("77", 4, 0, None)],
    "hooks": [("", 0, 1, {"hooks"}), ("test load", 0, 1, {"end", "exit", "delivered", "output"}),
              ("test sick", 1, 1, {"delivered"}), ("test none", 1, 0, None)],
    "deliveries": [("", 0, 1, {"deliveries"}), ("--dead", 0, 1, {"deliveries"}),
                   ("show #", 0, 1, DELIVERY), ("retry #", 0, 1, DELIVERY),
                   ("replay --hook load --since 1", 0, 1, {"hook", "since", "deliveries"}),
                   ("show 99999", 1, 0, None)],
    "plan": [("", 0, 1, {"accounts"})],
    "doctor": [("", 0, 1, {"findings"})],
    "config": [("check", 0, 1, {"valid", "problems"}), ("show", 0, 1, {"accounts", "poll"}),
               ("diff", 0, 1, {"changes"}), ("check /nonexistent", 78, 1, {"valid", "problems"}),
               ("show /nonexistent", 78, 0, None)],
    "reload": [("", 0, 1, {"result", "watched", "kept"})],
    "backup": [("@", 0, 1, {"file", "bytes"}), ("@", 1, 0, None)],
    "completion": [("bash", 2, 0, None)],
    "consume": [("name --exec true", 2, 0, None)],
}


class Json(TestCase):
    def setUp(self):
        super().setUp()
        self.stage.sim(script={"jobs": LIVES})
        self.stage.config(
            {"acme": self.stage.account(["1", "2", {"id": "1000", "name": "nightly"}, "2000"])},
            hooks={"load": {"exec": ["/bin/true"]}, "sick": {"exec": ["/bin/false"], "attempts": 1}})
        self.daemon = self.stage.start()
        self.daemon.wait_finished(2)
        self.daemon.wait_delivered()

    def run_ctl(self, *words):
        done = subprocess.run([CTL, "--runtime-dir", self.stage.runtime_dir, *words],
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=DEADLINE_S,
                              check=False)
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def values_of(self, text):
        """One after the other, each ended by a line's end."""
        values, decoder = [], json.JSONDecoder()
        while text:
            value, end = decoder.raw_decode(text)
            self.assertEqual(text[end], "\n")
            values.append(value)
            text = text[end + 1:]
        return values

    def test_the_table_has_every_verb(self):
        code, text, _ = self.run_ctl("--help")
        verbs = [line.split()[0] for line in text.split("Verbs:\n")[1].split("\n\n")[0].splitlines()]
        self.assertEqual((code, sorted(VERBS)), (0, sorted(verbs)))

    def test_every_verb(self):
        dead = self.daemon.get("/v1/deliveries?state=dead").json()["deliveries"][0]["id"]
        path = str(self.stage.dir / "copy.db")
        for verb, runs in VERBS.items():
            for words, code, n, members in runs:
                with self.subTest(verb=verb, words=words):
                    words = [path if word == "@" else word.replace("#", dead)
                             for word in words.split()]
                    ended, text, error = self.run_ctl("--json", verb, *words)
                    self.assertEqual(ended, code, (text, error))
                    values = self.values_of(text)
                    self.assertEqual(len(values), len(values) if n is None else n, text)
                    self.assertTrue(n is not None or values)
                    for value in values:
                        self.assertLessEqual(members, set(value))
                    # What went wrong is told to people, and nothing is told that did not.
                    self.assertEqual(bool(error), n == 0 and code != 0, error)

    def test_what_they_say(self):
        def value(*words):
            return self.values_of(self.run_ctl("--json", *words)[1])[0]

        self.assertEqual(value("show", "nightly")["id"], "1000")
        self.assertEqual(value("list", "--state", "FAILURE")["jobs"][0]["id"], "2000")
        self.assertEqual(value("remove", "2")["watched"], False)
        self.assertEqual(value("pause", "1")["paused"], True)
        path = self.stage.dir / "other.db"
        self.assertEqual(value("backup", path), {"file": str(path), "bytes": path.stat().st_size})
        self.assertEqual(self.run_ctl("--json", "remove", "nobody", "1")[0], 4)

    def test_output_that_nobody_takes(self):
        """A reader that is gone ends them without a word, a full disk with one."""
        dead = self.daemon.get("/v1/deliveries?state=dead").json()["deliveries"][0]["id"]
        for words in ("status", "list", "show 1", "history 1000", "why 1", "wait 1000", "events",
                      "hooks", "deliveries", f"deliveries show {dead}", "plan", "doctor",
                      "config check", "config show", "completion bash", "--help"):
            for options in ([], ["--json"]):
                if options and words.startswith(("completion", "--help")):
                    continue
                argv = [CTL, "--runtime-dir", self.stage.runtime_dir, *options, *words.split()]
                reader, writer = os.pipe()
                os.close(reader)
                for stdout, code in ((writer, -signal.SIGPIPE), (open("/dev/full", "wb"), 1)):
                    with self.subTest(words=words, options=options, code=code):
                        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=stdout,
                                              stderr=subprocess.PIPE, timeout=DEADLINE_S, check=False)
                        self.assertEqual(done.returncode, code, done.stderr)
                        self.assertEqual(b"cannot write" in done.stderr, code == 1, done.stderr)
                    if stdout != writer:
                        stdout.close()
                os.close(writer)

    def test_output_that_was_closed(self):
        """No socket takes the closed descriptor's place, and nobody takes what is lost for told."""
        for words in ("wait 1000", "events", "list"):
            argv = [CTL, "--runtime-dir", self.stage.runtime_dir, *words.split()]
            with self.subTest(words=words):
                done = subprocess.run(["sh", "-c", 'exec "$@" >&-', "sh", *map(str, argv)],
                                      stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                      timeout=DEADLINE_S, check=False)
                self.assertEqual(done.returncode, 1, done.stderr)
                self.assertIn(b"cannot write", done.stderr)

    def test_verbs_without(self):
        for words in (["completion", "zsh"], ["consume", "n", "--exec", "true"]):
            code, text, error = self.run_ctl("--json", *words)
            self.assertEqual((code, text), (2, ""))
            self.assertIn(f"{words[0]} has no --json", error)


if __name__ == "__main__":
    unittest.main(verbosity=2)
