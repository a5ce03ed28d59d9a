#!/usr/bin/env python3
"""Laws of the house that a machine can see (docs/design.md). lint.py NAME [--root DIR] ...

layers   folder is layer: includes go one way, and are spelt from src/
pure     core/ has no undefined symbol beyond a short list: no I/O, no clock, no malloc, no log
headers  every header compiles alone
format   clang-format has nothing to change
man      mandoc finds nothing wrong with the manual pages
size     no file over 700 lines, no function over 80, no placeholder
selftest each of the above fails on a planted fault
"""

import argparse
import pathlib
import re
import subprocess
import sys
import tempfile

# A layer may include itself and these.
MAY_INCLUDE = {
    "util": set(),
    "core": {"util"},
    "wire": {"util", "core"},
    "store": {"util", "core"},
    "config": {"util", "core"},
    "net": {"util"},
    "daemon": {"util", "core", "wire", "store", "config", "net"},
    "ctl": {"util", "core", "wire", "config"},
    "sim": {"util", "core", "wire", "config"},
}

# What decisions may need: copying and comparing memory, roots and logarithms, assertions.
PURE = {
    "memcpy", "memmove", "memset", "memcmp", "strcmp", "strncmp", "strlen", "strnlen", "strchr",
    "sqrt", "log", "exp", "pow", "erf", "erfc", "__assert_fail", "__stack_chk_fail",
    "_GLOBAL_OFFSET_TABLE_",
}

FILE_MAX_LINES = 700
FUNCTION_MAX_LINES = 80


def sources(root, *patterns):
    return sorted(p for pattern in patterns for p in root.glob(pattern) if "build" not in p.parts)


def lint_layers(args):
    problems = []
    for path in sources(args.root, "src/*/*.[ch]"):
        layer = path.parent.name
        if layer not in MAY_INCLUDE:
            problems.append(f"{path}: no such layer: {layer}")
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            found = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
            if not found:
                continue
            name = found.group(1)
            target = name.split("/")[0]
            if "/" not in name or not (args.root / "src" / name).exists():
                problems.append(f"{path}:{number}: not spelt from src/: {name}")
            elif target != layer and target not in MAY_INCLUDE[layer]:
                problems.append(f"{path}:{number}: {layer} may not include {target}: {name}")
    return problems


def symbols(path):
    """(undefined, defined) names of an object or archive."""
    undefined, defined = set(), set()
    out = subprocess.run(["nm", str(path)], capture_output=True, text=True, check=True).stdout
    for line in out.splitlines():
        fields = line.split()
        if len(fields) >= 2 and fields[-2] in ("U", "w"):
            undefined.add(fields[-1])
        elif len(fields) >= 3:
            defined.add(fields[-1])
    return undefined, defined


def lint_pure(args):
    undefined, defined = symbols(args.library)
    return [f"core/ is not pure: it uses {name}" for name in sorted(undefined - defined - PURE)]


def lint_headers(args):
    problems = []
    for path in sources(args.root, "src/*/*.h"):
        name = path.relative_to(args.root / "src")
        run = subprocess.run(
            ["cc", "-std=gnu17", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-fsyntax-only",
             "-I", str(args.root / "src"), "-x", "c", "-"],
            input=f'#include "{name}"\n', capture_output=True, text=True)
        if run.returncode:
            problems.append(f"{name} does not compile alone:\n{run.stderr}")
    return problems


def lint_format(args):
    files = sources(args.root, "src/*/*.[ch]", "tests/*/*.[ch]")
    run = subprocess.run(["clang-format", "--dry-run", "--Werror", *map(str, files)],
                         capture_output=True, text=True)
    return [] if run.returncode == 0 else [run.stderr, "run ./dev format"]


def lint_size(args):
    problems = []
    for path in sources(args.root, "src/*/*.[ch]", "tests/*/*.[ch]"):
        lines = path.read_text().splitlines()
        if len(lines) > FILE_MAX_LINES:
            problems.append(f"{path}: {len(lines)} lines, more than {FILE_MAX_LINES}")
        begin = None
        for number, line in enumerate(lines, 1):
            if re.search(r"\b(TODO|FIXME|XXX|HACK)\b", line):
                problems.append(f"{path}:{number}: a placeholder")
            if line.startswith("{"):
                begin = number
            elif line.startswith("}") and begin:
                if number - begin > FUNCTION_MAX_LINES:
                    problems.append(f"{path}:{begin}: a function of {number - begin} lines")
                begin = None
    return problems


def lint_man(args):
    pages = sources(args.root, "docs/man/*.[1-8]")
    run = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", *map(str, pages)],
                         capture_output=True, text=True)
    return [] if run.returncode == 0 and pages else [run.stdout + run.stderr or "no pages"]


def plant(root, name, text):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def lint_selftest(args):
    """Every lint on a tree with one fault, and on the same tree without it."""
    planted = {
        "layers": ("src/core/a.h", '#include "net/b.h"\n'),
        "headers": ("src/core/a.h", "struct a { size_t n; };\n"),
        "format": ("src/core/a.h", "struct  a;\n"),
        "man": ("docs/man/a.1", ".Dd January 1, 2026\n.Dt A 1\n.Os\n.Sh NAME\n.Nm a\n.Nd b\n.Bogus\n"),
        "size": ("src/core/a.c", "int f(void)\n{\n" + "\tf();\n" * (FUNCTION_MAX_LINES + 1) + "}\n"),
    }
    problems = []
    for name, (path, text) in planted.items():
        for is_faulty in (False, True):
            with tempfile.TemporaryDirectory() as directory:
                root = pathlib.Path(directory)
                plant(root, ".clang-format", (args.root / ".clang-format").read_text())
                plant(root, "src/net/b.h", "struct b;\n")
                good = text.replace(".Bogus\n", "") if name == "man" else "struct a;\n"
                plant(root, path, text if is_faulty else good)
                found = LINTS[name](argparse.Namespace(root=root))
                if bool(found) != is_faulty:
                    problems.append(f"{name}: {'did not see the fault' if is_faulty else found}")
    with tempfile.TemporaryDirectory() as directory:
        for code, is_faulty in (("#include <time.h>\nlong f(void) { return time(0); }\n", True),
                                ("int f(int x) { return x + 1; }\n", False)):
            library = pathlib.Path(directory) / "a.o"
            subprocess.run(["cc", "-c", "-o", str(library), "-x", "c", "-"], input=code, text=True, check=True)
            if bool(lint_pure(argparse.Namespace(library=library))) != is_faulty:
                problems.append("pure: did not tell the faulty from the good")
    return problems


LINTS = {
    "layers": lint_layers,
    "pure": lint_pure,
    "headers": lint_headers,
    "format": lint_format,
    "man": lint_man,
    "size": lint_size,
    "selftest": lint_selftest,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=LINTS)
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parents[2])
    parser.add_argument("--library", type=pathlib.Path, help="of pure: the archive of core/")
    args = parser.parse_args()
    problems = LINTS[args.name](args)
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
