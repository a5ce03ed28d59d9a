/* When something is wrong with a data center, an account, a receiver, the disk, and what. */
#include "scenario_private.h"

struct troubles {
	struct trouble *list;
	size_t n;
};

/* False: they would not be over in time, or there are enough. */
static bool add_trouble(
        struct troubles *to, enum trouble_kind kind, int64_t from, int64_t length, bool is_flapping)
{
	if (to->n == WORLD_TROUBLES_MAX || from + length > world->trouble_until_mono_ms)
		return false;
	to->list[to->n++] = (struct trouble){.from_mono_ms = from,
	        .to_mono_ms = from + length,
	        .kind = kind,
	        .is_flapping = is_flapping};
	return true;
}

static int64_t trouble_length(enum trouble_kind kind, int64_t span)
{
	/* The daemon looks for room every two seconds: a day of that is long even here. */
	if (kind == TROUBLE_FULL)
		return world_between(DICE_SCENARIO, MINUTE_MS / 2, 20 * MINUTE_MS);
	double dice = (double)world_below(DICE_SCENARIO, 100);

	if (dice < 60)
		return world_between(DICE_SCENARIO, MINUTE_MS / 2, 5 * MINUTE_MS);
	if (dice < 92)
		return world_between(DICE_SCENARIO, MINUTE_MS / 2, HOUR_MS);
	return world_between(DICE_SCENARIO, HOUR_MS, span / 6);
}

/* Now it is there, now it is not. */
static int64_t add_flapping(struct troubles *to, enum trouble_kind kind, int64_t at)
{
	int64_t n = world_between(DICE_SCENARIO, 3, 8);

	for (int64_t i = 0; i < n; i++) {
		int64_t length = world_between(DICE_SCENARIO, 5 * SECOND_MS, 2 * MINUTE_MS);

		if (!add_trouble(to, kind, at, length, true))
			break;
		at += length + world_between(DICE_SCENARIO, 5 * SECOND_MS, 2 * MINUTE_MS);
	}
	return at;
}

/* In their order; about one for each half day, but for some who have none at all. */
size_t scenario_make_troubles(struct trouble *list, enum trouble_kind first, enum trouble_kind last,
        double flapping_chance)
{
	struct troubles to = {.list = list};
	int64_t span = world->trouble_until_mono_ms - world->mono_ms, at = world->mono_ms;
	size_t n = world_below(DICE_SCENARIO, 6 + 4 * (uint64_t)(span / DAY_MS));

	for (size_t i = 0; i < n; i++) {
		enum trouble_kind kind =
		        (enum trouble_kind)world_between(DICE_SCENARIO, first, last);

		at += world_between(DICE_SCENARIO, 0, span * 3 / 2 / (int64_t)n);
		if (world_chance(DICE_SCENARIO, flapping_chance)) {
			at = add_flapping(&to, kind, at);
			continue;
		}
		int64_t length = trouble_length(kind, span);

		if (!add_trouble(&to, kind, at, length, false))
			break;
		at += length;
	}
	return to.n;
}
