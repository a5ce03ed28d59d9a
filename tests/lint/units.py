#!/usr/bin/env python3
"""The units in systemd/: valid, as tight as is claimed, and their messages explained.

units.py [--build DIR]: verify (systemd-analyze verify), exposure (systemd-analyze security, at most
1.2), and the catalog (a text for each MESSAGE_ID of src/daemon/messages.h, and no other). Each is
tried on a planted fault as well. Ends with 77 where systemd-analyze is missing.
"""

import argparse
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
MOST_EXPOSURE = 1.2


def render(directory, build, change=lambda text: text):
    """The units as they are installed, with programs that are there."""
    text = (ROOT / "systemd" / "bulkwatchd.service.in").read_text()
    text = text.replace("@sbindir@", str(build / "src" / "daemon"))
    text = text.replace("@bindir@", str(build / "src" / "ctl"))
    (directory / "bulkwatchd.service").write_text(change(text))
    for path in (ROOT / "systemd").glob("*.socket"):
        shutil.copy(path, directory)


def analyze(*words, directory):
    return subprocess.run(["systemd-analyze", "--no-pager", *words], cwd=directory, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def verify(directory):
    units = sorted(str(path) for path in directory.iterdir())
    done = analyze("--man=no", "verify", *units, directory=directory)
    # What it says of other units of this machine is not about ours.
    said = [line for line in done.stdout.splitlines() if "bulkwatch" in line]
    return said or ([done.stdout] if done.returncode else [])


def exposure(directory):
    done = analyze("security", "--offline=true", str(directory / "bulkwatchd.service"),
                   directory=directory)
    found = re.search(r"Overall exposure level for bulkwatchd.service: ([0-9.]+)", done.stdout)
    if not found:
        return ["no exposure was told:\n" + done.stdout]
    if float(found[1]) > MOST_EXPOSURE:
        return [f"the exposure is {found[1]}, more than {MOST_EXPOSURE}"]
    return []


def catalog(header, text):
    names = dict(re.findall(r'#define (MESSAGE_\w+)\s+"(\w+)"', header))
    entries = re.findall(r"^-- (\w+)\nSubject: \S.*\nDefined-By: bulkwatch\n", text, re.M)
    problems = [f"{name} ({value}) has no entry in the catalog"
                for name, value in names.items() if value not in entries]
    problems += [f"the catalog's {entry} is nobody's" for entry in entries
                 if entry not in names.values()]
    problems += [f"{value} is not 32 hex digits" for value in names.values()
                 if not re.fullmatch("[0-9a-f]{32}", value)]
    return problems if names else ["no message has a name"]


def check(build, problems):
    header = (ROOT / "src" / "daemon" / "messages.h").read_text()
    text = (ROOT / "systemd" / "bulkwatch.catalog").read_text()
    problems += catalog(header, text)
    if not catalog(header, text.replace("-- cb8e", "-- ab8e")):
        problems.append("the catalog's check did not see a fault")
    if not shutil.which("systemd-analyze"):
        return "systemd-analyze is not installed (systemd)"
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        render(directory, build)
        problems += verify(directory) + exposure(directory)
        render(directory, build, lambda unit: unit.replace("KillMode=", "KilMode="))
        if not verify(directory):
            problems.append("verify did not see a misspelt key")
        render(directory, build, lambda unit: unit.replace("PrivateUsers=yes\n", "")
               .replace("MemoryDenyWriteExecute=yes\n", ""))
        if not exposure(directory):
            problems.append("a looser unit has the same exposure")
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build")
    args = parser.parse_args()
    problems = []
    why = check(args.build.resolve(), problems)
    for problem in problems:
        print(problem)
    if not problems and why:
        print("skipped: " + why)
        return 77
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
