#!/usr/bin/env python3
"""The sample hooks of config/hooks.d, run by the daemon as they ship."""

import http.server
import json
import pathlib
import shutil
import threading
import unittest

from harness import ROOT, TestCase, wait_for

SAMPLES = ROOT / "config" / "hooks.d"
ACCOUNT = "acme"
FAST = {"retry_first": "20ms", "retry_max": "100ms"}


class Samples(TestCase):
    def need(self, *programs):
        for program in programs:
            if not shutil.which(program):
                self.skipTest(f"{program} is not installed")

    def sample(self, name):
        """A copy: the tree of sources may belong to somebody else."""
        return str(self.stage.program(name, (SAMPLES / name).read_text()))

    def start(self, hook, jobs=("1000",), **more):
        self.stage.sim("--speed", "200")
        self.stage.config({ACCOUNT: self.stage.account(list(jobs))}, hooks={"hook": hook, **more})
        daemon = self.stage.start()
        daemon.wait_finished(len(jobs))
        return daemon

    def wait_state(self, daemon, state, n=1):
        def fitting():
            return [d for d in daemon.get("/v1/deliveries").json()["deliveries"]
                    if d["state"] == state and d["hook"] == "hook"]
        wait_for(lambda: len(fitting()) == n, f"{n} deliveries {state}",
                 why=lambda: daemon.get("/v1/deliveries").data.decode())
        return fitting()

    def test_they_can_be_run(self):
        for path in SAMPLES.iterdir():
            self.assertEqual(path.stat().st_mode & 0o777, 0o755, path)

    # -- download-csv --

    def download(self, **more):
        self.need("curl", "unzip")
        exports = self.stage.dir / "exports"
        exports.mkdir()
        self.stage.secret()
        hook = {"exec": [self.sample("download-csv"), str(exports),
                         str(self.stage.dir / "token")], "on": ["job.completed"], **FAST}
        return exports, self.start(hook, **more)

    def test_download_csv(self):
        exports, daemon = self.download(jobs=("1000", "1001"))
        self.wait_state(daemon, "delivered", 2)
        self.assertEqual(sorted(path.name for path in exports.iterdir()),
                         [f"{ACCOUNT}-1000.csv", f"{ACCOUNT}-1001.csv"])
        lines = (exports / f"{ACCOUNT}-1000.csv").read_text().splitlines()
        job = daemon.job(ACCOUNT, "1000")
        self.assertEqual(len(lines), 1 + job["result"]["count"])
        # Once more does no harm and asks nobody.
        n = len(self.stage.simulator.requests())
        seq = [e["seq"] for e in daemon.events("&type=job.completed")][0]
        self.assertTrue(daemon.post("/v1/deliveries/1/retry").status in (202, 409))
        stamp = (exports / f"{ACCOUNT}-1000.csv").stat().st_mtime_ns
        shown = daemon.post("/v1/hooks/hook/test", {"event": seq}).json()
        self.assertEqual((shown["exit"], shown["delivered"]), (0, True), shown)
        self.assertEqual((exports / f"{ACCOUNT}-1000.csv").stat().st_mtime_ns, stamp)
        self.assertEqual(len(self.stage.simulator.requests()), n)

    def test_download_csv_sends_no_token_in_a_test(self):
        exports, daemon = self.download()
        self.wait_state(daemon, "delivered")
        n = len(self.stage.simulator.requests())
        shown = daemon.post("/v1/hooks/hook/test").json()
        self.assertEqual((shown["exit"], shown["output"]), (0, "a test: nothing is downloaded\n"))
        self.assertEqual(len(self.stage.simulator.requests()), n)
        self.assertEqual(len(list(exports.iterdir())), 1)

    def test_download_csv_without_its_token_is_tried_again(self):
        self.need("curl", "unzip")
        exports = self.stage.dir / "exports"
        exports.mkdir()
        token = self.stage.dir / "hook-token"
        daemon = self.start({"exec": [self.sample("download-csv"), str(exports), str(token)],
                             "on": ["job.completed"], "attempts": 1000, **FAST})
        wait_for(lambda: daemon.get("/v1/deliveries").json()["deliveries"][0]["attempts"] >= 2,
                 "failed attempts")
        # Another attempt may be at work under a hidden name.
        self.assertEqual(list(exports.glob("[!.]*")), [])
        self.assertNotIn("/result", [r.get("path", "")[-7:] for r in
                                     self.stage.simulator.requests()])
        self.stage.secret("hook-token")
        self.wait_state(daemon, "delivered")
        self.assertEqual([path.name for path in exports.iterdir()], [f"{ACCOUNT}-1000.csv"])

    # -- post-chat --

    def chat(self, *statuses):
        self.need("curl", "jq")
        hits, left = [], list(statuses)

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hits.append((self.path, self.headers, json.loads(body)))
                self.send_response(left.pop(0) if len(left) > 1 else left[0])
                self.end_headers()

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        config = self.stage.secret("chat.curl",
                                   f'url = "http://127.0.0.1:{server.server_address[1]}/secret"')
        return hits, {"exec": [self.sample("post-chat"), str(config)], **FAST}

    def test_post_chat(self):
        hits, hook = self.chat(500, 200)
        daemon = self.start(hook, jobs=({"id": "1000", "name": 'the "nightly" one'},))
        self.wait_state(daemon, "delivered")
        self.assertEqual(len(hits), 2)
        path, headers, body = hits[1]
        self.assertEqual(path, "/secret")
        self.assertEqual(body, {"text": f'job.completed: {ACCOUNT}/1000 (the "nightly" one), '
                                        "COMPLETED, 20 records"})
        self.assertEqual(headers["Idempotency-Key"], hits[0][1]["Idempotency-Key"])
        daemon.post("/v1/hooks/hook/test")
        self.assertTrue(hits[-1][2]["text"].endswith("(a test)"), hits[-1])

    def test_post_chat_to_nobody(self):
        _, hook = self.chat(404)
        daemon = self.start(hook)
        [delivery] = self.wait_state(daemon, "dead")
        self.assertEqual([a["exit"] for a in delivery["history"]], [65])

    # -- start-unit --

    def test_start_unit(self):
        bin_dir, events = self.stage.dir / "bin", self.stage.dir / "events"
        bin_dir.mkdir()
        events.mkdir()
        said = self.stage.dir / "said"
        systemctl = bin_dir / "systemctl"
        systemctl.write_text(f"#!/bin/sh\necho \"$@\" >>{said}\n")
        systemctl.chmod(0o755)
        self.stage.sim("--speed", "200")
        self.stage.config({ACCOUNT: self.stage.account(["1000"])}, hooks={"hook": {
            "exec": [self.sample("start-unit"), "load-export", str(events)]}})
        path = f"{bin_dir}:" + self.stage.environment()["PATH"]
        daemon = self.stage.start(environment=self.stage.environment(PATH=path))
        self.wait_state(daemon, "delivered")
        self.assertEqual(said.read_text(), f"start load-export@{ACCOUNT}:1000.service\n")
        event = json.loads(pathlib.Path(events / f"{ACCOUNT}:1000.json").read_text())
        self.assertEqual(event["type"], "bulkwatch.job.completed")
        shown = daemon.post("/v1/hooks/hook/test").json()
        self.assertEqual(shown["exit"], 0)
        self.assertEqual(len(said.read_text().splitlines()), 1)

    def test_wrong_use_is_given_up(self):
        for name in ("download-csv", "post-chat", "start-unit"):
            with self.subTest(name):
                stage, self.stage = self.stage, self.new_stage()
                daemon = self.start({"exec": [self.sample(name)]})
                [delivery] = self.wait_state(daemon, "dead")
                self.assertEqual(delivery["history"][0]["exit"], 65)
                self.assertIn("usage: " + name, delivery["history"][0]["output"])
                self.stage = stage


if __name__ == "__main__":
    unittest.main()
