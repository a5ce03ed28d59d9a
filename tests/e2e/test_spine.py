#!/usr/bin/env python3
"""The spine: jobs of six data centers from the first poll to the last hook, and a restart."""

import json
import unittest

from harness import (DATA, QUIET_S, STATES_OF_DEFAULT_LIFE, TOKEN, TestCase, assert_unchanged,
                     wait_for)

DATACENTERS = ["us", "eu", "au", "in", "cn", "jp"]
EVENT_OF_STATE = {"ADDED": "job.added", "QUEUED": "job.queued", "IN PROGRESS": "job.in_progress",
                  "COMPLETED": "job.completed", "FAILURE": "job.failed", "FAILED": "job.failed"}
VARIABLES = {"BULKWATCH_" + name for name in """
EVENT_ID EVENT_SEQ EVENT_TYPE EVENT_TIME JOB_ID JOB_NAME ACCOUNT DATACENTER SERVICE STATE
PREVIOUS_STATE OPERATION MODULE PAGE COUNT PER_PAGE MORE_RECORDS DOWNLOAD_URL CREATED_TIME HOOK
ATTEMPT""".split()}
INHERITED = {"PATH", "LANG", "HOME", "TZ"}
TIME = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"


def ids_of(number):
    return [f"36523970000006{number}{i:03}" for i in range(3)]


def ordered(text):
    """JSON with everything kept that parsers may lose: order, numbers as they were written."""
    return json.loads(text, object_pairs_hook=list, parse_int=lambda digits: ("n", digits),
                      parse_float=lambda digits: ("n", digits))


def members(pairs):
    return dict(pairs)


class SixDatacenters(TestCase):
    """One run, looked at from all sides."""

    def test_spine(self):
        stage = self.stage
        sim = stage.sim(dcs=())
        self.assertEqual(set(sim.urls), set(DATACENTERS))
        self.jobs = {(f"acme-{dc}", job_id): dc
                     for i, dc in enumerate(DATACENTERS) for job_id in ids_of(i)}
        accounts = {}
        for i, dc in enumerate(DATACENTERS):
            first, *rest = ids_of(i)
            accounts[f"acme-{dc}"] = stage.account(
                [{"id": first, "name": f"contacts {dc} – täglich"}, *rest], dc)
        stage.config(accounts, hooks={"load": stage.hook("load")})
        daemon = stage.start()
        daemon.wait_finished(len(self.jobs))
        records = stage.wait_records(len(self.jobs))
        daemon.wait_delivered()
        jobs = {key: daemon.job(*key) for key in self.jobs}
        events = daemon.events()
        self.check_events(events)
        self.check_polls(sim)
        self.check_records(records, jobs, events, sim)
        self.check_restart(daemon, sim)
        self.check_transitions(events)
        self.check_secrecy()

    def check_transitions(self, events):
        """The view, at rest."""
        rows = self.stage.transitions()
        self.assertEqual(len(rows), 54)
        self.assertEqual([row["seq"] for row in rows], sorted({row["seq"] for row in rows}))
        by_seq = {event["seq"]: event for event in events}
        for key in self.jobs:
            mine = [row for row in rows if (row["account"], row["job_id"]) == key]
            self.assertEqual([row["to_state"] for row in mine], STATES_OF_DEFAULT_LIFE)
            self.assertEqual([row["from_state"] for row in mine],
                             [None] + STATES_OF_DEFAULT_LIFE[:-1])
            self.assertEqual([row["at"] for row in mine], sorted(row["at"] for row in mine))
        for row in rows:
            self.assertRegex(row["at"], TIME)
            event = by_seq[row["seq"]]
            self.assertEqual((event["at"], event["from_state"], event["to_state"]),
                             (row["at"], row["from_state"], row["to_state"]))
        for row in self.stage.rows("SELECT * FROM jobs"):
            self.assertIn((row["account"], row["job_id"]), self.jobs)
            self.assertEqual((row["state"], row["finished"]), ("COMPLETED", 1))
        deliveries = self.stage.rows("SELECT * FROM deliveries")
        self.assertEqual(len(deliveries), 18)
        for row in deliveries:
            self.assertEqual((row["hook"], row["state"], row["attempts"]), ("load", "delivered", 1))

    def check_events(self, events):
        self.assertEqual([event["seq"] for event in events], list(range(1, len(events) + 1)))
        self.assertEqual(len(events), 4 * len(self.jobs))
        for key in self.jobs:
            mine = [event for event in events if (event["account"], event["job_id"]) == key]
            self.assertEqual([event["type"] for event in mine],
                             ["job.watched", "job.added", "job.in_progress", "job.completed"])
            self.assertEqual((mine[0]["from_state"], mine[0]["to_state"]), (None, None))
            for event in mine:
                self.assertEqual((event["job"]["account"], event["job"]["id"]), key)
                self.assertRegex(event["at"], TIME)
                self.assertNotEqual(event["to_state"], "PENDING")

    def check_polls(self, sim):
        """A life of six answers costs six requests, and none comes after its end."""
        polls = assert_unchanged(lambda: len(sim.requests()), QUIET_S, "the number of polls")
        for (_, job_id), dc in self.jobs.items():
            mine = [r for r in sim.requests() if (r["dc"], r["job"]) == (dc, job_id)]
            self.assertEqual([r["state"] for r in mine],
                             ["ADDED"] * 2 + ["IN PROGRESS"] * 3 + ["COMPLETED"],
                             f"{mine} {self.stage.log()}")
        self.assertEqual(polls, 6 * len(self.jobs))

    def check_records(self, records, jobs, events, sim):
        self.assertEqual(len(records), len(self.jobs))
        self.assertEqual({record.job for record in records}, set(self.jobs))
        by_seq = {event["seq"]: event for event in events}
        for record in records:
            with self.subTest(job=record.job):
                self.check_environment(record, by_seq[record.seq], sim)
                self.check_body(record, by_seq[record.seq], jobs[record.job])

    def check_environment(self, record, event, sim):
        account, job_id = record.job
        dc = self.jobs[record.job]
        env = record.env
        self.assertEqual(len(record.env_names), len(set(record.env_names)))
        self.assertEqual(set(env), VARIABLES | INHERITED)
        self.assertEqual({name: env[name] for name in INHERITED},
                         {name: self.stage.environment()[name] for name in INHERITED})
        named = job_id == ids_of(DATACENTERS.index(dc))[0]
        expected = {
            "EVENT_ID": event["id"], "EVENT_SEQ": str(event["seq"]),
            "EVENT_TYPE": "job.completed", "EVENT_TIME": event["at"], "JOB_ID": job_id,
            "JOB_NAME": f"contacts {dc} – täglich" if named else "", "ACCOUNT": account,
            "DATACENTER": dc, "SERVICE": "bigin", "STATE": "COMPLETED",
            "PREVIOUS_STATE": "IN PROGRESS", "OPERATION": "read", "MODULE": "Contacts",
            "PAGE": "1", "COUNT": "20", "PER_PAGE": "200000", "MORE_RECORDS": "false",
            "DOWNLOAD_URL": f"{sim.urls[dc]}/bigin/bulk/v2/read/{job_id}/result",
            "CREATED_TIME": "2019-04-01T14:24:04+05:30", "HOOK": "load", "ATTEMPT": "1",
        }
        self.assertEqual({name[len("BULKWATCH_"):]: value for name, value in env.items()
                          if name.startswith("BULKWATCH_")}, expected)
        self.assertRegex(env["BULKWATCH_EVENT_ID"], rf"^[0-9a-f]{{16}}-{record.seq}$")

    def check_body(self, record, event, job):
        account, job_id = record.job
        cloud = record.event
        self.assertEqual(cloud["specversion"], "1.0")
        self.assertEqual(cloud["id"], record.id)
        self.assertEqual(cloud["type"], "bulkwatch.job.completed")
        self.assertEqual(cloud["time"], event["at"])
        self.assertEqual(cloud["subject"], f"{account}/{job_id}")
        self.assertTrue(cloud["source"])
        self.assertEqual(cloud["datacontenttype"], "application/json")
        self.assertEqual(cloud["data"], event["job"])
        self.assertEqual(cloud["data"], job)
        self.assertIs(job["finished"], True)
        self.assertIsNone(job["next_poll"])
        self.assertIsNone(job["last_error"])
        self.assertEqual(job["polls"], 6)

    def check_restart(self, daemon, sim):
        """Nothing is fired again, and nothing finished is polled again."""
        before = self.stage.records(), len(sim.requests()), daemon.events()
        jobs = daemon.jobs()
        self.assert_stops(daemon)
        daemon = self.stage.start()
        assert_unchanged(lambda: (len(sim.requests()), len(self.stage.records())), QUIET_S,
                         "what a restart must leave alone")
        self.assertEqual((self.stage.records(), len(sim.requests()), daemon.events()), before)
        self.assertEqual(daemon.jobs(), jobs)
        self.assert_stops(daemon)

    def check_secrecy(self):
        for path in self.stage.dir.rglob("*"):
            if path.is_file() and path.name != "token":
                self.assertNotIn(TOKEN.encode(), path.read_bytes(), path)


class Replies(TestCase):
    """What Zoho says is kept as it said it."""

    def watch(self, script_jobs, ids, **options):
        stage = self.stage
        self.sim = stage.sim(script={"jobs": script_jobs})
        stage.config({"acme": stage.account(ids)}, hooks={"load": stage.hook("load", **options)})
        return stage.start()

    def test_every_member_of_a_reply_is_kept(self):
        body = """{"data": [{
 "zeta": {"b": 1, "a": [1.50, 1e3, -0, 12345678901234567890, null, true, {}, []]},
 "id": "77", "operation": "read", "state": "COMPLETED",
 "result": {"page": 3, "count": 0, "download_url": "/bigin/bulk/v7/read/77/result",
  "per_page": 200000, "more_records": true, "checksum": "sha256:0"},
 "query": {"module": "Deals", "fields": ["B", "A", "A"], "page": 3, "criteria":
  {"value": "5 \\u00e9 \\ud83d\\ude00 \\" \\\\ \\/ \\n", "n": 1.10, "big": 98765432109876543210}},
 "created_by": {"name": "Ann \\u4e2d", "id": "99", "more": [1]},
 "created_time": "2026-01-01T00:00:00+05:30", "file_type": "csv", "next_page_token": null
}]}"""
        (self.stage.dir / "body.json").write_text(body)
        daemon = self.watch([{"id": "77", "sample": "body.json"}], ["77"])
        daemon.wait_finished(1)
        said = members(members(ordered(body))["data"][0])
        reply = daemon.get("/v1/jobs/acme/77")
        job = members(ordered(reply.data))
        for name in ("query", "created_by", "created_time", "operation"):
            self.assertEqual(job[name], said[name])
        result = members(job["result"])
        for name in ("page", "count", "per_page", "more_records", "download_url"):
            self.assertEqual(result[name], members(said["result"])[name])
        url = self.sim.urls["eu"] + "/bigin/bulk/v7/read/77/result"
        self.assertEqual(result["url"], url)
        kept = json.dumps(ordered(reply.data))
        for value in (said["zeta"], members(said["result"])["checksum"], said["file_type"]):
            self.assertIn(json.dumps(value), kept)
        self.assertIn("next_page_token", kept)
        record = self.stage.wait_records(1)[0]
        self.assertEqual(record.event["data"], reply.json())
        self.assertEqual(record.env["BULKWATCH_DOWNLOAD_URL"], url)
        self.assertEqual((record.env["BULKWATCH_COUNT"], record.env["BULKWATCH_PAGE"],
                          record.env["BULKWATCH_MORE_RECORDS"], record.env["BULKWATCH_MODULE"],
                          record.env["BULKWATCH_PREVIOUS_STATE"]), ("0", "3", "true", "Deals", ""))

    def test_the_samples_of_the_api_page(self):
        """Each status reply of the API page, as it stands there."""
        jobs = {"completed-cvid": "554023000000568002", "failure": "111111000000052009",
                "completed": "3652397000000646004"}
        daemon = self.watch([{"id": job_id, "sample": str(DATA.resolve() / "zoho" / f"{name}.json")}
                             for name, job_id in jobs.items()], list(jobs.values()))
        daemon.wait_finished(len(jobs))
        for name, job_id in jobs.items():
            with self.subTest(sample=name):
                sample = json.loads((DATA / "zoho" / f"{name}.json").read_text())["data"][0]
                job = daemon.job("acme", job_id)
                for member in ("state", "operation", "query", "created_by", "created_time"):
                    self.assertEqual(job[member], sample[member])
                if name == "failure":
                    self.assertIn("Internal server error occurred.", json.dumps(job))
                else:
                    url = self.sim.urls["eu"] + sample["result"]["download_url"]
                    self.assertEqual(job["result"], {**sample["result"], "url": url})
        types = {record.job[1]: record.type for record in self.stage.wait_records(3)}
        self.assertEqual(types, {jobs["completed-cvid"]: "job.completed",
                                 jobs["completed"]: "job.completed", jobs["failure"]: "job.failed"})

    def test_found_completed_at_the_first_look_fires_once(self):
        daemon = self.watch([{"id": "1", "life": [{"state": "COMPLETED"}]}], ["1"])
        record = self.stage.wait_records(1)[0]
        daemon.wait_delivered()
        self.assertEqual((record.type, record.env["BULKWATCH_PREVIOUS_STATE"]),
                         ("job.completed", ""))
        assert_unchanged(lambda: (len(self.sim.requests()), len(self.stage.records())), QUIET_S,
                         "polls and runs")
        self.assertEqual(len(self.sim.requests()), 1)
        self.assert_stops(daemon)
        rows = self.stage.transitions()
        self.assertEqual([(row["from_state"], row["to_state"]) for row in rows],
                         [(None, "COMPLETED")])

    def test_both_words_for_a_failure_fire_job_failed(self):
        daemon = self.watch([{"id": "1", "life": [{"state": "ADDED", "polls": 1},
                                                  {"state": "FAILURE"}]},
                             {"id": "2", "life": [{"state": "FAILED"}]}], ["1", "2"])
        records = {record.job[1]: record for record in self.stage.wait_records(2)}
        for job_id, state in (("1", "FAILURE"), ("2", "FAILED")):
            self.assertEqual(records[job_id].type, "job.failed")
            self.assertEqual(records[job_id].env["BULKWATCH_STATE"], state)
            job = daemon.job("acme", job_id)
            self.assertEqual((job["state"], job["finished"]), (state, True))
        n = 3
        wait_for(lambda: len(self.sim.requests()) >= n, "the polls")
        assert_unchanged(lambda: len(self.sim.requests()), QUIET_S, "polls of failed jobs")
        self.assertEqual(len(self.sim.requests()), n)

    def test_unknown_words_are_journaled_and_polled_on(self):
        words = ["SÜSS ODER SALZIG", "completed", "X" * 64]
        daemon = self.watch([{"id": "1", "life": [
            *({"state": word, "polls": 2} for word in words), {"state": "COMPLETED"}]}], ["1"],
            on=["job.unknown_state", "job.completed"])
        records = self.stage.wait_records(len(words) + 1)
        self.assertEqual([record.env["BULKWATCH_STATE"] for record in records],
                         words + ["COMPLETED"])
        self.assertEqual([record.type for record in records],
                         ["job.unknown_state"] * len(words) + ["job.completed"])
        self.assert_stops(daemon)
        rows = self.stage.transitions()
        self.assertEqual([row["to_state"] for row in rows], words + ["COMPLETED"])
        self.assertEqual([row["from_state"] for row in rows], [None] + words)

    def test_every_state_has_its_event(self):
        states = ["QUEUED", "ADDED", "IN PROGRESS", "QUEUED", "COMPLETED"]
        daemon = self.watch([{"id": "1", "life": [
            *({"state": state, "polls": 1} for state in states[:-1]),
            {"state": states[-1]}]}], ["1"], on=["job.*"])
        self.stage.wait_records(len(states) + 1)
        daemon.wait_delivered()
        self.assertEqual([(record.type, record.env["BULKWATCH_STATE"])
                          for record in self.stage.records()],
                         [("job.watched", "")]
                         + [(EVENT_OF_STATE[state], state) for state in states])


if __name__ == "__main__":
    unittest.main()
