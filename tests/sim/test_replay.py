#!/usr/bin/env python3
"""Whether a failure is made small, and told so that it can be run again.

With a planted fault a history must fail; the command line that is printed at the end must be that
of a smaller history, and must fail with the same words.
"""

import re
import shlex
import subprocess
import sys

PLANT = "no-hold"
# Left out from the start, to be quick; the rest must be found to be bystanders.
WITHOUT = "errors,cuts,full,clients,changes,credits,clocks,tokens,receivers"


def run(sim, *args):
    done = subprocess.run([sim, *args], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return done.returncode, done.stdout


def replays(output):
    """The command lines that are told, without the name of the program."""
    return [shlex.split(line.split("./dev simulate ", 1)[1])
            for line in output.splitlines() if line.startswith("  replay: ")]


def words(output):
    """What the first failure says, without numbers and without where it was."""
    failure = re.search(r"FAILED: (.*)", output).group(1)
    return re.sub(r"[0-9]+", "", failure.split(" (life ")[0])


def size(args):
    """Of a history: what is in it, by its command line."""
    options = dict(zip(args[::2], args[1::2]))
    without = options.get("--without", "")
    ends = options["--ends"]
    return {
        "jobs": int(options["--jobs"]),
        "days": float(options["--virtual-days"]),
        "kinds": -len(without.split(",")) if without else 0,
        "ends": 0 if ends == "none" else len(ends.split(",")),
    }


def main():
    sim = sys.argv[1]
    status, output = run(sim, "--seeds", "1-20", "--jobs", "8", "--virtual-days", "0.1", "--workers", "1",
                         "--failures", "1", "--plant", PLANT, "--without", WITHOUT)
    assert status == 1, output
    found, small = replays(output)
    before, after = size(found), size(small)
    assert all(after[what] <= before[what] for what in before), (before, after)
    # Of eighteen kinds of trouble this fault needs one or two.
    assert after["kinds"] <= -16 and after["jobs"] < before["jobs"], (before, after)

    for args in (found, small):
        status, again = run(sim, *args, "--no-shrink")
        assert status == 1, again
        assert words(again) == words(output), (words(again), words(output))
    print("made small:", before, "->", after)


main()
