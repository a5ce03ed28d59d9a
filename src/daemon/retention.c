#include "daemon/retention.h"

enum {
	SLICE = 200,   /* jobs a turn */
	PAUSE_MS = 20, /* between slices: polls and hooks come first */
	LOOK_EVERY_MS = 600 * 1000,
	LOOK_LEAST_MS = 1000,
};

static int64_t look_every_ms(int64_t retain_ms)
{
	int64_t every = retain_ms / 10;

	if (every > LOOK_EVERY_MS)
		return LOOK_EVERY_MS;
	return every < LOOK_LEAST_MS ? LOOK_LEAST_MS : every;
}

void retention_set(struct retention *retention, int64_t retain_ms)
{
	retention->retain_ms = retain_ms;
	retention->next_mono_ms = loop_now(retention->loop).mono_ms;
}

void retention_prune(struct retention *retention)
{
	struct now now = loop_now(retention->loop);
	size_t n = 0;

	if (now.mono_ms < retention->next_mono_ms || journal_is_full(retention->journal) ||
	        journal_is_lost(retention->journal))
		return;
	if (!journal_wrote(
	            retention->journal, store_prune(journal_store(retention->journal),
	                                        now.wall_ms - retention->retain_ms, SLICE, &n)))
		return;
	retention->next_mono_ms =
	        now.mono_ms + (n == SLICE ? PAUSE_MS : look_every_ms(retention->retain_ms));
}
