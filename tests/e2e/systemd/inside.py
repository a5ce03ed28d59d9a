#!/usr/bin/env python3
"""What test_systemd.py does inside the container. Each step is a function; the first failure ends it."""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

HERE = pathlib.Path("/bulkwatch-test")
CONFIG = pathlib.Path("/etc/bulkwatch/bulkwatchd.yaml")
STATE = pathlib.Path("/var/lib/bulkwatch")
DROP_IN = pathlib.Path("/etc/systemd/system/bulkwatchd.service.d/test.conf")
HOOK = pathlib.Path("/usr/local/lib/bulkwatch-test-hook")
HELD = STATE / "held"
CANARY = "1000.canary0canary1canary2canary3canary4.canary5canary6canary7canary8"
DEADLINE_S = 20

HOOK_TEXT = f"""#!/bin/sh
# Says what it could do in the sandbox, and waits while it is held.
can() {{ if "$@" 2>/dev/null; then echo "can $*"; else echo "cannot $*"; fi; }}
{{
	echo "$BULKWATCH_EVENT_SEQ $BULKWATCH_JOB_ID $BULKWATCH_STATE"
	can touch {STATE}/by-hook
	can touch /tmp/by-hook
	can touch /etc/by-hook
	can touch /usr/by-hook
	can touch /home/by-hook
	can chown root {STATE}/by-hook
	can unshare -r true
	can cat /etc/shadow
}} >{STATE}/hook.$BULKWATCH_EVENT_SEQ.$BULKWATCH_ATTEMPT
while [ -e {HELD} ]; do sleep 0.05; done
"""


def run(*words, check=True, **more):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True,
                          timeout=60, **more)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(map(str, words))}: {done.returncode}\n"
                             + done.stdout + done.stderr)
    return done


def wait_for(condition, what):
    deadline = time.monotonic() + DEADLINE_S
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError("waited in vain for " + what)
        time.sleep(0.02)


def show(name):
    return run("systemctl", "show", "-P", name, "bulkwatchd").stdout.strip()


def ask(path, sock="query"):
    done = run("curl", "-s", "--max-time", "10", "--unix-socket", f"/run/bulkwatch/{sock}.sock",
               "http://localhost" + path, check=False)
    return json.loads(done.stdout) if done.returncode == 0 else None


def status():
    return ask("/v1/status")


def events():
    done = run("curl", "-s", "--unix-socket", "/run/bulkwatch/query.sock",
               "http://localhost/v1/events?after=0&limit=1000")
    return [json.loads(line) for line in done.stdout.splitlines()]


def is_finished(n):
    now = status()
    return now and now["jobs"]["finished"] == n


def configure(jobs, hooks=True, accounts="", **more):
    lines = ["include: [sim.yaml]", "poll: {min_interval: 50ms, max_interval: 200ms}"]
    lines += [f"{key}: {value}" for key, value in more.items()]
    if hooks:
        lines += ["hooks:", "  load:", f"    exec: [{HOOK}]", "    retry_first: 100ms"]
    lines += ["accounts:", "  acme:", "    datacenter: eu",
              '    access_token_file: "%d/acme"', "    jobs: [" + ", ".join(jobs) + "]"]
    CONFIG.write_text("\n".join(lines) + "\n" + accounts)


def drop_in(*lines):
    DROP_IN.parent.mkdir(exist_ok=True)
    DROP_IN.write_text("[Service]\nLoadCredential=acme:/etc/bulkwatch/acme.token\n"
                       + "\n".join(lines) + "\n")
    run("systemctl", "daemon-reload")


def hook_files():
    return sorted(STATE.glob("hook.*"))


def install():
    run("dpkg", "--force-unsafe-io", "-i", HERE / "bulkwatch.deb")


class Simulator:
    """bulkwatch-sim; every job takes a few polls, but that of a user who lacks a scope."""

    def __init__(self):
        script = pathlib.Path("/run/bulkwatch-test-script.yaml")
        script.write_text("jobs: [{id: 777, life: [{fault: scope_mismatch}]}]\n")
        self.process = subprocess.Popen(
            ["bulkwatch-sim", "--dc", "eu", "--port-file", "/run/bulkwatch-test-sim.yaml",
             "--script", script], stderr=subprocess.DEVNULL)
        path = pathlib.Path("/run/bulkwatch-test-sim.yaml")
        wait_for(path.exists, "the simulator's ports")
        pathlib.Path("/etc/bulkwatch/sim.yaml").write_text(path.read_text())


# What running programs and dpkg themselves leave. Not what this package could.
ITS_OWN = re.compile(
    r"^/(etc/(passwd|group|shadow|gshadow|subuid|subgid)-?$|etc/\.pwd\.lock|etc/machine-id|"
    r"var/(cache|log|tmp)/|var/lib/(dpkg|apt|systemd|ucf|private)|usr/share/info/dir)")


def everything():
    found = set()
    for top in ("/etc", "/usr", "/var", "/opt", "/srv"):
        for directory, names, files in os.walk(top):
            names[:] = [n for n in names if not ITS_OWN.match(f"{directory}/{n}/")]
            found.update(f"{directory}/{name}" for name in (*names, *files))
    return {path for path in found if not ITS_OWN.match(path)}


# ---- the steps ----


def step_the_package_rehearses():
    """debian/tests/rehearse: install, start, finish, hook, reload, stop, purge"""
    before = everything()
    install()
    done = run("sh", HERE / "rehearse", check=False)
    if done.returncode or not done.stdout.endswith("done\n"):
        raise AssertionError(done.stdout + done.stderr)
    left = everything() - before
    if left - {"/usr/local/lib"}:
        raise AssertionError("the purge left " + " ".join(sorted(left)))


def step_a_service_starts_and_says_how_it_does():
    """a secret as a credential, jobs finish, STATUS shows counts"""
    install()
    token = pathlib.Path("/etc/bulkwatch/acme.token")
    token.write_text(CANARY + "\n")
    token.chmod(0o600)
    HOOK.parent.mkdir(exist_ok=True)
    HOOK.write_text(HOOK_TEXT)
    HOOK.chmod(0o755)
    step_a_service_starts_and_says_how_it_does.simulator = Simulator()
    drop_in("RestartSec=200ms")
    configure(["1", "2"])
    run("systemctl", "start", "bulkwatchd")
    assert show("ActiveState") == "active"
    wait_for(lambda: is_finished(2), "two finished jobs")
    wait_for(lambda: show("StatusText") == "2 jobs, 0 polled; 1 accounts; "
             "deliveries: 0 running, 0 waiting", "the status: " + show("StatusText"))


def step_the_sandbox_holds_the_hook():
    """what a hook can do, and what it cannot"""
    files = wait_for(lambda: len(hook_files()) == 2 and hook_files(), "two runs of the hook")
    said = files[0].read_text()
    for can in (f"touch {STATE}/by-hook", "touch /tmp/by-hook"):
        assert f"\ncan {can}\n" in said, said
    for cannot in ("touch /etc/by-hook", "touch /usr/by-hook", "touch /home/by-hook",
                   f"chown root {STATE}/by-hook", "unshare -r true",
                   "cat /etc/shadow"):
        assert f"\ncannot {cannot}\n" in said, said
    assert not os.path.exists("/tmp/by-hook"), "the hook's /tmp is the machine's"


def step_a_test_of_a_hook_is_in_the_sandbox():
    """bulkwatch hooks test: all that was given and said, and what the sandbox refuses there, too"""
    before = set(hook_files())
    shown = json.loads(run("bulkwatch", "--json", "hooks", "test", "load").stdout)
    assert (shown["exit"], shown["delivered"]) == (0, True), shown
    assert "BULKWATCH_TEST=1" in shown["environment"], shown
    [path] = set(hook_files()) - before
    said = path.read_text()
    assert "\ncannot touch /usr/by-hook\n" in said and "\ncan touch /tmp/by-hook\n" in said, said
    path.unlink()


def step_a_consumer_runs_beside():
    """bulkwatch-consume@NAME: as a user of its own, outside the sandbox, each event once"""
    directory, name = CONFIG.parent / "consume.d", "bulkwatch-consume@books"
    directory.mkdir(mode=0o755)
    program = directory / "books"
    program.write_text("#!/bin/sh\necho $BULKWATCH_EVENT_SEQ $BULKWATCH_HOOK $(id -u) "
                       ">>$STATE_DIRECTORY/seen\n")
    program.chmod(0o755)
    state = pathlib.Path("/var/lib/private/bulkwatch-consume-books")
    seqs = [event["seq"] for event in events()]

    def seen():
        path = state / "seen"
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    run("systemctl", "start", name)
    wait_for(lambda: len(seen()) >= len(seqs), "the consumer")
    run("systemctl", "restart", name)
    wait_for(lambda: "another" not in run("systemctl", "status", name, check=False).stdout and
             run("systemctl", "is-active", name, check=False).stdout == "active\n", "its restart")
    assert [int(line[0]) for line in seen()] == seqs, seen()
    assert {line[1] for line in seen()} == {"books"}, seen()
    owner = run("stat", "-c", "%u", "/var/lib/bulkwatch").stdout.strip()
    assert not {line[2] for line in seen()} & {"0", owner}, seen()
    assert (state / "books.position").stat().st_size, "it keeps no position"
    run("systemctl", "stop", name)
    program.unlink()
    directory.rmdir()


def step_modes_are_tight():
    """directories, sockets, the database"""
    wanted = {STATE: "bulkwatch bulkwatch 700", "/run/bulkwatch": "bulkwatch bulkwatch 750",
              "/run/bulkwatch/query.sock": "bulkwatch bulkwatch 660",
              "/run/bulkwatch/admin.sock": "bulkwatch bulkwatch 600",
              STATE / "bulkwatch.db": "bulkwatch bulkwatch 600"}
    for path, mode in wanted.items():
        got = run("stat", "-c", "%U %G %a", path).stdout.strip()
        assert got == mode, f"{path}: {got}, not {mode}"


def step_the_journal_tells_a_jobs_story():
    """BULKWATCH_ fields, priorities, and the catalog's explanation"""
    def story():
        out = run("journalctl", "-o", "json", "--no-pager", "BULKWATCH_JOB_ID=1").stdout
        return [json.loads(line) for line in out.splitlines()]
    wait_for(lambda: any("BULKWATCH_HOOK" in line for line in story()), "the hook in the journal")
    states = [line["BULKWATCH_STATE"] for line in story() if "BULKWATCH_STATE" in line]
    assert states == ["ADDED", "IN PROGRESS", "COMPLETED"], states
    for line in story():
        assert line["BULKWATCH_ACCOUNT"] == "acme" and line["BULKWATCH_EVENT_SEQ"].isdigit(), line
        assert line["_SYSTEMD_UNIT"] == "bulkwatchd.service" and line["PRIORITY"] == "6", line
        assert line["SYSLOG_IDENTIFIER"] == "bulkwatchd", line
    completed = [event["seq"] for event in events()
                 if event["type"] == "job.completed" and event["job_id"] == "1"]
    seq = [line["BULKWATCH_EVENT_SEQ"] for line in story()
           if line.get("BULKWATCH_STATE") == "COMPLETED"]
    assert seq == [str(completed[0])], (seq, completed)
    configure(["1", "2"], accounts="  other:\n    datacenter: eu\n"
              '    access_token_file: "%d/acme"\n    jobs: [777]\n')
    run("systemctl", "reload", "bulkwatchd")
    wait_for(lambda: "Account other is paused" in
             run("journalctl", "-x", "--no-pager", "BULKWATCH_ACCOUNT=other").stdout,
             "the catalog's words")
    configure(["1", "2"])
    run("systemctl", "reload", "bulkwatchd")


def step_a_bad_reload_changes_nothing():
    """systemctl reload fails with the reason; the daemon goes on"""
    before = {**status(), "uptime": 0}
    configure(["1", "2", "3"], nonsense=1)
    done = run("systemctl", "reload", "bulkwatchd", check=False)
    assert done.returncode != 0, "a bad configuration was taken"
    journal = run("journalctl", "--no-pager", "-u", "bulkwatchd", "-n", "20").stdout
    assert "bulkwatchd.yaml:3:1" in journal and "nonsense" in journal, journal
    after = {**status(), "uptime": 0}
    assert before == after, (before, after)
    assert show("ActiveState") == "active"
    configure(["1", "2"])
    run("systemctl", "reload", "bulkwatchd")


def step_a_kill_is_a_pause():
    """kill -9 during work: restarted, nothing lost, nothing twice"""
    before = int(show("NRestarts"))
    jobs = [str(n) for n in range(1, 31)]
    configure(jobs)
    run("systemctl", "reload", "bulkwatchd")
    wait_for(lambda: len(events()) > 40, "some events")
    heard = events()
    run("systemctl", "kill", "-s", "KILL", "--kill-who=main", "bulkwatchd")
    wait_for(lambda: int(show("NRestarts")) == before + 1 and status(), "the restart")
    wait_for(lambda: is_finished(30), "thirty finished jobs")
    now = events()
    assert now[:len(heard)] == heard, "what was announced is not what is there"
    assert [event["seq"] for event in now] == list(range(1, len(now) + 1)), "seq has gaps"
    steps = [(event["job_id"], event["to_state"]) for event in now if event["to_state"]]
    assert len(steps) == len(set(steps)), "a transition stands there twice"

    def seen():
        # One that the kill ended may have written nothing yet.
        told = [path.read_text().split() for path in hook_files()]
        return {words[1] for words in told if len(words) > 1}
    wait_for(lambda: seen() == set(jobs), "a hook's run for every job")


def step_a_stopped_process_is_noticed():
    """SIGSTOP: the watchdog kills it, it is started again"""
    drop_in("RestartSec=200ms", "WatchdogSec=2")
    run("systemctl", "restart", "bulkwatchd")
    before, pid = int(show("NRestarts")), int(show("MainPID"))
    time_fed = time.monotonic()
    wait_for(lambda: time.monotonic() > time_fed + 3 and status(), "more than a watchdog's time")
    assert int(show("MainPID")) == pid, "the watchdog bites a daemon that is well"
    os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: int(show("NRestarts")) == before + 1 and status(), "the restart")
    assert int(show("MainPID")) != pid
    journal = run("journalctl", "--no-pager", "-u", "bulkwatchd", "-n", "50").stdout
    assert "Watchdog timeout" in journal, journal
    drop_in("RestartSec=200ms")


def step_a_stop_waits_for_hooks():
    """SIGTERM drains: the hook ends by itself, its end is recorded"""
    HELD.touch()
    n = len(hook_files())
    configure([str(n) for n in range(1, 32)], drain_timeout="20s")
    run("systemctl", "restart", "bulkwatchd")
    wait_for(lambda: len(hook_files()) == n + 1, "the held hook")
    run("systemctl", "stop", "--no-block", "bulkwatchd")
    wait_for(lambda: show("StatusText").startswith("Stopping, 1 hooks run"), "the drain")
    assert show("ActiveState") == "deactivating"
    HELD.unlink()
    wait_for(lambda: show("ActiveState") == "inactive", "the end")
    assert (show("Result"), show("ExecMainStatus")) == ("success", "0")
    run("systemctl", "start", "bulkwatchd")
    assert status()["hooks"][0]["pending"] == 0, "the delivery was not recorded"
    assert len(hook_files()) == n + 1, "the hook ran again"


def step_an_upgrade_keeps_the_database():
    """dpkg -i over a running daemon: it goes on, as another process, with all that it knew"""
    before, pid, known = events(), show("MainPID"), CONFIG.read_text()
    install()
    wait_for(lambda: show("ActiveState") == "active" and show("MainPID") != pid and status(),
             "the new daemon")
    assert events() == before
    assert CONFIG.read_text() == known, "the configuration was replaced"


def step_sockets_come_first():
    """socket activation: modes, the start by a question, the same sockets after a restart"""
    sockets = ["bulkwatchd-query.socket", "bulkwatchd-admin.socket"]
    run("systemctl", "stop", "bulkwatchd")
    run("systemctl", "start", *sockets)
    assert show("ActiveState") == "inactive"
    assert run("bulkwatch", "--json", "status").stdout.startswith("{")
    assert show("ActiveState") == "active"
    step_modes_are_tight()
    before = os.stat("/run/bulkwatch/query.sock").st_ino
    run("systemctl", "restart", "bulkwatchd")
    wait_for(status, "the answer")
    assert os.stat("/run/bulkwatch/query.sock").st_ino == before, "the socket was made anew"
    run("systemctl", "reload", "bulkwatchd")
    run("systemctl", "stop", *sockets, "bulkwatchd")
    run("systemctl", "start", "bulkwatchd")


def step_secrets_stay_inside():
    """a canary token: not in journal, database, answers, /proc of daemon and hook; no cores"""
    HELD.touch()
    configure(["1", "2", "32"])
    run("systemctl", "reload", "bulkwatchd")
    wait_for(lambda: any(" 32 " in path.read_text() for path in hook_files()),
             "a hook that runs meanwhile")
    places = [run("journalctl", "-o", "export", "--no-pager").stdout.encode()]
    places += [path.read_bytes() for path in STATE.rglob("*") if path.is_file()]
    for path in ("/v1/status", "/v1/accounts", "/v1/jobs", "/v1/hooks", "/v1/events?after=0"):
        places.append(run("curl", "-s", "--unix-socket", "/run/bulkwatch/admin.sock",
                          "http://localhost" + path).stdout.encode())
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        for name in ("environ", "cmdline"):
            try:
                places.append((process / name).read_bytes())
            except OSError:
                pass
    HELD.unlink()
    assert any(b"BULKWATCH_JOB_ID=32" in place for place in places), "the hook was not looked at"
    assert not any(CANARY.encode() in place for place in places), "the token got out"
    # The search itself can find: the file that holds it.
    assert CANARY.encode() in pathlib.Path("/etc/bulkwatch/acme.token").read_bytes()
    limits = pathlib.Path(f"/proc/{show('MainPID')}/limits").read_text()
    assert re.search(r"Max core file size +0 +0 ", limits), limits


def step_a_purge_leaves_nothing():
    """dpkg --purge while it runs: stopped, state gone, files of others stay"""
    pid = show("MainPID")
    run("dpkg", "--purge", "bulkwatch", env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
    assert not os.path.exists(f"/proc/{pid}"), "the daemon still runs"
    for path in (STATE, pathlib.Path("/run/bulkwatch"), CONFIG,
                 pathlib.Path("/var/lib/private/bulkwatch-consume-books")):
        assert not path.exists(), f"{path} is left"
    kept = sorted(path.name for path in CONFIG.parent.iterdir())
    assert kept == ["acme.token", "sim.yaml"], kept
    step_a_service_starts_and_says_how_it_does.simulator.process.kill()


def step_the_tutorial_is_true():
    """docs/tutorial.md as it stands, up to one's own account, with shorter lives of jobs"""
    (CONFIG.parent / "sim.yaml").unlink()
    DROP_IN.unlink()
    install()
    text = (HERE / "tutorial.md").read_text()
    text = text[text.index("## 1."):text.index("Then the configuration: your data center")]
    lines = [line[4:] for line in text.splitlines() if line.startswith("    ")]
    script = "\n".join(lines).replace("uniform(5s, 15s)", "uniform(1s, 2s)")
    script = script.replace("duration: 10s", "duration: 1s")
    # A person is slower than the simulator's start.
    script = script.replace("\ninstall -m 0644 /srv", "\nuntil test -s /srv/rehearsal/sim.yaml; do "
                            "sleep 0.1; done\ninstall -m 0644 /srv", 1)
    assert script.count("bulkwatch-sim") == 1 and script.count("kill %1") == 1, script
    # Into a file: the simulator would hold a pipe open if the script ended early.
    done = run("bash", "-c", f"exec >{HERE}/said 2>&1\nset -emx\n" + script, check=False,
               stdin=subprocess.DEVNULL)
    said = (HERE / "said").read_text()
    assert done.returncode == 0, said
    for words in ("bulkwatchd.yaml: ok", "contacts-nightly", "FAILURE",
                  "1 (contacts-nightly) is COMPLETED: http", "deals"):
        assert words in said, f"{words}: not in {said}"


def main():
    sys.stdout.reconfigure(line_buffering=True)
    steps = [value for name, value in globals().items() if name.startswith("step_")]
    for step in steps:
        started = time.monotonic()
        try:
            step()
        except Exception as error:  # whatever it is, it is told, and ends the container
            print(f"FAILED  {step.__doc__}\n{type(error).__name__}: {error}")
            print(run("journalctl", "--no-pager", "-n", "60", check=False).stdout)
            return 1
        print(f"ok      {step.__doc__} ({time.monotonic() - started:.1f} s)")
    print("ALL IS WELL")
    return 0


if __name__ == "__main__":
    sys.exit(main())
