#include "daemon/journal.h"

#include <assert.h>
#include <stdlib.h>

#include "daemon/messages.h"
#include "util/err.h"
#include "util/log.h"
#include "util/mem.h"

enum {
	TRY_ROOM_MS = 2000,
	CHECKPOINT_AFTER_MS = 2000, /* of quiet; a busy store's log is moved by its size */
};

struct journal {
	struct loop *loop;
	struct store *store;
	journal_offer_fn *offer;
	void *offer_arg;
	struct journal_change *first, **tail;
	int error;            /* first of this batch */
	int fatal;            /* found between two commits, returned by the next one */
	int64_t next_mono_ms; /* before it a batch that can wait is not committed */
	bool is_urgent;       /* something of this batch cannot wait */
	bool is_waiting;      /* the batch is of earlier turns */
	bool is_full;
	bool is_orphaned; /* the database's file is gone, which was told */
	struct loop_timer *room_timer;
	struct loop_timer *checkpoint_timer;
	struct loop_timer *commit_timer;
	struct metrics_journal metrics;
};

static void become_full(struct journal *journal)
{
	static const struct log_field fields[] = {{"MESSAGE_ID", MESSAGE_DISK_FULL}};

	if (!journal->is_full)
		log_with(LOG_LEVEL_ERROR, fields,
		        "the disk is full: polls and hooks pause until there is room (%s)",
		        err_text(ERR_FULL));
	journal->is_full = true;
	loop_timer_set(journal->room_timer, loop_now(journal->loop).mono_ms + TRY_ROOM_MS);
}

static void journal_on_room_timer(void *arg)
{
	struct journal *journal = arg;
	int r = store_try_room(journal->store);

	if (r == ERR_FULL) {
		loop_timer_set(journal->room_timer, loop_now(journal->loop).mono_ms + TRY_ROOM_MS);
		return;
	}
	if (r < 0) {
		journal->fatal = r;
		return;
	}
	journal->is_full = false;
	log_notice("there is room on the disk again: polls and hooks go on");
}

static void look_at_file(struct journal *journal)
{
	bool is_there = store_file_is_there(journal->store);

	if (!is_there && !journal->is_orphaned)
		log_error("the database's file was removed or replaced: all that is known ends "
		          "with this process; \"bulkwatch backup FILE\" saves it");
	journal->is_orphaned = !is_there;
}

static void checkpoint(struct journal *journal, bool is_quiet)
{
	int r = store_checkpoint(journal->store, is_quiet);

	if (r == ERR_FULL)
		become_full(journal);
	else if (r < 0)
		journal->fatal = r;
}

static void journal_on_checkpoint_timer(void *arg)
{
	struct journal *journal = arg;

	checkpoint(journal, store_log_size(journal->store) == STORE_LOG_SMALL);
	look_at_file(journal);
}

static void journal_on_commit_timer(void *arg)
{
	(void)arg; /* the turn's end commits */
}

struct journal *journal_new(struct loop *loop, struct store *store)
{
	struct journal *journal = MEM_NEW(struct journal);

	journal->loop = loop;
	journal->store = store;
	journal->tail = &journal->first;
	journal->room_timer = loop_timer_new(loop, journal_on_room_timer, journal);
	journal->checkpoint_timer = loop_timer_new(loop, journal_on_checkpoint_timer, journal);
	journal->commit_timer = loop_timer_new(loop, journal_on_commit_timer, journal);
	return journal;
}

struct journal *journal_free(struct journal *journal)
{
	if (!journal)
		return NULL;
	assert(!journal->first);
	loop_timer_free(journal->room_timer);
	loop_timer_free(journal->checkpoint_timer);
	loop_timer_free(journal->commit_timer);
	free(journal);
	return NULL;
}

void journal_set_outbox(struct journal *journal, journal_offer_fn *offer, void *arg)
{
	journal->offer = offer;
	journal->offer_arg = arg;
}

const struct metrics_journal *journal_metrics(const struct journal *journal)
{
	return &journal->metrics;
}

struct store *journal_store(const struct journal *journal)
{
	return journal->store;
}

bool journal_is_full(const struct journal *journal)
{
	return journal->is_full;
}

void journal_write_last(struct journal *journal)
{
	journal->is_full = false;
}

bool journal_is_lost(const struct journal *journal)
{
	return journal->error < 0;
}

bool journal_wrote(struct journal *journal, int error)
{
	assert(error <= 0);
	if (error && !journal->error)
		journal->error = error;
	return error == 0;
}

void journal_add(struct journal *journal, struct journal_change *change)
{
	assert(change->done);
	journal->is_urgent |= !change->can_wait;
	change->next = NULL;
	*journal->tail = change;
	journal->tail = &change->next;
}

bool journal_append(struct journal *journal, struct store_event *event, const uint32_t *hooks,
        size_t n, uint32_t about)
{
	if (journal_is_lost(journal))
		return false;
	if (!journal_wrote(journal, store_event_append(journal->store, event)))
		return false;
	if (n == 0 || !journal->offer)
		return true;
	return journal_wrote(journal, journal->offer(journal->offer_arg, event, hooks, n, about));
}

/* The list is taken first: a change may lead to others, which belong to the next batch. */
static void tell_changes(struct journal *journal, bool is_committed)
{
	struct journal_change *change = journal->first;

	journal->first = NULL;
	journal->tail = &journal->first;
	while (change) {
		struct journal_change *next = change->next;

		change->done(change, is_committed);
		change = next;
	}
}

void journal_abandon(struct journal *journal)
{
	while (journal && journal->first)
		tell_changes(journal, false);
}

static int commit(struct journal *journal)
{
	int64_t began_us = clock_stopwatch_us();
	int r = store_commit(journal->store);

	metrics_observe(&journal->metrics.commit, &metrics_work_bounds,
	        (double)(clock_stopwatch_us() - began_us) / 1e6);
	return r;
}

/* After everybody was told. In turns it is the next one that moves a large log, before it writes;
 * at the start, when there are no turns, it would grow without a bound. */
static void plan_checkpoint(struct journal *journal)
{
	enum store_log size = store_log_size(journal->store);
	int64_t wait_ms = size == STORE_LOG_SMALL ? CHECKPOINT_AFTER_MS : 0;

	loop_timer_set(journal->checkpoint_timer, loop_now(journal->loop).mono_ms + wait_ms);
	if (size == STORE_LOG_HUGE)
		checkpoint(journal, false);
}

int journal_commit(struct journal *journal)
{
	bool was_dirty = store_is_dirty(journal->store);
	int error = journal->error;

	if (journal->fatal)
		return journal->fatal;
	journal->is_urgent = journal->is_waiting = false;
	if (!error && was_dirty)
		error = commit(journal);
	journal->error = 0;
	if (error && error != ERR_FULL)
		return error;
	if (error) {
		journal->metrics.n_full++;
		store_rollback(journal->store);
		become_full(journal);
	}
	tell_changes(journal, !error);
	if (!error && was_dirty) {
		journal->next_mono_ms = loop_now(journal->loop).mono_ms + JOURNAL_SPACING_MS;
		plan_checkpoint(journal);
	}
	return 0;
}

int journal_end_turn(struct journal *journal)
{
	bool is_soon = loop_now(journal->loop).mono_ms < journal->next_mono_ms;
	bool is_well = !journal->error && !journal->fatal && !journal->is_full;

	if (!is_soon || !is_well || journal->is_urgent || !store_is_dirty(journal->store))
		return journal_commit(journal);
	if (!journal->is_waiting)
		loop_timer_set(journal->commit_timer, journal->next_mono_ms);
	journal->is_waiting = true;
	return 0;
}

static void commit_early(struct journal *journal)
{
	if (journal->fatal)
		return;
	journal->fatal = journal_commit(journal);
	if (journal->fatal)
		loop_wake(journal->loop);
}

void journal_settle(struct journal *journal)
{
	if (journal->is_waiting)
		commit_early(journal);
}

void journal_settle_all(struct journal *journal)
{
	if (journal->is_waiting || store_is_dirty(journal->store))
		commit_early(journal);
}
