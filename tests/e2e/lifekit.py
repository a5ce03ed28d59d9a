"""Short lives of a daemon that is to be cut off: a world in which all that hooks can do happens within
a fraction of a second, what was seen of each life, and whether it all agrees in the end.

A World has one simulator for the lives of many daemons, each with job ids of its own. What a daemon
answers, streams and runs is noted as it comes; how far it is, nobody asks it.
"""

import collections
import http.client
import os
import sqlite3
import time

from evidence import Evidence
from harness import BUILD, DAEMON, Daemon, Stage, ask, wait_for

MUTANT = BUILD / "tests" / "e2e" / "bulkwatchd-mutant"
ACCOUNT = "acme"
FIRED = ["job.in_progress", "job.completed", "job.failed", "hook.dead"]
JOBS_A_PLAY = 10       # the last digit of an id says what becomes of the job
FAILS_ONCE = "1"       # its hook's first attempt
ENDS_BADLY = "3"       # FAILURE, and a hook that wants nothing of it
BY_SOCKET = "5"        # watched on somebody's wish
CONFIGURED = ("0", FAILS_ONCE, ENDS_BADLY)
END_S = 30
FAST = {"retry_first": "10ms", "retry_max": "20ms", "timeout": "5s", "attempts": 1000}
LOOK_EVERY_S = 0.005
LIFE = [{"state": "ADDED", "polls": 1}, {"state": "IN PROGRESS", "polls": 1}]
SCRIPT = {"jobs": [{"id": "*" + ENDS_BADLY, "life": [*LIFE, {"state": "FAILURE"}]},
                   {"id": "*", "life": [*LIFE, {"state": "COMPLETED"}]}]}

# One line a run, in one write: that is whole or not there.
TELLING = """#!/bin/sh
read -r event
printf '%s\\n' "$BULKWATCH_EVENT_ID $BULKWATCH_EVENT_SEQ $BULKWATCH_EVENT_TYPE $BULKWATCH_ACCOUNT \
$BULKWATCH_JOB_ID $BULKWATCH_ATTEMPT" >>"$1"
case $BULKWATCH_ATTEMPT-$BULKWATCH_JOB_ID in 1-*""" + FAILS_ONCE + """) exit 1 ;; esac
"""

Run = collections.namedtuple("Run", "id seq type account job attempt")


class World:
    """A simulator, and ids that are each job's own."""

    def __init__(self):
        self.stage = Stage()
        self.simulator = self.stage.sim(script=SCRIPT)
        self.n_plays = 0

    def play(self, program=DAEMON, mutation=None):
        self.n_plays += 1
        return Play(self, 1000000 + self.n_plays * JOBS_A_PLAY, program, mutation)

    def next_id(self):
        """Of a job that is completed in the end."""
        self.n_plays += 1
        return str(1000000 + self.n_plays * JOBS_A_PLAY)

    def close(self):
        self.stage.close()


class Lives:
    """Several lives of one daemon on a stage of its own, and the evidence of all of them."""

    def __init__(self, world, program=DAEMON, mutation=None):
        self.world, self.program, self.mutation = world, program, mutation
        self.stage = Stage()
        self.stage.simulator = world.simulator
        self.evidence = Evidence(FIRED)
        self.answered = {}  # job id: status, of what was promised over the socket
        self.runs_file = self.stage.dir / "runs"

    def close(self):
        self.stage.simulator = None  # the world's
        self.stage.close()

    def configure(self, jobs, **hooks):
        """A hook that is told all, and those given."""
        everything = self.stage.program("everything.sh", TELLING)
        self.stage.config(
            {ACCOUNT: self.stage.account(jobs)},
            hooks={"all": {"exec": [str(everything), str(self.runs_file)], "on": FIRED, **FAST},
                   **hooks},
            poll={"min_interval": "10ms", "max_interval": "20ms", "timeout": "1s"},
            drain_timeout="5s")

    def launch(self, wrapper=()):
        environment = self.stage.environment()
        if wrapper:
            # LeakSanitizer and strace both want to trace: lives without strace look for leaks.
            environment["ASAN_OPTIONS"] = "detect_leaks=0"
        if self.mutation:
            environment["BULKWATCH_MUTATION"] = self.mutation
        with open(self.stage.log_file, "ab") as log:
            process = self.stage.spawn([*wrapper, self.program, "-c", self.stage.config_file],
                                       stderr=log, stdout=log, cwd="/", env=environment)
        return Daemon(self.stage, process)

    def said(self):
        return self.stage.log()[-3000:]

    # -- what it promised --

    def ask_for_job(self, daemon, job_id):
        if job_id in self.answered:
            return
        try:
            reply = ask(daemon.admin, "POST", "/v1/jobs", {"account": ACCOUNT, "id": job_id})
        except (OSError, http.client.HTTPException):
            return
        if reply.status in (200, 201):
            self.answered[job_id] = reply.status

    def take_stream(self, stream):
        stream.join(10)
        assert stream.is_over
        self.evidence.announced += stream.lines
        stream.close()

    @staticmethod
    def told(path):
        """What a hook was told, a line a run."""
        if not path.exists():
            return []
        return [Run(*line.split(" ")) for line in path.read_text().splitlines()]

    def wait_orphans(self):
        """Hooks outlive a killed daemon: what they still say is evidence, too."""
        for pid in self.stage.adopted():
            try:
                os.waitpid(pid, 0)
            except ChildProcessError:
                pass

    # -- the end --

    def end_well(self, *wanted):
        """A life that nothing happens to; then everything is judged. The faults, in words."""
        daemon = self.launch()
        wait_for(daemon.is_ready, "the daemon's sockets", END_S, self.said)
        found = list(self.check_promises(daemon))
        stream = try_follow(daemon)
        for job_id in wanted:
            self.ask_for_job(daemon, job_id)
        try:
            daemon.wait_finished(len(daemon.jobs()), END_S)
            daemon.wait_delivered(END_S)
        except AssertionError as error:
            found.append(str(error))
        return found + self.take_end(daemon, stream)

    def check_promises(self, daemon):
        for job_id, status in self.answered.items():
            if daemon.get(f"/v1/jobs/{ACCOUNT}/{job_id}").status != 200:
                yield f"job {job_id} was answered with {status} and is not watched"

    def take_end(self, daemon, stream):
        evidence = self.evidence
        evidence.final = daemon.get("/v1/events?after=0").data.decode().splitlines()
        code = daemon.stop()
        if stream:
            self.take_stream(stream)
        found = [] if code == 0 else [f"the last life ended with {code}"]
        connection = self.stage.database()
        try:
            found += check_database(connection)
            evidence.transitions = rows(connection, "SELECT * FROM transitions ORDER BY seq")
            deliveries = rows(connection, "SELECT * FROM deliveries")
        finally:
            connection.close()
        return found + list(self.check_end(deliveries))

    def check_end(self, deliveries):
        evidence = self.evidence
        evidence.deliveries = [row for row in deliveries if row["hook"] == "all"]
        evidence.records = [(run.id, int(run.seq), run.type, run.account, run.job,
                             int(run.attempt)) for run in self.told(self.runs_file)]
        evidence.answered = self.answers()
        yield from evidence.check()
        yield from check_attempts("all", deliveries, self.told(self.runs_file))

    def answers(self):
        """What the simulator said of jobs that are completed, by job."""
        mine = {row["job_id"] for row in self.evidence.transitions}
        answers = {}
        for request in self.world.simulator.requests():
            if request["job"] in mine and request["state"]:
                answers.setdefault(request["job"], []).append(request["state"])
        return {job: states for job, states in answers.items() if "COMPLETED" in states}


class Play(Lives):
    """Four jobs and two hooks: programs that succeed, fail once, and refuse."""

    def __init__(self, world, first_id, program, mutation):
        super().__init__(world, program, mutation)
        self.first_id = first_id
        self.refusals_file = self.stage.dir / "refusals"
        refuses = self.stage.program("refuses.sh", TELLING + "exit 65\n")
        self.configure([self.id(digit) for digit in CONFIGURED],
                       refuses={"exec": [str(refuses), str(self.refusals_file)],
                                "on": ["job.failed"], **FAST})

    def id(self, digit):
        return str(self.first_id + int(digit))

    def live(self, wrapper=()):
        """A life until its end, or until all is done and it is told to stop: its exit code."""
        daemon = self.launch(wrapper)
        stream, deadline = None, time.monotonic() + END_S
        while daemon.process.poll() is None and not self.is_done():
            if time.monotonic() > deadline:
                raise AssertionError("it hangs: " + self.said())
            stream = stream or try_follow(daemon)
            if stream:
                self.ask_for_job(daemon, self.id(BY_SOCKET))
            time.sleep(LOOK_EVERY_S)
        code = daemon.stop()
        if stream:
            self.take_stream(stream)
        self.wait_orphans()
        return code

    def is_done(self):
        """Every job has come to its end, as its hooks have."""
        last = {}
        for run in self.told(self.runs_file):
            last.setdefault((run.type, run.job), []).append(int(run.attempt))
        want = [("job.completed", "0"), ("job.completed", FAILS_ONCE), ("job.failed", ENDS_BADLY),
                ("hook.dead", ENDS_BADLY), ("job.completed", BY_SOCKET)]
        for event_type, digit in want:
            attempts = last.get((event_type, self.id(digit)))
            if not attempts or (digit == FAILS_ONCE and max(attempts) < 2):
                return False
        return True

    def end_well(self, *wanted):
        return super().end_well(self.id(BY_SOCKET), *wanted)

    def check_end(self, deliveries):
        yield from super().check_end(deliveries)
        refused = [row for row in deliveries if row["hook"] == "refuses"]
        dead = [event for event in self.evidence.events() if event["type"] == "hook.dead"]
        runs = self.told(self.refusals_file)
        if [row["state"] for row in refused] != ["dead"]:
            yield f"what was refused is {[row['state'] for row in refused]}"
        if len(dead) != 1:
            yield f"{len(dead)} events tell of one dead delivery"
        if len({run.id for run in runs}) != 1:
            yield f"the refused event came under {len({run.id for run in runs})} ids"
        yield from check_attempts("refuses", deliveries, runs)


def check_attempts(hook, deliveries, runs):
    """Attempts are counted on disk before their program runs."""
    counted = {row["event_seq"]: row["attempts"] for row in deliveries if row["hook"] == hook}
    for run in runs:
        if counted.get(int(run.seq), 0) < int(run.attempt):
            yield f"hook {hook} ran attempt {run.attempt} of event {run.seq}, uncounted"


def try_follow(daemon):
    try:
        stream = daemon.follow()
    except (OSError, http.client.HTTPException):
        return None
    if stream.status == 200:
        return stream
    stream.close()
    return None


def rows(connection, query):
    return [dict(row) for row in connection.execute(query)]


def check_database(connection):
    for pragma in ("integrity_check", "foreign_key_check"):
        try:
            said = [tuple(row) for row in connection.execute("PRAGMA " + pragma)]
        except sqlite3.DatabaseError as error:
            said = [str(error)]
        if said not in ([], [("ok",)]):
            yield f"{pragma}: {said[:3]}"
