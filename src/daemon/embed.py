#!/usr/bin/env python3
"""embed.py JSON C NAME VERSION: a JSON document as an array of C, without white space.

@VERSION@ in it becomes the version of the project.
"""

import json
import pathlib
import sys

PER_LINE = 16

source, target, name, version = sys.argv[1:]
document = json.loads(pathlib.Path(source).read_text().replace("@VERSION@", version))
data = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
lines = [", ".join(f"0x{byte:02x}" for byte in data[i:i + PER_LINE])
         for i in range(0, len(data), PER_LINE)]
pathlib.Path(target).write_text(
    '#include "daemon/openapi.h"\n\n'
    f"const char {name}[] = {{\n\t" + ",\n\t".join(lines) + "};\n"
    f"const size_t {name}_len = sizeof({name});\n")
