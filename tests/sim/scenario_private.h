/* What the files of scenario*.c share. */
#pragma once

#include "scenario.h"
#include "world.h"

enum {
	SECOND_MS = 1000,
	MINUTE_MS = 60 * SECOND_MS,
	HOUR_MS = 60 * MINUTE_MS,
	DAY_MS = 24 * HOUR_MS,
};

/* Configurations differ in jobs and hooks, too. */
bool scenario_has_variants(const struct scenario *scenario);

/* ---- scenario_troubles.c ---- */

/* Of these kinds; WORLD_TROUBLES_MAX at most, in their order, all over in time. How many. */
size_t scenario_make_troubles(struct trouble *list, enum trouble_kind first, enum trouble_kind last,
        double flapping_chance);

/* ---- scenario_hooks.c ---- */

void scenario_make_hooks(const struct scenario *scenario);
