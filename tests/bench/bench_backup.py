#!/usr/bin/env python3
"""What a copy of a large database costs those who ask meanwhile: bench_backup.py [MEGABYTES]."""

import pathlib
import sqlite3
import statistics
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from harness import Stage, ask  # noqa: E402


def make_large(stage, megabytes):
    database = sqlite3.connect(stage.state_dir / "bulkwatch.db")
    with database:
        database.executemany("INSERT INTO small_value VALUES (?, hex(randomblob(65536)))",
                             ((f"padding-{i}",) for i in range(megabytes * 8)))
    database.close()


def asked_until(daemon, is_over):
    """Milliseconds of changes, each one commit and one answer, in a row."""
    took, n = [], 0
    while not is_over():
        began = time.monotonic()
        reply = daemon.post("/v1/jobs", {"account": "acme", "id": str(100000 + n)})
        took.append((time.monotonic() - began) * 1000)
        assert reply.status in (200, 201), reply.data
        n += 1
    return sorted(took)


def tell(what, took):
    print(f"  {what}: {len(took)} changes, median {statistics.median(took):.1f} ms, "
          f"99 % {took[len(took) * 99 // 100]:.1f} ms, most {took[-1]:.1f} ms")


def main():
    megabytes = int(sys.argv[1]) if len(sys.argv) > 1 else 512
    stage = Stage()
    stage.sim(script={"jobs": [{"id": "*", "life": [{"state": "ADDED"}]}]})
    stage.config({"acme": stage.account(["1"])}, poll={"min_interval": "1s", "max_interval": "1s"})
    stage.start().stop()
    make_large(stage, megabytes)
    daemon = stage.start()
    until = time.monotonic() + 3
    tell("without a copy", asked_until(daemon, lambda: time.monotonic() > until))
    began, copies = time.monotonic(), []
    client = threading.Thread(
        target=lambda: copies.append(ask(daemon.admin, "GET", "/v1/backup", timeout=600)))
    client.start()
    took = asked_until(daemon, lambda: not client.is_alive())
    seconds = time.monotonic() - began
    tell("beside a copy", took)
    print(f"  {len(copies[0].data) / 1e6:.0f} MB made and read in {seconds:.1f} s")
    stage.close()


if __name__ == "__main__":
    main()
