/*
 * What is forgotten: jobs that are not watched any more, and what was told of accounts, once that
 * is older than `retain` and nothing of it is owed to a hook. All of that, nothing else, and a job
 * goes whole. What is forgotten may be watched again; it begins anew then.
 */
#include <inttypes.h>

#include "evidence.h"

enum {
	LOOK_MOST_MS = 10 * 60 * 1000, /* between two looks for what is old */
	FULL_REST_MS = 10 * 1000,      /* until it is known that there is room again */
};

/* ---- which is old ---- */

static bool is_owed(int64_t seq, bool may_have_ended)
{
	for (int32_t next = world->events[seq].first_delivery; next;
	        next = world->deliveries[next - 1].next) {
		uint8_t state = world->deliveries[next - 1].state;

		if (state == DELIVERY_PENDING || (state == DELIVERY_RUNNING && !may_have_ended))
			return true;
	}
	return false;
}

static bool is_job_old(const struct world_job *job, int64_t before_wall_ms, bool may_have_ended)
{
	if (job->is_watched || job->last_event == 0 || job->ended_wall_ms >= before_wall_ms)
		return false;
	for (int32_t seq = job->last_event; seq; seq = world->events[seq].previous) {
		if (is_owed(seq, may_have_ended) || world->events[seq].at_wall_ms >= before_wall_ms)
			return false;
	}
	return true;
}

static bool is_event_old(int64_t seq, int64_t before_wall_ms, bool may_have_ended)
{
	const struct seen_event *event = &world->events[seq];

	return event->job == WORLD_NO_JOB && !event->is_forgotten &&
	       event->at_wall_ms < before_wall_ms && !is_owed(seq, may_have_ended);
}

/* ---- forgetting ---- */

static void forget_event(int64_t seq)
{
	struct seen_event *event = &world->events[seq];

	event->is_forgotten = true;
	if (seq > world->pruned_through)
		world->pruned_through = seq;
	for (int32_t next = event->first_delivery; next; next = world->deliveries[next - 1].next) {
		struct seen_delivery *delivery = &world->deliveries[next - 1];

		world->n_forgotten_deliveries++;
		world->n_open_deliveries -= delivery->state == DELIVERY_RUNNING;
		if (delivery->state == DELIVERY_RUNNING)
			delivery->state = DELIVERY_DEAD; /* which of the two nobody will know */
	}
}

static void forget_account_event(int64_t seq)
{
	forget_event(seq);
	world_happened(HAPPENED_EVENT_FORGOTTEN);
}

static void forget_job(struct world_job *job)
{
	for (int32_t seq = job->last_event; seq; seq = world->events[seq].previous)
		forget_event(seq);
	world->n_open_jobs += evidence_is_done(job);
	job->last_event = 0;
	job->state = WORD_PENDING;
	world_happened(HAPPENED_JOB_FORGOTTEN);
}

/* Worlds have far fewer jobs than the daemon forgets at a time. */
void evidence_forget(int64_t before_wall_ms, size_t n)
{
	size_t n_old = 0;

	for (size_t i = 0; i < world->n_jobs; i++) {
		if (!is_job_old(&world->jobs[i], before_wall_ms, false))
			continue;
		forget_job(&world->jobs[i]);
		n_old++;
	}
	for (int64_t seq = 1; seq <= world->committed_seq; seq++) {
		if (!is_event_old(seq, before_wall_ms, false))
			continue;
		forget_account_event(seq);
		n_old++;
	}
	if (n != n_old)
		world_fail("%zu jobs and events are forgotten, %zu are old enough", n, n_old);
}

void evidence_looked_for_old(int64_t before_wall_ms)
{
	int64_t retain_ms = world->retain_ms ? world->retain_ms : WORLD_RETAIN_MS;

	if (before_wall_ms > world->wall_ms - retain_ms)
		world_fail("events are forgotten %" PRId64 " s too soon",
		        (before_wall_ms - (world->wall_ms - retain_ms)) / 1000);
	world->forgotten_mono_ms = world->mono_ms;
	world->forgotten_wall_ms = before_wall_ms;
}

bool evidence_is_forgotten(int64_t seq)
{
	struct seen_event *event = &world->events[seq];
	int64_t before_wall_ms = world->forgotten_wall_ms;

	if (event->is_forgotten || before_wall_ms == 0)
		return event->is_forgotten;
	if (event->job == WORLD_NO_JOB && is_event_old(seq, before_wall_ms, true))
		forget_account_event(seq);
	else if (event->job != WORLD_NO_JOB &&
	         is_job_old(&world->jobs[event->job], before_wall_ms, true))
		forget_job(&world->jobs[event->job]);
	return event->is_forgotten;
}

void evidence_look_at_retention(void)
{
	int64_t from = world->forgotten_mono_ms;

	if (from < world->woken_mono_ms)
		from = world->woken_mono_ms;
	if (!world->was_told_to_stop && !world_disk_was_full(FULL_REST_MS) &&
	        world->mono_ms > from + LOOK_MOST_MS + LAG_MAX_MS)
		world_fail("nobody looked for %" PRId64 " s for what is old",
		        (world->mono_ms - from) / 1000);
}
