/*
 * Deliveries of past events, made on somebody's wish, for a hook that is new or was away. The
 * journal is read from a seq to what was its end at the wish, a slice a turn, so that polling and
 * other hooks go on; each slice is one commit, and what it made is queued after that. A replay that
 * was cut off is asked for again: what the hook has got already it does not get twice.
 *
 * Deliveries stand in the order of their events, be there later ones of the same job that wait.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/hookmatch.h"
#include "daemon/hooks_private.h"
#include "util/log.h"
#include "util/mem.h"
#include "wire/json.h"

enum { REPLAY_SLICE = 500, REPLAYS_MAX = 4 };

struct replay {
	struct journal_change change; /* of the slice that waits for its commit */
	struct hooks *hooks;
	struct replay *next;
	struct replay_wish wish;
	int64_t after, through; /* events from the first, exclusive, to the second are left */
	int64_t next_after;     /* once the slice is committed */
	int64_t n;              /* deliveries made and committed */
	struct delivery *made[REPLAY_SLICE]; /* in the slice */
	size_t n_made;
	bool is_writing;
};

/* An event of the slice that the hook is for. */
struct replayed {
	int64_t seq, job_key;
	char *account, *job_id; /* owned; NULL = none */
};

struct slice {
	struct replay *replay;
	struct replayed events[REPLAY_SLICE];
	size_t n;
};

/* ---- one slice ---- */

/* The hook that a hook.dead speaks of is not told about itself. */
static bool is_about(const struct store_event *event, const char *hook)
{
	cleanup(json_free_p) struct json *json = NULL;
	const char *name;

	if (event->type != EVENT_HOOK_DEAD ||
	        json_parse(event->data, strlen(event->data), SIZE_MAX, &json) != JSON_OK)
		return false;
	name = json_get_string(json, json_root(json), "hook");
	return name && strcmp(name, hook) == 0;
}

static bool set_has(const struct hook_set *set, uint32_t hook)
{
	for (size_t i = 0; set && i < set->n; i++) {
		if (set->hooks[i] == hook)
			return true;
	}
	return false;
}

static int take_event(void *arg, const struct store_event *event)
{
	struct slice *slice = arg;
	const struct replay_wish *wish = &slice->replay->wish;
	const struct hook *hook = slice->replay->hooks->hooks[wish->hook];

	if (event->seq > slice->replay->through)
		return 1;
	if (!set_has(wish->set_of(wish->set_arg, event), wish->hook) || is_about(event, hook->name))
		return 0;
	slice->events[slice->n++] = (struct replayed){
	        .seq = event->seq,
	        .job_key = event->job_key,
	        .account = event->account ? mem_strdup(event->account) : NULL,
	        .job_id = event->job_id ? mem_strdup(event->job_id) : NULL,
	};
	return 0;
}

/* True: go on with the next event. */
static bool deliver(struct replay *replay, const struct replayed *event)
{
	struct hooks *hooks = replay->hooks;
	struct now now = loop_now(hooks->loop);
	struct store_delivery row = {
	        .event_seq = event->seq,
	        .hook = hooks->hooks[replay->wish.hook]->name,
	        .account = event->account,
	        .job_key = event->job_key,
	        .job_id = event->job_id,
	        .next_wall_ms = now.wall_ms,
	        .created_wall_ms = now.wall_ms,
	};
	int r = store_delivery_add(journal_store(hooks->journal), &row);

	if (r == -EEXIST)
		return true; /* it has got that one */
	if (!journal_wrote(hooks->journal, r))
		return false;
	struct delivery *delivery = hooks_open_in_order(hooks, &row);

	delivery->next_mono_ms = now.mono_ms;
	replay->made[replay->n_made++] = delivery;
	return true;
}

/* ---- the end ---- */

static void replay_free(struct replay *replay)
{
	struct replay **link = &replay->hooks->replays;

	while (*link != replay)
		link = &(*link)->next;
	*link = replay->next;
	free(replay);
}

static void finish(struct replay *replay, enum replay_end end)
{
	const char *hook = replay->hooks->hooks[replay->wish.hook]->name;

	if (end == REPLAY_DONE)
		log_notice("hook %s: %" PRId64 " past events since %" PRId64 " are delivered to it",
		        hook, replay->n, replay->wish.since);
	else
		log_warning("hook %s: the replay since %" PRId64 " ended at event %" PRId64
		            " (%" PRId64 " deliveries)",
		        hook, replay->wish.since, replay->after, replay->n);
	replay->wish.fn(replay->wish.arg, end, replay->n);
	replay_free(replay);
}

static void slice_on_done(struct journal_change *change, bool is_committed)
{
	struct replay *replay = container_of(change, struct replay, change);
	struct hooks *hooks = replay->hooks;

	replay->is_writing = false;
	for (size_t i = 0; i < replay->n_made; i++) {
		if (is_committed)
			hooks_queue(hooks, replay->made[i]->chain);
		else
			hooks_forget(hooks, replay->made[i]);
	}
	if (!is_committed) {
		replay->n_made = 0;
		finish(replay, journal_is_full(hooks->journal) ? REPLAY_FULL : REPLAY_LOST);
		return;
	}
	replay->n += (int64_t)replay->n_made;
	replay->n_made = 0;
	replay->after = replay->next_after;
	loop_wake(hooks->loop);
	if (replay->after >= replay->through)
		finish(replay, REPLAY_DONE);
}

static void replay_slice(struct replay *replay)
{
	struct hooks *hooks = replay->hooks;
	struct slice *slice = MEM_NEW(struct slice);
	struct store_event_filter filter = {.types = hooks->on[replay->wish.hook]};
	int64_t last = replay->after;

	slice->replay = replay;
	int r = store_events_read(journal_store(hooks->journal), replay->after, REPLAY_SLICE,
	        &filter, take_event, slice, &last);

	replay->is_writing = true;
	replay->next_after = r > 0 ? replay->through : last;
	replay->change.done = slice_on_done;
	journal_add(hooks->journal, &replay->change);
	if (journal_wrote(hooks->journal, r < 0 ? r : 0)) {
		for (size_t i = 0; i < slice->n && deliver(replay, &slice->events[i]); i++)
			;
	}
	for (size_t i = 0; i < slice->n; i++) {
		free(slice->events[i].account);
		free(slice->events[i].job_id);
	}
	free(slice);
}

void hooks_replay_turn(struct hooks *hooks)
{
	struct replay *next;

	for (struct replay *replay = hooks->replays; replay; replay = next) {
		next = replay->next;
		if (replay->is_writing || hooks->is_draining || journal_is_lost(hooks->journal))
			continue;
		if (!hooks->hooks[replay->wish.hook]->is_configured)
			finish(replay, REPLAY_PARKED);
		else
			replay_slice(replay);
	}
}

int hooks_replay(struct hooks *hooks, const struct replay_wish *wish)
{
	size_t n = 0;

	for (const struct replay *other = hooks->replays; other; other = other->next) {
		if (other->wish.hook == wish->hook || ++n == REPLAYS_MAX)
			return HOOKS_E_BUSY;
	}
	if (hooks->is_draining || !hooks->hooks[wish->hook]->is_configured)
		return HOOKS_E_BUSY;
	struct replay *replay = MEM_NEW(struct replay);

	replay->hooks = hooks;
	replay->wish = *wish;
	replay->after = wish->since > 0 ? wish->since - 1 : 0;
	replay->through = store_last_seq(journal_store(hooks->journal));
	replay->next = hooks->replays;
	hooks->replays = replay;
	loop_wake(hooks->loop);
	return 0;
}

void hooks_forget_replays(struct hooks *hooks)
{
	while (hooks->replays)
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): it left the list */
		replay_free(hooks->replays);
}
