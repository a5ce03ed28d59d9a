/*
 * The program: owns every part, wires them, and is the order of a turn.
 */
#pragma once

#include "util/buf.h"

struct daemon;

/* How bulkwatchd ends (docs: bulkwatchd(8)). */
enum {
	DAEMON_OK = 0,
	DAEMON_OTHER = 1,
	DAEMON_USAGE = 2,
	DAEMON_BAD_DATABASE = 65,
	DAEMON_BUSY = 69,
	DAEMON_INTERNAL = 70,
	DAEMON_IO = 74,
	DAEMON_CONFIG = 78,
};

/* Loads, opens, recovers, listens. 0 and *out; or the exit code, with what is wrong logged. */
int daemon_new(const char *config_file, struct daemon **out);
/* Takes NULL, returns NULL. */
struct daemon *daemon_free(struct daemon *daemon);
/* Runs until told to stop; the exit code. */
int daemon_run(struct daemon *daemon);
