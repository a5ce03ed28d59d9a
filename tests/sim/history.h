/*
 * One history: a world from a seed, and lives of the daemon in it, one after another, until all is
 * done or something is wrong.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "plant.h"
#include "scenario.h"

struct history {
	uint64_t seed;
	struct scenario scenario;
	bool has_kills; /* lives end at random steps */
	/* Of the first life; 0 = not so. */
	int64_t kill_at_step, reload_at_turn, stop_at_turn;
	bool is_power_cut;
	enum plant plant;
	bool is_verbose;
};

struct history_result {
	bool is_good;
	char failure[1024];
	int n_lives;
	int64_t n_steps, n_turns; /* of the first life */
	int64_t n_polls, n_runs, n_events, n_commits, n_requests;
};

void history_run(const struct history *history, struct history_result *result);
