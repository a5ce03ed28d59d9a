/*
 * Retention: what is old enough is forgotten, a slice at a time, child rows first. A job goes whole
 * or not at all, and not while a delivery of any of its events is open.
 */
#include "store/private.h"

#include <assert.h>

#include "util/mem.h"

enum { PRUNE_LIMIT_MAX = 10 * 1000 };

static int prune_run(struct store *store, enum store_stmt stmt, int64_t key)
{
	store_bind_int(store_stmt(store, stmt), 1, key);
	return store_run(store, stmt);
}

/* An event, and first its deliveries with their attempts. */
static int prune_event(struct store *store, int64_t seq)
{
	sqlite3_stmt *stmt = store_stmt(store, STMT_PRUNE_DELIVERY_OF_EVENT);
	int r;

	for (;;) {
		int64_t id, hook;
		int state;

		store_bind_int(stmt, 1, seq);
		r = store_step(store, STMT_PRUNE_DELIVERY_OF_EVENT);
		if (r <= 0)
			break;
		id = sqlite3_column_int64(stmt, 0);
		hook = sqlite3_column_int64(stmt, 1);
		state = sqlite3_column_int(stmt, 2);
		store_reset(store, STMT_PRUNE_DELIVERY_OF_EVENT);
		r = prune_run(store, STMT_PRUNE_ATTEMPTS, id);
		if (r == 0)
			r = prune_run(store, STMT_PRUNE_DELIVERY, id);
		if (r != 0)
			return r;
		store_tally_move(store, hook, state, -1);
	}
	if (r == 0)
		r = prune_run(store, STMT_PRUNE_EVENT, seq);
	if (r == 0 && seq > store->now.pruned_through)
		store->now.pruned_through = seq;
	return r;
}

static int prune_job(struct store *store, int64_t key)
{
	sqlite3_stmt *stmt = store_stmt(store, STMT_PRUNE_EVENT_OF_JOB);
	int r;

	for (;;) {
		int64_t seq;

		store_bind_int(stmt, 1, key);
		r = store_step(store, STMT_PRUNE_EVENT_OF_JOB);
		if (r <= 0)
			break;
		seq = sqlite3_column_int64(stmt, 0);
		store_reset(store, STMT_PRUNE_EVENT_OF_JOB);
		r = prune_event(store, seq);
		if (r != 0)
			return r;
	}
	if (r == 0)
		r = prune_run(store, STMT_PRUNE_DOCUMENT, key);
	if (r == 0)
		r = prune_run(store, STMT_PRUNE_JOB, key);
	return r;
}

/* The keys are taken out before the first row goes, so that no walk sees rows leave under it. */
static int prune_slice(struct store *store, enum store_stmt which, int64_t before_wall_ms,
        size_t limit, int (*prune)(struct store *, int64_t), size_t *n)
{
	cleanup(mem_free_p) int64_t *keys = mem_new(limit, sizeof(*keys));
	sqlite3_stmt *stmt = store_stmt(store, which);
	size_t n_keys = 0;
	int r;

	store_bind_int(stmt, 1, before_wall_ms);
	store_bind_int(stmt, 2, (int64_t)limit);
	while ((r = store_step(store, which)) > 0) {
		assert(n_keys < limit);
		keys[n_keys++] = sqlite3_column_int64(stmt, 0);
	}
	for (size_t i = 0; i < n_keys && r == 0; i++) {
		r = prune(store, keys[i]);
		*n += r == 0;
	}
	return r;
}

int store_prune(struct store *store, int64_t before_wall_ms, size_t limit, size_t *n)
{
	size_t n_left = limit < PRUNE_LIMIT_MAX ? limit : PRUNE_LIMIT_MAX;
	int r = store->broken;

	*n = 0;
	if (r != 0 || n_left == 0)
		return r;
	r = store_write_begin(store);
	if (r == 0)
		r = prune_slice(store, STMT_PRUNE_JOBS, before_wall_ms, n_left, prune_job, n);
	n_left -= *n;
	if (r == 0 && n_left > 0)
		r = prune_slice(store, STMT_PRUNE_EVENTS, before_wall_ms, n_left, prune_event, n);
	return r;
}
