"""What was seen of a daemon's lives, and whether it agrees with itself.

Used where the daemon is killed, or the disk fills up, in the middle of things. FAULTS are what a
checker must notice: one that was never seen to fail proves nothing.
"""

import copy
import json

from harness import wait_for


class Evidence:
    """What was seen of all lives; check() judges it alone."""

    def __init__(self, fired):
        self.fired = set(fired)  # the event types that fire the hook
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

    def take_end(self, stage, daemon):
        """The journal as a daemon that has nothing left to do tells it, and, at rest, the rest."""
        self.final = daemon.get("/v1/events").data.decode().splitlines()
        code = daemon.stop()
        if code:
            raise AssertionError(f"the daemon ended with {code}: {stage.log()}")
        self.transitions = stage.transitions()
        self.deliveries = stage.rows("SELECT * FROM deliveries")
        due = {event["seq"] for event in self.events() if event["type"] in self.fired}
        # A hook of a killed life may still be writing.
        wait_for(lambda: due <= {record.seq for record in stage.records() if record.event}
                 and not any(p.name.startswith(".") for p in stage.records_dir.iterdir()),
                 "the hooks", why=lambda: due - {record.seq for record in stage.records()})
        self.records = [(r.id, r.seq, r.type, *r.job, r.attempt)
                        for r in sorted(stage.records(), key=lambda r: r.ended_ns) if r.event]
        for request in stage.simulator.requests():
            if request["state"]:
                self.answered.setdefault(request["job"], []).append(request["state"])

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
        due = {event["seq"]: event for event in self.events() if event["type"] in self.fired}
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


FAULTS = (lose_announced, tell_twice_under_another_seq, change_announced, lose_transition,
          repeat_transition, invent_state, forget_hook, second_id, run_out_of_order,
          run_unknown_event, leave_pending)


def unseen_faults(evidence):
    """The names of the faults that check() does not notice when they are planted."""
    unseen = []
    for plant in FAULTS:
        spoiled = copy.deepcopy(evidence)
        plant(spoiled)
        if not list(spoiled.check()):
            unseen.append(plant.__name__)
    return unseen
