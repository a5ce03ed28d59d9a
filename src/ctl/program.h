/*
 * Running a program for one event: the event as a CloudEvents object on its stdin, BULKWATCH_*
 * beside our own environment; stdout and stderr are ours. Signals are default in it.
 */
#pragma once

#include "wire/event.h"

enum program_end { PROGRAM_EXITED, PROGRAM_SIGNALED, PROGRAM_NOT_STARTED };

struct program_result {
	enum program_end end;
	int code; /* exit status, signal, errno */
};

/* argv is searched for in $PATH and ended by NULL. Returns when it has ended. */
struct program_result program_run(const char *const *argv, const struct event_view *event,
        const char *consumer, uint64_t attempt);
