#!/usr/bin/env python3
"""GET /metrics: the format, strictly; that the numbers are true; that nothing names a job; where it
is answered; and that the dashboard and the rules speak of what there is."""

import calendar
import http.client
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import time
import unittest

from harness import (CREDITS, DEADLINE_S, QUIET_S, ROOT, TestCase, assert_unchanged, ask, opened_by,
                     wait_for)

CLIENT = {"client_id": "1000.FACTS", "client_secret": "secret0123456789abcdef",
          "refresh_token": "1000.refresh0123456789.abcdef"}
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
METRIC = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"'
SAMPLE = re.compile(rf"({METRIC})(?:\{{({LABEL}(?:,{LABEL})*)\}})? (\S+)")
LABELS = {"account", "datacenter", "hook", "state", "type", "result", "version", "le"}
LIVES = [{"id": "1-999", "life": [{"state": "ADDED"}]},
         {"id": "1000-1999", "life": [{"state": "ADDED", "polls": 1}, {"state": "COMPLETED"}]},
         {"id": "2000-2999", "life": [{"state": "FAILURE"}]},
         {"id": "5000", "life": [{"state": 'SO "CALLED" \\ \u00dcBRIG'}]}]


def unescape(text):
    return re.sub(r"\\(.)", lambda match: "\n" if match[1] == "n" else match[1], text)


class Families:
    """A page of metrics, taken apart by the rules of the text format 0.0.4; anything else raises."""

    def __init__(self, text):
        self.types, self.samples, self.order = {}, {}, []
        assert text.endswith("\n"), "the last line has an end"
        family = None
        for line in text[:-1].split("\n"):
            if line.startswith("# HELP "):
                family = self.begin(line)
            elif line.startswith("# TYPE "):
                self.set_type(line, family)
            else:
                self.take(line, family)

    def begin(self, line):
        _, _, name, words = line.split(" ", 3)
        assert re.fullmatch(METRIC, name) and words, line
        assert name not in self.order, f"{name} comes twice"
        self.order.append(name)
        return name

    def set_type(self, line, family):
        _, _, name, kind = line.split(" ")
        assert name == family and name not in self.types, line
        assert kind in ("counter", "gauge", "histogram"), line
        assert (kind == "counter") == name.endswith("_total"), line
        self.types[name] = kind

    def take(self, line, family):
        match = SAMPLE.fullmatch(line)
        assert match, f"no sample: {line!r}"
        name, labels = match[1], re.findall(LABEL, match[2] or "")
        names = [label for label, _ in labels]
        assert len(names) == len(set(names)), line
        assert family in self.types, f"{name} has no type"
        suffixes = ("_bucket", "_sum", "_count") if self.types[family] == "histogram" else ("",)
        assert name in [family + suffix for suffix in suffixes], f"{name} stands in {family}"
        key = (name, frozenset((label, unescape(value)) for label, value in labels))
        assert key not in self.samples, f"twice: {line}"
        self.samples[key] = float(match[match.lastindex])

    def get(self, name, **labels):
        return self.samples.get((name, frozenset(labels.items())))

    def of(self, name):
        return {labels: value for (sample, labels), value in self.samples.items()
                if sample == name}

    def total(self, name, **labels):
        wanted = set(labels.items())
        return sum(value for found, value in self.of(name).items() if wanted <= found)

    def check_histograms(self):
        for name in (name for name, kind in self.types.items() if kind == "histogram"):
            groups = {}
            for labels, value in self.of(name + "_bucket").items():
                bound = float(dict(labels)["le"])
                rest = frozenset(label for label in labels if label[0] != "le")
                groups.setdefault(rest, []).append((bound, value))
            assert set(groups) == set(self.of(name + "_count")) == set(self.of(name + "_sum")), name
            for rest, buckets in groups.items():
                values = [value for _, value in sorted(buckets)]
                assert values == sorted(values), f"{name}: {buckets}"
                assert max(buckets)[0] == float("inf"), name
                assert values[-1] == self.samples[(name + "_count", rest)], name


def promtool(*arguments, data=b""):
    """Its exit code and words; ./dev test sees to it that there is one."""
    for tool in (os.environ.get("PROMTOOL"), "promtool", ROOT / "build" / "tools" / "promtool"):
        if tool and shutil.which(tool):
            done = subprocess.run([tool, *map(str, arguments)], input=data, capture_output=True,
                                  check=False)
            return done.returncode, (done.stdout + done.stderr).decode()
    raise AssertionError("there is no promtool: ./dev test brings it")


def free_address():
    """Of the loopback network, but one that nobody else's connections come from: a free port of
    127.0.0.1 may be taken by any client before it is listened on."""
    pid = os.getpid()
    address = f"127.{1 + (pid >> 16 & 63)}.{pid >> 8 & 255}.{pid & 255}"
    with socket.socket() as probe:
        probe.bind((address, 0))
        return address, probe.getsockname()[1]


class Format(unittest.TestCase):
    """The parser must refuse what is wrong, else it proves nothing."""

    def test_it_refuses(self):
        head = "# HELP a_total Words.\n# TYPE a_total counter\n"
        Families(head + 'a_total{b="c\\n\\"\\\\"} 1\n')
        for text in ("a_total 1\n", head + "b 1\n", head + "a_total 1", head + "a_total 1\na_total 1\n",
                     head + 'a_total{b="c} 1\n', head + 'a_total{b="c",b="d"} 1\n', head + head,
                     head + "a_total x\n", head + 'a_total{b="\\x"} 1\n', head + "\n"):
            with self.subTest(text=text), self.assertRaises((AssertionError, ValueError)):
                Families(text)
        broken = Families('# HELP h Words.\n# TYPE h histogram\nh_bucket{le="1"} 2\n'
                          'h_bucket{le="+Inf"} 1\nh_sum 1\nh_count 1\n')
        with self.assertRaises(AssertionError):
            broken.check_histograms()


class Metrics(TestCase):
    def start(self, jobs, **options):
        self.sim = self.stage.sim("--admin", script={"jobs": LIVES})
        options.setdefault("hooks", {"load": self.stage.hook("load"),
                                     "sick": {"exec": ["/bin/false"], "attempts": 1}})
        self.stage.config({"acme": self.stage.account(jobs)}, **options)
        self.began = time.time()
        daemon = self.stage.start()
        self.answered = time.time()
        return daemon

    def families(self, path=None):
        reply = ask(path or self.stage.daemon.query, "GET", "/metrics")
        self.assertEqual((reply.status, reply.content_type), (200, CONTENT_TYPE))
        families = Families(reply.data.decode())
        families.check_histograms()
        return families

    def test_the_numbers_are_true(self):
        daemon = self.start(["1", "1000", "1001", "2000", "5000"])
        daemon.wait_finished(3)
        daemon.wait_delivered()
        wait_for(lambda: not daemon.jobs("&state=PENDING"), "first answers")
        wait_for(lambda: self.families().get("bulkwatch_poll_lag_seconds_count", datacenter="eu") > 7,
                 "more polls")
        acme = {"account": "acme", "datacenter": "eu"}
        now = self.families()
        for state, n in (("COMPLETED", 2), ("FAILURE", 1), ("ADDED", 1),
                         ('SO "CALLED" \\ \u00dcBRIG', 1)):
            self.assertEqual(now.get("bulkwatch_jobs", state=state, **acme), n, state)
        counts = {}
        for event in daemon.events():
            counts[event["type"]] = counts.get(event["type"], 0) + 1
        for kind, n in counts.items():
            if kind != "hook.dead":
                self.assertEqual(now.get("bulkwatch_events_total", type=kind, **acme), n, kind)
        self.assertEqual(now.get("bulkwatch_last_seq"), sum(counts.values()))
        for hook, result, n in (("load", "delivered", 3), ("load", "dead", 0), ("sick", "dead", 3),
                                ("sick", "delivered", 0)):
            self.assertEqual(now.get("bulkwatch_hook_attempts_total", hook=hook, result=result), n)
        self.assertEqual(now.get("bulkwatch_hook_dead", hook="sick"), 3)
        self.assertEqual(now.get("bulkwatch_hook_pending", hook="load"), 0)
        self.assertEqual(now.get("bulkwatch_hook_oldest_pending_seconds", hook="load"), 0)
        self.assertEqual(now.get("bulkwatch_hook_duration_seconds_count", hook="load"), 3)
        self.assertGreaterEqual(now.get("bulkwatch_polls_total", result="status", **acme), 7)
        self.assertEqual(now.get("bulkwatch_polls_total", result="garbled", **acme), 0)
        self.assertEqual(now.get("bulkwatch_poll_duration_seconds_count", datacenter="eu"),
                         now.total("bulkwatch_polls_total"))
        self.assertEqual(now.get("bulkwatch_detection_delay_seconds_count", datacenter="eu"), 2)
        self.assertGreater(now.get("bulkwatch_poll_lag_seconds_count", datacenter="eu"), 7)
        self.assertGreaterEqual(now.get("bulkwatch_credits_used", **acme), 7)
        self.assertEqual(now.get("bulkwatch_account_state", state="ok", **acme), 1)
        self.assertEqual(now.get("bulkwatch_account_state", state="paused", **acme), 0)
        self.assertGreater(now.get("bulkwatch_commit_duration_seconds_count"), 3)
        self.assertGreater(now.get("bulkwatch_loop_turn_seconds_count"), 10)
        self.assertEqual(now.get("bulkwatch_database_full"), 0)
        self.assertGreater(now.get("bulkwatch_database_bytes"), 4096)
        self.assertEqual(now.get("bulkwatch_build_info", version=daemon.status()["version"]), 1)
        self.check_process(now, daemon)

    def check_process(self, now, daemon):
        with open(f"/proc/{daemon.pid}/statm") as file:
            resident = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        self.assertAlmostEqual(now.get("process_resident_memory_bytes") / resident, 1, delta=0.5)
        self.assertAlmostEqual(now.get("process_open_fds"),
                               len(os.listdir(f"/proc/{daemon.pid}/fd")), delta=5)
        self.assertGreater(now.get("process_cpu_seconds_total"), 0)
        # Not by the times of files in /proc, which are those of the first look at them.
        self.assertGreater(now.get("process_start_time_seconds"), self.began - 2)
        self.assertLess(now.get("process_start_time_seconds"), self.answered + 2)

    def test_requests_agree_with_the_server(self):
        daemon = self.start(["1000", "1001"])
        daemon.wait_finished(2)
        wait_for(lambda: daemon.status()["in_flight"] == 0, "quiet")
        sent = sum(r.get("job") is not None for r in self.sim.requests())
        self.assertEqual(self.families().total("bulkwatch_requests_total"), sent)

    def test_no_label_names_a_job(self):
        ids = [str(3652397000000000000 + i) for i in range(200)]
        daemon = self.start([{"id": i, "name": f"name-of-{i}"} for i in ids])
        wait_for(lambda: not daemon.jobs("&state=PENDING"), "first answers")
        text = daemon.get("/metrics").data.decode()
        self.assertNotIn("name-of-", text)
        self.assertNotIn("36523970000000", text)
        labels = {label for _, found in self.families().samples for label, _ in found}
        self.assertLessEqual(labels, LABELS)

    def test_pauses_holds_and_reloads(self):
        daemon = self.start(["1"])
        acme = {"account": "acme", "datacenter": "eu"}
        self.sim.admin("POST", "/jobs", {"jobs": [{"id": "1", "life": [
            {"fault": "invalid_token"}]}]})
        wait_for(lambda: daemon.account("acme")["state"] == "paused", "the pause")
        wait_for(lambda: self.families().get(
            "bulkwatch_events_total", type="account.paused", **acme) == 1, "its event")
        now = self.families()
        self.assertEqual(now.get("bulkwatch_account_state", state="paused", **acme), 1)
        self.assertEqual(now.get("bulkwatch_account_pauses_total", **acme), 1)
        self.assertGreaterEqual(now.get("bulkwatch_polls_total", result="refused", **acme), 1)
        self.assertEqual(daemon.reload().status, 200)
        good = self.stage.config_file.read_text()
        self.stage.config_file.write_text("nonsense: 1\n")
        self.assertEqual(daemon.reload().status, 422)
        now = self.families()
        self.assertEqual((now.get("bulkwatch_config_reloads_total", result="taken"),
                          now.get("bulkwatch_config_reloads_total", result="refused"),
                          now.get("bulkwatch_config_last_reload_successful")), (1, 1, 0))
        self.stage.config_file.write_text(good)
        self.assertEqual(daemon.reload().status, 200)
        self.assertEqual(self.families().get("bulkwatch_config_last_reload_successful"), 1)

    def test_streams_and_waiters_are_counted(self):
        daemon = self.start(["1"])
        streams = [daemon.follow() for _ in range(3)]
        with socket.socket(socket.AF_UNIX) as waiter:
            waiter.connect(str(daemon.query))
            waiter.sendall(b"GET /v1/jobs/acme/1/wait HTTP/1.1\r\nHost: x\r\n\r\n")
            wait_for(lambda: self.families().get("bulkwatch_waiters") == 1, "the waiter")
            now = self.families()
            self.assertEqual(now.get("bulkwatch_streams"), 3)
            self.assertGreaterEqual(now.get("bulkwatch_connections"), 4)
        for stream in streams:
            stream.close()
        wait_for(lambda: self.families().get("bulkwatch_waiters") == 0 and
                 self.families().get("bulkwatch_streams") == 0, "their leaving")

    def over_tcp(self, address, method, target):
        connection = http.client.HTTPConnection(*address, timeout=DEADLINE_S)
        try:
            connection.request(method, target)
            reply = connection.getresponse()
            return reply.status, reply.headers.get("Content-Type"), reply.read()
        finally:
            connection.close()

    def test_over_tcp_nothing_else_is_answered(self):
        address = free_address()
        daemon = self.start(["1000"], metrics_listen="%s:%d" % address)
        daemon.wait_finished(1)
        status, kind, data = self.over_tcp(address, "GET", "/metrics")
        self.assertEqual((status, kind), (200, CONTENT_TYPE))
        Families(data.decode()).check_histograms()
        self.assertEqual(self.over_tcp(address, "HEAD", "/metrics")[0::2], (200, b""))
        for method, target in (("GET", "/v1/jobs"), ("GET", "/v1/status"), ("POST", "/v1/reload"),
                               ("GET", "/"), ("POST", "/metrics"), ("GET", "/metrics/"),
                               ("DELETE", "/v1/jobs/acme/1000"), ("GET", "/v1/events?follow=true")):
            status, _, data = self.over_tcp(address, method, target)
            self.assertEqual(status, 404, (method, target))
            self.assertNotIn(b"acme", data)
        self.assertEqual(self.over_tcp(address, "GET", "/metrics?x=1")[0], 400)
        self.assertTrue(daemon.job("acme", "1000")["watched"])
        # Another port needs a restart; a port that is taken ends a start.
        self.stage.config({"acme": self.stage.account(["1000"])},
                          metrics_listen="127.0.0.1:9464")
        reply = daemon.reload()
        self.assertEqual(reply.status, 422)
        self.assertIn("metrics_listen", reply.json()["detail"])
        self.assert_stops(daemon)
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            self.stage.config({"acme": self.stage.account(["1000"])},
                              metrics_listen=f"127.0.0.1:{taken.getsockname()[1]}")
            code, said = self.stage.run()
        self.assertEqual(code, 69, said)
        self.assertIn("metrics_listen", said)

    def test_addresses_that_are_refused(self):
        self.start(["1000"])
        self.assert_stops(self.stage.daemon)
        for address in ("0.0.0.0:9464", "192.0.2.1:9464", "localhost:9464", "127.0.0.1", "9464",
                        "127.0.0.1:0", "127.0.0.1:65536", "[::]:9464", "::1:9464", "[::1]", ":1",
                        "[127.0.0.1]:9464", "127.0.0.1:+1", "127.0.0.1: 1", "["):
            with self.subTest(address=address):
                self.stage.config({"acme": self.stage.account(["1000"])}, metrics_listen=address)
                code, said = self.stage.run("--check", "-c", self.stage.config_file)
                self.assertEqual(code, 78, said)
                self.assertIn("metrics_listen: expected a loopback address", said)
        for address in ("127.0.0.1:9464", "[::1]:9464", "127.1.2.3:1"):
            self.stage.config({"acme": self.stage.account(["1000"])}, metrics_listen=address)
            self.assertEqual(self.stage.run("--check", "-c", self.stage.config_file)[0], 0, address)

    def test_textfile(self):
        path = self.stage.dir / "out" / "bulkwatch.prom"
        daemon = self.start(["1000"], metrics_textfile=str(path))
        wait_for(lambda: "metrics_textfile" in self.stage.log(), "a word about the directory")
        path.parent.mkdir()
        other = path.with_name("other.prom")
        self.stage.config({"acme": self.stage.account(["1000"])}, metrics_textfile=str(other))
        self.assertEqual(daemon.reload().status, 200)
        wait_for(other.exists, "the file")
        Families(other.read_text()).check_histograms()
        self.assertEqual(other.stat().st_mode & 0o777, 0o644)
        self.assertEqual([p.name for p in path.parent.iterdir()], [other.name])
        # Taken away when it is true no more: renamed by a reload, and at the stop.
        self.stage.config({"acme": self.stage.account(["1000"])}, metrics_textfile=str(path))
        self.assertEqual(daemon.reload().status, 200)
        wait_for(path.exists, "the file")
        self.assertEqual([p.name for p in path.parent.iterdir()], [path.name])
        self.assert_stops(daemon)
        self.assertEqual(list(path.parent.iterdir()), [])

    def test_promtool_finds_nothing(self):
        daemon = self.start(["1", "1000", "5000"])
        daemon.wait_finished(1)
        wait_for(lambda: not daemon.jobs("&state=PENDING"), "first answers")
        text = daemon.get("/metrics").data
        self.assertEqual(promtool("check", "metrics", data=text), (0, ""))
        for old, new in ((b"bulkwatch_events_total", b"bulkwatch_events"),
                         (b"# HELP bulkwatch_last_seq", b"# A bulkwatch_last_seq"),
                         (b'state="ok"', b'state="ok')):
            self.assertIn(old, text)
            code, said = promtool("check", "metrics", data=text.replace(old, new))
            self.assertNotEqual(code, 0, said)

    def test_quiet_without_listeners(self):
        """Nothing of it is on unless somebody asks for it."""
        daemon = self.start(["1"])
        self.assertNotIn("LISTEN", tcp_of(daemon.pid))
        assert_unchanged(lambda: tcp_of(daemon.pid).count("LISTEN"), QUIET_S, "TCP sockets")


def parse_time(text):
    """Seconds of Unix time of RFC 3339 in UTC."""
    return calendar.timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S"))


class Facts(TestCase):
    """A run with known troubles: each number against what others saw of it, which are the simulator's
    log, the hooks' own records, the journal, and the files."""

    SCRIPT = {"clients": [CLIENT], "jobs": [
        {"id": "10", "life": [{"state": "ADDED", "polls": 1}, {"state": "COMPLETED"}]},
        {"id": "11", "life": [{"fault": "garbage", "polls": 2}, {"state": "FAILURE"}]},
        {"id": "12", "life": [{"fault": "500", "polls": 1}, {"state": "COMPLETED"}]},
        {"id": "13", "life": [{"fault": "not_found", "polls": 2}, {"state": "QUEUED", "polls": 1},
                              {"state": "COMPLETED"}]},
        {"id": "14", "life": [{"state": "ADDED"}]},
        {"id": "20", "life": [{"state": "IN PROGRESS", "polls": 2}, {"state": "COMPLETED"}]},
        {"id": "30", "life": [{"state": "COMPLETED"}]}],
        "faults": [{"dc": "us", "what": "429", "times": 1, "retry_after": "1"}]}
    ACCOUNTS = {"acme": ("eu", ["10", "11", "12", "13", "14"]), "beta": ("us", ["20"]),
                "gamma": ("jp", ["30"])}
    FINISHED = 6
    RESULT_OF_STATUS = {200: "garbled", 500: "unreachable", 404: "not_found", 429: "throttled"}

    def setUp(self):
        super().setUp()
        self.sim = self.stage.sim(script=self.SCRIPT, dcs=("eu", "us", "jp"))
        self.gate = self.stage.dir / "go"
        for name in ("client_secret", "refresh_token"):
            self.stage.secret(name, CLIENT[name])
        accounts = {name: self.stage.account(jobs, dc)
                    for name, (dc, jobs) in self.ACCOUNTS.items()}
        for account in accounts.values():
            del account["access_token_file"]
            account.update(client_id=CLIENT["client_id"],
                           client_secret_file=str(self.stage.dir / "client_secret"),
                           refresh_token_file=str(self.stage.dir / "refresh_token"))
        self.stage.config(accounts, hooks={
            "load": self.stage.hook("load"),
            "sick": self.stage.hook("sick", then="exit 1\n", attempts=3, retry_first="10ms",
                                    retry_max="20ms"),
            "slow": self.stage.hook("slow", parallel=1, before=(
                f"while [ ! -e {self.gate} ]; do sleep 0.02; done"))})
        self.daemon = self.stage.start()
        self.daemon.wait_finished(self.FINISHED)
        self.assertEqual(self.daemon.post("/v1/jobs/acme/14/pause").status, 202)
        wait_for(self.is_quiet, "quiet", why=self.daemon.status)

    def is_quiet(self):
        hooks = {hook["name"]: hook for hook in self.daemon.status()["hooks"]}
        return (self.daemon.status()["in_flight"] == 0 and hooks["load"]["pending"] == 0
                and hooks["sick"]["pending"] == 0 and hooks["slow"]["running"] == 1)

    def families(self):
        families = Families(ask(self.daemon.query, "GET", "/metrics").data.decode())
        families.check_histograms()
        return families

    def polls_of(self, account):
        """By result, as the server saw them."""
        counts = dict.fromkeys(("status", "not_found", "throttled", "refused", "unreachable",
                                "garbled"), 0)
        for request in self.sim.requests():
            if request["job"] in self.ACCOUNTS[account][1]:
                is_told = request["state"] and not request["fault"]
                counts["status" if is_told else self.RESULT_OF_STATUS[request["status"]]] += 1
        return counts

    def test_polls_and_credits(self):
        now = self.families()
        total = 0
        for name, (dc, _) in self.ACCOUNTS.items():
            labels = {"account": name, "datacenter": dc}
            polls = self.polls_of(name)
            total += sum(polls.values())
            for result, n in polls.items():
                self.assertEqual(now.get("bulkwatch_polls_total", result=result, **labels), n,
                                 (name, result, polls))
            for family, n in (("requests_total", sum(polls.values())), ("in_flight", 0),
                              ("credits_used", sum(polls.values())), ("credits_limit", CREDITS),
                              ("credits_left", CREDITS - sum(polls.values())),
                              ("account_holds_total", polls["throttled"]),
                              ("account_pauses_total", 0)):
                self.assertEqual(now.get("bulkwatch_" + family, **labels), n, (family, name))
            self.assertEqual(now.get("bulkwatch_poll_duration_seconds_count", datacenter=dc),
                             sum(polls.values()), name)
            self.assertEqual(now.get("bulkwatch_datacenter_up", datacenter=dc), 1)
        polls = self.polls_of("acme")
        self.assertEqual([polls[result] for result in ("garbled", "unreachable", "not_found")],
                         [2, 1, 2])
        self.assertEqual(self.polls_of("beta")["throttled"], 1)
        # Their ends could be told apart from what was before: a look had found them unfinished.
        for dc, n in (("eu", 2), ("us", 1), ("jp", 0)):
            self.assertEqual(now.get("bulkwatch_detection_delay_seconds_count", datacenter=dc), n, dc)

    def test_jobs_and_events(self):
        now = self.families()
        last = {request["job"]: request["state"] for request in self.sim.requests()
                if request["job"] and request["state"] and not request["fault"]}
        for name, (dc, jobs) in self.ACCOUNTS.items():
            states = [last[job] for job in jobs]
            found = {dict(labels)["state"]: n for labels, n in now.of("bulkwatch_jobs").items()
                     if dict(labels)["account"] == name}
            self.assertEqual(found, {state: states.count(state) for state in states}, name)
        counts = {}
        for event in self.daemon.events():
            if event["type"].startswith("job."):
                key = (event["account"], event["type"])
                counts[key] = counts.get(key, 0) + 1
        found = {(dict(labels)["account"], dict(labels)["type"]): n
                 for labels, n in now.of("bulkwatch_events_total").items()}
        self.assertEqual({key: n for key, n in found.items() if key[1].startswith("job.")}, counts)
        self.assertEqual(now.get("bulkwatch_last_seq"), self.daemon.events()[-1]["seq"])

    def test_hooks(self):
        now = self.families()
        records = self.stage.records()
        runs = {hook: sum(record.hook == hook for record in records) for hook in ("load", "sick")}
        self.assertEqual(runs, {"load": self.FINISHED, "sick": 3 * self.FINISHED})
        for hook, result, n in (("load", "delivered", self.FINISHED), ("load", "failed", 0),
                                ("load", "dead", 0), ("sick", "delivered", 0),
                                ("sick", "failed", 2 * self.FINISHED),
                                ("sick", "dead", self.FINISHED), ("slow", "delivered", 0)):
            self.assertEqual(now.get("bulkwatch_hook_attempts_total", hook=hook, result=result), n,
                             (hook, result))
        for hook, n in runs.items():
            self.assertEqual(now.get("bulkwatch_hook_duration_seconds_count", hook=hook), n)
        for hook, pending, running, dead in (("load", 0, 0, 0), ("sick", 0, 0, self.FINISHED),
                                             ("slow", self.FINISHED, 1, 0)):
            self.assertEqual([now.get("bulkwatch_hook_" + name, hook=hook)
                              for name in ("pending", "running", "dead")],
                             [pending, running, dead], hook)
        oldest = min(parse_time(event["at"]) for event in self.daemon.events()
                     if event["type"] in ("job.completed", "job.failed"))
        age = now.get("bulkwatch_hook_oldest_pending_seconds", hook="slow")
        self.assertAlmostEqual(age, time.time() - oldest, delta=3)
        self.gate.touch()
        self.daemon.wait_delivered()
        now = self.families()
        self.assertEqual(now.get("bulkwatch_hook_attempts_total", hook="slow", result="delivered"),
                         self.FINISHED)
        self.assertEqual(now.get("bulkwatch_hook_oldest_pending_seconds", hook="slow"), 0)

    def test_token_database_and_connections(self):
        told = {request["dc"]: parse_time(request["at"]) for request in self.sim.requests()
                if request["path"] == "/oauth/v2/token"}
        self.assertEqual(set(told), {"eu", "us", "jp"})
        for name, (dc, _) in self.ACCOUNTS.items():
            self.assertAlmostEqual(
                self.families().get("bulkwatch_token_expiry_timestamp_seconds", account=name,
                                    datacenter=dc), told[dc] + 3600, delta=3)
        idle = [socket.socket(socket.AF_UNIX) for _ in range(7)]
        for one in idle:
            self.addCleanup(one.close)
            one.connect(str(self.daemon.query))
        wait_for(lambda: self.families().get("bulkwatch_connections") == 8, "seven, and who asks")
        self.gate.touch()
        self.daemon.wait_delivered()
        files = [self.stage.state_dir / name for name in ("bulkwatch.db", "bulkwatch.db-wal")]
        wait_for(lambda: self.families().get("bulkwatch_database_bytes")
                 == sum(path.stat().st_size for path in files), "the size of the files")


def tcp_of(pid):
    """The states of the process' own TCP sockets."""
    mine = set(opened_by(pid))
    states = []
    for line in pathlib.Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if f"socket:[{fields[9]}]" in mine:
            states.append("LISTEN" if fields[3] == "0A" else fields[3])
    return states


# ---- what ships for Grafana and Prometheus ----


class Shipped(TestCase):
    DASHBOARD = ROOT / "config" / "grafana" / "bulkwatch.json"
    RULES = ROOT / "config" / "prometheus" / "bulkwatch.rules.yaml"
    RULE_TESTS = ROOT / "config" / "prometheus" / "bulkwatch.rules.test.yaml"
    NAME = re.compile(r"\b(?:bulkwatch|process)_[a-z0-9_]+")

    def names_of_daemon(self):
        self.stage.sim(script={"jobs": LIVES})
        self.stage.config({"acme": self.stage.account(["1000"])},
                          hooks={"load": {"exec": ["/bin/true"]}})
        daemon = self.stage.start()
        daemon.wait_finished(1)
        families = Families(daemon.get("/metrics").data.decode())
        names = set(families.types)
        for name, kind in families.types.items():
            if kind == "histogram":
                names |= {name + suffix for suffix in ("_bucket", "_sum", "_count")}
        return names

    def test_they_speak_of_what_there_is(self):
        known = self.names_of_daemon()
        dashboard = json.loads(self.DASHBOARD.read_text())
        expressions = [target["expr"] for panel in dashboard["panels"]
                       for target in panel.get("targets", [])]
        self.assertGreater(len(expressions), 10)
        for text in [*expressions, self.RULES.read_text()]:
            self.assertLessEqual(set(self.NAME.findall(text)), known, text[:200])
        for text in expressions:
            self.assertTrue(self.NAME.search(text), text)

    def test_the_manual_names_them_all(self):
        page = (ROOT / "docs" / "man" / "bulkwatch-api.7").read_text()
        section = page.split(".Sh METRICS")[1].split(".Sh ")[0]
        named = set(re.findall(r"bulkwatch_[a-z0-9_]+", section))
        self.stage.sim(script={"jobs": LIVES})
        self.stage.config({"acme": self.stage.account(["1000"])})
        families = Families(self.stage.start().get("/metrics").data.decode())
        self.assertEqual(named, {name for name in families.types if name.startswith("bulkwatch_")})

    def test_the_dashboard_can_be_laid_out(self):
        dashboard = json.loads(self.DASHBOARD.read_text())
        ids = [panel["id"] for panel in dashboard["panels"]]
        self.assertEqual(len(ids), len(set(ids)))
        taken = set()
        for panel in dashboard["panels"]:
            place = panel["gridPos"]
            self.assertLessEqual(place["x"] + place["w"], 24)
            for x in range(place["x"], place["x"] + place["w"]):
                for y in range(place["y"], place["y"] + place["h"]):
                    self.assertNotIn((x, y), taken, panel["title"])
                    taken.add((x, y))
            self.assertTrue(panel["title"])

    def test_every_alert_is_tested(self):
        alerts = set(re.findall(r"^\s*- alert: (\w+)$", self.RULES.read_text(), re.M))
        tested = set(re.findall(r"alertname: (\w+)", self.RULE_TESTS.read_text()))
        self.assertGreater(len(alerts), 5)
        self.assertEqual(alerts, tested)

    def rules_with(self, old, new):
        """Both files, with something else in the rules."""
        text = self.RULES.read_text()
        self.assertIn(old, text)
        rules = self.stage.dir / self.RULES.name
        rules.write_text(text.replace(old, new))
        tests = self.stage.dir / self.RULE_TESTS.name
        tests.write_text(self.RULE_TESTS.read_text())
        return rules, tests

    def test_promtool_on_the_rules(self):
        for arguments in (("check", self.RULES), ("test", self.RULE_TESTS)):
            code, said = promtool(arguments[0], "rules", arguments[1])
            self.assertEqual(code, 0, said)
            self.assertIn("SUCCESS", said)
        # What is wrong is seen.
        rules, _ = self.rules_with("bulkwatch_database_full == 1", "bulkwatch_database_full === 1")
        self.assertNotEqual(promtool("check", "rules", rules)[0], 0)
        for old, new in (("bulkwatch_database_full == 1", "bulkwatch_database_full == 2"),
                         ('state="paused"', 'state="pausing"')):
            rules, tests = self.rules_with(old, new)
            self.assertEqual(promtool("check", "rules", rules)[0], 0)
            code, said = promtool("test", "rules", tests)
            self.assertNotEqual(code, 0, said)
            self.assertIn("FAILED", said)


if __name__ == "__main__":
    unittest.main(verbosity=2)
