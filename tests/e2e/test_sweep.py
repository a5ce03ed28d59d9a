#!/usr/bin/env python3
"""The daemon cut off, or given an error, at system calls of its lives: a share of what ./dev kill does
whole (sweep.py), by chance, and the proof that such a sweep finds what is broken.

BULKWATCH_SEED repeats a run's choice, BULKWATCH_KILL_SECONDS says how long each part lasts.
"""

import os
import random
import time
import unittest

from harness import TestCase
from lifekit import MUTANT, World
from sweep import FIRST_CUTS, look, try_point
from tracekit import Point, can_trace, fault_points, kill_points, of_start

SEED = int(os.environ.get("BULKWATCH_SEED", random.SystemRandom().randrange(1 << 32)))
FOR_S = float(os.environ.get("BULKWATCH_KILL_SECONDS", "7"))
# What shows that something was told, or done, of which the disk knows nothing.
FORGOTTEN = ("announced|not in the journal|other things|uncounted|answered with|do not join|ran twice|"
             "do not match|no hook ran")


class Cut(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        TestCase.setUpClass.__func__(cls)
        reason = can_trace()
        if reason:
            print("skipped: " + reason, flush=True)
            raise unittest.SkipTest(reason)
        print(f"seed {SEED}: BULKWATCH_SEED={SEED} repeats it", flush=True)

    def setUp(self):
        self.world = World()
        self.addCleanup(self.world.close)

    def sample(self, jobs, what):
        """Points by chance until the time is over."""
        rng, met = random.Random(SEED), 0
        ends = time.monotonic() + FOR_S
        while not met or time.monotonic() < ends:
            first, point = rng.choice(jobs)
            result = try_point(self.world, point, first)
            self.assertEqual(result.found, [], f"{what}: {first} {point}")
            met += result.is_met
        print(f"{what}: {met} of {len(jobs)} points", flush=True)

    def test_killed(self):
        self.sample([(None, point) for point in kill_points(look(self.world))], "killed")

    def test_given_an_error(self):
        self.sample([(None, point) for point in fault_points(look(self.world))], "errors")

    def test_killed_or_given_an_error_in_recovery(self):
        first = random.Random(SEED).choice(FIRST_CUTS)
        trace = of_start(look(self.world, first))
        self.sample([(first, point) for point in [*kill_points(trace), *fault_points(trace)]],
                    "in recovery")

    def test_a_read_that_fails_in_recovery_is_no_damage(self):
        """65 would keep the service from starting ever again."""
        first = FIRST_CUTS[0]
        trace = of_start(look(self.world, first))
        points = [point for point in fault_points(trace)
                  if (point.what, point.kind) == ("EIO", "pread64")]
        for point in points[::max(1, len(points) // 8)]:
            result = try_point(self.world, point, first)
            self.assertEqual(result.found, [], point)
            self.assertIn(result.code, (0, 74) if result.is_met else (0,))

    # -- what it is worth --

    def find(self, mutation, kinds, expected, whats=("KILL",)):
        """Points of these kinds, in an order by chance, until the planted fault is seen."""
        planted = {"program": MUTANT, "mutation": mutation}
        trace = look(self.world, **planted)
        points = [Point(what, kind, k) for what in whats for kind in kinds
                  for k in range(trace.before[kind] + 1, trace.calls[kind] + 1)]
        random.Random(SEED).shuffle(points)
        for n, point in enumerate(points, 1):
            found = try_point(self.world, point, **planted).found
            if found:
                print(f"{mutation}: seen at point {n} of {len(points)}, {point}", flush=True)
                self.assertRegex(str(found), expected)
                return
        self.fail(f"{mutation} went unseen at {len(points)} points")

    def test_the_mutant_without_a_fault_is_the_daemon(self):
        result = try_point(self.world, Point("KILL", "clone3", 4), program=MUTANT)
        self.assertEqual((result.is_met, result.found), (True, []))

    def test_mark_done_then_spawn_is_seen_to_lose_a_hook(self):
        """Of the event that its hook refuses, it is the refusal that is missing, or what it led to."""
        self.find("done-before-spawn", ["pipe2", "clone3", "vfork"],
                  r"no hook ran for event|the refused event came under 0 ids|what was refused is \['delivered'\]")

    def test_an_event_told_before_its_commit_is_seen(self):
        self.find("tell-before-commit", ["fdatasync", "clone3", "sendto", "writev"], FORGOTTEN)

    def test_a_failed_sync_that_is_taken_for_success_is_seen(self):
        self.find("failed-sync-is-success", ["fdatasync"], "it ended with 0, not", whats=["EIO"])

    def test_what_a_full_disk_took_back_and_is_told_is_seen(self):
        """Memory goes on from what the disk does not know, and may come to what sanitizers complain of."""
        self.find("full-is-success", ["pwrite64"], FORGOTTEN + "|hangs|vain|ended with 65|a program is broken",
                  whats=["ENOSPC"])

    def test_no_row_in_the_outbox_is_seen(self):
        play = self.world.play(program=MUTANT, mutation="no-outbox-row")
        self.addCleanup(play.close)
        self.assertRegex(str(play.end_well()), "deliveries and events do not match.*no hook ran")


if __name__ == "__main__":
    unittest.main()
