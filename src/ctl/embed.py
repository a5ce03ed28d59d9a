#!/usr/bin/env python3
"""embed.py C NAME=FILE...: texts as strings of C."""

import json
import pathlib
import sys

target, *pairs = sys.argv[1:]
lines = ['#include "ctl/completion.h"\n']
for name, path in (pair.split("=", 1) for pair in pairs):
    text = pathlib.Path(path).read_text()
    assert text.isascii(), path
    lines.append(f"const char {name}[] =")
    lines += ["\t" + json.dumps(line) for line in text.splitlines(keepends=True)]
    lines[-1] += ";\n"
pathlib.Path(target).write_text("\n".join(lines))
