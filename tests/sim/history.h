/*
 * One history: a world from a seed, and lives of the daemon in it, one after another, until all is
 * done or something is wrong.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "kinds.h"
#include "plant.h"
#include "scenario.h"
#include "world.h"

enum { HISTORY_ENDS_MAX = 12 };

/* How one life ends before its time. Steps count from then; 0 = not so. */
struct life_end {
	int64_t from_s; /* after the start of the history */
	int64_t kill_step, fail_step;
	bool is_lasting; /* the failure: it fails from then on */
	bool is_power_cut;
};

struct history {
	uint64_t seed;
	struct scenario scenario;
	struct life_end ends[HISTORY_ENDS_MAX]; /* of the first lives, one after another */
	size_t n_ends;
	/* Of the first life; 0 = not so. */
	int64_t reload_at_turn, stop_at_turn;
	enum plant plant;
	bool is_verbose;
};

/* Those of the history's seed and kinds of trouble. */
void history_choose_ends(struct history *history);

struct history_result {
	bool is_good;
	char failure[1024];
	int n_lives;
	int64_t n_steps, n_turns; /* of the first life */
	int64_t n_polls, n_runs, n_events, n_commits, n_requests;
	int64_t virtual_ms;
	int64_t n_happened[HAPPENINGS];
	struct world_shares shares, large_shares; /* of a crowd */
};

void history_run(const struct history *history, struct history_result *result);
