#!/usr/bin/env python3
"""kill -9 at random moments: nothing announced is lost or told twice, no hook is forgotten.

BULKWATCH_SEED repeats a run's moments (not what the machine makes of them), BULKWATCH_KILLS says
how many there are.
"""

import http.client
import os
import random
import time
import unittest

from evidence import Evidence, unseen_faults
from harness import DEADLINE_S, TestCase

N_JOBS = 30
N_KILLS = int(os.environ.get("BULKWATCH_KILLS", "40"))
SEED = int(os.environ.get("BULKWATCH_SEED", random.SystemRandom().randrange(1 << 32)))
LAST_KILL_MS = 350      # after the start of a life, before, in and after recovery; or after it answers
LAST_COMPLETION_MS = 12000
FIRED = {"job.added", "job.queued", "job.in_progress", "job.completed"}
ACCOUNT = "acme"


class Kill(TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        print(f"seed {SEED}: BULKWATCH_SEED={SEED} repeats it", flush=True)

    def test_nothing_is_lost_and_nothing_is_told_twice(self):
        evidence = self.live()
        self.assertEqual(list(evidence.check()), [])
        # What would go unseen if the moments were ill chosen.
        self.assertGreater(len(evidence.announced), N_JOBS)
        self.assertGreater(len(evidence.records), N_JOBS)
        self.assertEqual(unseen_faults(evidence), [])

    def live(self):
        rng = random.Random(SEED)
        stage = self.stage
        stage.sim("--seed", str(SEED), script={"jobs": [
            self.job(rng, i) for i in range(N_JOBS)]})
        stage.config({ACCOUNT: stage.account([str(1000 + i) for i in range(N_JOBS)])},
                     hooks={"all": stage.hook("all", before="sleep 0.05", on=sorted(FIRED),
                                              parallel=8, retry_first="50ms")},
                     poll={"min_interval": "40ms", "max_interval": "120ms"})
        evidence = Evidence(FIRED)
        for _ in range(N_KILLS):
            self.live_and_die(stage, evidence, rng.uniform(0, LAST_KILL_MS) / 1000,
                              answers_first=rng.random() < 0.5)
            if rng.random() < 0.5:
                self.kill_hooks(stage)
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

    def live_and_die(self, stage, evidence, lives_s, answers_first):
        daemon = stage.launch()
        begun = time.monotonic()
        stream = None
        while time.monotonic() < begun + (DEADLINE_S if answers_first and not stream else lives_s):
            self.assertIsNone(daemon.process.poll(), stage.log())
            if stream is None:
                stream = self.try_follow(daemon)
                if answers_first and stream:
                    begun = time.monotonic()
            time.sleep(0.002)
        daemon.kill()
        if stream:
            stream.join(10)
            self.assertTrue(stream.is_over)
            evidence.announced += stream.told()
            stream.close()

    @staticmethod
    def kill_hooks(stage):
        """The service manager ends what is left of the service; without it, hooks live on."""
        stage.end_adopted()
        for path in stage.records_dir.glob(".*"):
            path.unlink()

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
        evidence.take_end(stage, daemon)


if __name__ == "__main__":
    unittest.main()
