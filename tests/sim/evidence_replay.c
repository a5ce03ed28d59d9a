/*
 * Past events that somebody wants a hook to be given: only on such a wish does an event get a
 * delivery after its commit, and whoever is told that it is done finds none left out.
 */
#include <inttypes.h>

#include "evidence.h"
#include "scenario.h"

void evidence_replay(int hook, int64_t since)
{
	struct world_hook *to = &world->hooks[hook];

	if (to->replayed_from == 0 || since < to->replayed_from)
		to->replayed_from = since;
}

/* An unwatched job's own hooks may be forgotten: those of its account, which are all, stand in. */
static bool may_get(const struct seen_event *event, int hook)
{
	int job = event->job != WORLD_NO_JOB && world->jobs[event->job].is_watched ? event->job
	                                                                           : WORLD_NO_JOB;

	return scenario_hooks(world->variant, job, event->type) >> hook & 1;
}

/* The last of the same line that runs; 0 = none. */
static int32_t runs_before(const struct seen_delivery *late)
{
	for (int32_t seq = evidence_last_event(late); seq; seq = world->events[seq].previous) {
		const struct seen_delivery *delivery = evidence_find_delivery(seq, late->hook);

		if (delivery && delivery->state == DELIVERY_RUNNING)
			return seq;
	}
	return 0;
}

void evidence_late_delivery(int64_t seq, int hook)
{
	const struct seen_event *event = &world->events[seq];
	const struct world_hook *to = &world->hooks[hook];

	if (to->replayed_from == 0 || seq < to->replayed_from)
		world_fail("event %" PRId64 " is to be given to hook %s, which nobody asked for",
		        seq, to->name);
	if (!may_get(event, hook))
		world_fail("event %" PRId64 " is replayed to hook %s, which is not for it", seq,
		        to->name);
	struct seen_delivery *late = evidence_find_delivery(seq, hook);

	late->behind = runs_before(late);
	world_happened(HAPPENED_REPLAYED);
}

void evidence_replayed(int hook, int64_t since, int64_t through, int variant)
{
	/* Who was for what in between is not known. */
	if (variant != world->variant)
		return;
	for (int64_t seq = since; seq <= through; seq++) {
		const struct seen_event *event = &world->events[seq];

		/* Of a hook's end that hook is not told. */
		if (!event->is_forgotten && event->type != EVENT_HOOK_DEAD &&
		        scenario_hooks(variant, event->job, event->type) >> hook & 1 &&
		        !evidence_find_delivery(seq, hook))
			world_fail("event %" PRId64 " is left out of what hook %s was to be given",
			        seq, world->hooks[hook].name);
	}
}
