/*
 * Many histories: side by side in as many processes as are wanted, counted together, and what
 * failed made small and told with the command line that runs it again.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "history.h"

enum sweep { SWEEP_NONE, SWEEP_STEPS, SWEEP_RELOADS, SWEEP_STOPS };

struct run {
	struct history history; /* what all have in common */
	bool has_ends;          /* the history's are given, not the seed's */
	uint64_t first_seed, last_seed;
	int n_workers;
	int64_t n_failures_max; /* then the rest would only be more of them */
	bool tells_each;        /* one line a history */
	bool is_shrinking;
};

/* Each returns the exit status. */
int run_seeds(const struct run *run);
/* Every step or turn, or one in so many, of a first life in which nothing happens. */
int run_sweep(const struct run *run, enum sweep sweep, int64_t every);
int run_plants(const struct run *run);

/* A command line that is this history. */
void run_print_replay(const struct history *history);
