"""What a soak measures of the daemon, and whether that is flat.

The life that lasted longest is judged, without its warm-up: the first WARM_UP_S seconds of it, or a
quarter if that is more. What is left is cut into four quarters, and the last one's median is held
against the first one's. A single peak is no leak and a slow climb is no peak, so that medians say
more than lines through all points.
"""

import os
import pathlib
import statistics
import time

EVERY_S = 5
WARM_UP_S = 90
LEAST_SAMPLES = 16   # of a life that can be judged
MIB = 1024 * 1024

# How much more the last quarter's median may be than the first one's: a share of it, and a rest.
# In an hour of the daemon as it is, none of them moves by a third of this (docs/testing.md).
ALLOWED = {
    "memory": (0.05, 1.5 * MIB),      # RssAnon: what it has allocated
    "descriptors": (0.10, 12),        # clients, polls and hooks come and go
    "threads": (0.0, 4),              # of libcurl's resolver
    "wal": (0.25, 2 * MIB),
    "database": (0.25, 2 * MIB),
}
MOST = {"wal": 40 * MIB}  # at any time


class Sample:
    def __init__(self, at, life, values):
        self.at, self.life, self.values = at, life, values


def status_of(pid):
    fields = {}
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        fields[name] = value.split()
    return fields


def size(path):
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


class Measure:
    def __init__(self, state_dir):
        self.state_dir = state_dir
        self.samples = []
        self.next_at = 0

    def take(self, pid, life):
        """One sample, if it is time; None otherwise, or if the process is just not there."""
        if time.monotonic() < self.next_at:
            return None
        self.next_at = time.monotonic() + EVERY_S
        try:
            status = status_of(pid)
            values = {
                "memory": int(status["RssAnon"][0]) * 1024,
                "descriptors": len(os.listdir(f"/proc/{pid}/fd")),
                "threads": int(status["Threads"][0]),
                "wal": size(self.state_dir / "bulkwatch.db-wal"),
                "database": size(self.state_dir / "bulkwatch.db"),
            }
        except (FileNotFoundError, ProcessLookupError, KeyError):
            return None
        sample = Sample(time.monotonic(), life, values)
        self.samples.append(sample)
        return sample

    def longest_life(self):
        lives = {}
        for sample in self.samples:
            lives.setdefault(sample.life, []).append(sample)
        return max(lives.values(), key=len, default=[])

    def judge(self):
        """Lines for people, and faults in words."""
        life = self.longest_life()
        begun = life[0].at if life else 0
        warm_up = max(WARM_UP_S, (life[-1].at - begun) / 4) if life else 0
        kept = [sample for sample in life if sample.at - begun >= warm_up]
        lines, faults = [], []
        if len(kept) < LEAST_SAMPLES:
            return lines, [f"no life was long enough to be judged: {len(kept)} samples after the warm-up"]
        lines.append(f"judged: {kept[-1].at - kept[0].at:.0f} s of one life, after {warm_up:.0f} s of it")
        quarter = len(kept) // 4
        for name, (share, rest) in ALLOWED.items():
            values = [sample.values[name] for sample in kept]
            first, last = statistics.median(values[:quarter]), statistics.median(values[-quarter:])
            limit = first * (1 + share) + rest
            lines.append(f"{name}: {show(name, first)} in the first quarter, {show(name, last)} in the last "
                         f"(allowed {show(name, limit)}), at most {show(name, max(values))}")
            if last > limit:
                faults.append(f"{name} grew from {show(name, first)} to {show(name, last)}, "
                              f"allowed were {show(name, limit)}")
        for name, most in MOST.items():
            highest = max(sample.values[name] for sample in self.samples)
            if highest > most:
                faults.append(f"{name} was {show(name, highest)} once, allowed are {show(name, most)}")
        return lines, faults


def show(name, value):
    if name in ("descriptors", "threads"):
        return f"{value:.0f}"
    return f"{value / MIB:.2f} MiB"
