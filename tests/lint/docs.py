#!/usr/bin/env python3
"""Whether the manual says what the code says, and the code keeps the names that people rely on.

routes     each route of src/daemon/control.c, its parameters and its socket: bulkwatch-api(7)
variables  each BULKWATCH_ variable of src/wire/environment.c: bulkwatch-hooks(7)
exits      each exit code of src/daemon/daemon.h: bulkwatchd(8)
names      verbs, options, event types, members of a job, variables: the lists below, in the code
promises   each test, plant and mutant of docs/promises.md is there, and each plant and mutant is in it
links      each page that another one refers to, and each file that docs/zoho.md names, is there

Both ways where it can be: what the manual names and the code does not have is a fault too.
With --selftest each of them must see faults that are planted in a copy. Exit status 0 or 1.
"""

import argparse
import pathlib
import re
import shutil
import sys
import tempfile

CONTROL = "src/daemon/control.c"
ENVIRONMENT = "src/wire/environment.c"
EXITS = "src/daemon/daemon.h"
VERBS = "src/ctl/verbs.c"
OPTIONS = "src/config/options.c"
EVENTS = "src/core/event.c"
JOB = "src/wire/event.c"
API = "docs/man/bulkwatch-api.7"
HOOKS = "docs/man/bulkwatch-hooks.7"
DAEMON = "docs/man/bulkwatchd.8"
ZOHO = "docs/zoho.md"
PROMISES = "docs/promises.md"
PLANTS = "tests/sim/plant.c"
RUNS = "tests/sim/meson.build"
FAULTY = "tests/e2e/mutant.c"
MUTANTS = "tests/mutants/mutants.py"

# Names that scripts and configurations of people rely on: never taken away, never renamed.
NAMES = {
    "verb": """status list show history why wait watch events add remove pause resume poll hooks
        deliveries plan doctor config reload backup completion""".split(),
    "option": """state_dir runtime_dir log_level retain include drain_timeout max_clients poll
        datacenters accounts hooks min_interval max_interval polls_per_job timeout overdue_after
        lost_after api_url accounts_url ca_file datacenter service client_id client_secret_file
        refresh_token_file access_token_file credits_per_day max_in_flight jobs jobs_file id name
        on exec attempts retry_first retry_max parallel url secret_file""".split(),
    "event type": """job.watched job.added job.queued job.in_progress job.completed job.failed
        job.lost job.overdue job.unknown_state job.unwatched account.paused account.resumed
        hook.dead""".split(),
    "member of a job": """account id name datacenter service state finished watched paused since
        watched_since last_polled last_answered next_poll polls failures last_error operation
        created_by created_time query result""".split(),
    "variable": """EVENT_ID EVENT_SEQ EVENT_TYPE EVENT_TIME JOB_ID JOB_NAME ACCOUNT DATACENTER
        SERVICE STATE PREVIOUS_STATE OPERATION MODULE PAGE COUNT PER_PAGE MORE_RECORDS DOWNLOAD_URL
        CREATED_TIME HOOK ATTEMPT TEST""".split(),
}


def read(root, name):
    path = root / name
    return path.read_text() if path.exists() else ""


def sections(page, macro):
    """{heading: text} of the .Sh or .Ss of a page."""
    pieces = re.split(rf"^\.{macro} (.*)$", page, flags=re.M)
    return {heading.strip(): re.split(r"^\.Sh ", text, flags=re.M)[0]
            for heading, text in zip(pieces[1::2], pieces[2::2])}


def differences(what, code, code_name, page, page_name):
    problems = [f"{page_name}: {what} {name} is not there ({code_name})" for name in sorted(code - page)]
    problems += [f"{page_name}: there is no {what} {name} in {code_name}" for name in sorted(page - code)]
    return problems or ([] if code else [f"{code_name}: no {what} found: has its form changed?"])


# ---- routes ----

def routes_of_code(text):
    """{"GET /v1/jobs": (is_admin, {parameters})}"""
    entry = r'\{LISTEN_(\w+),\s*"([^"]+)",\s*DOOR_(\w+),\s*\w+,\s*"([^"]*)"\s*\}'
    return {f"{method} {path}": (door == "ADMIN", set(parameters.split()))
            for method, path, door, parameters in re.findall(entry, text)}


def check_routes(root):
    code = read(root, CONTROL)
    routes = routes_of_code(code)
    pages = {name: text for name, text in sections(read(root, API), "Ss").items() if " /" in name}
    problems = differences("route", set(routes), CONTROL, set(pages), API)
    n_entries = len(re.findall(r"^\s*\{LISTEN_\w+, \"", code, flags=re.M))
    if n_entries != len(routes):
        problems.append(f"{CONTROL}: {n_entries} routes, of which {len(routes)} can be read")
    for name in sorted(set(routes) & set(pages)):
        is_admin, parameters = routes[name]
        documented = set(re.findall(r"^\.It Cm (\w+)$", pages[name], flags=re.M))
        if parameters or documented:
            problems += differences(f"parameter of {name}:", parameters, CONTROL, documented, API)
        socket = "admin.sock" if is_admin else "query.sock"
        if not re.search(rf"curl .*{socket}", pages[name]):
            problems.append(f"{API}: {name} has no example with curl on {socket}")
    return problems


# ---- variables, exit codes ----

def variables_of_code(text):
    return set(re.findall(r'\bput(?:_integer)?\(env, "([A-Z_]+)"', text))


def check_variables(root):
    page = set(re.findall(r"^\.It Ev BULKWATCH_([A-Z_]+)\b", read(root, HOOKS), flags=re.M))
    return differences("variable", variables_of_code(read(root, ENVIRONMENT)), ENVIRONMENT, page, HOOKS)


def check_exits(root):
    code = set(re.findall(r"^\s*DAEMON_\w+ = (\d+)", read(root, EXITS), flags=re.M))
    text = sections(read(root, DAEMON), "Sh").get("EXIT STATUS", "")
    return differences("exit code", code, EXITS, set(re.findall(r"^\.It (\d+)$", text, flags=re.M)), DAEMON)


# ---- names ----

def names_of_code(root):
    names = {
        "verb": (VERBS, set(re.findall(r'^\s*\{?\.name = "([a-z]+)"', read(root, VERBS), flags=re.M))),
        "option": (OPTIONS, set(re.findall(r'\.name = "([a-z_]+)"', read(root, OPTIONS)))),
        "event type": (EVENTS, set(re.findall(r'\[EVENT_\w+\] = "([a-z._]+)"', read(root, EVENTS)))),
        "variable": (ENVIRONMENT, variables_of_code(read(root, ENVIRONMENT))),
    }
    # What write_job() and the functions before it, which write its parts, put.
    job = read(root, JOB).split("void event_write_job(")[0]
    members = re.findall(r'json_(?:put_\w+|open_\w+)\(\s*w, "([a-z_]+)"', job)
    names["member of a job"] = (JOB, set(members))
    return names


def check_names(root):
    code = names_of_code(root)
    return [f"{code[what][0]}: {what} {name} is not there"
            for what, names in NAMES.items() for name in names if name not in code[what][1]]


# ---- promises ----

def cases_of(root, file):
    """{"Class", "Class.test_case"}"""
    names, of = set(), None
    for line in read(root, f"tests/e2e/{file}").splitlines():
        head = re.match(r"class (\w+)|    def (test_\w+)", line)
        if head and head[1]:
            of = head[1]
            names.add(of)
        elif head and of:
            names.add(f"{of}.{head[2]}")
    return names


def is_test_there(root, name):
    if "::" in name:
        file, case = name.split("::")
        return case in cases_of(root, file)
    if name.startswith("test_"):
        return (root / f"tests/unit/{name}.c").exists()
    return f"test('{name}'" in read(root, RUNS)


def check_promises(root):
    text = read(root, PROMISES)
    faults = re.findall(r"(plant|fault|mutant) `([\w-]+)`", text)
    tests = set(re.findall(r"`([^`]+)`", re.sub(r"(plant|fault|mutant) `[\w-]+`", "",
                                               "\n".join(re.findall(r"^\|.*\|$", text, flags=re.M)))))
    problems = [f"{PROMISES}: there is no test {name}" for name in sorted(tests)
                if not is_test_there(root, name)]
    plants = set(re.findall(r'\[PLANT_\w+\] = \{\s*"([\w-]+)"', read(root, PLANTS))) - {"none"}
    mutants = set(re.findall(r'^    Mutant\("([\w-]+)"', read(root, MUTANTS), flags=re.M))
    linked = set(re.findall(r'is_planted\("([\w-]+)"', read(root, FAULTY)))
    for kind, code, name in (("plant", plants, PLANTS), ("fault", linked, FAULTY),
                             ("mutant", mutants, MUTANTS)):
        page = {fault for what, fault in faults if what == kind}
        problems += differences(kind, code, name, page, PROMISES)
    return problems if tests else problems + [f"{PROMISES}: no test found: has its form changed?"]


# ---- links ----

def check_links(root):
    pages = sorted((root / "docs/man").glob("*.[1-8]"))
    problems = [] if pages else ["docs/man: no pages"]
    for page in pages:
        for name, section in re.findall(r"^\.Xr (bulkwatch\S*) (\d)", page.read_text(), flags=re.M):
            if not (page.parent / f"{name}.{section}").exists():
                problems.append(f"docs/man/{page.name}: there is no {name}({section})")
    for name in sorted(set(re.findall(r"`(src/[\w/]+\.[ch])`", read(root, ZOHO)))):
        if not (root / name).exists():
            problems.append(f"{ZOHO}: there is no {name}")
    return problems if read(root, ZOHO) else problems + [f"{ZOHO} is not there"]


CHECKS = {
    "routes": check_routes,
    "variables": check_variables,
    "exits": check_exits,
    "names": check_names,
    "promises": check_promises,
    "links": check_links,
}


# ---- the test of the test ----

# Of each check: a file, what is taken out of it (all of it, where it first stands), what is put in.
FAULTS = [
    ("routes", CONTROL, r"\{LISTEN_GET, \"/v1/status\"", '{LISTEN_GET, "/v1/nowhere", DOOR_BOTH, '
     'control_get_status, ""},\n        {LISTEN_GET, "/v1/status"'),
    ("routes", CONTROL, r"\{LISTEN_GET, \"/v1/status\"", '{LISTEN_GET, "/v1/status" ""'),
    ("routes", CONTROL, r"\"/v1/events\", DOOR_BOTH", '"/v1/events", DOOR_ADMIN'),
    ("routes", CONTROL, r"\" timeout \"", '" timeout until "'),
    ("routes", API, r"(?m)^\.Ss GET /v1/jobs$", ".Ss GET /v1/joobs"),
    ("routes", API, r"(?m)^\.It Cm follow$", ".It follow"),
    ("variables", ENVIRONMENT, r"put\(env, \"HOOK\"", 'put(env, "CANARY", "");\n\tput(env, "HOOK"'),
    ("variables", HOOKS, r"\.It Ev BULKWATCH_PAGE", ".It Ev BULKWATCH_SHEET"),
    ("exits", EXITS, r"DAEMON_IO = 74", "DAEMON_IO = 73"),
    ("exits", DAEMON, r"(?m)^\.It 69$", ".It 169"),
    ("names", VERBS, r"\.name = \"doctor\"", '.name = "nurse"'),
    ("names", OPTIONS, r"\.name = \"drain_timeout\"", '.name = "drain_time"'),
    ("names", EVENTS, r"\"job\.overdue\"", '"job.late"'),
    ("names", JOB, r"\"watched_since\"", '"seen_since"'),
    ("names", ENVIRONMENT, r"\"DOWNLOAD_URL\"", '"URL"'),
    ("promises", PROMISES, r"`test_machine`", "`test_machinery`"),
    ("promises", PROMISES, r"Hooks\.test_never_succeeds", "Hooks.test_succeeds"),
    ("promises", PROMISES, r"`power cut at steps`", "`power cut at night`"),
    ("promises", PROMISES, r"mutant `no-lock`", "mutant `two-locks`"),
    ("promises", PLANTS, r"\"no-sync\"", '"no-sink"'),
    ("links", DAEMON, r"\.Xr bulkwatch-hooks 7", ".Xr bulkwatch-nets 7"),
    ("links", ZOHO, r"`src/wire/reply\.c`", "`src/wire/answer.c`"),
]


def copy_tree(root, to):
    shutil.copytree(root / "src", to / "src")
    shutil.copytree(root / "docs", to / "docs")
    for file in [PLANTS, RUNS, MUTANTS]:
        (to / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root / file, to / file)
    shutil.copytree(root / "tests/unit", to / "tests/unit")
    shutil.copytree(root / "tests/e2e", to / "tests/e2e", ignore=shutil.ignore_patterns("__pycache__"))


def selftest(root):
    problems = []
    with tempfile.TemporaryDirectory() as directory:
        copy = pathlib.Path(directory)
        copy_tree(root, copy)
        before = {name: set(check(copy)) for name, check in CHECKS.items()}
        for name, file, pattern, text in FAULTS:
            good = (copy / file).read_text()
            faulty, n = re.subn(pattern, lambda _: text, good, count=1)
            (copy / file).write_text(faulty)
            if n == 0 or faulty == good:
                problems.append(f"{name}: no place in {file} for the fault {pattern}")
            elif not set(CHECKS[name](copy)) - before[name]:
                problems.append(f"{name}: did not see {text!r} in {file}")
            (copy / file).write_text(good)
        for name, check in CHECKS.items():
            if set(check(copy)) != before[name]:
                problems.append(f"{name}: sees a fault that is gone")
    untried = set(CHECKS) - {name for name, *_ in FAULTS}
    return problems + [f"{name}: no fault was tried" for name in sorted(untried)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parents[2])
    parser.add_argument("--selftest", action="store_true", help="plant faults in a copy, which must be seen")
    args = parser.parse_args()
    if args.selftest:
        problems = selftest(args.root)
    else:
        problems = [problem for check in CHECKS.values() for problem in check(args.root)]
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
