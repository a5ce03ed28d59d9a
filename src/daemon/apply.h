/*
 * A configuration becomes what runs: at the start and at every reload the same way. Hooks, data
 * centers, accounts, then jobs: the new ones are watched, those that are gone are no longer, all
 * others go on.
 */
#pragma once

#include "config/config.h"
#include "daemon/tracker.h"

struct apply_result {
	size_t n_watched, n_unwatched, n_kept;
};

/* Hooks, data centers and accounts. 0, or a negative error of the network's, with words. */
int apply_places(struct tracker *tracker, const struct config *config, struct buf *words);

/*
 * Jobs, after that (and, at the start, after tracker_load). They are written in portions, each
 * committed, so a crash in between leaves a portion and the next start goes on from there. The
 * configuration's lists of jobs are given back. 0, a fatal store error, or ERR_FULL: jobs come and
 * go when it is done again.
 */
int apply_jobs(struct tracker *tracker, struct config *config, struct apply_result *result);
