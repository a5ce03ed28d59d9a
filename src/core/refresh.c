#include "core/refresh.h"

#include <assert.h>

#include "core/schedule.h"

bool refresh_is_alive(const struct refresh *refresh, int64_t mono_ms)
{
	return refresh->has_token && mono_ms < refresh->expires_mono_ms;
}

bool refresh_is_due(const struct refresh *refresh, int64_t mono_ms)
{
	return !refresh_is_alive(refresh, mono_ms) || mono_ms >= refresh->renew_mono_ms;
}

static int64_t later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

int64_t refresh_closed_until_mono(const struct refresh *refresh, int64_t mono_ms)
{
	int64_t until = refresh->held_until_mono_ms;

	if (refresh->is_asking || refresh->is_refused)
		return INT64_MAX;
	if (refresh->n_asked == REFRESH_ASKS_MAX)
		until = later(
		        until, refresh->asked_mono_ms[REFRESH_ASKS_MAX - 1] + REFRESH_WINDOW_MS);
	return until <= mono_ms ? 0 : until;
}

void refresh_ask(struct refresh *refresh, int64_t mono_ms)
{
	assert(!refresh->is_asking);
	for (int i = REFRESH_ASKS_MAX - 1; i > 0; i--)
		refresh->asked_mono_ms[i] = refresh->asked_mono_ms[i - 1];
	refresh->asked_mono_ms[0] = mono_ms;
	if (refresh->n_asked < REFRESH_ASKS_MAX)
		refresh->n_asked++;
	refresh->is_asking = true;
}

static void raise_level(uint8_t *level)
{
	if (*level < UINT8_MAX)
		(*level)++;
}

/* Short-lived tokens are renewed at half their life. */
static int64_t renew_after_ms(int64_t life_ms, uint64_t random)
{
	int64_t before = life_ms / 2 < REFRESH_BEFORE_MS ? life_ms / 2 : REFRESH_BEFORE_MS;
	int64_t jitter = before * REFRESH_JITTER_MS / REFRESH_BEFORE_MS;

	return life_ms - before - (int64_t)(random % (uint64_t)(jitter + 1));
}

void refresh_granted(struct refresh *refresh, int64_t life_ms, int64_t mono_ms, uint64_t random)
{
	refresh->is_asking = false;
	refresh->has_token = true;
	refresh->got_mono_ms = mono_ms;
	refresh->expires_mono_ms = mono_ms + life_ms;
	refresh->renew_mono_ms = mono_ms + renew_after_ms(life_ms, random);
	refresh->held_until_mono_ms = 0;
	refresh->is_throttled = false;
	refresh->is_refused = false;
	refresh->throttled_level = 0;
	refresh->failed_level = 0;
}

void refresh_throttled(struct refresh *refresh, int64_t mono_ms, uint64_t random)
{
	/* With half of it more at random, it is an hour at the most. */
	int64_t wait = schedule_doubled_ms(REFRESH_THROTTLED_FIRST_MS,
	        REFRESH_THROTTLED_MAX_MS * 2 / 3, refresh->throttled_level);

	refresh->is_asking = false;
	refresh->is_throttled = true;
	refresh->held_until_mono_ms = mono_ms + wait + (int64_t)(random % (uint64_t)(wait / 2 + 1));
	raise_level(&refresh->throttled_level);
}

void refresh_refused(struct refresh *refresh)
{
	refresh->is_asking = false;
	refresh->is_refused = true;
}

void refresh_failed(struct refresh *refresh, bool was_sent, int64_t mono_ms, uint64_t random)
{
	refresh->is_asking = false;
	if (!was_sent) {
		assert(refresh->n_asked > 0);
		refresh->n_asked--;
		for (int i = 0; i < REFRESH_ASKS_MAX - 1; i++)
			refresh->asked_mono_ms[i] = refresh->asked_mono_ms[i + 1];
	}
	refresh->is_throttled = false;
	refresh->held_until_mono_ms =
	        mono_ms + schedule_backoff_ms(REFRESH_FAILED_FIRST_MS, REFRESH_FAILED_MAX_MS,
	                          refresh->failed_level, random);
	raise_level(&refresh->failed_level);
}

void refresh_drop(struct refresh *refresh)
{
	refresh->has_token = false;
}

void refresh_forgive(struct refresh *refresh)
{
	refresh->is_refused = false;
	refresh->failed_level = 0;
	if (!refresh->is_throttled)
		refresh->held_until_mono_ms = 0;
}
