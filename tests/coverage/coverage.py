#!/usr/bin/env python3
"""
coverage.py BUILD: lines and branches by layer, of what the tests of that build ran, from clang's
counters in BUILD/profile. Of core/, wire/, store/ and net/ each branch that no test took is printed,
and compared with left.txt beside this file, which says why a branch is left: one of core/ or wire/
that is not listed ends this with 1, as do store/ or net/ below their goal, a listed one of core/ or
wire/ that is taken, and one that is gone. (Of store/ and net/ the end to end tests take some that the
quick ones leave.)

A branch is one side, true or false, of one condition as it is written in the source: an operand of
&& and || counts by itself, a case of a switch too. What a system header's macro decides (assert,
TAILQ_FOREACH) has no place in our source and is not counted.
"""
import argparse
import json
import os
import re
import subprocess
import sys

LAYERS = ["util", "core", "wire", "store", "config", "net", "daemon", "ctl", "sim"]
GOALS = {"core": 100.0, "wire": 100.0, "store": 95.0, "net": 95.0}  # 100: what is left is listed, and nothing else
PROGRAMS = ["src/daemon/bulkwatchd", "src/ctl/bulkwatch", "src/sim/bulkwatch-sim"]
BRANCH_KIND = 4

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))


def export(build, suite):
    """What llvm-cov makes of the counters of one suite: all functions, those without a count as 0."""
    directory = os.path.join(build, "profile", suite)
    profiles = [os.path.join(directory, name) for name in sorted(os.listdir(directory))]
    merged = os.path.join(build, suite + ".profdata")
    subprocess.run(["llvm-profdata", "merge", "-o", merged, *profiles], check=True)
    first, *others = [os.path.join(build, program) for program in PROGRAMS]
    command = ["llvm-cov", "export", first, "-instr-profile", merged]
    for program in others:
        command += ["-object", program]
    # It warns of main(), of which each test has one of its own.
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return json.loads(done.stdout)["data"][0]


def below_src(path, build):
    """The path of a source from src/, or None."""
    path = os.path.relpath(os.path.normpath(os.path.join(build, path)), os.path.join(ROOT, "src"))
    return None if path.startswith("..") else path


class Source:
    """The text of the files, to call a condition by its words: they outlive changes of lines."""

    def __init__(self):
        self.lines = {}

    def text(self, name, line, column, end_line, end_column):
        if name not in self.lines:
            with open(os.path.join(ROOT, "src", name), "rb") as file:
                self.lines[name] = file.read().split(b"\n")
        lines = self.lines[name][line - 1 : end_line]
        lines[-1] = lines[-1][: end_column - 1]
        lines[0] = lines[0][column - 1 :]
        return re.sub(r"\s+", " ", b" ".join(lines).decode()).strip()


class Branch:
    def __init__(self, file, line, column, function, words, side):
        self.file, self.line, self.column = file, line, column
        self.function, self.words, self.side = function, words, side
        self.count = 0

    def key(self):
        return (self.file, self.function, self.words, self.side)

    def __str__(self):
        return f"{self.file}:{self.line}: {self.function}: {self.words}: {self.side}"


class Tree:
    """What is known of src/, a suite at a time."""

    def __init__(self, build):
        self.build = build
        self.source = Source()
        self.branches = {}  # by place: in two programs, or two copies of an inline function, it is one
        self.lines = {}  # by file: how often each line with code in it ran

    def add(self, suite):
        data = export(self.build, suite)
        # The simulation plays net/ by functions of the same names.
        is_ours = lambda name: name is not None and not (suite == "sim" and name.startswith("net/"))
        for function in data["functions"]:
            names = [below_src(path, self.build) for path in function["filenames"]]
            for branch in function["branches"]:
                name = names[branch[6]]
                if is_ours(name) and branch[8] == BRANCH_KIND:
                    self.add_branch(name, function["name"].split(":")[-1], branch)
        for file in data["files"]:
            name = below_src(file["filename"], self.build)
            if is_ours(name):
                self.add_lines(name, file["segments"])

    def add_branch(self, name, function, branch):
        line, column, end_line, end_column, n_true, n_false = branch[:6]
        for side, n in (("true", n_true), ("false", n_false)):
            place = (name, line, column, end_line, end_column, side)
            if place not in self.branches:
                words = self.source.text(name, line, column, end_line, end_column)
                self.branches[place] = Branch(name, line, column, function, words, side)
            self.branches[place].count += n

    def add_lines(self, name, segments):
        """A line counts what the segment that it begins in counted, or more if one begins in it."""
        lines = self.lines.setdefault(name, {})
        for now, after in zip(segments, segments[1:]):
            line, _, count, has_count = now[:4]
            if not has_count:
                continue
            for at in range(line, after[0] + (after[1] > 1)):
                lines[at] = max(lines.get(at, 0), count)


def read_left():
    """FILE: FUNCTION: CONDITION: SIDE, one a line, and their reason on the indented lines that follow."""
    left = {}
    keys = []
    is_reason = False
    with open(os.path.join(HERE, "left.txt"), encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if not line.strip() or line.startswith("#"):
                continue
            if line[0].isspace():
                if not keys:
                    sys.exit(f"left.txt:{number}: a reason without a branch")
                for key in keys:
                    left[key] += line.strip()
                is_reason = True
                continue
            if is_reason:
                keys = []
                is_reason = False
            name, function, rest = line.rstrip("\n").split(": ", 2)
            words, side = rest.rsplit(": ", 1)
            key = (name, function, words, side)
            if key in left or side not in ("true", "false"):
                sys.exit(f"left.txt:{number}: twice, or neither true nor false")
            left[key] = ""
            keys.append(key)
    for key, reason in left.items():
        if not reason:
            sys.exit(f"left.txt: no reason: {': '.join(key)}")
    return left


def percent(n, of):
    return 100.0 * n / of if of else 100.0


def print_table(tree):
    print(f"{'layer':<8}{'lines':>25}{'branches':>26}")
    shares = {}
    for layer in LAYERS:
        counts = [n for name, of_file in tree.lines.items() if name.startswith(layer + "/") for n in of_file.values()]
        sides = [branch.count for branch in tree.branches.values() if branch.file.startswith(layer + "/")]
        columns = []
        for column in (counts, sides):
            n, of = sum(count > 0 for count in column), len(column)
            shares[layer] = 100.0 * n / of if of else 100.0
            columns.append(f"{n:>8} of {of:<6}{shares[layer]:>6.1f} %")
        print(f"{layer:<8}" + "  ".join(columns))
    return shares


def judge(branches, left, shares):
    """Prints what no test takes; the problems."""
    problems = []
    for layer, goal in GOALS.items():
        untaken = [branch for branch in branches if branch.count == 0 and branch.file.startswith(layer + "/")]
        untaken.sort(key=lambda branch: (branch.file, branch.line, branch.column, branch.side))
        print(f"\nsrc/{layer}/: {len(untaken)} branches that no test takes")
        for branch in untaken:
            is_listed = branch.key() in left
            print(f"  src/{branch}" + ("   (left.txt)" if is_listed else ""))
            if goal == 100 and not is_listed:
                problems.append(f"not taken and not listed: src/{branch}")
        of_layer = [branch for branch in branches if branch.file.startswith(layer + "/")]
        answered = percent(sum(branch.count > 0 or branch.key() in left for branch in of_layer), len(of_layer))
        print(f"src/{layer}/: {shares[layer]:.1f} % are taken, {answered:.1f} % are taken or listed")
        if shares[layer] < goal < 100:
            problems.append(f"src/{layer}/: {shares[layer]:.1f} % of branches are taken, not {goal:.0f} %")
    keys = {branch.key(): branch.count for branch in sorted(branches, key=lambda branch: -branch.count)}
    problems += [f"listed in left.txt, but gone: {': '.join(key)}" for key in left if key not in keys]
    problems += [f"listed in left.txt, but taken: {': '.join(key)}" for key in left
                 if keys.get(key) and GOALS[key[0].partition("/")[0]] == 100]
    return problems


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    build = os.path.abspath(parser.parse_args().build)
    tree = Tree(build)
    for suite in sorted(os.listdir(os.path.join(build, "profile"))):
        tree.add(suite)
    left = read_left()
    problems = judge(tree.branches.values(), left, print_table(tree))
    print(f"\n{len(left)} listed with their reasons in tests/coverage/left.txt, {len(problems)} problems")
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
