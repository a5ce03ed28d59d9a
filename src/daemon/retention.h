/*
 * Forgetting: jobs that are no longer watched, ended long ago and owe nobody a delivery, with their
 * events, in slices small enough for a turn of the loop.
 */
#pragma once

#include <stdint.h>

#include "daemon/journal.h"

struct retention {
	struct loop *loop;
	struct journal *journal;
	int64_t retain_ms;
	int64_t next_mono_ms; /* when to look again */
};

/* A new `retain` counts at once. */
void retention_set(struct retention *retention, int64_t retain_ms);
/* Part of the turn's end, before the commit: one slice, if it is time. */
void retention_prune(struct retention *retention);
