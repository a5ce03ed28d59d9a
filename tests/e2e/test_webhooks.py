#!/usr/bin/env python3
"""Webhooks: what is sent, what an answer means, and what is never done."""

import base64
import collections
import hashlib
import hmac
import http.server
import json
import pathlib
import threading
import time
import unittest

from harness import QUIET_S, TestCase, assert_unchanged, wait_for

KEY = b"0123456789abcdef0123456789abcdef"
SECRET = "whsec_" + base64.b64encode(KEY).decode()
ACCOUNT = "acme"
LIBFAKETIME = sorted(pathlib.Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
FAST = {"retry_first": "20ms", "retry_max": "100ms"}

Hit = collections.namedtuple("Hit", "path headers body at")


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request, client_address):
        """A client that goes away, as one that is stopped does, is no error."""


class Receiver:
    """Keeps what it is sent; `answers` are taken one by one, the last for ever.

    An answer is a status, or (status, headers, body), or a function of the handler.
    """

    def __init__(self, *answers):
        self.answers = list(answers or (204,))
        self.hits = []
        self.n_now = self.n_most = 0
        self.lock = threading.Lock()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                receiver.take(self)

            def do_GET(self):
                receiver.take(self)

            def log_message(self, *_):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever,
                                       kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()

    def take(self, handler):
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        with self.lock:
            self.n_now += 1
            self.n_most = max(self.n_most, self.n_now)
            self.hits.append(Hit(handler.path, handler.headers, body, time.time()))
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        try:
            if callable(answer):
                answer = answer(handler)
            if answer is not None:
                self.reply(handler, *(answer if isinstance(answer, tuple) else (answer,)))
        except OSError:
            pass
        finally:
            with self.lock:
                self.n_now -= 1

    @staticmethod
    def reply(handler, status, headers=None, body=b""):
        handler.send_response(status)
        for name, value in (headers or {}).items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def signature(key, hit):
    text = b".".join([hit.headers["webhook-id"].encode(),
                      hit.headers["webhook-timestamp"].encode(), hit.body])
    return "v1," + base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode()


class Webhooks(TestCase):
    def receiver(self, *answers):
        receiver = Receiver(*answers)
        self.addCleanup(receiver.close)
        return receiver

    def start(self, hooks, jobs=1, script=None, **options):
        self.stage.sim("--speed", "200", script=script)
        self.stage.config({ACCOUNT: self.stage.account([str(1000 + i) for i in range(jobs)])},
                          hooks=hooks, **options)
        return self.stage.start()

    def deliveries(self, daemon, hook="hook"):
        return daemon.get(f"/v1/deliveries?hook={hook}&limit=1000").json()["deliveries"]

    def wait_state(self, daemon, state, n=1, hook="hook"):
        def fitting():
            return [d for d in self.deliveries(daemon, hook) if d["state"] == state]
        wait_for(lambda: len(fitting()) >= n, f"{n} deliveries {state}",
                 why=lambda: f"{self.deliveries(daemon, hook)}\n{self.stage.log()[-2000:]}")
        return fitting()

    # -- what is sent --

    def test_what_is_sent(self):
        receiver = self.receiver((200, {}, b"thank you"))
        secret = self.stage.secret("chat_secret", SECRET)
        daemon = self.start({"hook": {"url": receiver.url + "/in/x?team=a%20b&n=1",
                                      "secret_file": str(secret)}})
        [delivery] = self.wait_state(daemon, "delivered")
        [hit] = receiver.hits
        self.assertEqual(hit.path, "/in/x?team=a%20b&n=1")
        self.assertEqual(hit.headers["Content-Type"], "application/cloudevents+json")
        self.assertEqual(hit.headers["webhook-signature"], signature(KEY, hit))
        self.assertLess(abs(int(hit.headers["webhook-timestamp"]) - hit.at), 10)
        self.assertNotIn("Authorization", hit.headers)
        self.assertNotIn("bulkwatch-test", hit.headers)
        event = json.loads(hit.body)
        self.assertEqual(event["id"], hit.headers["webhook-id"])
        self.assertEqual(event["type"], "bulkwatch.job.completed")
        self.assertEqual(event["subject"], f"{ACCOUNT}/1000")
        self.assertEqual(event["data"]["state"], "COMPLETED")
        self.assertEqual(delivery["attempts"], 1)
        [attempt] = delivery["history"]
        self.assertEqual((attempt["end"], attempt["exit"], attempt["output"]),
                         ("http", 200, "thank you"))

    def test_the_same_event_as_a_program_gets(self):
        receiver = self.receiver(204)
        daemon = self.start({"hook": {"url": receiver.url}, "program": self.stage.hook("program")})
        self.wait_state(daemon, "delivered")
        [record] = self.stage.wait_records(1)
        self.assertEqual(json.loads(receiver.hits[0].body), record.event)

    def test_unsigned_without_a_secret(self):
        receiver = self.receiver(204)
        daemon = self.start({"hook": {"url": receiver.url}})
        self.wait_state(daemon, "delivered")
        self.assertNotIn("webhook-signature", receiver.hits[0].headers)
        self.assertEqual(receiver.hits[0].path, "/")

    def test_secrets_are_replaced_without_a_restart(self):
        receiver = self.receiver(204)
        secret = self.stage.secret("chat_secret", "an old secret")
        daemon = self.start({"hook": {"url": receiver.url, "secret_file": str(secret)}})
        self.wait_state(daemon, "delivered")
        self.assertEqual(receiver.hits[0].headers["webhook-signature"],
                         signature(b"an old secret", receiver.hits[0]))
        self.stage.secret("chat_secret", SECRET + "\nan old secret")
        daemon.post("/v1/jobs", {"account": ACCOUNT, "id": "2000"})
        self.wait_state(daemon, "delivered", 2)
        hit = receiver.hits[1]
        self.assertEqual(hit.headers["webhook-signature"].split(" "),
                         [signature(KEY, hit), signature(b"an old secret", hit)])

    def test_a_bad_secret_is_a_failed_attempt_until_it_is_mended(self):
        receiver = self.receiver(204)
        secret = self.stage.secret("chat_secret", "whsec_not/base64!")
        daemon = self.start({"hook": {"url": receiver.url, "secret_file": str(secret), **FAST}})
        wait_for(lambda: self.deliveries(daemon) and self.deliveries(daemon)[0]["attempts"] >= 2,
                 "failed attempts")
        self.assertEqual(receiver.hits, [])
        first = self.deliveries(daemon)[0]["history"][0]
        self.assertEqual(first["end"], "not_started")
        self.assertIn("base64", first["output"])
        self.assertNotIn("not/base64", first["output"] + self.stage.log())
        self.stage.secret("chat_secret", SECRET)
        self.wait_state(daemon, "delivered")
        self.assertEqual(receiver.hits[0].headers["webhook-signature"],
                         signature(KEY, receiver.hits[0]))

    def test_secrets_stay_secret(self):
        receiver = self.receiver(500)
        secret = self.stage.secret("chat_secret", SECRET)
        daemon = self.start({"hook": {"url": receiver.url + "/T0/B0/hush", "attempts": 2,
                                      "secret_file": str(secret), **FAST}}, log_level="debug")
        self.wait_state(daemon, "dead")
        shown = b"".join(daemon.get(path).data for path in
                         ("/v1/hooks", "/v1/status", "/v1/events?after=0", "/v1/deliveries"))
        self.assertIn(receiver.url.encode(), shown)
        self.assert_stops(daemon)
        for place in (shown, self.stage.log().encode(),
                      (self.stage.state_dir / "bulkwatch.db").read_bytes()):
            self.assertNotIn(SECRET[6:].encode(), place)
            self.assertNotIn(KEY, place)
            self.assertNotIn(b"/T0/B0", place)

    # -- what an answer means --

    def test_failures_are_tried_again_with_the_same_id(self):
        receiver = self.receiver(500, 404, (301, {"Location": "/elsewhere"}), 201)
        daemon = self.start({"hook": {"url": receiver.url, **FAST}})
        [delivery] = self.wait_state(daemon, "delivered")
        self.assertEqual([a["exit"] for a in delivery["history"]], [500, 404, 301, 201])
        self.assertEqual(len({hit.headers["webhook-id"] for hit in receiver.hits}), 1)
        self.assertEqual(len({hit.body for hit in receiver.hits}), 1)

    def test_redirects_are_not_followed(self):
        other = self.receiver(204)
        receiver = self.receiver(*[(status, {"Location": other.url}) for status in
                                   (301, 302, 303, 307, 308)])
        daemon = self.start({"hook": {"url": receiver.url, "attempts": 5, **FAST}})
        self.wait_state(daemon, "dead")
        self.assertEqual(len(receiver.hits), 5)
        self.assertEqual(other.hits, [])

    def test_gone_is_dead_at_once(self):
        receiver = self.receiver((410, {}, b"no such channel"))
        daemon = self.start({"hook": {"url": receiver.url, **FAST},
                             "watcher": self.stage.hook("watcher", on=["hook.dead"])})
        [delivery] = self.wait_state(daemon, "dead")
        self.assertEqual(delivery["attempts"], 1)
        [record] = self.stage.wait_records(1)
        self.assertEqual(record.event["data"]["hook"], "hook")
        self.assertEqual(record.event["data"]["code"], 410)
        self.assertEqual(record.event["data"]["output"], "no such channel")

    def test_retry_after_holds_the_hook_even_beyond_retry_max(self):
        receiver = self.receiver((429, {"Retry-After": "2"}), 204)
        daemon = self.start({"hook": {"url": receiver.url, "parallel": 1, **FAST}}, jobs=3)
        self.wait_state(daemon, "delivered", 3)
        self.assertEqual(len(receiver.hits), 4)
        # Others are not sent meanwhile either.
        self.assertGreaterEqual(receiver.hits[1].at - receiver.hits[0].at, 1.9)

    def test_a_reload_does_not_cut_it_short_but_another_address_does(self):
        held, other = self.receiver((429, {"Retry-After": "3600"}), 204), self.receiver(204)
        account = {ACCOUNT: self.stage.account(["1000", "1001", "1002"])}
        config = {"hook": {"url": held.url, "parallel": 1, **FAST}}
        daemon = self.start(config, jobs=3)
        self.wait_state(daemon, "pending", 3)
        wait_for(lambda: len(held.hits) == 1, "the request that is answered 429")
        config["hook"]["attempts"] = 30
        self.stage.config(account, hooks=config)
        self.assertEqual(daemon.reload().status, 200)
        assert_unchanged(lambda: len(held.hits), QUIET_S, "number of requests")
        config["hook"]["url"] = other.url
        self.stage.config(account, hooks=config)
        self.assertEqual(daemon.reload().status, 200)
        self.wait_state(daemon, "delivered", 2)
        self.assertEqual((len(held.hits), len(other.hits)), (1, 2))

    @unittest.skipUnless(LIBFAKETIME, "libfaketime is not installed")
    def test_a_clock_set_back_between_lives_delays_nothing_but_for_what_was_asked(self):
        failing, asking = self.receiver(500, 204), self.receiver((500, {"Retry-After": "3600"}), 204)
        daemon = self.start({"hook": {"url": failing.url, "retry_first": "3s", "retry_max": "3s"},
                             "asked": {"url": asking.url, **FAST}})
        self.wait_state(daemon, "pending", hook="asked")
        wait_for(lambda: self.deliveries(daemon)[0]["attempts"] == 1, "a failed attempt")
        self.assert_stops(daemon)
        daemon = self.stage.start(environment=self.stage.environment(
            LD_PRELOAD=str(LIBFAKETIME[0]), FAKETIME="-2d", FAKETIME_DONT_FAKE_MONOTONIC="1",
            ASAN_OPTIONS="verify_asan_link_order=0:detect_leaks=0"))
        self.wait_state(daemon, "delivered")
        assert_unchanged(lambda: len(asking.hits), QUIET_S, "number of requests")

    def test_retry_after_of_another_failure_holds_that_delivery_alone(self):
        receiver = self.receiver((500, {"Retry-After": "3600"}), 204)
        daemon = self.start({"hook": {"url": receiver.url, "parallel": 1, **FAST}}, jobs=3)
        self.wait_state(daemon, "delivered", 2)
        [held] = self.wait_state(daemon, "pending")
        assert_unchanged(lambda: len(receiver.hits), QUIET_S, "number of requests")
        # A restart does not forget it, a retry by hand does.
        self.assert_stops(daemon)
        daemon = self.stage.start()
        assert_unchanged(lambda: len(receiver.hits), QUIET_S, "number of requests")
        self.assertEqual(daemon.post(f"/v1/deliveries/{held['id']}/retry").status, 202)
        self.wait_state(daemon, "delivered", 3)

    def test_nonsense_in_retry_after_is_no_wait(self):
        receiver = self.receiver(*[(503, {"Retry-After": text}) for text in
                                   ("-5", "abc", "Sun, 06 Nov 1994 08:49:37 GMT", "0")], 204)
        daemon = self.start({"hook": {"url": receiver.url, **FAST}})
        self.wait_state(daemon, "delivered")
        self.assertEqual(len(receiver.hits), 5)

    def test_time_out(self):
        release = threading.Event()
        self.addCleanup(release.set)

        def hang(_):
            release.wait(20)

        receiver = self.receiver(hang, 204)
        daemon = self.start({"hook": {"url": receiver.url, "timeout": "300ms", **FAST}})
        [delivery] = self.wait_state(daemon, "delivered")
        self.assertEqual(delivery["history"][0]["end"], "timed_out")
        self.assertLess(delivery["history"][0]["duration"], 5)

    def test_nobody_there_then_somebody(self):
        receiver = self.receiver(204)
        url, port = receiver.url, receiver.server.server_address[1]
        receiver.server.shutdown()
        receiver.server.server_close()
        daemon = self.start({"hook": {"url": url, **FAST}})
        wait_for(lambda: self.deliveries(daemon) and self.deliveries(daemon)[0]["attempts"] >= 2,
                 "failed attempts")
        first = self.deliveries(daemon)[0]["history"][0]
        self.assertEqual((first["end"], first["exit"]), ("http", 0))
        self.assertTrue(first["output"])
        server = Server(("127.0.0.1", port), receiver.server.RequestHandlerClass)
        receiver.server = server
        receiver.thread = threading.Thread(target=server.serve_forever, daemon=True)
        receiver.thread.start()
        self.wait_state(daemon, "delivered")

    def test_the_first_64_kib_of_an_answer_are_kept(self):
        receiver = self.receiver((500, {}, b"begin" + b"x" * 200000 + b"end"),
                                 (200, {}, b"y" * 3000000))
        daemon = self.start({"hook": {"url": receiver.url, **FAST}})
        [delivery] = self.wait_state(daemon, "delivered")
        first, second = delivery["history"]
        self.assertEqual(len(first["output"]), 65536)
        self.assertTrue(first["output"].startswith("beginx"))
        # Longer than anybody reads, but a 200.
        self.assertEqual((second["end"], second["exit"]), ("http", 200))

    # -- many, changes, tests --

    def test_parallel_is_a_bound(self):
        def slowly(_):
            time.sleep(0.02)
            return 204

        receiver = self.receiver(slowly)
        daemon = self.start({"hook": {"url": receiver.url, "parallel": 3}}, jobs=60)
        self.wait_state(daemon, "delivered", 60)
        self.assertEqual(len(receiver.hits), 60)
        self.assertEqual(receiver.n_most, 3)

    def test_a_changed_address_applies_to_the_next_attempt(self):
        old, new = self.receiver(500), self.receiver(204)
        config = {"hook": {"url": old.url, **FAST}}
        daemon = self.start(config)
        wait_for(lambda: len(old.hits) >= 2, "failed attempts")
        config["hook"]["url"] = new.url
        self.stage.config({ACCOUNT: self.stage.account(["1000"])}, hooks=config)
        self.assertEqual(daemon.reload().status, 200)
        self.wait_state(daemon, "delivered")
        self.assertEqual(len(new.hits), 1)
        n = len(old.hits)
        # And to a program.
        config["hook"] = self.stage.hook()
        self.stage.config({ACCOUNT: self.stage.account(["1000", "1001"])}, hooks=config)
        self.assertEqual(daemon.reload().status, 200)
        self.stage.wait_records(1)
        self.assertEqual((len(old.hits), len(new.hits)), (n, 1))

    def test_test_by_hand(self):
        receiver = self.receiver((202, {}, b"heard"), (204,), (500, {}, b"oh"))
        secret = self.stage.secret("chat_secret", SECRET)
        daemon = self.start({"hook": {"url": receiver.url, "on": ["job.lost"],
                                      "secret_file": str(secret)}})
        daemon.wait_finished(1)
        shown = daemon.post("/v1/hooks/hook/test").json()
        self.assertEqual((shown["end"], shown["exit"], shown["delivered"], shown["output"]),
                         ("http", 202, True, "heard"))
        [hit] = receiver.hits
        self.assertEqual(hit.headers["bulkwatch-test"], "1")
        self.assertEqual(hit.headers["webhook-signature"], signature(KEY, hit))
        self.assertIn("webhook-id: " + hit.headers["webhook-id"], shown["headers"])
        self.assertEqual(shown["body"].encode(), hit.body)
        seq = daemon.events()[-1]["seq"]
        shown = daemon.post("/v1/hooks/hook/test", {"event": seq}).json()
        self.assertEqual((shown["exit"], shown["delivered"]), (204, True))
        self.assertTrue(json.loads(shown["body"])["id"].endswith(f"-{seq}"))
        shown = daemon.post("/v1/hooks/hook/test").json()
        self.assertEqual((shown["exit"], shown["delivered"]), (500, False))
        self.assertEqual(self.deliveries(daemon), [])
        self.stage.secret("chat_secret", "whsec_?")
        refused = daemon.post("/v1/hooks/hook/test")
        self.assertEqual(refused.status, 409)
        self.assertIn("base64", refused.json()["detail"])

    def test_a_stop_waits_for_what_is_under_way(self):
        release = threading.Event()
        self.addCleanup(release.set)

        def later(_):
            release.wait(20)
            return 204

        receiver = self.receiver(later)
        daemon = self.start({"hook": {"url": receiver.url}})
        wait_for(lambda: receiver.hits, "a request")
        daemon.send(15)
        assert_unchanged(lambda: daemon.process.poll(), 0.3, "the daemon")
        release.set()
        self.assertEqual(daemon.process.wait(20), 0)
        [row] = self.stage.rows("SELECT state FROM deliveries")
        self.assertEqual(row["state"], "delivered")


if __name__ == "__main__":
    unittest.main()
