/*
 * What the daemon writes, held back until its commit: only then it counts. Each event is judged
 * when it is written (does it say what Zoho said?), each batch when it is committed (has every
 * event its deliveries?).
 */
#include "evidence.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/limits.h"
#include "scenario.h"
#include "util/hash.h"
#include "util/mem.h"
#include "util/str.h"

enum write_kind { WRITE_EVENT, WRITE_DELIVERY_ADD, WRITE_DELIVERY_PUT, WRITE_PRUNE };

struct write {
	enum write_kind kind;
	int64_t seq;
	struct seen_event event;
	uint8_t expected_hooks; /* of the event, bits */
	uint8_t optional_hooks; /* those that may have it or not */
	struct seen_delivery delivery;
	int64_t before_wall_ms; /* these two of what is forgotten */
	size_t n_forgotten;
};

/* Of the open transaction of this life. */
static struct write *writes;
static size_t n_writes, cap_writes;

static struct write *write_new(enum write_kind kind)
{
	if (n_writes == cap_writes) {
		cap_writes = cap_writes ? 2 * cap_writes : 64;
		writes = mem_resize(writes, cap_writes, sizeof(*writes));
	}
	writes[n_writes] = (struct write){.kind = kind};
	return &writes[n_writes++];
}

uint64_t evidence_hash(const struct store_event *event)
{
	const char *const parts[] = {event_type_name(event->type), event->account, event->job_id,
	        event->from_state, event->to_state, event->data};
	uint64_t hash = (uint64_t)event->seq * 31 + (uint64_t)event->at_wall_ms;

	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		hash = hash * 31 + (parts[i] ? hash_bytes(parts[i], strlen(parts[i])) : i + 1);
	return hash;
}

/* ---- one event, as it is written ---- */

static enum event_type type_of_word(enum word word)
{
	static const enum event_type types[WORDS] = {
	        [WORD_ADDED] = EVENT_JOB_ADDED,
	        [WORD_QUEUED] = EVENT_JOB_QUEUED,
	        [WORD_IN_PROGRESS] = EVENT_JOB_IN_PROGRESS,
	        [WORD_ASLEEP] = EVENT_JOB_UNKNOWN_STATE,
	        [WORD_COMPLETED] = EVENT_JOB_COMPLETED,
	        [WORD_FAILURE] = EVENT_JOB_FAILED,
	        [WORD_FAILED] = EVENT_JOB_FAILED,
	        [WORD_LOST] = EVENT_JOB_LOST,
	};
	return types[word];
}

static void judge_lost(const struct world_job *job)
{
	enum { LOST_AFTER_MS = 10 * 60 * 1000, COMMITS_MS = 1000 };

	if (job->n_not_found < LOST_AFTER_ANSWERS ||
	        world->mono_ms + COMMITS_MS < job->not_found_since_mono_ms + LOST_AFTER_MS)
		world_fail(
		        "job %s became LOST after %d answers in a row", job->id, job->n_not_found);
}

/* A state that nobody told is invented; one that follows from silence all the more. */
static void judge_transition(const struct world_job *job, const struct seen_event *event)
{
	enum word from = job->state == WORD_PENDING ? WORD_NONE : job->state;

	if (event->to == WORD_NONE || event->to == WORDS || event->type != type_of_word(event->to))
		world_fail("job %s: event %s to state %d", job->id,
		        event_type_name((enum event_type)event->type), event->to);
	if (event->from != from)
		world_fail("job %s: a transition from %s while it is %s", job->id,
		        event->from ? word_text((enum word)event->from) : "nothing",
		        word_text(job->state));
	if (event->to == event->from)
		world_fail("job %s: a transition from %s to itself", job->id,
		        word_text((enum word)event->to));
	if (event->to == WORD_LOST)
		judge_lost(job);
	else if (event->to != job->told)
		world_fail("job %s: state %s is invented: it was last told %s", job->id,
		        word_text((enum word)event->to),
		        job->told ? word_text(job->told) : "nothing");
}

static void judge_job_event(const struct world_job *job, const struct seen_event *event)
{
	switch ((enum event_type)event->type) {
	case EVENT_JOB_WATCHED:
	case EVENT_JOB_UNWATCHED:
		if (job->is_watched == (event->type == EVENT_JOB_WATCHED))
			world_fail("job %s: %s twice", job->id,
			        event_type_name((enum event_type)event->type));
		if (event->from || event->to)
			world_fail("job %s: watched, with a state", job->id);
		break;
	case EVENT_JOB_OVERDUE:
	case EVENT_HOOK_DEAD:
		break;
	default:
		judge_transition(job, event);
	}
}

static struct seen_event seen_of(const struct store_event *event)
{
	const char *data = event->data ? event->data : "null";
	struct seen_event seen = {
	        .hash = evidence_hash(event),
	        .data_hash = hash_bytes(data, strlen(data)),
	        .account = event->account ? world_find_account(event->account) : -1,
	        .job = WORLD_NO_JOB,
	        .type = (uint8_t)event->type,
	        .from = (uint8_t)word_of(event->from_state),
	        .to = (uint8_t)word_of(event->to_state),
	        .variant = (uint8_t)world->variant,
	        .at_wall_ms = event->at_wall_ms,
	};

	if (seen.account >= 0 && event->job_id)
		seen.job = world_find_job(seen.account, event->job_id);
	if (event->job_id && seen.job == WORLD_NO_JOB)
		world_fail("event %" PRId64 " is of a job that never was: %s/%s", event->seq,
		        event->account ? event->account : "-", event->job_id);
	return seen;
}

/* The hook that hook.dead speaks of never gets it. */
static uint8_t without_dead_hook(const struct store_event *event, uint8_t hooks)
{
	for (size_t i = 0; i < world->n_hooks; i++) {
		cleanup(mem_free_p) char *named =
		        mem_printf("\"hook\":\"%s\"", world->hooks[i].name);

		if (strstr(event->data, named))
			hooks &= (uint8_t) ~(1u << i);
	}
	return hooks;
}

void evidence_event(const struct store_event *event)
{
	struct write *write = write_new(WRITE_EVENT);
	const struct world_job *job;

	write->seq = event->seq;
	write->event = seen_of(event);
	job = write->event.job == WORLD_NO_JOB ? NULL : &world->jobs[write->event.job];
	if (job)
		judge_job_event(job, &write->event);
	write->expected_hooks = scenario_hooks(world->variant, write->event.job, event->type);
	if (event->type == EVENT_HOOK_DEAD)
		write->expected_hooks = without_dead_hook(event, write->expected_hooks);
	/* Of a job that leaves the configuration: its own hooks are no longer known after a
	 * restart. */
	if (event->type == EVENT_JOB_UNWATCHED)
		write->optional_hooks = scenario_hooks(world->variant, WORLD_NO_JOB, event->type) ^
		                        write->expected_hooks;
}

/* ---- deliveries ---- */

static struct seen_delivery delivery_of(const struct store_delivery *delivery)
{
	return (struct seen_delivery){
	        .id = delivery->id,
	        .seq = (int32_t)delivery->event_seq,
	        .hook = (uint8_t)world_find_hook(delivery->hook),
	        .state = (uint8_t)delivery->state,
	        .attempts = (uint16_t)delivery->attempts,
	        .next_wall_ms = delivery->next_wall_ms,
	};
}

void evidence_delivery_add(const struct store_delivery *delivery)
{
	write_new(WRITE_DELIVERY_ADD)->delivery = delivery_of(delivery);
}

void evidence_delivery_put(const struct store_delivery *delivery)
{
	write_new(WRITE_DELIVERY_PUT)->delivery = delivery_of(delivery);
}

struct seen_delivery *evidence_find_delivery(int64_t seq, int hook)
{
	int32_t next = world->events[seq].first_delivery;

	while (next) {
		struct seen_delivery *delivery = &world->deliveries[next - 1];

		if (delivery->hook == hook)
			return delivery;
		next = delivery->next;
	}
	return NULL;
}

static bool has_ended(uint8_t state)
{
	return state == DELIVERY_DELIVERED || state == DELIVERY_DEAD;
}

/* What its end meant is what is recorded. */
static void judge_outcome(const struct seen_delivery *old, const struct seen_delivery *new)
{
	const struct world_hook *hook = &world->hooks[old->hook];

	if (old->state != DELIVERY_RUNNING)
		return;
	if (old->has_gone_well && new->state != DELIVERY_DELIVERED)
		world_fail("hook %s: an attempt for event %d went well, yet it is recorded as %s",
		        hook->name, old->seq,
		        delivery_state_name((enum delivery_state) new->state));
	if (old->has_failed_for_good && new->state != DELIVERY_DEAD)
		world_fail("hook %s: event %d is of no use to it, yet it is recorded as %s",
		        hook->name, old->seq,
		        delivery_state_name((enum delivery_state) new->state));
}

static void judge_end(const struct seen_delivery *old, const struct seen_delivery *new)
{
	const struct world_hook *hook = &world->hooks[old->hook];

	bool is_grant = old->state != DELIVERY_RUNNING && new->state == DELIVERY_PENDING;

	if (has_ended(old->state) &&
	        !(old->state == DELIVERY_DEAD && is_grant && old->may_be_retried))
		world_fail("hook %s: the delivery of event %d is %s already, yet written anew",
		        hook->name, old->seq, delivery_state_name((enum delivery_state)old->state));
	if (new->state == DELIVERY_DELIVERED && !old->has_gone_well)
		world_fail("hook %s: event %d is recorded as delivered, but no attempt went well",
		        hook->name, old->seq);
	judge_outcome(old, new);
	if (new->state == DELIVERY_DEAD &&
	        !old->has_failed_for_good &&new->attempts - old->granted < hook->attempts)
		world_fail("hook %s: event %d is given up after %d attempts", hook->name, old->seq,
		        new->attempts);
	if (new->state == DELIVERY_RUNNING &&new->attempts - old->granted > hook->attempts)
		world_fail("hook %s: attempt %d of event %d, allowed are %d", hook->name,
		        new->attempts - old->granted, old->seq, hook->attempts);
	if (new->attempts != old->attempts + (new->state == DELIVERY_RUNNING))
		world_fail("hook %s: attempts of event %d go from %d to %d", hook->name, old->seq,
		        old->attempts, new->attempts);
}

static void add_delivery(const struct seen_delivery *new)
{
	struct seen_event *event = &world->events[new->seq];
	struct seen_delivery *to = &world->deliveries[world->n_deliveries];

	if (event->is_forgotten)
		world_fail("hook %s is to be given event %d, which is forgotten",
		        world->hooks[new->hook].name, new->seq);
	if (evidence_find_delivery(new->seq, new->hook))
		world_fail("event %d is written twice for hook %s", new->seq,
		        world->hooks[new->hook].name);
	if (world->n_deliveries == WORLD_DELIVERIES_MAX)
		world_fail("more deliveries than this simulation has room for");
	*to = *new;
	to->next = event->first_delivery;
	event->first_delivery = (int32_t)++world->n_deliveries;
	world->n_open_deliveries += !has_ended(new->state);
	evidence_due_added(to);
}

static void move_delivery(struct seen_delivery *delivery, const struct seen_delivery *new)
{
	enum delivery_state before = (enum delivery_state)delivery->state;

	/* Another try by hand: its attempts are granted anew. */
	if (delivery->state != DELIVERY_RUNNING && new->state == DELIVERY_PENDING)
		delivery->granted = new->attempts;
	if (new->state == DELIVERY_RUNNING)
		delivery->has_gone_well = delivery->has_failed_for_good = false;
	world->n_open_deliveries += has_ended(delivery->state);
	world->n_open_deliveries -= has_ended(new->state);
	delivery->state = new->state;
	delivery->attempts = new->attempts;
	delivery->next_wall_ms = new->next_wall_ms;
	evidence_due_moved(delivery, before);
}

static void put_delivery(const struct seen_delivery *new)
{
	struct seen_delivery *delivery = evidence_find_delivery(new->seq, new->hook);

	if (!delivery || world->events[new->seq].is_forgotten)
		world_fail("a delivery of event %d is changed that is not on disk", new->seq);
	judge_end(delivery, new);
	move_delivery(delivery, new);
}

/* ---- the commit ---- */

bool evidence_is_done(const struct world_job *job)
{
	/* Without clients nobody revives a LOST one. */
	return word_is_final(job->state) || (job->state == WORD_LOST && !world_has(KIND_CHANGES));
}

static void take_job_event(struct world_job *job, const struct seen_event *event)
{
	bool was_done = evidence_is_done(job);

	switch ((enum event_type)event->type) {
	case EVENT_JOB_WATCHED:
		job->is_watched = true;
		world->n_watched_jobs++;
		job->watches++;
		job->is_in_flight = job->is_paused_by_client = false;
		job->next_poll_mono_ms = job->due_mono_ms = 0;
		job->heard_mono_ms = world->mono_ms;
		break;
	case EVENT_JOB_UNWATCHED:
		job->is_watched = false;
		job->ended_wall_ms = event->at_wall_ms;
		world->n_watched_jobs--;
		break;
	case EVENT_JOB_OVERDUE:
	case EVENT_HOOK_DEAD:
		break;
	default:
		job->state = (enum word)event->to;
	}
	world->n_open_jobs += was_done;
	world->n_open_jobs -= evidence_is_done(job);
}

static void take(int64_t seq, const struct seen_event *event)
{
	struct seen_event *to = &world->events[seq];
	int32_t *last = event->job != WORLD_NO_JOB ? &world->jobs[event->job].last_event
	                                           : &world->accounts[event->account].last_event;

	if (seq != world->committed_seq + 1)
		world_fail("event %" PRId64 " follows %" PRId64, seq, world->committed_seq);
	if (seq + 1 >= WORLD_EVENTS_MAX)
		world_fail("more events than this simulation has room for");
	*to = *event;
	to->previous = *last;
	to->first_delivery = 0;
	*last = (int32_t)seq;
	world->committed_seq = seq;
	if (event->job != WORLD_NO_JOB)
		take_job_event(&world->jobs[event->job], event);
	else if (event->type == EVENT_ACCOUNT_PAUSED || event->type == EVENT_ACCOUNT_RESUMED)
		world->accounts[event->account].is_paused = event->type == EVENT_ACCOUNT_PAUSED;
}

void evidence_take_event(const struct store_event *event)
{
	struct seen_event seen = seen_of(event);

	take(event->seq, &seen);
}

void evidence_take_delivery(const struct store_delivery *delivery)
{
	struct seen_delivery seen = delivery_of(delivery);
	struct seen_delivery *old = evidence_find_delivery(seen.seq, seen.hook);

	if (old) {
		move_delivery(old, &seen);
	} else {
		add_delivery(&seen);
	}
}

static void judge_hooks(const struct write *write)
{
	uint8_t found = 0;

	for (int32_t next = world->events[write->seq].first_delivery; next;
	        next = world->deliveries[next - 1].next)
		found |= (uint8_t)(1u << world->deliveries[next - 1].hook);
	if ((found | write->optional_hooks) != (write->expected_hooks | write->optional_hooks))
		world_fail("event %" PRId64
		           " (%s) is committed with deliveries to hooks %#x, not %#x",
		        write->seq, event_type_name((enum event_type)write->event.type), found,
		        write->expected_hooks);
}

void evidence_prune(int64_t before_wall_ms, size_t n)
{
	struct write *write;

	/* Without other writes it is known by now what is on disk. */
	if (n == 0 && n_writes == 0) {
		evidence_forget(before_wall_ms, 0);
		return;
	}
	write = write_new(WRITE_PRUNE);
	write->before_wall_ms = before_wall_ms;
	write->n_forgotten = n;
}

static void take_write(const struct write *write, int64_t committed_seq)
{
	switch (write->kind) {
	case WRITE_EVENT:
		take(write->seq, &write->event);
		break;
	case WRITE_DELIVERY_ADD:
		add_delivery(&write->delivery);
		if (write->delivery.seq <= committed_seq)
			evidence_late_delivery(write->delivery.seq, write->delivery.hook);
		break;
	case WRITE_DELIVERY_PUT:
		put_delivery(&write->delivery);
		break;
	case WRITE_PRUNE:
		evidence_forget(write->before_wall_ms, write->n_forgotten);
		break;
	}
}

void evidence_commit(void)
{
	int64_t before = world->committed_seq;

	for (size_t i = 0; i < n_writes; i++)
		take_write(&writes[i], before);
	for (size_t i = 0; i < n_writes; i++) {
		if (writes[i].kind == WRITE_EVENT)
			judge_hooks(&writes[i]);
	}
	if (n_writes > 0)
		world_was_busy();
	n_writes = 0;
	world->n_commits++;
}

void evidence_rollback(void)
{
	n_writes = 0;
}
