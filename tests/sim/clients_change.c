/*
 * One who changes things, as the admin socket allows: jobs that only the socket knows, polls out of
 * turn, pauses. Whoever asked while the daemon died has no answer: what became of the wish is not
 * known then, and it is tried again.
 */
#include "clients_private.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "evidence.h"
#include "util/mem.h"
#include "world.h"

enum { RETRY_MS = 2000 };

static struct asker changer;

static void count(enum wish wish, const struct world_job *job, int status)
{
	static const enum happening done[] = {
	        [WISH_ADD] = HAPPENED_ADD,
	        [WISH_DELETE] = HAPPENED_DELETE,
	        [WISH_POLL] = HAPPENED_POLL,
	        [WISH_PAUSE] = HAPPENED_PAUSE,
	        [WISH_RESUME] = HAPPENED_RESUME,
	        [WISH_RETRY] = HAPPENED_RETRY,
	        [WISH_REPLAY] = HAPPENED_REPLAY,
	};

	if (status == 507)
		world_happened(HAPPENED_CHANGE_REFUSED);
	if (status < 200 || status > 299)
		return;
	world_happened(done[wish]);
	if (wish == WISH_POLL && job->is_revived)
		world_happened(HAPPENED_REVIVAL);
}

static void changer_on_reply(void *arg, int status, const char *body, size_t len)
{
	struct asker *from = arg;
	struct world_job *job = &world->jobs[from->job];

	asker_is_answered(from);
	count(from->wish, job, status);
	/* 507: the disk is full, and so nothing was changed. */
	if (status == 507 && world_room_may_be_news()) {
		if (from->wish == WISH_PAUSE && !job->is_paused_by_client)
			job->may_be_paused = false;
		return;
	}
	/* The end of a daemon whose database failed: nobody knows what became of the wish. */
	if (status == 500 && world->may_have_io_error &&
	        (memmem(body, len, "the database failed", strlen("the database failed")) ||
	                memmem(body, len, "cannot be read", strlen("cannot be read"))))
		return;
	/* 404: not watched just now; 409: paused; 503: changed this very moment. */
	if (status != 200 && status != 201 && status != 202 && status != 204 && status != 404 &&
	        status != 409 && status != 503)
		world_fail("a change (%d) is answered with %d: %.*s", (int)from->wish, status,
		        (int)len, body);
	if (from->wish == WISH_REPLAY && status == 200)
		evidence_replayed(from->hook, from->since, from->through, from->variant);
	if (from->wish == WISH_ADD && status != 200 && status != 201 && status != 503 &&
	        status != 404)
		world_fail("a job cannot be added: %d %.*s", status, (int)len, body);
	if (from->wish == WISH_PAUSE && status == 202)
		job->is_paused_by_client = job->is_watched;
	if (from->wish == WISH_RESUME && status != 503) {
		job->may_be_paused = false;
		job->due_mono_ms = 0;
		job->heard_mono_ms = world->mono_ms;
	}
	if (from->wish == WISH_DELETE && status == 204 && job->is_watched)
		world_fail("job %s is said to be removed, but that is not committed", job->id);
	if (from->wish == WISH_ADD && (status == 200 || status == 201) && !job->is_watched)
		world_fail("job %s is said to be watched, but that is not committed", job->id);
}

static bool needs_change(const struct world_job *job, enum wish *wish)
{
	if (job->may_be_paused && job->is_watched)
		*wish = WISH_RESUME;
	else if (job->is_by_socket && !job->is_watched && world->mono_ms >= job->appears_mono_ms)
		*wish = WISH_ADD;
	else if (job->state == WORD_LOST && job->is_watched)
		*wish = WISH_POLL;
	else
		return false;
	return true;
}

/* A delivery that is dead, or waits for its next attempt. */
static bool choose_delivery(struct asker *from)
{
	size_t n = world->n_deliveries;

	for (int tries = 0; n > 0 && tries < 20; tries++) {
		from->delivery = (int)world_below(DICE_CLIENTS, n);
		if (world->events[world->deliveries[from->delivery].seq].is_forgotten)
			continue;
		if (world->deliveries[from->delivery].state == DELIVERY_DEAD ||
		        world->deliveries[from->delivery].state == DELIVERY_PENDING)
			return true;
	}
	return false;
}

static bool is_to_appear(const struct world_job *job)
{
	return job->is_by_socket && job->watches == 0;
}

/* When the next job appears that only the socket knows. */
static int64_t next_appearance(void)
{
	int64_t next = INT64_MAX;

	for (size_t i = 0; i < world->n_jobs; i++) {
		const struct world_job *job = &world->jobs[i];

		if (is_to_appear(job) && job->appears_mono_ms < next)
			next = job->appears_mono_ms;
	}
	return next > world->mono_ms ? next : world->mono_ms + RETRY_MS;
}

static bool choose_new_job(struct asker *from)
{
	for (size_t i = 0; i < world->n_jobs; i++) {
		from->job = (int)i;
		from->wish = WISH_ADD;
		if (is_to_appear(&world->jobs[i]) &&
		        world->mono_ms >= world->jobs[i].appears_mono_ms)
			return true;
	}
	return false;
}

/* What must be done for a good end comes first when time runs out. */
static bool choose(struct asker *from)
{
	bool is_late = world->mono_ms > world->trouble_until_mono_ms;

	if (choose_new_job(from))
		return true;
	if (!is_late && world_chance(DICE_CLIENTS, 0.15) && choose_delivery(from)) {
		from->wish = WISH_RETRY;
		return true;
	}
	if (!is_late && world->committed_seq > 0 && world_chance(DICE_CLIENTS, 0.05)) {
		from->wish = WISH_REPLAY;
		return true;
	}
	if (!is_late) {
		from->job = (int)world_below(DICE_CLIENTS, world->n_jobs);
		if (needs_change(&world->jobs[from->job], &from->wish))
			return true;
		from->wish = world->jobs[from->job].is_by_socket && world_chance(DICE_CLIENTS, 0.3)
		                     ? WISH_DELETE
		                     : (world_chance(DICE_CLIENTS, 0.2) ? WISH_PAUSE : WISH_POLL);
		return true;
	}
	for (size_t i = 0; i < world->n_jobs; i++) {
		from->job = (int)i;
		if (needs_change(&world->jobs[i], &from->wish))
			return true;
	}
	return false;
}

/* What may be so from the moment of asking on. */
static void expect(struct world_job *job, enum wish wish)
{
	if (wish == WISH_PAUSE) {
		job->may_be_paused = true;
		job->due_mono_ms = 0;
	}
	if (wish == WISH_RESUME)
		job->is_paused_by_client = false;
	if (wish == WISH_POLL) {
		job->is_asked_for = true;
		job->is_revived |= job->state == WORD_LOST;
	}
}

static void ask_for_retry(struct asker *from)
{
	struct seen_delivery *delivery = &world->deliveries[from->delivery];
	cleanup(mem_free_p) char *target =
	        mem_printf("/v1/deliveries/%" PRId64 "/retry", delivery->id);

	evidence_retry(delivery);
	asker_ask(from, "admin.sock", "POST", target, NULL, changer_on_reply);
}

static void ask_for_replay(struct asker *from)
{
	cleanup(mem_free_p) char *body = NULL, *target = NULL;

	/* The last one may have been away. */
	from->hook = world_chance(DICE_CLIENTS, 0.5)
	                     ? (int)world->n_hooks - 1
	                     : (int)world_below(DICE_CLIENTS, world->n_hooks);
	from->through = world->committed_seq;
	from->since = world_between(DICE_CLIENTS, 1, from->through);
	from->variant = world->variant;
	body = mem_printf("{\"since\":%" PRId64 "}", from->since);
	target = mem_printf("/v1/hooks/%s/replay", world->hooks[from->hook].name);
	evidence_replay(from->hook, from->since);
	asker_ask(from, "admin.sock", "POST", target, body, changer_on_reply);
}

static void changer_on_alarm(void *arg)
{
	static const char *const tails[] = {
	        [WISH_POLL] = "/poll", [WISH_PAUSE] = "/pause", [WISH_RESUME] = "/resume"};
	struct asker *from = arg;

	int64_t at = world->mono_ms + (from->is_waiting ? RETRY_MS : client_pause_ms());
	int64_t next = next_appearance();

	fake_alarm_set(from->loop, &from->alarm, next < at ? next : at);
	if (from->is_waiting || !choose(from))
		return;
	if (from->wish == WISH_RETRY) {
		ask_for_retry(from);
		return;
	}
	if (from->wish == WISH_REPLAY) {
		ask_for_replay(from);
		return;
	}
	struct world_job *job = &world->jobs[from->job];
	const char *account = world->accounts[job->account].name;
	cleanup(mem_free_p) char *body =
	        mem_printf("{\"account\":\"%s\",\"id\":\"%s\"}", account, job->id);
	cleanup(mem_free_p) char *target = mem_printf("/v1/jobs/%s/%s%s", account, job->id,
	        from->wish == WISH_DELETE ? ""
	                                  : tails[from->wish == WISH_ADD ? WISH_POLL : from->wish]);

	expect(job, from->wish);
	if (from->wish == WISH_ADD)
		asker_ask(from, "admin.sock", "POST", "/v1/jobs", body, changer_on_reply);
	else
		asker_ask(from, "admin.sock", from->wish == WISH_DELETE ? "DELETE" : "POST", target,
		        NULL, changer_on_reply);
}

void changer_begin(struct loop *loop)
{
	changer = (struct asker){.loop = loop};
	client_begin(loop, &changer.alarm, changer_on_alarm, &changer);
}

void changer_end(void)
{
	fake_alarm_clear(changer.loop, &changer.alarm);
}
