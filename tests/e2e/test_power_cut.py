#!/usr/bin/env python3
"""Power cuts: the daemon is stopped at a random instant, the disk below its file system copied as it is
at that moment, and the daemon goes on from the copy, as after the current came back.

The state directory is an ext4 on a loop device, in a mount namespace of this process: what was
not synced is in the kernel's memory and not in the copy. Needs root; says so and is skipped
elsewhere. Not played: sectors torn in halves, and a disk that lies.

BULKWATCH_POWER_CUTS says how many cuts there are, BULKWATCH_SEED repeats a run's moments.
"""

import os
import pathlib
import random
import shutil
import signal
import subprocess
import time
import unittest

from harness import LIBC, TestCase, wait_for
from lifekit import LOOK_EVERY_S, MUTANT, Lives, World, try_follow
from test_full_disk import enter_namespace

N_CUTS = int(os.environ.get("BULKWATCH_POWER_CUTS", "10"))
SEED = int(os.environ.get("BULKWATCH_SEED", random.SystemRandom().randrange(1 << 32)))
CUTS_A_DISK = 10
CUTS_A_CONTROL = 3
LAST_CUT_MS = 500
EARLY_CUTS = 0.25      # this share before, in or just after recovery
DISK_MIB = 64
CONTROL_CUTS_MAX = 60  # by then a daemon that does not sync has lost something


class Disk:
    """An ext4 in a file, mounted at a directory."""

    def __init__(self, directory, mount_point):
        self.directory, self.mount_point = directory, mount_point
        self.n = 0
        self.image = directory / "disk.0"
        with open(self.image, "wb") as file:
            file.truncate(DISK_MIB << 20)
        subprocess.run(["mkfs.ext4", "-q", "-F", self.image], check=True)
        self.mount()

    def mount(self):
        subprocess.run(["mount", "-o", "loop", self.image, self.mount_point], check=True)
        os.chmod(self.mount_point, 0o700)

    def unmount(self):
        subprocess.run(["umount", self.mount_point], check=True)

    def copy(self):
        """What a power cut at this moment would leave."""
        self.n += 1
        copy = self.directory / f"disk.{self.n}"
        subprocess.run(["cp", "--sparse=always", self.image, copy], check=True)
        return copy

    def replace(self, copy):
        self.unmount()
        self.image.unlink()
        self.image = copy
        self.mount()


def why_not():
    if os.geteuid() != 0:
        return "not root, so no disk can be mounted"
    for program in ("mkfs.ext4", "mount"):
        if not shutil.which(program):
            return program + " is not installed"
    try:
        enter_namespace()
    except OSError as error:
        return f"no mount namespace of its own: {error}"
    return None


class Flicker(Lives):
    """Jobs are watched, one after the other, by a daemon whose current fails again and again."""

    def __init__(self, world, **program):
        super().__init__(world, **program)
        self.configure([])
        self.disk = Disk(self.stage.dir, self.stage.state_dir)

    def close(self):
        self.disk.unmount()
        super().close()

    def live_and_lose_power(self, rng):
        """The moment is counted from the start or, mostly, from the first answer."""
        is_early = rng.random() < EARLY_CUTS
        lives_s = rng.uniform(0, LAST_CUT_MS / 1000)
        daemon = self.launch()
        stream, begun = None, time.monotonic()
        while not (stream or is_early) or time.monotonic() < begun + lives_s:
            if daemon.process.poll() is not None:
                raise AssertionError(f"it ended with {daemon.process.returncode}: {self.said()}")
            if stream:
                self.ask_for_job(daemon, self.world.next_id())
            else:
                stream = try_follow(daemon)
                begun = time.monotonic() if stream and not is_early else begun
            time.sleep(LOOK_EVERY_S)
        daemon.send(signal.SIGSTOP)
        wait_for(lambda: is_stopped(daemon.pid), "its standstill")
        copy = self.disk.copy()
        daemon.kill()
        if stream:
            self.take_stream(stream)
        self.wait_orphans()
        self.disk.replace(copy)


def is_stopped(pid):
    threads = pathlib.Path(f"/proc/{pid}/task").glob("*/stat")
    try:
        return all(path.read_text().rpartition(")")[2].split()[0] == "T" for path in threads)
    except OSError:
        return False  # one has just ended


class PowerCut(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        TestCase.setUpClass.__func__(cls)
        reason = why_not()
        if reason:
            print("skipped: " + reason, flush=True)
            raise unittest.SkipTest(reason)
        print(f"seed {SEED}: BULKWATCH_SEED={SEED} repeats it", flush=True)

    def setUp(self):
        self.world = World()
        self.addCleanup(self.world.close)
        self.rng = random.Random(SEED)

    def cut(self, n, **program):
        """What so many cuts of one disk did, in words, and how much was promised."""
        lives = Flicker(self.world, **program)
        try:
            for _ in range(n):
                lives.live_and_lose_power(self.rng)
            found = lives.end_well()
            return found, len(lives.evidence.announced), len(lives.told(lives.runs_file))
        finally:
            lives.close()

    def test_what_was_promised_survives(self):
        announced = told = n = 0
        while n < N_CUTS:
            found, more_announced, more_told = self.cut(min(CUTS_A_DISK, N_CUTS - n))
            self.assertEqual(found, [], f"after {n} cuts")
            n += min(CUTS_A_DISK, N_CUTS - n)
            announced, told = announced + more_announced, told + more_told
        print(f"{n} cuts: {announced} events announced, {told} runs of hooks, nothing lost",
              flush=True)
        # What would go unseen if the moments were ill chosen.
        self.assertGreater(announced, n)
        self.assertGreater(told, n)

    def find(self, mutation, expected):
        """Cuts until the planted fault is seen."""
        for n in range(CUTS_A_CONTROL, CONTROL_CUTS_MAX + 1, CUTS_A_CONTROL):
            found, _, _ = self.cut(CUTS_A_CONTROL, program=MUTANT, mutation=mutation)
            if found:
                self.assertRegex(str(found), expected)
                print(f"{mutation}: seen after {n} cuts: {found[0][:100]}", flush=True)
                return
        self.fail(f"{mutation} went unseen")

    def test_synchronous_normal_is_seen_to_lose(self):
        self.find("synchronous-normal", "announced and is|answered with")

    def test_no_sync_at_all_is_seen_to_lose(self):
        self.find("no-sync", "announced and is|answered with|malformed|missing|ended with|vain")


if __name__ == "__main__":
    unittest.main()
