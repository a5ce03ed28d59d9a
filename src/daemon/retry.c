/* A delivery that somebody wants tried again: its attempts are granted anew, the count goes on. */
#include <stdlib.h>

#include "core/hookmatch.h"
#include "daemon/hooks_private.h"
#include "util/mem.h"

struct retry {
	struct journal_change change;
	struct hooks *hooks;
	int64_t id;
	uint64_t base_before;
	bool was_dead; /* came from the store: only open ones are in memory */
};

static struct delivery *find_open(const struct hooks *hooks, int64_t id)
{
	for (uint32_t i = 0; i < hooks->n_chains; i++) {
		const struct chain *chain = hooks->chains[i];

		for (struct delivery *d = chain ? chain->first : NULL; d; d = d->next) {
			if (d->id == id)
				return d;
		}
	}
	return NULL;
}

static void retry_on_done(struct journal_change *change, bool is_committed)
{
	struct retry *retry = container_of(change, struct retry, change);
	struct delivery *delivery = find_open(retry->hooks, retry->id);

	if (delivery && !is_committed)
		delivery->attempts_base = retry->base_before;
	if (delivery && !is_committed && retry->was_dead)
		hooks_forget(retry->hooks, delivery);
	else if (delivery)
		hooks_queue(retry->hooks, delivery->chain);
	loop_wake(retry->hooks->loop);
	free(retry);
}

struct found {
	struct hooks *hooks;
	struct delivery *delivery;
};

static int take_row(void *arg, const struct store_delivery *row)
{
	struct found *found = arg;

	if (row->state == DELIVERY_DELIVERED)
		return HOOKS_E_DELIVERED;
	found->delivery = hooks_open(found->hooks, row);
	return 0;
}

static void write_grant(struct hooks *hooks, struct delivery *delivery, bool was_dead)
{
	struct now now = loop_now(hooks->loop);
	struct retry *retry = MEM_NEW(struct retry);

	*retry = (struct retry){
	        .change.done = retry_on_done,
	        .hooks = hooks,
	        .id = delivery->id,
	        .base_before = delivery->attempts_base,
	        .was_dead = was_dead,
	};
	delivery->attempts_base = delivery->attempts;
	hooks->hooks[delivery->chain->hook]->held_until_mono_ms = 0;
	delivery->next_mono_ms = now.mono_ms;
	delivery->next_wall_ms = now.wall_ms;
	struct store_delivery row = attempt_row(hooks, delivery, DELIVERY_PENDING);

	journal_add(hooks->journal, &retry->change);
	journal_wrote(hooks->journal, store_delivery_put(journal_store(hooks->journal), &row));
}

int hooks_retry(struct hooks *hooks, int64_t delivery_id)
{
	struct found found = {.hooks = hooks, .delivery = find_open(hooks, delivery_id)};
	bool was_dead = !found.delivery;

	if (!was_dead && found.delivery->is_claimed)
		return HOOKS_E_RUNNING;
	if (was_dead) {
		int r = store_delivery_get(
		        journal_store(hooks->journal), delivery_id, take_row, &found);

		if (r)
			return r == STORE_E_NONE ? HOOKS_E_NONE : r;
	}
	if (found.delivery)
		write_grant(hooks, found.delivery, was_dead);
	return 0;
}
