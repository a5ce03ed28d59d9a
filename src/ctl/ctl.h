/*
 * What every verb of bulkwatch(1) is handed: where the daemon's sockets are, how to print, and the
 * exit codes that scripts rely on.
 *
 * Verbs return an exit code and have said what is wrong, on stderr, before they return one other
 * than 0.
 */
#pragma once

#include <stdbool.h>

#include "ctl/term.h"

enum {
	CTL_OK = 0,
	CTL_OTHER = 1,
	CTL_USAGE = 2,
	CTL_FAILED = 3, /* the job ended FAILURE or LOST */
	CTL_NO_JOB = 4,
	CTL_UNREACHABLE = 69,   /* EX_UNAVAILABLE of sysexits.h */
	CTL_NOT_PERMITTED = 77, /* EX_NOPERM */
	CTL_CONFIG = 78,        /* EX_CONFIG */
	CTL_TIMED_OUT = 124,    /* as timeout(1) */
};

struct ctl {
	const char *runtime_dir; /* borrowed from argv or the environment */
	bool is_json;
	struct term term; /* of stdout */
};

/* "bulkwatch: ...\n" on stderr, with control characters replaced. */
void ctl_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The whole program but for flushing stdout. argv[argc] is NULL, as main() gets it. */
int ctl_main(int argc, char **argv);
