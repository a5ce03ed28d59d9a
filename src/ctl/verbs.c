#include "ctl/verbs.h"

#include <stdint.h>
#include <string.h>

#include "ctl/commands.h"
#include "util/mem.h"
#include "util/str.h"

const struct option_spec global_options[] = {
        {"runtime-dir", 0, "DIR",
                "the sockets' directory; default $BULKWATCH_RUNTIME_DIR, "
                "else /run/bulkwatch",
                NULL},
        {"json", 0, NULL, "print JSON", NULL},
        {"help", 'h', NULL, "show help, of a verb if there is one", NULL},
        {"version", 'V', NULL, "print the version", NULL},
        {0},
};

static const struct option_spec list_options[] = {
        {"account", 'a', "ACCOUNT", "only the jobs of this account", NULL},
        {"state", 's', "STATE", "only jobs in this state, such as \"IN PROGRESS\"", NULL},
        {"name", 'n', "NAME", "only jobs of this name", NULL},
        {"finished", 0, NULL, "only finished jobs", NULL},
        {"unfinished", 0, NULL, "only jobs that are not finished", NULL},
        {"limit", 0, "N", "at most so many jobs; default: all", NULL},
        {0},
};

#define EVENT_TYPES_WORDS                                                                          \
	"job.watched, job.added, job.queued, job.in_progress, job.completed, job.failed, "         \
	"job.lost, job.overdue, job.unknown_state, job.unwatched, account.paused, "                \
	"account.resumed, hook.dead"

static const struct option_spec events_options[] = {
        {"after", 0, "SEQ", "only events after this one; default 0: from the first", NULL},
        {"type", 't', "TYPE", "only these types: a list with commas; job.* is all of jobs", NULL},
        {"account", 'a', "ACCOUNT", "only events of this account", NULL},
        {"follow", 'f', NULL, "go on with events as they happen, until interrupted", NULL},
        {"limit", 0, "N", "at most so many events", NULL},
        {0},
};

static const struct option_spec wait_options[] = {
        {"all", 0, NULL, "until all are finished: the default", NULL},
        {"any", 0, NULL, "until one is finished", NULL},
        {"timeout", 't', "DURATION", "no longer than this, such as 90s or 1h30m; default: for ever",
                NULL},
        {0},
};

static const struct option_spec add_options[] = {
        {"name", 'n', "NAME", "a name for it", NULL},
        {0},
};

static const struct option_spec plan_options[] = {
        {"account", 'a', "ACCOUNT", "only this account", NULL},
        {0},
};

static const struct option_spec deliveries_options[] = {
        {"state", 's', "STATE", "only those in this state: pending, running, delivered, dead",
                "pending running delivered dead"},
        {"dead", 0, NULL, "only those that were given up: --state dead", NULL},
        {"hook", 0, "HOOK", "only those to this hook", NULL},
        {"limit", 0, "N", "at most so many, the newest; default: all", NULL},
        {"all-dead", 0, NULL, "of retry: all that are dead", NULL},
        {"since", 0, "SEQ", "of replay: the first event's seq", NULL},
        {0},
};

static const struct option_spec hooks_options[] = {
        {"event", 0, "SEQ", "of test: with this event, not with a made-up one", NULL},
        {0},
};

static const struct option_spec consume_options[] = {
        {"type", 't', "TYPE", "only these types: a list with commas; job.* is all of jobs", NULL},
        {"state-dir", 0, "DIR", "where its position is kept; default $STATE_DIRECTORY", NULL},
        {"after", 0, "SEQ", "a new name begins after this event; default 0: with the first", NULL},
        {"skip-pruned", 0, NULL, "go on where events are gone that it did not get", NULL},
        {"exec", 0, NULL, "the rest is the program, and its arguments", NULL},
        {0},
};

const struct verb verbs[] = {
        {
                .name = "status",
                .operands = "",
                .summary = "how the daemon, its accounts and its hooks are",
                .run = cmd_status,
        },
        {
                .name = "list",
                .operands = "",
                .summary = "the jobs that are watched",
                .about = "In a pipe each job is one line of tab-separated fields: account, id, "
                         "name, "
                         "state,\nfinished, since, next_poll, polls, paused, class of the last "
                         "error. "
                         "Absent is \"-\".",
                .options = list_options,
                .run = cmd_list,
        },
        {
                .name = "show",
                .operands = "JOB",
                .summary = "all about one job",
                .operand = OPERAND_JOB,
                .min_operands = 1,
                .max_operands = 1,
                .run = cmd_show,
        },
        {
                .name = "history",
                .operands = "JOB",
                .summary = "what happened to one job",
                .about = "In a pipe each event is one line of tab-separated fields: seq, at, type, "
                         "account,\njob id, from_state, to_state. Absent is \"-\".",
                .operand = OPERAND_JOB,
                .min_operands = 1,
                .max_operands = 1,
                .run = cmd_history,
        },
        {
                .name = "why",
                .operands = "JOB",
                .summary = "when a job is polled next, and for which reasons",
                .operand = OPERAND_JOB,
                .min_operands = 1,
                .max_operands = 1,
                .run = cmd_why,
        },
        {
                .name = "wait",
                .operands = "JOB...",
                .summary = "wait until jobs are finished",
                .about = "Exits 0 if they completed, 3 if one failed or was lost, 124 at the "
                         "time-out.",
                .options = wait_options,
                .operand = OPERAND_JOB,
                .others = OPERAND_JOB,
                .min_operands = 1,
                .max_operands = SIZE_MAX,
                .run = cmd_wait,
        },
        {
                .name = "watch",
                .operands = "[JOB...]",
                .summary = "show events as they happen",
                .about = "With jobs, ends when all of them are finished; without, shows all events "
                         "until interrupted.",
                .operand = OPERAND_JOB,
                .others = OPERAND_JOB,
                .max_operands = SIZE_MAX,
                .run = cmd_watch,
        },
        {
                .name = "events",
                .operands = "",
                .summary = "what happened, to all jobs and accounts",
                .about = "Types: " EVENT_TYPES_WORDS
                         ".\nIn a pipe the fields are those of \"bulkwatch history\"; with --json, "
                         "one event a line.",
                .options = events_options,
                .run = cmd_events,
        },
        {
                .name = "add",
                .operands = "ACCOUNT ID",
                .summary = "watch another job",
                .about = "It stays watched over restarts and reloads.",
                .options = add_options,
                .operand = OPERAND_ACCOUNT,
                .min_operands = 2,
                .max_operands = 2,
                .run = cmd_add,
        },
        {
                .name = "remove",
                .operands = "JOB...",
                .summary = "watch jobs no longer",
                .about = "Their history stays.",
                .operand = OPERAND_JOB,
                .others = OPERAND_JOB,
                .min_operands = 1,
                .max_operands = SIZE_MAX,
                .run = cmd_remove,
        },
        {
                .name = "pause",
                .operands = "JOB...",
                .summary = "stop polling jobs until they are resumed",
                .operand = OPERAND_JOB,
                .others = OPERAND_JOB,
                .min_operands = 1,
                .max_operands = SIZE_MAX,
                .run = cmd_pause,
        },
        {
                .name = "resume",
                .operands = "JOB...",
                .summary = "poll paused jobs again",
                .operand = OPERAND_JOB,
                .others = OPERAND_JOB,
                .min_operands = 1,
                .max_operands = SIZE_MAX,
                .run = cmd_resume,
        },
        {
                .name = "poll",
                .operands = "JOB...",
                .summary = "poll jobs now",
                .about = "Neither limits of the account nor a pause are overridden. A LOST job is "
                         "taken up again.",
                .operand = OPERAND_JOB,
                .others = OPERAND_JOB,
                .min_operands = 1,
                .max_operands = SIZE_MAX,
                .run = cmd_poll,
        },
        {
                .name = "hooks",
                .operands = "[test NAME]",
                .summary = "the hooks, or a test of one",
                .about = "A test runs the hook in the daemon and shows what it was given and what "
                         "came of it.\nExits 1 if that was no success.",
                .options = hooks_options,
                .operand = OPERAND_WORD,
                .words = "test",
                .others = OPERAND_HOOK,
                .max_operands = 2,
                .run = cmd_hooks,
        },
        {
                .name = "deliveries",
                .operands = "[show ID|retry [ID...]|replay]",
                .summary = "what was sent to hooks, another try, or the past anew",
                .about = "\"retry\" takes ids, or --hook for all dead ones of a hook, or "
                         "--all-dead; \"replay\" sends past\nevents to a hook that did not get "
                         "them: --hook HOOK --since SEQ.\nIn a pipe each delivery is one line of "
                         "tab-separated fields: id, hook, "
                         "event_seq,\naccount, job_id, state, number of attempts. Absent is \"-\".",
                .options = deliveries_options,
                .operand = OPERAND_WORD,
                .words = "show retry replay",
                .others = OPERAND_DELIVERY,
                .max_operands = SIZE_MAX,
                .run = cmd_deliveries,
        },
        {
                .name = "consume",
                .operands = "NAME --exec PROGRAM [ARGUMENT...]",
                .summary = "run a program for each event, from where NAME stopped",
                .about = "The program gets what a hook gets. Its success moves the position of "
                         "NAME, on disk; after a\nfailure it is run again, after a pause. It "
                         "ends when it is ended.",
                .options = consume_options,
                .others = OPERAND_COMMAND,
                .min_operands = 1,
                .max_operands = SIZE_MAX,
                .has_no_json = true,
                .last_option = "exec",
                .run = cmd_consume,
        },
        {
                .name = "plan",
                .operands = "",
                .summary = "what polls will cost, and with another polls_per_job",
                .about =
                        "From the durations that were learned: polls a job, delay until its end is "
                        "noticed, credits\na day. In a pipe each line has tab-separated fields: "
                        "account, polls_per_job, polls,\ndelay, credits a day, credits_per_day, "
                        "whether it is in force. Absent is \"-\".",
                .options = plan_options,
                .run = cmd_plan,
        },
        {
                .name = "doctor",
                .operands = "",
                .summary = "look for what is wrong",
                .about = "Exits 1 if there are errors, 0 if there are but warnings.",
                .run = cmd_doctor,
        },
        {
                .name = "config",
                .operands = "check|show|diff [FILE]",
                .summary = "check the configuration, show it with every default, or what a reload "
                           "would change",
                .about = "FILE is by default the one that the daemon reads. \"diff\" compares it "
                         "with what is in force,\nbut for the lists of jobs, and exits 1 if they "
                         "differ.",
                .operand = OPERAND_WORD,
                .words = "check show diff",
                .others = OPERAND_FILE,
                .min_operands = 1,
                .max_operands = 2,
                .run = cmd_config,
        },
        {
                .name = "reload",
                .operands = "",
                .summary = "have the daemon read its configuration again",
                .about = "A configuration with an error is refused with all its errors, exit 78; "
                         "the old one stays.",
                .run = cmd_reload,
        },
        {
                .name = "backup",
                .operands = "FILE",
                .summary = "copy the daemon's database into a new file",
                .operand = OPERAND_FILE,
                .min_operands = 1,
                .max_operands = 1,
                .run = cmd_backup,
        },
        {
                .name = "completion",
                .operands = "bash|zsh|fish [-- WORD...]",
                .summary = "print the completion script of a shell",
                .about = "With the words of a command line, prints what may stand in the place of "
                         "the last one,\nwhich is what the scripts ask for.",
                .operand = OPERAND_WORD,
                .words = "bash zsh fish",
                .min_operands = 1,
                .max_operands = SIZE_MAX,
                .has_no_json = true,
                .run = cmd_completion,
        },
};

const size_t n_verbs = ARRAY_LEN(verbs);

const struct verb *verb_find(const char *name)
{
	for (size_t i = 0; i < n_verbs; i++) {
		if (strcmp(verbs[i].name, name) == 0)
			return &verbs[i];
	}
	return NULL;
}

const char *verb_nearest(const char *name)
{
	const char *names[ARRAY_LEN(verbs)];

	for (size_t i = 0; i < n_verbs; i++)
		names[i] = verbs[i].name;
	return str_nearest(name, names, n_verbs);
}
