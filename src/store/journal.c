/*
 * The journal: events by seq, append only. A seq is given out when its event is appended, without a
 * gap; one that was rolled back was never given out, one that was committed is never given out
 * again, not even when its event is pruned (the row of `meta` remembers the last).
 */
#include "store/private.h"

#include <assert.h>

#include "util/str.h"

enum { JOURNAL_LIMIT_MAX = 100 * 1000 };

static bool event_of_row(struct store *store, sqlite3_stmt *stmt, struct store_event *event)
{
	int type = sqlite3_column_int(stmt, 1);

	*event = (struct store_event){
	        .seq = sqlite3_column_int64(stmt, 0),
	        .type = (enum event_type)type,
	        .at_wall_ms = sqlite3_column_int64(stmt, 2),
	        .job_key = sqlite3_column_int64(stmt, 4),
	        .job_id = store_column_text(stmt, 5),
	        .from_state = store_column_text(stmt, 6),
	        .to_state = store_column_text(stmt, 7),
	        .data = store_column_text(stmt, 8),
	};
	return store_name_column(store, stmt, 3, &event->account) && event->data &&
	       type > EVENT_NONE && type < EVENT_TYPES && store_is_row_whole(store);
}

int store_event_append(struct store *store, struct store_event *event)
{
	sqlite3_stmt *stmt = store_stmt(store, STMT_EVENT_ADD);
	int64_t account;
	int r = store_write_begin(store);

	assert(event->data && event->type > EVENT_NONE && event->type < EVENT_TYPES);
	if (r == 0)
		r = store_name_key(store, event->account, &account);
	if (r != 0)
		return r;
	event->seq = store->now.last_seq + 1;
	store_bind_int(stmt, 1, event->seq);
	store_bind_int(stmt, 2, event->type);
	store_bind_int(stmt, 3, event->at_wall_ms);
	store_bind_name(stmt, 4, account);
	store_bind_name(stmt, 5, event->job_key);
	store_bind_text(stmt, 6, event->job_id);
	store_bind_text(stmt, 7, event->from_state);
	store_bind_text(stmt, 8, event->to_state);
	store_bind_text(stmt, 9, event->data);
	r = store_run(store, STMT_EVENT_ADD);
	if (r == 0)
		store->now.last_seq = event->seq;
	else
		event->seq = 0;
	return r;
}

/* Those of other jobs the statement leaves out. */
static bool event_is_wanted(
        const struct store_event *event, const struct store_event_filter *filter)
{
	return !filter ||
	       ((filter->types == 0 || event_set_has(filter->types, event->type)) &&
	               (!filter->account || str_is_equal(filter->account, event->account)));
}

/* What is left to look at and to give. */
struct journal_walk {
	enum store_stmt stmt;
	int64_t n_to_look_at;
	size_t n_to_give;
	const struct store_event_filter *filter;
	store_event_fn *fn;
	void *arg;
	int64_t last;
};

/* 0 = the end of the journal was reached, 1 = a bound was; else as fn says. */
static int journal_walk(struct store *store, struct journal_walk *walk, bool *is_at_end)
{
	sqlite3_stmt *stmt = store_stmt(store, walk->stmt);
	int r;

	*is_at_end = false;
	for (int64_t n = 0; walk->n_to_give > 0; n++) {
		struct store_event event;

		r = store_step(store, walk->stmt);
		if (r <= 0) {
			*is_at_end = r == 0 && n < walk->n_to_look_at;
			return r;
		}
		if (!event_of_row(store, stmt, &event))
			return store_walk_fail(store, walk->stmt);
		if (event_is_wanted(&event, walk->filter)) {
			r = walk->fn(walk->arg, &event);
			if (r != 0)
				return store_walk_end(store, walk->stmt, r);
			walk->n_to_give--;
		}
		walk->last = event.seq;
	}
	return store_walk_end(store, walk->stmt, 0);
}

int store_events_read(struct store *store, int64_t after, size_t limit,
        const struct store_event_filter *filter, store_event_fn *fn, void *arg, int64_t *last)
{
	bool is_of_job = filter && filter->job_key != 0, is_at_end;
	size_t n = limit < JOURNAL_LIMIT_MAX ? limit : JOURNAL_LIMIT_MAX;
	struct journal_walk walk = {
	        .stmt = is_of_job ? STMT_EVENTS_OF_JOB : STMT_EVENTS_READ,
	        .n_to_look_at = (int64_t)n * 10 + 1000,
	        .n_to_give = n,
	        .filter = filter,
	        .fn = fn,
	        .arg = arg,
	        .last = after,
	};
	sqlite3_stmt *stmt = store_stmt(store, walk.stmt);
	int r;

	/* What the open transaction appended is not told yet. */
	store_bind_int(stmt, 1, after);
	store_bind_int(stmt, 2, store->committed.last_seq);
	store_bind_int(stmt, 3, walk.n_to_look_at);
	if (is_of_job)
		store_bind_int(stmt, 4, filter->job_key);
	r = journal_walk(store, &walk, &is_at_end);
	if (is_at_end && walk.last < store->committed.last_seq)
		walk.last = store->committed.last_seq;
	*last = walk.last;
	return r;
}

int store_event_get(struct store *store, int64_t seq, store_event_fn *fn, void *arg)
{
	sqlite3_stmt *stmt = store_stmt(store, STMT_EVENT_GET);
	struct store_event event;
	int r;

	store_bind_int(stmt, 1, seq);
	r = store_step(store, STMT_EVENT_GET);
	if (r <= 0)
		return r < 0 ? r : STORE_E_NONE;
	if (!event_of_row(store, stmt, &event))
		return store_walk_fail(store, STMT_EVENT_GET);
	return store_walk_end(store, STMT_EVENT_GET, fn(arg, &event));
}
