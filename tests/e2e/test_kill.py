#!/usr/bin/env python3
"""kill -9 at random moments: nothing announced is lost or told twice, no hook is forgotten.

BULKWATCH_SEED repeats a run's moments (not what the machine makes of them), BULKWATCH_KILLS says
how many there are.
"""

import copy
import http.client
import json
import os
import random
import time
import unittest

from harness import TestCase, wait_for

N_JOBS = 30
N_KILLS = int(os.environ.get("BULKWATCH_KILLS", "40"))
SEED = int(os.environ.get("BULKWATCH_SEED", random.SystemRandom().randrange(1 << 32)))
LAST_KILL_MS = 350      # after the start of a life: before, in and after recovery
LAST_COMPLETION_MS = 12000
FIRED = {"job.added", "job.queued", "job.in_progress", "job.completed"}
ACCOUNT = "acme"


class Evidence:
    """What was seen of all lives; check() judges it alone."""

    def __init__(self):
        self.announced = []    # events as text lines, as they came over the socket, all lives
        self.final = []        # the whole journal in the end, in the same form
        self.transitions = []  # rows of the view, at rest
        self.deliveries = []   # rows of the view
        self.records = []      # (event id, seq, type, account, job id, attempt), as they ended
        self.answered = {}     # job id: states in the order in which Zoho said them

    def check(self):
        """The faults found, in words."""
        return [*self.check_journal(), *self.check_announced(), *self.check_transitions(),
                *self.check_hooks()]

    def events(self):
        return [json.loads(line) for line in self.final]

    def check_journal(self):
        seqs = [event["seq"] for event in self.events()]
        if seqs != list(range(1, len(seqs) + 1)):
            yield f"the journal has gaps or repetitions: {seqs}"

    def check_announced(self):
        final = {json.loads(line)["seq"]: line for line in self.final}
        for line in self.announced:
            seq = json.loads(line)["seq"]
            if seq not in final:
                yield f"event {seq} was announced and is missing"
            elif final[seq] != line:
                yield f"event {seq} was announced as {line} and is now {final[seq]}"

    def check_transitions(self):
        in_journal = [(e["seq"], e["job_id"], e["from_state"], e["to_state"])
                      for e in self.events() if e["to_state"] is not None]
        at_rest = [(row["seq"], row["job_id"], row["from_state"], row["to_state"])
                   for row in self.transitions]
        if in_journal != at_rest:
            yield f"the view has {len(at_rest)} transitions, the journal {len(in_journal)}"
        for job_id, answered in self.answered.items():
            mine = [row for row in at_rest if row[1] == job_id]
            steps = [row[2:] for row in mine]
            if len(set(steps)) != len(steps):
                yield f"job {job_id} took a step twice: {steps}"
            if [step[0] for step in steps] != [None, *(step[1] for step in steps[:-1])]:
                yield f"job {job_id}: steps do not join: {steps}"
            if not is_subsequence([step[1] for step in steps], answered):
                yield f"job {job_id} has states that Zoho never said, or in that order: {steps}"
            if [step[1] for step in steps].count("COMPLETED") != 1:
                yield f"job {job_id} was not completed once: {steps}"

    def check_hooks(self):
        due = {event["seq"]: event for event in self.events() if event["type"] in FIRED}
        for row in self.deliveries:
            if row["state"] != "delivered":
                yield f"the delivery of event {row['event_seq']} is {row['state']}"
        if sorted(row["event_seq"] for row in self.deliveries) != sorted(due):
            yield "deliveries and events do not match"
        ids = {}
        for event_id, seq, event_type, account, job_id, _attempt in self.records:
            ids.setdefault(seq, set()).add(event_id)
            event = due.get(seq)
            if event is None:
                yield f"a hook ran for event {seq}, which is not in the journal"
            elif (event["type"], event["account"], event["job_id"], event["id"]) != (
                    event_type, account, job_id, event_id):
                yield f"a hook was told other things of event {seq} than the journal has"
        for seq in due:
            if seq not in ids:
                yield f"no hook ran for event {seq}"
            elif len(ids[seq]) != 1:
                yield f"event {seq} was told under {len(ids[seq])} ids"
        attempts = [(seq, attempt) for _, seq, _, _, _, attempt in self.records]
        if len(set(attempts)) != len(attempts):
            yield "one attempt ran twice"
        yield from self.check_order()

    def check_order(self):
        """No event of a job is told before the one before it was told to its end."""
        first = {}
        for _, seq, _, _, job_id, _ in self.records:
            first.setdefault(job_id, {}).setdefault(seq)
        for job_id, seqs in first.items():
            if list(seqs) != sorted(seqs):
                yield f"job {job_id}: its events were told in the order {list(seqs)}"


def is_subsequence(short, long):
    rest = iter(long)
    return all(word in rest for word in short)


class Kill(TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        print(f"seed {SEED}: BULKWATCH_SEED={SEED} repeats it", flush=True)
        cls.evidence = None

    def test_nothing_is_lost_and_nothing_is_told_twice(self):
        evidence = self.live()
        self.assertEqual(list(evidence.check()), [])
        # What would go unseen if the moments were ill chosen.
        self.assertGreater(len(evidence.announced), N_JOBS)
        self.assertGreater(len(evidence.records), N_JOBS)
        self.check_that_faults_are_seen(evidence)

    def live(self):
        rng = random.Random(SEED)
        stage = self.stage
        self.sim = stage.sim("--seed", str(SEED), script={"jobs": [
            self.job(rng, i) for i in range(N_JOBS)]})
        stage.config({ACCOUNT: stage.account([str(1000 + i) for i in range(N_JOBS)])},
                     hooks={"all": stage.hook("all", on=sorted(FIRED), parallel=8,
                                              retry_first="50ms")},
                     poll={"min_interval": "40ms", "max_interval": "120ms"})
        evidence = Evidence()
        for _ in range(N_KILLS):
            self.live_and_die(stage, evidence, rng.uniform(0, LAST_KILL_MS) / 1000)
        self.end_well(stage, evidence)
        return evidence

    @staticmethod
    def job(rng, i):
        """Some end early, some late, so that every life has something to tell."""
        end = LAST_COMPLETION_MS * (i + 1) / N_JOBS
        cuts = sorted(rng.uniform(0.1, 0.9) * end for _ in range(2))
        return {"id": str(1000 + i), "life": [
            {"state": "ADDED", "for": f"{int(cuts[0]) + 1}ms"},
            {"state": "QUEUED", "for": f"{int(cuts[1] - cuts[0]) + 1}ms"},
            {"state": "IN PROGRESS", "for": f"{int(end - cuts[1]) + 1}ms"},
            {"state": "COMPLETED"}]}

    def live_and_die(self, stage, evidence, lives_s):
        dies_at = time.monotonic() + lives_s
        daemon = stage.launch()
        stream = None
        while time.monotonic() < dies_at:
            self.assertIsNone(daemon.process.poll(), stage.log())
            if stream is None:
                stream = self.try_follow(daemon)
            time.sleep(0.002)
        daemon.kill()
        if stream:
            stream.join(10)
            self.assertTrue(stream.is_over)
            evidence.announced += stream.lines
            stream.close()

    @staticmethod
    def try_follow(daemon):
        try:
            return daemon.follow()
        except (OSError, http.client.HTTPException):
            return None

    def end_well(self, stage, evidence):
        daemon = stage.start()
        daemon.wait_finished(N_JOBS)
        daemon.wait_delivered()
        evidence.final = daemon.get("/v1/events").data.decode().splitlines()
        self.assert_stops(daemon)
        evidence.transitions = stage.transitions()
        evidence.deliveries = stage.rows("SELECT * FROM deliveries")
        # A hook of a killed life may still be writing.
        names = {e["seq"] for e in evidence.events() if e["type"] in FIRED}
        wait_for(lambda: names <= {record.seq for record in stage.records()}
                 and not any(p.name.startswith(".") for p in stage.records_dir.iterdir()),
                 "the hooks", why=lambda: names - {record.seq for record in stage.records()})
        evidence.records = [(r.id, r.seq, r.type, *r.job, r.attempt)
                            for r in sorted(stage.records(), key=lambda r: r.ended_ns)]
        for i in range(N_JOBS):
            evidence.answered[str(1000 + i)] = [
                r["state"] for r in self.sim.requests()
                if r["job"] == str(1000 + i) and r["state"]]

    def check_that_faults_are_seen(self, evidence):
        """A checker that never failed proves nothing: it is shown each fault that it is for."""
        for plant in (lose_announced, tell_twice_under_another_seq, change_announced,
                      lose_transition, repeat_transition, invent_state, forget_hook,
                      second_id, run_out_of_order, run_unknown_event, leave_pending):
            spoiled = copy.deepcopy(evidence)
            plant(spoiled)
            with self.subTest(planted=plant.__name__):
                self.assertNotEqual(list(spoiled.check()), [])


# ---- faults to be planted in evidence ----


def index_of(evidence, event_type):
    return next(i for i, event in enumerate(evidence.events()) if event["type"] == event_type)


def lose_announced(evidence):
    seq = json.loads(evidence.announced[-1])["seq"]
    evidence.final = [line for line in evidence.final if json.loads(line)["seq"] != seq]


def tell_twice_under_another_seq(evidence):
    event = evidence.events()[index_of(evidence, "job.completed")]
    event["seq"] = len(evidence.final) + 1
    evidence.final.append(json.dumps(event))
    evidence.transitions.append({**event})


def change_announced(evidence):
    event = json.loads(evidence.announced[-1])
    event["at"] = "2000-01-01T00:00:00.000Z"
    evidence.announced[-1] = json.dumps(event, separators=(",", ":"))


def lose_transition(evidence):
    evidence.transitions.pop()


def repeat_transition(evidence):
    evidence.transitions.append(dict(evidence.transitions[0]))


def invent_state(evidence):
    i = index_of(evidence, "job.added")
    event = evidence.events()[i]
    event["to_state"] = "PENDING"
    evidence.final[i] = json.dumps(event)
    for row in evidence.transitions:
        if row["seq"] == event["seq"]:
            row["to_state"] = "PENDING"


def forget_hook(evidence):
    seq = evidence.records[0][1]
    evidence.records = [record for record in evidence.records if record[1] != seq]


def second_id(evidence):
    event_id, *rest = evidence.records[0]
    evidence.records.append(("0" * 16 + event_id[16:], *rest))


def run_out_of_order(evidence):
    evidence.records.reverse()


def run_unknown_event(evidence):
    event_id, _, *rest = evidence.records[0]
    evidence.records.append((event_id, 10 ** 6, *rest))


def leave_pending(evidence):
    evidence.deliveries[0]["state"] = "pending"


if __name__ == "__main__":
    unittest.main()
