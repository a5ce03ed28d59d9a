#!/usr/bin/env python3
"""Plants faults in a copy of the source, one at a time, and demands that a test sees each.

Each mutant breaks one promise (docs/promises.md) by an edit of a few words, and names the tests
that must fail then. All of them must pass before anything is planted. What is planted here is what
the simulation cannot plant, or what is worth seeing with the real binaries.

    mutants [NAME...]     those, or all; ./dev mutants does the same
    mutants --list        what there is

Exit status 0: every one was caught.
"""

import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import typing

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAMS = ["src/daemon/bulkwatchd", "src/ctl/bulkwatch", "src/sim/bulkwatch-sim", "tests/e2e/record"]
TEST_DEADLINE_S = 300


class Mutant(typing.NamedTuple):
    name: str
    promise: str
    file: str
    pattern: str  # of what is taken out: it must stand there once
    text: str
    test: str  # "test_machine", or "test_life.py Class.test" of the end to end tests


MUTANTS = [
    Mutant("failure-moves-state", "No failure ever changes a job's state.",
           "src/core/machine.c", r"\tcase OBSERVED_GARBLED:\n",
           "\tcase OBSERVED_GARBLED:\n\t\tmove(&step, \"FAILURE\", now);\n", "test_machine"),
    Mutant("lost-at-once", "A job is LOST after three such answers over lost_after, and not before.",
           "src/core/machine.c", r"job->n_not_found >= LOST_AFTER_ANSWERS &&", "job->n_not_found > 0 &&",
           "test_machine"),
    Mutant("all-are-lost", "If Zoho knows none of its jobs, the account is paused and no job is LOST.",
           "src/core/machine.c", r"if \(is_account_lost\)", "if (is_account_lost && false)", "test_machine"),
    Mutant("overdue-again", "job.overdue is told once.",
           "src/core/machine.c", r"job->is_overdue_told \|\| ", "", "test_machine"),
    Mutant("foreign-answer-counts", "Only an answer about the job itself counts.",
           "src/wire/reply.c", r"strcmp\(node->text, id\) == 0", "*id", "test_reply_document"),
    Mutant("half-an-answer-counts", "A reply that was cut off is a failure, not a state.",
           "src/wire/json.c", r"return status == yajl_status_ok \?", "return json->n_nodes > 0 ?",
           "test_json"),
    Mutant("one-holds-all", "A data center that hangs holds nobody else up.",
           "src/daemon/poller.c", r"datacenter->n_in_flight >= HTTP_HOST_MAX_CONNECTIONS",
           "poller->n_in_flight >= 4", "test_isolation.py Isolation.test_a_hanging_data_center"),
    Mutant("hold-is-ignored", "429 holds the account.",
           "src/core/gate.c", r"enter\(gate, GATE_HELD, ", "enter(gate, GATE_OK, ",
           "test_isolation.py Throttling.test_429_holds_only_its_account"),
    Mutant("polls-the-finished", "A finished job is never asked about again.",
           "src/core/machine.c", r"step->wait_ms = job_is_polled\(job\)", "step->wait_ms = true",
           "test_spine.py SixDatacenters.test_spine"),
    Mutant("endless-body", "What a server sends is bounded.",
           "src/net/http_handle.c", r"len > HTTP_BODY_MAX_BYTES - reply->body\.len", "!bytes",
           "test_http_faults"),
    Mutant("libcurl-without-memory", "Want of memory ends the process; a restart goes on from disk.",
           "src/net/http.c", r"return mem_must\(malloc\(size \? size : 1\)\)",
           "return malloc(size ? size : 1)", "test_http_memory"),
    Mutant("redirect-followed", "A redirect is never followed.",
           "src/net/http_handle.c", r"\{CURLOPT_FOLLOWLOCATION, 0\}",
           "{CURLOPT_FOLLOWLOCATION, 1}", "test_bad_replies.py"),
    Mutant("any-certificate", "A server proves who it is.",
           "src/net/http_handle.c", r"\{CURLOPT_SSL_VERIFYPEER, 1\}",
           "{CURLOPT_SSL_VERIFYPEER, 0}", "test_http_tls"),
    Mutant("endless-drain", "A stop takes drain_timeout at most.",
           "src/daemon/daemon.c", r"now\.mono_ms \+ daemon->config->drain_timeout_ms",
           "INT64_MAX", "test_life.py Stopping.test_the_drain_has_an_end"),
    Mutant("token-in-log", "Secrets stay inside.",
           "src/daemon/poller.c", r"\texplicit_bzero\(authorization",
           "\tlog_info(\"asked with %s\", authorization);\n\texplicit_bzero(authorization",
           "test_life.py Secrets.test_the_token_stays_inside"),
    Mutant("damage-unseen", "A damaged database is refused and left as it is.",
           "src/store/open.c", r"r = store_check\(store, words\)", "r = 0",
           "test_life.py Databases.test_garbage_in_the_middle"),
    Mutant("newer-unseen", "The database of a newer version is refused and left as it is.",
           "src/store/schema.c", r"if \(version > newest\)", "if (version > newest + 100)",
           "test_life.py Databases.test_newer_by_its_log"),
    Mutant("name-unsynced", "What was acknowledged outlives a power cut, in a new database too.",
           "src/store/dir.c", r"if \(fd < 0 \|\| fsync\(store->dir_fd\) != 0\)", "if (fd < 0)",
           "test_store_dir"),
    Mutant("no-lock", "A state directory has one daemon.",
           "src/store/dir.c", r"flock\(store->lock_fd, LOCK_EX \| LOCK_NB\) == 0", "words != NULL",
           "test_store_open"),
    Mutant("readers-change", "Which socket one can open is what one may do.",
           "src/daemon/control.c", r"DOOR_ADMIN, control_post_job,", "DOOR_BOTH, control_post_job,",
           "test_query.py Refusals.test_changes_go_to_the_other_socket"),
    Mutant("signals-inherited", "A hook's process begins clean.",
           "src/net/spawn.c", r"POSIX_SPAWN_SETSIGMASK \| POSIX_SPAWN_SETSIGDEF \| ", "",
           "test_hooks.py Hooks.test_the_state_of_its_process"),
    Mutant("descriptors-inherited", "Nothing of the daemon's is open in a hook.",
           "src/net/spawn.c",
           r"posix_spawn_file_actions_addclosefrom_np\(actions, STDERR_FILENO \+ 1\)", "0",
           "test_child"),
    Mutant("never-given-up", "A hook that never succeeds is given up after its attempts.",
           "src/daemon/attempt.c", r"return delivery->attempts - delivery->attempts_base >=",
           "return delivery->attempts - delivery->attempts_base > 1 +",
           "test_hooks.py Hooks.test_never_succeeds"),
    Mutant("65-is-tried-again", "Exit 65 is the end of a delivery.",
           "src/daemon/attempt.c", r"is_exit && result->code == HOOK_EXIT_PERMANENT", "false",
           "test_hooks.py Hooks.test_65_is_dead_at_once"),
    Mutant("unsigned", "A webhook's signature is that of what was sent.",
           "src/wire/sign.c", r"HMAC\(EVP_sha256\(\)", "HMAC(EVP_sha1()", "test_sign"),
    Mutant("credits-unbounded", "credits_per_day is never exceeded.",
           "src/core/budget.c", r"budget->ceiling - total\(budget\);", "budget->ceiling;",
           "test_learning.py Learning.test_credits_are_a_hard_ceiling"),
    Mutant("owed-is-pruned", "What is owed to a hook is not forgotten.",
           "src/store/statements.c", r"(WHERE e\.job_key = job\.key AND \(e\.at >= \?1 OR d\.state) < 2", r"\1 < 0",
           "test_retention.py Retention.test_what_is_owed_to_a_hook_stays"),
    Mutant("running-is-pruned", "What is owed to a hook is not forgotten.",
           "src/store/statements.c", r"(WHERE e\.job_key = job\.key AND \(e\.at >= \?1 OR d\.state) < 2", r"\1 < 1",
           "test_store_outbox"),
    Mutant("young-is-pruned", "What is told today is not forgotten today.",
           "src/store/statements.c", r"\(e\.at >= \?1 OR d\.state < 2\)", "(d.state < 2)",
           "test_store_outbox"),
    Mutant("reload-lost-on-full-disk", "A reload that meets a full disk is done when there is room.",
           "src/daemon/daemon.c", r"\treload_owed\(daemon\);\n", "",
           "test_full_disk.py FullDisk.test_a_reload_that_fills_it_is_done_when_there_is_room"),
    Mutant("polls-on-full-disk", "A full disk pauses polls and hooks.",
           "src/daemon/journal.c", r"\tjournal->is_full = true;\n", "",
           "test_full_disk.py FullDisk.test_it_pauses_and_goes_on_by_itself"),
    Mutant("undone-news-forgotten", "What a full disk undid is told once there is room.",
           "src/daemon/told.c", r"\t\tchange->tracker->has_account_news = true;\n", "",
           "test_told"),
    Mutant("lost-is-full", "What failed is not told as what may go well at once.",
           "src/daemon/replay.c", r"journal_is_full\(hooks->journal\) \? REPLAY_FULL : REPLAY_LOST",
           "REPLAY_FULL", "test_replay"),
    Mutant("replay-unordered", "A replay's deliveries stand in the order of their events.",
           "src/daemon/replay.c", r"hooks_open_in_order\(", "hooks_open(",
           "test_replay"),
    Mutant("turn-forgotten", "Never sooner than min_interval, however slow the answer.",
           "src/daemon/poller.c", r"answer->duration_ms - \(loop_turn_us\(poller->loop\) \+ 999\) / 1000",
           "answer->duration_ms", "test_poller"),
    Mutant("resent-is-free", "Each request that goes out costs a credit.",
           "src/daemon/poller.c", r"poll->ledger_id, answer->n_sent,", "poll->ledger_id, answer->n_sent > 0,",
           "test_poller"),
    Mutant("old-place-counts", "An account's former data center holds it no longer.",
           "src/daemon/poller.c", r"if \(poll->account->datacenter == poll->datacenter\)", "if (poll->account)",
           "test_poller"),
    Mutant("pause-wakes-nobody", "A pause is told at once.",
           "src/daemon/poller.c", r"\tloop_wake\(poller->loop\); /\* this turn's commit may be over: the next one tells it \*/\n", "",
           "test_poller"),
    Mutant("probe-kept", "Whoever refuses a token is there: others may ask it again.",
           "src/daemon/poller.c",
           r"\tmove_circuit\(poller, poll, &observation\);\n(\tif \(may_cure_by_token\(poller, poll, &observation\))\)",
           "\tif (!is_token_refused(&observation))\n\t\tmove_circuit(poller, poll, &observation);\n"
           "\telse if (poll->is_circuit_probe)\n\t\tcircuit_unpass(&poll->datacenter->circuit);\n\\1)",
           "test_poller"),
    Mutant("new-for-ever", "What a consumer's filter leaves out counts as read.",
           "src/ctl/cmd_consume.c", r": position_save\(position, pruned->instance, position->seq\)", ": CTL_OK",
           "test_deliveries.py Consume.test_a_new_one_is_known_before_its_first_event"),
    Mutant("gap-until-commit", "A stream has no gap: what a read misses already is forgotten.",
           "src/store/db.c", r"return store->now\.pruned_through", "return store->committed.pruned_through",
           "test_store_outbox"),
    Mutant("gap-by-pruning", "A stream has no gap: one that fell behind is cut off.",
           "src/daemon/streams.c", r"if \(stream->after < store_pruned_through\(store\)\)", "if (false)",
           "test_retention.py Retention.test_a_reader_that_fell_behind_is_cut_off_not_given_a_gap"),
    Mutant("comes-back", "What was removed by hand stays removed.",
           "src/daemon/tracker.c", r"found\.is_removed && !wish->is_from_socket", "false",
           "test_query.py Changes.test_a_configured_job_stays_removed"),
    Mutant("half-a-reload", "A reload is taken whole or refused whole.",
           "src/daemon/reload.c", r"if \(r != 0 \|\| keys\.len > 0\)", "if (r != 0)",
           "test_reload.py Changes.test_keys_that_need_a_restart_are_named"),
    Mutant("asks-nobody-new", "A paused account is asked again as soon as its secret is another one.",
           "src/daemon/poller.c", r"\t\tgate_probe_now\(gate, now\.mono_ms\);\n", "\t\t(void)gate;\n",
           "test_tokens.py Refused.test_a_wrong_secret_until_the_file_is_replaced"),
    Mutant("no-sigkill", "A program that overstays its time-out is ended, by force at last.",
           "src/net/child.c", r"(child->phase = CHILD_KILLED;\n)\tkill\(-child->process\.pid, SIGKILL\);\n", r"\1",
           "test_child_end"),
    Mutant("nobody-is-told", "Who waits for a job is answered when it is finished.",
           "src/daemon/waiters.c", r"if \(!group \|\| group->is_over\)", "if (group || !group)",
           "test_query.py Waiting.test_wait"),
    Mutant("unknown-keys-pass", "Every mistake of a configuration is told.",
           "src/config/scope.c", r"\t\t\tscope_refuse_unknown\(l, scope, child\);", "\t\t\t(void)scope_refuse_unknown;",
           "test_config_broken"),
    Mutant("asks-for-ever", "Few tokens are asked for, whatever happens.",
           "src/core/refresh.c", r"refresh->n_asked == REFRESH_ASKS_MAX", "refresh->n_asked == 255",
           "test_refresh"),
    Mutant("asked-forgotten", "Five tokens in ten minutes, however often it is started.",
           "src/daemon/token.c", r"refresh->n_asked = record->n_asked", "refresh->n_asked = 0",
           "test_grants"),
    Mutant("second-try-for-ever", "A token that is refused at once is asked for twice, not for ever.",
           "src/daemon/account.c", r"if \(is_second && !grant_is_doubtful\(account->grant, now\.mono_ms\)\)",
           "if (is_second && false)", "test_tokens.py Refused.test_a_fresh_token_refused_pauses"),
    Mutant("token-to-others", "A token goes to the configured API host alone.",
           "src/daemon/account.c", r"if \(is_token_ours\(account\)\)",
           "if (is_token_ours(account) || grant)",
           "test_tokens.py Refused.test_a_foreign_api_domain"),
    Mutant("endless-queue", "A reader that does not read costs little.",
           "src/net/listen_request.c",
           r"listen_stream_unsent\(request\) \+ len > LISTEN_QUEUE_MAX_BYTES", "!len",
           "test_listen_held"),
    Mutant("unread-is-damage", "What may go well the next time is never told as damage.",
           "src/store/db.c", r"return is_unread\(store\) \?", "return is_unread(store) && false ?",
           "test_store_device"),
    Mutant("missing-text", "Without memory nothing is told as if it were not there.",
           "src/store/values.c", r"if \(!store_is_row_whole\(store\)\)", "if (false)",
           "test_store_memory"),
    Mutant("no-permission", "What may go well the next time is never told as something to mend.",
           "src/store/db.c", r"return store_dir_write_error\(store\)", "return -EACCES",
           "test_store_device"),
    Mutant("removal-unseen", "That the database's file is gone is said.",
           "src/store/dir.c", r"return errno != ENOENT;", "return true;",
           "test_life.py Databases.test_removed_under_the_running_daemon"),
    Mutant("resume-skips-one", "Who reads on after what is pruned misses nothing, or is told so.",
           "src/daemon/streams.c", r"after < store_pruned_through\(call_store\(call\)\)",
           "after + 1 < store_pruned_through(call_store(call))",
           "test_retention.py Retention.test_where_reading_may_begin"),
    Mutant("secret-left-open", "Reading secrets again and again costs nothing that stays.",
           "src/daemon/secret.c", r"cleanup\(mem_close_p\) int fd =", "int fd =",
           "test_reload.py Changes.test_secrets_that_are_replaced_again_and_again"),
    Mutant("paused-stays-paused", "A reload has paused accounts asked at once.",
           "src/daemon/reload.c", r"\tprobe_paused\(daemon\);\n", "\t(void)probe_paused;\n",
           "test_reload.py Changes.test_a_paused_account_is_asked_at_once"),
    Mutant("first-hooks-for-ever", "A job's hooks are those of the configuration in force.",
           "src/daemon/apply.c", r"\tregistry_set_terms\(registry, tracked, &terms\);\n",
           "\tif (!registry_terms(registry, tracked).hooks)\n"
           "\t\tregistry_set_terms(registry, tracked, &terms);\n",
           "test_reload.py Changes.test_a_job_gets_other_hooks"),
    Mutant("retry-undoubled", "A hook that fails is tried more and more seldom.",
           "src/daemon/attempt.c", r"n > 1 \? \(unsigned\)n - 1 : 0", "0",
           "test_attempts.py Attempts.test_how_long_it_waits_between_them"),
    Mutant("dumpable", "What is in the daemon's memory is shown to nobody.",
           "src/daemon/main.c", r"\tprctl\(PR_SET_DUMPABLE, 0\);\n", "",
           "test_life.py Secrets.test_its_memory_is_shown_to_nobody"),
    Mutant("long-drain", "A stop takes drain_timeout at most, and no seconds more.",
           "src/daemon/daemon.c", r"now\.mono_ms \+ daemon->config->drain_timeout_ms",
           "now.mono_ms + 8000 + daemon->config->drain_timeout_ms",
           "test_life.py Stopping.test_the_drain_has_an_end"),
    Mutant("young-again", "overdue_after counts from the first watch, over restarts.",
           "src/daemon/tracker.c", r"now\.mono_ms - \(age_ms > 0 \? age_ms : 0\)", "now.mono_ms",
           "test_query.py Events.test_overdue_is_counted_from_the_first_watch"),
    Mutant("late-after-restart", "Never later than max_interval, over restarts too.",
           "src/daemon/tracker.c", r"return wait_ms > least \? wait_ms : least;",
           "return 2 * account_of(tracker, tracked)->policy.max_interval_ms + wait_ms + least;",
           "test_life.py Stopping.test_a_stop_puts_no_poll_off"),
]


class Failed(Exception):
    pass


# ---- the copy ----

def copy_tree(to):
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True)
    for name in files.stdout.decode().split("\0"):
        if name and (ROOT / name).exists():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)


def build(tree, test):
    """What the test runs. Warnings are no errors: what a mutant leaves unused is its own affair."""
    name = test.split()[0]
    programs = PROGRAMS if name.endswith(".py") else [f"tests/unit/{name}"]
    if not (tree / "build").exists():
        run(["meson", "setup", "build"], tree, "meson")
    run(["ninja", "-C", "build", *programs], tree, "the build")


def run(command, tree, what):
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"{what} failed:\n{done.stdout[-3000:]}{done.stderr[-1000:]}")


def passes(tree, test):
    """Whether it passes, and the last of what it says."""
    name, *case = test.split()
    if name.endswith(".py"):
        command = [sys.executable, tree / "tests/e2e" / name, *case]
    else:
        command = [tree / "build/tests/unit" / name]
    environment = dict(os.environ, BULKWATCH_BUILD=str(tree / "build"),
                       BULKWATCH_TEST_DATA=str(tree / "tests/data"), PYTHONDONTWRITEBYTECODE="1")
    try:
        done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True,
                              errors="replace", check=False, timeout=TEST_DEADLINE_S)
    except subprocess.TimeoutExpired:
        return False, f"no end within {TEST_DEADLINE_S} s"
    return done.returncode == 0, (done.stdout + done.stderr)[-3000:]


# ---- planting ----

def plant(tree, mutant):
    path = tree / mutant.file
    good = path.read_text()
    faulty, n = re.subn(mutant.pattern, mutant.text, good)
    if n != 1:
        raise Failed(f"{mutant.name}: {n} places for it in {mutant.file}, 1 is wanted: {mutant.pattern}")
    path.write_text(faulty)
    return good


def is_caught(tree, mutant):
    good = plant(tree, mutant)
    began = time.monotonic()
    try:
        build(tree, mutant.test)
        survives, _ = passes(tree, mutant.test)
    finally:
        (tree / mutant.file).write_text(good)
    print(f"{'MISSED' if survives else 'caught':6}  {mutant.name:22}  {time.monotonic() - began:3.0f} s"
          f"  {mutant.test}", flush=True)
    return not survives


def try_all(tree, mutants):
    for test in sorted({mutant.test for mutant in mutants}):
        build(tree, test)
        is_good, words = passes(tree, test)
        if not is_good:
            raise Failed(f"{test} fails with nothing planted:\n{words}")
    n_missed = sum([not is_caught(tree, mutant) for mutant in mutants])
    print(f"{len(mutants)} planted, {n_missed} missed")
    return n_missed == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", metavar="NAME", nargs="*")
    parser.add_argument("--list", action="store_true", help="what there is, and what it breaks")
    args = parser.parse_args()
    unknown = set(args.names) - {mutant.name for mutant in MUTANTS}
    if unknown:
        parser.error(f"there is no mutant {', '.join(sorted(unknown))}; --list names them")
    if args.list:
        for mutant in MUTANTS:
            print(f"{mutant.name:22}  {mutant.promise}  ({mutant.test})")
        return 0
    mutants = [m for m in MUTANTS if not args.names or m.name in args.names]
    with tempfile.TemporaryDirectory(prefix="bulkwatch-mutants-") as directory:
        try:
            copy_tree(pathlib.Path(directory))
            return 0 if try_all(pathlib.Path(directory), mutants) else 1
        except Failed as failure:
            print(failure)
            return 1


if __name__ == "__main__":
    sys.exit(main())
