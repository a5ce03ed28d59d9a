#!/usr/bin/env python3
"""GET /metrics: the format, strictly; that the numbers are true; that nothing names a job; where it
is answered; and that the dashboard and the rules speak of what there is."""

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

from harness import DEADLINE_S, QUIET_S, ROOT, TestCase, assert_unchanged, ask, wait_for

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


def tcp_of(pid):
    """The states of the process' own TCP sockets."""
    mine = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            mine.add(os.readlink(f"/proc/{pid}/fd/{fd}"))
        except OSError:
            pass
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
