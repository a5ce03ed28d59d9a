#!/usr/bin/env python3
"""A daemon cut off, or given an error, at every system call of its lives (./dev kill).

kill       SIGKILL before the k-th call of a kind, for every kind and k of a whole life
fault      each errno that the k-th call of a kind may give
recovery   the same two while it recovers from a cut, from the start to open sockets: two in a row
power      power cuts at random moments (test_power_cut.py)

After each comes a life that nothing happens to, and then everything must agree: what was told to a
hook, a stream or a caller is on disk, nothing is lost, one id an event, the database whole.
"""

import argparse
import collections
import multiprocessing
import os
import pathlib
import random
import subprocess
import sys
import time

from harness import DAEMON, LIBC, PR_SET_CHILD_SUBREAPER
from lifekit import World
from tracekit import (Point, can_trace, ends_wrongly, fault_points, injected, injecting,
                      is_lost_sigterm, kill_points, of_start, read_trace, tracing)

PARTS = ("kill", "fault", "recovery")
Result = collections.namedtuple("Result", "first point is_met code found")

# What a life is cut off by, in whose wake another is cut off: in the middle of commits, at a failed
# sync, and while the database is being made.
FIRST_CUTS = [Point("KILL", "clone3", 5), Point("EIO", "fdatasync", 14), Point("KILL", "pwrite64", 8)]


def look(world, first=None, **program):
    """What calls a whole life makes; first: one that begins where that cut left off."""
    play = after(world, first, **program) if first else world.play(**program)
    path = play.stage.dir / "trace"
    try:
        if play.live(tracing(path)) != 0:
            raise AssertionError(play.said())
        return read_trace(path)
    finally:
        play.close()


def after(world, first, **program):
    play = world.play(**program)
    play.live(injecting(play.stage.dir / "trace", first))
    return play


def try_point(world, point, first=None, **program):
    """Lives and cuts until the last; what is wrong, in words."""
    play = after(world, first, **program) if first else world.play(**program)
    path = play.stage.dir / "trace.of.it"
    try:
        code = play.live(injecting(path, point))
        if point.what == "KILL":
            found, is_met = [], code == -9
            if not is_met and code != 0:
                found = [f"it ended with {code}: {play.said()}"]
        else:
            lines = injected(path)
            is_met = bool(lines)
            wrong = ends_wrongly(point, lines, code) if is_met else None
            found = [f"{wrong}: {lines[0]}\n{play.said()}"] if wrong else []
        return Result(first, point, is_met, code, found + (play.end_well() if is_met else []))
    except (AssertionError, subprocess.TimeoutExpired) as error:
        if is_lost_sigterm(injected(path)):
            return Result(first, point, False, None, [])
        return Result(first, point, True, None, [str(error)])
    finally:
        try:
            play.close()
        except AssertionError as error:  # a sanitizer's or an assertion's complaint
            return Result(first, point, True, None, [str(error)])


def again(result):
    first = "" if not result.first else " --after {0.what} {0.kind} {0.k}".format(result.first)
    return "./dev kill --point {0.what} {0.kind} {0.k}".format(result.point) + first


# ---- the whole ----


def work(todo, done):
    LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    world = World()
    try:
        for first, point in iter(todo.get, None):
            done.put(try_point(world, point, first))
    finally:
        world.close()


def sweep(jobs, n_workers):
    """Each of (first cut or None, point); the results as they come."""
    todo, done = multiprocessing.Queue(), multiprocessing.Queue()
    for job in [*jobs, *[None] * n_workers]:
        todo.put(job)
    workers = [multiprocessing.Process(target=work, args=(todo, done))
               for _ in range(n_workers)]
    for worker in workers:
        worker.start()
    for _ in jobs:
        yield done.get()
    for worker in workers:
        worker.join()


def all_jobs(parts):
    """By part: what is to be tried."""
    if not parts:
        return {}
    world = World()
    try:
        trace = look(world)
        jobs = {"kill": [(None, point) for point in kill_points(trace)],
                "fault": [(None, point) for point in fault_points(trace)], "recovery": []}
        for first in FIRST_CUTS if "recovery" in parts else ():
            trace = of_start(look(world, first))
            jobs["recovery"] += [(first, point) for point in
                                 [*kill_points(trace), *fault_points(trace)]]
        return {part: jobs[part] for part in PARTS if part in parts}
    finally:
        world.close()


def run(part, jobs, n_workers):
    """Whether all is well."""
    begun, met, kinds, failed = time.monotonic(), 0, collections.Counter(), 0
    codes = collections.Counter()
    for n, result in enumerate(sweep(jobs, n_workers), 1):
        met += result.is_met
        if result.is_met:
            kinds[result.point.kind] += 1
            codes[result.code] += 1
        if result.found:
            failed += 1
            print(f"{again(result)}\n  " + "\n  ".join(result.found), flush=True)
        if n % 100 == 0:
            print(f"{part}: {n} of {len(jobs)}, {failed} failed, "
                  f"{time.monotonic() - begun:.0f} s", flush=True)
    print(f"{part}: {met} of {len(jobs)} points met in {time.monotonic() - begun:.0f} s, "
          f"{failed} failed; ends: {dict(codes)}; by kind: {dict(kinds.most_common())}", flush=True)
    return failed == 0


def cut_power(arguments):
    """In a process of its own, which gets a mount namespace."""
    known = {**os.environ, "BULKWATCH_POWER_CUTS": str(arguments.cuts),
             "BULKWATCH_SEED": str(arguments.seed)}
    path = pathlib.Path(__file__).with_name("test_power_cut.py")
    return subprocess.run([sys.executable, path], env=known, check=False).returncode == 0


def main():
    parser = argparse.ArgumentParser(prog="./dev kill", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help="all of them by default")
    parser.add_argument("--workers", type=int, default=multiprocessing.cpu_count())
    parser.add_argument("--cuts", type=int, default=300, help="of power (300)")
    parser.add_argument("--sample", type=int, help="so many of each part, by chance")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--point", nargs=3, metavar=("WHAT", "KIND", "K"), help="this one alone")
    parser.add_argument("--after", nargs=3, metavar=("WHAT", "KIND", "K"),
                        help="... after a life that this cut off")
    arguments = parser.parse_args()
    LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    if set(arguments.parts) - {*PARTS, "power"}:
        parser.error("the parts are " + ", ".join([*PARTS, "power"]))
    reason = can_trace()
    if reason:
        sys.exit(reason)
    if arguments.point:
        world = World()
        first = arguments.after and Point(*arguments.after[:2], int(arguments.after[2]))
        result = try_point(world, Point(*arguments.point[:2], int(arguments.point[2])), first)
        world.close()
        print(result.is_met, result.code, *result.found, sep="\n")
        sys.exit(bool(result.found))
    print(f"{DAEMON}, seed {arguments.seed}", flush=True)
    parts, is_well = arguments.parts or [*PARTS, "power"], True
    for part, jobs in all_jobs([part for part in parts if part != "power"]).items():
        if arguments.sample and arguments.sample < len(jobs):
            jobs = random.Random(arguments.seed).sample(jobs, arguments.sample)
        is_well = run(part, jobs, arguments.workers) and is_well
    if "power" in parts:
        is_well = cut_power(arguments) and is_well
    sys.exit(not is_well)


if __name__ == "__main__":
    main()
