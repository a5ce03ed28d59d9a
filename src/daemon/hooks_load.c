/* The deliveries of an earlier life: when each is due, by a wall clock that may have been set
 * since. */
#include "core/limits.h"
#include "daemon/hooks_private.h"
#include "util/log.h"

enum { SPREAD_PER_DELIVERY_MS = 10, SPREAD_MAX_MS = 5000 };

static int load_one(void *arg, const struct store_delivery *row)
{
	hooks_open(arg, row);
	return 0;
}

struct last_attempt {
	uint64_t number;
	int64_t ended_wall_ms; /* 0 = not known */
};

static int take_attempt(void *arg, const struct store_attempt *attempt)
{
	struct last_attempt *last = arg;

	if (attempt->number == last->number && attempt->duration_ms >= 0)
		last->ended_wall_ms = attempt->started_wall_ms + attempt->duration_ms;
	return 0;
}

/*
 * *out: the longest that it may have to wait. That is retry_max, or what was decided when its last
 * attempt ended, which may be more where a webhook's receiver asked for it. A time in the future
 * alone says nothing: the clock may have been set back since.
 */
static int find_longest_wait(
        const struct hooks *hooks, const struct delivery *delivery, int64_t *out)
{
	const struct hook *hook = hooks->hooks[delivery->chain->hook];
	struct last_attempt last = {.number = delivery->attempts};
	int r = 0;

	*out = hook->is_configured ? hook->config.retry_max_ms : 0;
	if (!hook->is_configured || hook->config.url)
		r = store_attempts_read(
		        journal_store(hooks->journal), delivery->id, take_attempt, &last);
	int64_t decided = last.ended_wall_ms ? delivery->next_wall_ms - last.ended_wall_ms : 0;

	if (decided > HOOK_RETRY_AFTER_MAX_MS)
		decided = HOOK_RETRY_AFTER_MAX_MS;
	if (decided > *out)
		*out = decided;
	return r;
}

/* What is overdue is spread a little. */
static int place(struct hooks *hooks, struct delivery *delivery)
{
	struct now now = loop_now(hooks->loop);
	const struct hook *hook = hooks->hooks[delivery->chain->hook];
	int64_t wait = delivery->next_wall_ms - now.wall_ms, longest = wait;
	int64_t spread = (int64_t)hooks->n_chains * SPREAD_PER_DELIVERY_MS;
	int r = 0;

	if (wait > 0 && (!hook->is_configured || wait > hook->config.retry_max_ms))
		r = find_longest_wait(hooks, delivery, &longest);
	if (wait > longest)
		wait = longest;
	if (wait <= 0)
		wait = (int64_t)rng_below(
		        hooks->rng, (uint64_t)(spread < SPREAD_MAX_MS ? spread : SPREAD_MAX_MS));
	delivery->next_mono_ms = now.mono_ms + wait;
	return r;
}

int hooks_load(struct hooks *hooks)
{
	int r = store_deliveries_each_pending(journal_store(hooks->journal), load_one, hooks);

	for (uint32_t i = 0; i < hooks->n_chains && !r; i++) {
		for (struct delivery *d = hooks->chains[i]->first; d && !r; d = d->next)
			r = place(hooks, d);
		hooks_queue(hooks, hooks->chains[i]);
	}
	for (size_t i = 0; i < hooks->n_hooks; i++) {
		if (!hooks->hooks[i]->is_configured)
			log_warning("hook %s is no longer configured: %zu deliveries wait until it "
			            "is again",
			        hooks->hooks[i]->name, hooks->hooks[i]->n_deliveries);
	}
	return r;
}
