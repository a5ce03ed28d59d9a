#!/usr/bin/env python3
"""The package in a booted systemd: a container over this machine's own root, thrown away at the end.

What is done inside stands in systemd/inside.py; before it debian/tests/rehearse runs there too. Needs
root, systemd-nspawn and what builds the package; says so and ends with 77 where one is missing.
$BULKWATCH_DEB names a package that is built already.
"""

import ctypes
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import uuid

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BUILD = pathlib.Path(os.environ.get("BULKWATCH_BUILD", ROOT / "build"))
BOUND_S = 240  # of what runs inside
CLONE_NEWNS = 0x00020000
SKIP = 77

# As little as the test needs is started: no network, no logins, nothing of the machine's own.
TARGET = """[Unit]
Description=The test, and what it needs
Requires=systemd-journald.service systemd-tmpfiles-setup.service bulkwatch-test.service
AllowIsolate=yes
"""
SERVICE = """[Unit]
Description=The test
DefaultDependencies=no
Requires=systemd-journald.socket
After=systemd-journald.socket systemd-tmpfiles-setup.service
[Service]
Type=oneshot
Environment=LANG=C.UTF-8 PYTHONDONTWRITEBYTECODE=1
ExecStart=/usr/bin/python3 /bulkwatch-test/inside.py
ExecStopPost=/usr/bin/systemctl poweroff --force
StandardOutput=append:/bulkwatch-test/report
StandardError=append:/bulkwatch-test/report
TimeoutStartSec=%d
""" % BOUND_S


def skip(why):
    print("skipped: " + why)
    sys.exit(SKIP)


def check_needs():
    if os.geteuid() != 0:
        skip("not root, so no container can be booted")
    for program in ("systemd-nspawn", "unshare", "dpkg"):
        if not shutil.which(program):
            skip(f"{program} is not installed (systemd-container, util-linux, dpkg)")
    if not os.path.exists("/usr/lib/systemd/systemd") and not os.path.exists("/lib/systemd/systemd"):
        skip("there is no systemd on this machine to boot")
    if not os.environ.get("BULKWATCH_DEB") and not shutil.which("dh"):
        skip("debhelper is not installed, so there is no package to try")
    if subprocess.run(["dpkg-query", "-W", "bulkwatch"], capture_output=True).returncode == 0:
        skip("bulkwatch is installed on this machine: the container would begin with it")


def private_mounts():
    """What is mounted from here on goes away with this process."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) != 0:
        skip("no mount namespace: " + os.strerror(ctypes.get_errno()))
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)


def mount_overlay(directory):
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512m", "bulkwatch-test", directory],
                   check=True)
    for name in ("upper", "work", "root"):
        (directory / name).mkdir()
    done = subprocess.run(["mount", "-t", "overlay", "overlay", "-o",
                           f"lowerdir=/,upperdir={directory}/upper,workdir={directory}/work",
                           directory / "root"], capture_output=True, text=True)
    if done.returncode:
        skip("no overlay over /: " + done.stderr.strip())
    return directory / "root"


def build_package(directory):
    """With the directory's own copy of the tree; what ./dev deb prints last is the path."""
    given = os.environ.get("BULKWATCH_DEB")
    if given:
        return pathlib.Path(given)
    done = subprocess.run([ROOT / "dev", "deb"], stdout=subprocess.PIPE, text=True,
                          env={**os.environ, "BULKWATCH_DEB_DIR": str(directory)})
    if done.returncode:
        sys.exit("the package was not built:\n" + done.stdout)
    return pathlib.Path(done.stdout.splitlines()[-1])


def furnish(root, package):
    test = root / "bulkwatch-test"
    test.mkdir()
    shutil.copy(package, test / "bulkwatch.deb")
    shutil.copy(HERE / "systemd" / "inside.py", test)
    shutil.copy(ROOT / "debian" / "tests" / "rehearse", test)
    shutil.copy(ROOT / "docs" / "tutorial.md", test)
    units = root / "etc" / "systemd" / "system"
    (units / "bulkwatch-test.target").write_text(TARGET)
    (units / "bulkwatch-test.service").write_text(SERVICE)
    # An identity, so a journal, of its own; and no waiting for a network that never comes.
    (root / "etc" / "machine-id").write_text(uuid.uuid4().hex + "\n")
    # dpkg would index all manual pages of the machine at each step.
    (root / "var" / "lib" / "man-db" / "auto-update").unlink(missing_ok=True)
    # A policy of this machine's must not keep packages from restarting services in there.
    (root / "usr" / "sbin" / "policy-rc.d").unlink(missing_ok=True)
    for name in ("systemd-networkd-wait-online.service", "NetworkManager-wait-online.service"):
        (units / name).unlink(missing_ok=True)
        (units / name).symlink_to("/dev/null")
    return test


def boot(root):
    started = time.monotonic()
    process = subprocess.Popen(
        ["systemd-nspawn", "-q", "-D", root, "--register=no", "--keep-unit", "--private-network",
         "--kill-signal=SIGKILL", "-b", "systemd.unit=bulkwatch-test.target", "quiet"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        said, _ = process.communicate(timeout=BOUND_S + 30)
    except subprocess.TimeoutExpired:
        process.kill()
        said, _ = process.communicate()
        said += "\n(killed)"
    return said, time.monotonic() - started


def main():
    check_needs()
    with tempfile.TemporaryDirectory(prefix="bulkwatch-deb-") as build:
        package = build_package(pathlib.Path(build))
        with tempfile.TemporaryDirectory(prefix="bulkwatch-systemd-") as name:
            private_mounts()
            directory = pathlib.Path(name)
            root = mount_overlay(directory)
            test = furnish(root, package)
            said, seconds = boot(root)
            report = test / "report"
            text = report.read_text(errors="replace") if report.exists() else ""
            subprocess.run(["umount", root], check=False)
            subprocess.run(["umount", "-l", directory], check=False)
    print(text)
    if not text:
        print("the container said:\n" + said)
    print(f"{seconds:.1f} s in the container")
    return 0 if text.rstrip().endswith("ALL IS WELL") else 1


if __name__ == "__main__":
    sys.exit(main())
