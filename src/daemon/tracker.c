#include "daemon/tracker.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/hookmatch.h"
#include "core/machine.h"
#include "daemon/hooks.h"
#include "daemon/thrift.h"
#include "daemon/view.h"
#include "util/err.h"
#include "util/hash.h"
#include "util/log.h"
#include "util/mem.h"
#include "util/str.h"
#include "wire/event.h"

static struct account *account_of(const struct tracker *tracker, const struct tracked *tracked)
{
	return accounts_get(tracker->accounts, tracked->account);
}

/* Of a job whose account is no longer configured nobody knows which hooks were its own. */
static const struct hook_set *hooks_of(const struct tracker *tracker, const struct tracked *tracked)
{
	const struct account *account = account_of(tracker, tracked);
	struct job_terms terms = registry_terms(tracker->registry, tracked);

	if (terms.hooks)
		return terms.hooks;
	return account->hooks ? account->hooks : hooks_all(tracker->hooks);
}

static struct poll_policy policy_of(const struct tracker *tracker, const struct tracked *tracked)
{
	struct poll_policy policy = account_of(tracker, tracked)->policy;

	policy.overdue_after_ms = registry_terms(tracker->registry, tracked).overdue_after_ms;
	return policy;
}

/* ---- memory ---- */

/* The job as decided and (if need be) committed. */
static void take_job(struct tracker *tracker, struct tracked *tracked, const struct job *job)
{
	struct account *account = account_of(tracker, tracked);

	account->n_unknown -= tracked_is_unknown(tracked);
	registry_set_job(tracker->registry, tracked, job);
	account->n_unknown += tracked_is_unknown(tracked);
}

/* When a wait that begins now ends; a negative one never does. */
static int64_t due_after(const struct tracker *tracker, int64_t wait_ms)
{
	return wait_ms < 0 ? INT64_MAX : loop_now(tracker->loop).mono_ms + wait_ms;
}

static void queue_job(struct tracker *tracker, struct tracked *tracked, int64_t due_mono_ms)
{
	int64_t mono_ms = loop_now(tracker->loop).mono_ms;
	struct account *account = account_of(tracker, tracked);

	if (due_mono_ms == INT64_MAX || tracked->is_paused)
		queue_remove(tracker->queue, account, tracked, mono_ms);
	else
		queue_set(tracker->queue, account, tracked, due_mono_ms, mono_ms);
}

static void expect_overdue(struct tracker *tracker, const struct tracked *tracked)
{
	struct poll_policy policy = policy_of(tracker, tracked);
	struct job job = registry_job(tracker->registry, tracked);
	int64_t at_mono_ms = machine_overdue_at_mono_ms(&job, &policy);

	if (at_mono_ms < tracker->overdue_next_mono_ms)
		tracker->overdue_next_mono_ms = at_mono_ms;
	/* A look that is under way may be past it. */
	if (at_mono_ms < tracker->overdue_soonest_mono_ms)
		tracker->overdue_soonest_mono_ms = at_mono_ms;
}

/* ---- changes of a job on their way through the commit ---- */

enum change_kind { CHANGE_STEP, CHANGE_WATCH, CHANGE_UNWATCH, CHANGE_PAUSE };

struct job_change {
	struct journal_change change;
	struct tracker *tracker;
	uint64_t ticket;
	enum change_kind kind;
	struct job job;         /* job.state points to state */
	uint32_t document_hash; /* 0 = the document is as it was */
	int64_t due_mono_ms;    /* its next poll, as decided: the commit may take its time */
	int64_t key;
	int64_t seq;     /* of its last event; 0 = none */
	event_set types; /* of its events */
	bool is_paused;  /* of CHANGE_PAUSE */
	char state[];
};

static void log_step(const struct account *account, const struct tracked *tracked,
        const struct job_change *change)
{
	const struct job *job = &change->job;
	const char *before = registry_state(change->tracker->registry, tracked);
	struct job_id id = tracked_id(tracked);
	char seq[24];
	const struct log_field fields[] = {
	        {"BULKWATCH_ACCOUNT", account->name},
	        {"BULKWATCH_JOB_ID", id.text},
	        {"BULKWATCH_STATE", job->state},
	        {"BULKWATCH_EVENT_SEQ", change->seq ? seq : NULL},
	};

	snprintf(seq, sizeof(seq), "%" PRId64, change->seq);
	if (strcmp(before, job->state) == 0)
		return;
	if (job->kind == JOB_UNKNOWN)
		log_with(LOG_LEVEL_WARNING, fields,
		        "job %s/%s: %s -> %s, a state that this version does not know: polled on",
		        account->name, id.text, before, job->state);
	else
		log_with(LOG_LEVEL_INFO, fields, "job %s/%s: %s -> %s", account->name, id.text,
		        before, job->state);
}

static void log_unwatched(const struct account *account, const struct tracked *tracked,
        const struct job_change *change)
{
	struct job_id id = tracked_id(tracked);
	char seq[24];
	const struct log_field fields[] = {
	        {"BULKWATCH_ACCOUNT", account->name},
	        {"BULKWATCH_JOB_ID", id.text},
	        {"BULKWATCH_STATE", registry_state(change->tracker->registry, tracked)},
	        {"BULKWATCH_EVENT_SEQ", change->seq ? seq : NULL},
	};

	snprintf(seq, sizeof(seq), "%" PRId64, change->seq);
	log_with(LOG_LEVEL_INFO, fields, "job %s/%s: no longer watched", account->name, id.text);
}

static void tell_over(struct tracker *tracker, const struct tracked *tracked)
{
	if (tracker->over)
		tracker->over(tracker->over_arg, registry_ticket(tracked));
}

static void forget_job(struct tracker *tracker, struct tracked *tracked)
{
	struct account *account = account_of(tracker, tracked);

	tell_over(tracker, tracked);
	queue_remove(tracker->queue, account, tracked, loop_now(tracker->loop).mono_ms);
	account->n_jobs--;
	account->n_unknown -= tracked_is_unknown(tracked);
	registry_remove(tracker->registry, tracked);
}

static void change_is_committed(struct job_change *change, struct tracked *tracked)
{
	struct tracker *tracker = change->tracker;

	metrics_count_events(&account_of(tracker, tracked)->metrics, change->types);
	if (change->kind == CHANGE_UNWATCH) {
		log_unwatched(account_of(tracker, tracked), tracked, change);
		forget_job(tracker, tracked);
		return;
	}
	if (change->kind == CHANGE_PAUSE)
		tracked->is_paused = change->is_paused;
	registry_set_key(tracker->registry, tracked, change->key);
	log_step(account_of(tracker, tracked), tracked, change);
	take_job(tracker, tracked, &change->job);
	if (job_kind_is_finished((enum job_kind)tracked->kind))
		tell_over(tracker, tracked);
	if (change->document_hash)
		tracked->document_hash = change->document_hash;
	expect_overdue(tracker, tracked);
	if (!tracked->is_in_flight)
		queue_job(tracker, tracked, change->due_mono_ms);
}

/* The disk was full: what Zoho said is asked again, what was wished has failed. */
static void change_is_undone(struct job_change *change, struct tracked *tracked)
{
	struct tracker *tracker = change->tracker;

	if (change->kind == CHANGE_WATCH)
		forget_job(tracker, tracked);
	else if (change->kind != CHANGE_PAUSE && tracked_is_polled(tracked) &&
	         !tracked->is_in_flight)
		queue_job(tracker, tracked,
		        due_after(tracker, account_of(tracker, tracked)->policy.min_interval_ms));
}

static void job_change_on_done(struct journal_change *base, bool is_committed)
{
	struct job_change *change = container_of(base, struct job_change, change);
	struct tracked *tracked = registry_by_ticket(change->tracker->registry, change->ticket);

	if (tracked) {
		tracked->is_changing = false;
		if (is_committed)
			change_is_committed(change, tracked);
		else
			change_is_undone(change, tracked);
	}
	free(change);
}

static struct job_change *change_new(struct tracker *tracker, struct tracked *tracked,
        enum change_kind kind, const struct job *job, int64_t wait_ms)
{
	size_t state_size = strlen(job->state) + 1;
	struct job_change *change = mem_new(1, sizeof(*change) + state_size);

	*change = (struct job_change){
	        .change = {.done = job_change_on_done, .can_wait = kind == CHANGE_STEP},
	        .tracker = tracker,
	        .ticket = registry_ticket(tracked),
	        .kind = kind,
	        .job = *job,
	        .due_mono_ms = due_after(tracker, wait_ms),
	        .key = tracked_key(tracked),
	};
	memcpy(change->state, job->state, state_size);
	change->job.state = change->state;
	tracked->is_changing = true;
	journal_add(tracker->journal, &change->change);
	return change;
}

/* ---- events ---- */

struct event_writer {
	struct tracker *tracker;
	const struct tracked *tracked;
	const struct step_event *event;
	int64_t key;
	int64_t seq; /* that it was given */
};

static int write_event(void *arg, const struct job_view *view)
{
	struct event_writer *writer = arg;
	struct tracker *tracker = writer->tracker;
	const struct account *account = account_of(tracker, writer->tracked);
	const struct hook_set *hooks = hooks_of(tracker, writer->tracked);
	struct job_id id = tracked_id(writer->tracked);
	cleanup(buf_deinit) struct buf data = {0};

	event_job_data(view, &data);
	struct store_event event = {
	        .type = writer->event->type,
	        .at_wall_ms = loop_now(tracker->loop).wall_ms,
	        .account = account->name,
	        .job_key = writer->key,
	        .job_id = id.text,
	        .from_state = writer->event->from_state,
	        .to_state = writer->event->to_state,
	        .data = buf_str(&data),
	};
	if (journal_append(tracker->journal, &event, hooks->hooks, hooks->n, HOOKMATCH_NOBODY))
		writer->seq = event.seq;
	return 0;
}

/* document NULL = as it is stored. Its seq; 0 if it could not be written. */
static int64_t append_event(struct tracker *tracker, const struct tracked *tracked,
        const struct job_view *view, const struct job_document *document,
        const struct step_event *event, int64_t key)
{
	struct event_writer writer = {
	        .tracker = tracker, .tracked = tracked, .event = event, .key = key};
	struct job_view full = *view;

	if (document) {
		full.document = *document;
		write_event(&writer, &full);
		return writer.seq;
	}
	journal_wrote(tracker->journal, view_with_document(journal_store(tracker->journal), key,
	                                        &full, write_event, &writer));
	return writer.seq;
}

/* ---- observing ---- */

static uint32_t hash_document(const struct job_document *document)
{
	const char *const texts[] = {document->operation, document->created_by,
	        document->created_time, document->query, document->result, document->other};
	uint64_t hash = 0;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		hash = hash * 31 + (texts[i] ? hash_bytes(texts[i], strlen(texts[i])) : i);
	return (uint32_t)(hash >> 32) | 1; /* never 0, which says that none is stored */
}

static void write_step(struct tracker *tracker, struct tracked *tracked, const struct step *step,
        const struct job_document *document, uint32_t document_hash)
{
	struct store *store = journal_store(tracker->journal);
	struct job_change *change =
	        change_new(tracker, tracked, CHANGE_STEP, &step->job, step->wait_ms);
	struct job_id id;
	struct store_job row = view_row(tracker, tracked, &step->job, &id);
	struct job_view view = view_of_tracked(tracker, tracked, &step->job, step->wait_ms, &id);

	change->document_hash = document_hash;
	if (journal_is_lost(tracker->journal) ||
	        !journal_wrote(tracker->journal, store_job_put(store, &row)))
		return;
	if (document_hash &&
	        !journal_wrote(tracker->journal, store_job_document_put(store, row.key, document)))
		return;
	for (size_t i = 0; i < step->n_events; i++) {
		change->seq =
		        append_event(tracker, tracked, &view, document, &step->events[i], row.key);
		change->types |= 1u << step->events[i].type;
	}
	tracked->is_contact_dirty = false;
}

void tracker_write_step(struct tracker *tracker, struct tracked *tracked, const struct step *step)
{
	struct step queued = *step;

	queued.wait_ms =
	        view_wait_ms(tracked, account_of(tracker, tracked), loop_now(tracker->loop));
	write_step(tracker, tracked, &queued, NULL, 0);
}

static void take_contact(
        struct tracker *tracker, struct tracked *tracked, const struct observation *observation)
{
	struct now now = loop_now(tracker->loop);

	tracked->is_contact_dirty = true;
	if (observation->http_status)
		tracked->last_answered_wall_ms = int48_of(now.wall_ms);
	if (observation->kind == OBSERVED_STATUS)
		registry_clear_error(tracker->registry, tracked);
	else
		registry_set_error(tracker->registry, tracked, observation->error,
		        observation->message, now.wall_ms);
}

bool tracker_observe(
        struct tracker *tracker, struct tracked *tracked, const struct observation *observation)
{
	struct now now = loop_now(tracker->loop);
	const struct account *account = account_of(tracker, tracked);
	struct poll_policy policy = policy_of(tracker, tracked);
	struct job job = registry_job(tracker->registry, tracked);
	size_t n_unknown = account->n_unknown + !tracked_is_unknown(tracked);
	bool is_account_lost =
	        account->n_jobs >= LOST_AFTER_ANSWERS && n_unknown == account->n_jobs;
	bool is_status = observation->kind == OBSERVED_STATUS;
	const struct job_document *document =
	        is_status && !observation->is_repeated ? &observation->document : NULL;
	uint32_t hash = document ? hash_document(document) : 0;

	if (hash == tracked->document_hash)
		hash = 0;
	if (hash)
		thrift_take_module(tracker, tracked, document->query);
	thrift_shape(tracker, tracked, &policy);
	struct step step = machine_step(
	        &job, observation, &policy, is_account_lost, now, rng_next(tracker->rng));

	take_contact(tracker, tracked, observation);
	if (is_status)
		thrift_teach(tracker, tracked, &step);
	if (step.n_events > 0 || hash) {
		tracked->fingerprint = 0; /* until this is committed and said once more */
		write_step(tracker, tracked, &step, document, hash);
		return step.wants_account_pause;
	}
	if (is_status)
		tracked->fingerprint = observation->fingerprint;
	take_job(tracker, tracked, &step.job);
	queue_job(tracker, tracked, due_after(tracker, step.wait_ms));
	return step.wants_account_pause;
}

/* ---- watching ---- */

struct found {
	struct tracker *tracker;
	struct tracked *tracked;
	bool is_removed; /* by hand */
};

/* Kept as words; the class is found again by its name. */
static void take_error(
        struct tracker *tracker, struct tracked *tracked, const struct store_job *row)
{
	enum error_class class = ERROR_CLASSES - 1;

	if (!row->error_at_wall_ms)
		return;
	while (class > ERROR_NONE && !str_is_equal(error_class_name(class), row->error_class))
		class --;
	registry_set_error(tracker->registry, tracked, class,
	        row->error_message ? row->error_message : "", row->error_at_wall_ms);
}

/* A job that was watched before keeps what is known of it; a finished one stays finished. */
static void take_row(struct tracker *tracker, struct tracked *tracked, const struct store_job *row)
{
	struct now now = loop_now(tracker->loop);
	int64_t age_ms = now.wall_ms - row->watched_since_wall_ms;
	struct job job = {
	        .state = row->state,
	        .kind = (uint8_t)job_kind_of(row->state),
	        .since_wall_ms = row->since_wall_ms,
	        .watched_mono_ms = now.mono_ms - (age_ms > 0 ? age_ms : 0),
	        .is_overdue_told = row->is_overdue_told,
	        .n_failures = row->failures < UINT16_MAX ? (uint16_t)row->failures : UINT16_MAX,
	};

	registry_set_job(tracker->registry, tracked, &job);
	tracked->watched_since_wall_ms = int48_of(row->watched_since_wall_ms);
	tracked->polls = (uint32_t)row->polls;
	tracked->last_polled_wall_ms = int48_of(row->last_polled_wall_ms);
	tracked->last_answered_wall_ms = int48_of(row->last_answered_wall_ms);
	tracked->is_paused = row->is_paused;
	tracked->is_from_socket = row->origin == ORIGIN_SOCKET;
	take_error(tracker, tracked, row);
	registry_set_key(tracker->registry, tracked, row->key);
}

static int take_found(void *arg, const struct store_job *row)
{
	struct found *found = arg;

	take_row(found->tracker, found->tracked, row);
	found->is_removed = row->is_removed;
	return 0;
}

/*
 * What min_interval leaves to wait for after a poll of another life of the daemon, or of an earlier
 * watch. Never more than min_interval: the wall clock may have been set back.
 */
static int64_t too_soon_ms(const struct tracker *tracker, const struct tracked *tracked)
{
	int64_t least = account_of(tracker, tracked)->policy.min_interval_ms;
	int64_t ago = loop_now(tracker->loop).wall_ms - int48_value(tracked->last_polled_wall_ms);

	if (tracked->polls == 0 || ago >= least)
		return 0;
	return ago > 0 ? least - ago : least;
}

static void count_job(struct tracker *tracker, struct tracked *tracked)
{
	struct account *account = account_of(tracker, tracked);

	account->n_jobs++;
	account->n_unknown += tracked_is_unknown(tracked);
}

/* As one that is watched from now on, whatever is known of it from before. */
static void begin_watch(
        struct tracker *tracker, struct tracked *tracked, const struct tracker_wish *wish)
{
	struct now now = loop_now(tracker->loop);
	struct job_terms terms = {.hooks = wish->hooks, .overdue_after_ms = wish->overdue_after_ms};

	tracked->watched_since_wall_ms = int48_of(now.wall_ms);
	tracked->watched_mono_ms = int48_of(now.mono_ms);
	tracked->is_overdue_told = false;
	tracked->is_from_socket = wish->is_from_socket;
	tracked->is_paused = false;
	tracked->is_marked = true;
	registry_set_terms(tracker->registry, tracked, &terms);
	registry_set_name(tracker->registry, tracked, wish->name);
	count_job(tracker, tracked);
}

/*
 * What is known of a job that was just added to the registry: found->is_removed, and what it was.
 * If no more jobs were ever stored than are watched, nothing is, as in a first start with a million
 * of them.
 */
static int find_row(struct tracker *tracker, const struct tracker_wish *wish, struct found *found)
{
	struct store *store = journal_store(tracker->journal);
	int64_t n_others = (int64_t)registry_count(tracker->registry) - 1;

	if (!journal_is_lost(tracker->journal) && store_jobs_ever(store) == n_others)
		return STORE_E_NONE;
	return store_job_find(store, wish->account->name, wish->id, take_found, found);
}

bool tracker_watch(struct tracker *tracker, const struct tracker_wish *wish)
{
	static const struct job_document no_document; /* of one that nobody ever watched */
	struct account *account = wish->account;
	struct tracked *tracked = registry_add(tracker->registry, account->handle, wish->id);
	struct found found = {.tracker = tracker, .tracked = tracked};
	struct store *store = journal_store(tracker->journal);
	struct step_event event = {.type = EVENT_JOB_WATCHED};

	tracked->since_wall_ms = int48_of(loop_now(tracker->loop).wall_ms);
	int r = find_row(tracker, wish, &found);

	if (found.is_removed && !wish->is_from_socket) {
		registry_remove(tracker->registry, tracked);
		return false;
	}
	begin_watch(tracker, tracked, wish);
	int64_t wait_ms = schedule_first_ms(wish->n_together, rng_next(tracker->rng));

	if (wait_ms < too_soon_ms(tracker, tracked))
		wait_ms = too_soon_ms(tracker, tracked);
	if (!tracked_is_polled(tracked))
		wait_ms = -1;
	struct job job = registry_job(tracker->registry, tracked);
	struct job_change *change = change_new(tracker, tracked, CHANGE_WATCH, &job, wait_ms);
	struct job_id id;
	struct store_job row = view_row(tracker, tracked, &job, &id);
	struct job_view view = view_of_tracked(tracker, tracked, &job, wait_ms, &id);

	if (journal_is_lost(tracker->journal) || !journal_wrote(tracker->journal, r < 0 ? r : 0) ||
	        !journal_wrote(tracker->journal, store_job_put(store, &row)))
		return true;
	bool is_new = row.key != tracked_key(tracked);

	change->key = row.key;
	change->types = 1u << event.type;
	change->seq = append_event(
	        tracker, tracked, &view, is_new ? &no_document : NULL, &event, row.key);
	return true;
}

void tracker_unwatch(struct tracker *tracker, struct tracked *tracked, bool is_removed)
{
	struct step_event event = {.type = EVENT_JOB_UNWATCHED};
	struct job job = registry_job(tracker->registry, tracked);
	struct job_id id;
	struct store_job row = view_row(tracker, tracked, &job, &id);
	struct job_view view = view_of_tracked(tracker, tracked, &job, -1, &id);

	if (tracked->is_changing)
		return; /* its change is on the way: the caller comes again after the commit */
	struct job_change *change = change_new(tracker, tracked, CHANGE_UNWATCH, &job, -1);

	view.is_watched = row.is_watched = false;
	row.is_removed = is_removed;
	row.ended_wall_ms = loop_now(tracker->loop).wall_ms;
	if (journal_is_lost(tracker->journal) ||
	        !journal_wrote(
	                tracker->journal, store_job_put(journal_store(tracker->journal), &row)))
		return;
	change->types = 1u << event.type;
	change->seq = append_event(tracker, tracked, &view, NULL, &event, row.key);
}

void tracker_rewrite(struct tracker *tracker, struct tracked *tracked)
{
	struct job job = registry_job(tracker->registry, tracked);
	struct job_id id;
	struct store_job row = view_row(tracker, tracked, &job, &id);

	if (!journal_is_lost(tracker->journal) && row.key)
		journal_wrote(
		        tracker->journal, store_job_put(journal_store(tracker->journal), &row));
}

void tracker_pause(struct tracker *tracker, struct tracked *tracked, bool is_paused)
{
	struct account *account = account_of(tracker, tracked);
	int64_t wait_ms = tracked_is_polled(tracked) ? account->policy.min_interval_ms : -1;
	struct job job = registry_job(tracker->registry, tracked);
	struct job_change *change = change_new(tracker, tracked, CHANGE_PAUSE, &job, wait_ms);
	struct job_id id;
	struct store_job row = view_row(tracker, tracked, &job, &id);

	change->is_paused = row.is_paused = is_paused;
	if (!journal_is_lost(tracker->journal))
		journal_wrote(
		        tracker->journal, store_job_put(journal_store(tracker->journal), &row));
}

static int load_row(void *arg, const struct store_job *row)
{
	struct tracker *tracker = arg;
	struct account *account = accounts_find(tracker->accounts, row->account);

	if (!str_is_digits(row->id, 1, JOB_ID_MAX))
		return ERR_CORRUPT;
	if (!account)
		account = accounts_add_gone(tracker->accounts, row->account, row->datacenter);
	struct tracked *tracked = registry_add(tracker->registry, account->handle, row->id);
	struct job_terms terms = {.overdue_after_ms = account->policy.overdue_after_ms};

	take_row(tracker, tracked, row);
	registry_set_name(tracker->registry, tracked, row->name);
	registry_set_terms(tracker->registry, tracked, &terms);
	/* After failures the last answer need not have been a good one. */
	thrift_remember(
	        tracker, tracked, row->failures ? row->since_wall_ms : row->last_answered_wall_ms);
	count_job(tracker, tracked);
	return 0;
}

/* After a crash nobody knows when the last poll was, for that is written now and then. */
static int64_t resume_ms(struct tracker *tracker, const struct tracked *tracked, size_t n)
{
	int64_t wait_ms = thrift_first_ms(tracker, tracked, n);
	int64_t least = too_soon_ms(tracker, tracked);

	if (!store_was_clean(journal_store(tracker->journal)))
		return wait_ms + account_of(tracker, tracked)->policy.min_interval_ms;
	return wait_ms > least ? wait_ms : least;
}

int tracker_load(struct tracker *tracker)
{
	int r = store_jobs_each_watched(journal_store(tracker->journal), load_row, tracker);
	size_t n = registry_count(tracker->registry);
	struct tracked *tracked;
	uint32_t cursor = 0;

	while ((tracked = registry_each(tracker->registry, &cursor))) {
		if (tracked_is_polled(tracked))
			queue_job(tracker, tracked,
			        due_after(tracker, resume_ms(tracker, tracked, n)));
	}
	tracker->overdue_next_mono_ms = loop_now(tracker->loop).mono_ms;
	tracker->overdue_soonest_mono_ms = INT64_MAX;
	return r;
}
