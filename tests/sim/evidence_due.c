/*
 * Deliveries that are due: each is given to its hook soon once its time has come, it is the first
 * of its line (hook and job, or account) and there is a place for it; and what became of it is
 * recorded soon. Judged when an attempt begins, and every now and then of all that wait: to be
 * given in the end is not enough.
 *
 * What may stand in the way: the wait before another try, its receiver's Retry-After, those before
 * it, the hook's places and the daemon's, a hook that is not configured, a full disk, a stop. Time
 * that went by while the daemon could do nothing does not count.
 */
#include <inttypes.h>

#include "core/limits.h"
#include "evidence.h"

enum {
	SPREAD_MAX_MS = 5 * 1000, /* what is overdue at a start */
	FULL_REST_MS = 10 * 1000, /* until it is known that there is room again */
};

static int64_t later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static int64_t between(int64_t ms, int64_t most_ms)
{
	return later(0, ms < most_ms ? ms : most_ms);
}

static bool is_absent(const struct world_hook *hook, int variant)
{
	return hook->absent_in >> variant & 1;
}

/* ---- lines and places ---- */

static int64_t *line_of(const struct seen_delivery *delivery)
{
	const struct seen_event *event = &world->events[delivery->seq];

	return event->job != WORLD_NO_JOB
	               ? &world->jobs[event->job].line_mono_ms[delivery->hook]
	               : &world->accounts[event->account].line_mono_ms[delivery->hook];
}

int32_t evidence_last_event(const struct seen_delivery *delivery)
{
	const struct seen_event *event = &world->events[delivery->seq];

	return event->job != WORLD_NO_JOB ? world->jobs[event->job].last_event
	                                  : world->accounts[event->account].last_event;
}

static void count_places(struct world_hook *hook, int change)
{
	int n_all = 0;

	for (size_t i = 0; i < world->n_hooks; i++)
		n_all += world->hooks[i].n_claimed;
	if (hook->n_claimed >= hook->parallel)
		hook->free_mono_ms = world->mono_ms;
	if (n_all >= HOOK_RUNNING_MAX)
		world->free_mono_ms = world->mono_ms;
	hook->n_claimed += change;
}

static bool has_place(const struct world_hook *hook)
{
	int n_all = 0;

	for (size_t i = 0; i < world->n_hooks; i++)
		n_all += world->hooks[i].n_claimed;
	return hook->n_claimed < hook->parallel && n_all < HOOK_RUNNING_MAX &&
	       !is_absent(hook, world->variant);
}

static void end_quiet(struct world_hook *hook)
{
	if (hook->quiet_until_mono_ms > world->mono_ms)
		hook->quiet_until_mono_ms = world->mono_ms;
}

/* ---- when it is due ---- */

/* An attempt failed: the longest wait is retry_max, or what its receiver asked for. */
static void put_off(struct seen_delivery *delivery)
{
	int64_t wait_ms = delivery->next_wall_ms - delivery->ended.wall_ms;
	int64_t asked_ms = delivery->not_before_mono_ms - delivery->ended.mono_ms;

	delivery->due_mono_ms =
	        delivery->ended.mono_ms + between(wait_ms, later(WORLD_RETRY_MAX_MS, asked_ms));
}

void evidence_due_added(struct seen_delivery *delivery)
{
	struct world_hook *hook = &world->hooks[delivery->hook];

	delivery->due_mono_ms = world->mono_ms;
	delivery->claimed = delivery->ended = world_now();
	if (delivery->state == DELIVERY_RUNNING)
		count_places(hook, 1);
}

void evidence_due_moved(struct seen_delivery *delivery, enum delivery_state before)
{
	struct world_hook *hook = &world->hooks[delivery->hook];
	bool was_running = before == DELIVERY_RUNNING;
	bool is_running = delivery->state == DELIVERY_RUNNING;

	count_places(hook, is_running - was_running);
	if (!is_running)
		*line_of(delivery) = world->mono_ms;
	if (is_running)
		delivery->claimed = delivery->ended = world_now();
	if (delivery->state != DELIVERY_PENDING)
		return;
	if (was_running) {
		put_off(delivery);
		return;
	}
	/* By hand: at once, whatever was said before. */
	delivery->due_mono_ms = world->mono_ms;
	if (hook->held_turn != world->turn)
		end_quiet(hook);
}

void evidence_due_reload(struct world_hook *hook, int from, int to)
{
	bool is_moved = (hook->moved_in >> from ^ hook->moved_in >> to) & 1;

	if (is_absent(hook, from))
		hook->free_mono_ms = world->mono_ms;
	if (is_moved && !is_absent(hook, from) && !is_absent(hook, to))
		end_quiet(hook);
}

/* By the wall clock, which may have been set since; no longer than was decided, or may be. */
static void place(struct seen_delivery *delivery)
{
	int64_t lasted_ms = delivery->ended.mono_ms - delivery->claimed.mono_ms;
	int64_t decided_ms = delivery->next_wall_ms - (delivery->claimed.wall_ms + lasted_ms);
	int64_t wait_ms = between(delivery->next_wall_ms - world->wall_ms,
	        later(WORLD_RETRY_MAX_MS, between(decided_ms, HOOK_RETRY_AFTER_MAX_MS)));

	delivery->due_mono_ms = world->mono_ms + (wait_ms > 0 ? wait_ms : SPREAD_MAX_MS);
}

void evidence_due_new_life(void)
{
	for (size_t i = 0; i < world->n_deliveries; i++) {
		if (world->deliveries[i].state == DELIVERY_PENDING)
			place(&world->deliveries[i]);
	}
	for (size_t i = 0; i < world->n_hooks; i++) {
		struct world_hook *hook = &world->hooks[i];

		hook->n_claimed = 0;
		hook->quiet_until_mono_ms = hook->free_mono_ms = 0;
	}
	world->free_mono_ms = 0;
}

/* ---- the judgement ---- */

static bool is_excused(void)
{
	return world->was_told_to_stop || world_disk_was_full(FULL_REST_MS);
}

/* How long it could have been given, if it is the first of its line. */
static int64_t lag_ms(const struct seen_delivery *delivery)
{
	const struct world_hook *hook = &world->hooks[delivery->hook];
	int64_t from = later(delivery->due_mono_ms, *line_of(delivery));

	from = later(from, hook->quiet_until_mono_ms);
	from = later(from, later(hook->free_mono_ms, world->free_mono_ms));
	return world->mono_ms - later(from, world->woken_mono_ms);
}

void evidence_due_given(const struct seen_delivery *delivery)
{
	int64_t ms = lag_ms(delivery);

	if (ms > LAG_MAX_MS && !is_excused())
		world_fail("event %d is given to hook %s %" PRId64
		           " ms late, though nothing stands in its way",
		        delivery->seq, world->hooks[delivery->hook].name, ms);
}

static bool waits_too_long(const struct seen_delivery *delivery)
{
	return delivery->state == DELIVERY_PENDING && lag_ms(delivery) > LAG_MAX_MS;
}

/* Those that may be before it in their line wait too long as well. One that was tried again by hand
 * may stand anywhere. */
static bool is_line_stuck(const struct seen_delivery *delivery)
{
	for (int32_t seq = evidence_last_event(delivery); seq; seq = world->events[seq].previous) {
		const struct seen_delivery *other = evidence_find_delivery(seq, delivery->hook);
		bool may_be_before = other && (seq < delivery->seq || other->may_be_retried ||
		                                      delivery->may_be_retried);

		if (may_be_before && other->state != DELIVERY_DELIVERED &&
		        other->state != DELIVERY_DEAD && !waits_too_long(other))
			return false;
	}
	return true;
}

/* Claimed, and yet not begun; or ended, and that not recorded. */
static void judge_claim(const struct seen_delivery *delivery)
{
	int64_t from = later(delivery->ended.mono_ms, world->woken_mono_ms);

	if (delivery->state == DELIVERY_RUNNING && !delivery->is_running &&
	        world->mono_ms > from + LAG_MAX_MS)
		world_fail("hook %s: event %d is claimed for %" PRId64
		           " s, but no attempt is under way",
		        world->hooks[delivery->hook].name, delivery->seq,
		        (world->mono_ms - from) / 1000);
}

void evidence_look_for_due(void)
{
	if (is_excused())
		return;
	for (size_t i = 0; i < world->n_deliveries; i++) {
		const struct seen_delivery *delivery = &world->deliveries[i];
		const struct world_hook *hook = &world->hooks[delivery->hook];

		judge_claim(delivery);
		if (has_place(hook) && waits_too_long(delivery) && is_line_stuck(delivery))
			world_fail("event %d waits for hook %s for %" PRId64
			           " s, though nothing stands in its way",
			        delivery->seq, hook->name, lag_ms(delivery) / 1000);
	}
}
