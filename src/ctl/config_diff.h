/*
 * Two configurations as config_show() writes them, compared option by option: each line becomes its
 * whole path and its value, so that order plays no part.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "util/buf.h"

struct config_change {
	const char *path;      /* "accounts.acme.poll.min_interval" */
	const char *old, *new; /* NULL = it is not there */
	bool needs_restart;
};

struct config_diff {
	struct config_change *list; /* in the order of paths */
	size_t n;
	struct buf old, new; /* what the list points into */
};

void config_diff_init(struct config_diff *diff, const char *old, const char *new);
void config_diff_deinit(struct config_diff *diff);
