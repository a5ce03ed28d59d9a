/*
 * The outbox: a row for each event and hook, and its attempts. A delivery's account and job are its
 * event's, read from there. Who is due, who may go first and when to give up is not decided here.
 */
#include "store/private.h"

#include <assert.h>
#include <errno.h>

#include "util/str.h"

enum { OUTBOX_LIMIT_MAX = 100 * 1000 };

const char *delivery_state_name(enum delivery_state state)
{
	static const char *const names[] = {"pending", "running", "delivered", "dead"};

	return names[state];
}

const char *attempt_end_name(enum attempt_end end)
{
	static const char *const names[] = {
	        "exited", "signaled", "timed_out", "not_started", "http", "lost"};

	return names[end];
}

/* ---- deliveries ---- */

int store_delivery_add(struct store *store, struct store_delivery *delivery)
{
	sqlite3_stmt *stmt = store_stmt(store, STMT_DELIVERY_ADD);
	int64_t id, hook;
	int r = store_write_begin(store);

	assert(delivery->hook);
	if (r == 0)
		r = store_name_key(store, delivery->hook, &hook);
	if (r != 0)
		return r;
	if (delivery->state == DELIVERY_RUNNING && delivery->attempts == 0)
		delivery->attempts = 1;
	id = store->now.last_delivery_id + 1;
	store_bind_int(stmt, 1, id);
	store_bind_int(stmt, 2, delivery->event_seq);
	store_bind_int(stmt, 3, hook);
	store_bind_int(stmt, 4, delivery->state);
	store_bind_int(stmt, 5, (int64_t)delivery->attempts);
	store_bind_int(stmt, 6, (int64_t)delivery->attempts_base);
	store_bind_int(stmt, 7, delivery->next_wall_ms);
	store_bind_int(stmt, 8, delivery->created_wall_ms);
	store_bind_int(stmt, 9, delivery->ended_wall_ms);
	r = store_run(store, STMT_DELIVERY_ADD);
	if (r != 0)
		return r;
	store->now.last_delivery_id = delivery->id = id;
	store_tally_move(store, hook, -1, (int)delivery->state);
	return 0;
}

int store_delivery_put(struct store *store, const struct store_delivery *delivery)
{
	sqlite3_stmt *stmt = store_stmt(store, STMT_DELIVERY_STATE);
	int64_t hook;
	int r = store_write_begin(store), from;

	if (r != 0)
		return r;
	store_bind_int(stmt, 1, delivery->id);
	r = store_step(store, STMT_DELIVERY_STATE);
	if (r <= 0)
		return r < 0 ? r : -ENOENT;
	hook = sqlite3_column_int64(stmt, 0);
	from = sqlite3_column_int(stmt, 1);
	store_reset(store, STMT_DELIVERY_STATE);

	stmt = store_stmt(store, STMT_DELIVERY_PUT);
	store_bind_int(stmt, 1, delivery->id);
	store_bind_int(stmt, 2, delivery->state);
	store_bind_int(stmt, 3, (int64_t)delivery->attempts);
	store_bind_int(stmt, 4, (int64_t)delivery->attempts_base);
	store_bind_int(stmt, 5, delivery->next_wall_ms);
	store_bind_int(stmt, 6, delivery->ended_wall_ms);
	r = store_run(store, STMT_DELIVERY_PUT);
	if (r == 0 && from != (int)delivery->state)
		store_tally_move(store, hook, from, (int)delivery->state);
	return r;
}

static bool delivery_of_row(
        struct store *store, sqlite3_stmt *stmt, struct store_delivery *delivery)
{
	int state = sqlite3_column_int(stmt, 6);

	*delivery = (struct store_delivery){
	        .id = sqlite3_column_int64(stmt, 0),
	        .event_seq = sqlite3_column_int64(stmt, 1),
	        .job_key = sqlite3_column_int64(stmt, 4),
	        .job_id = store_column_text(stmt, 5),
	        .state = (enum delivery_state)state,
	        .attempts = (uint64_t)sqlite3_column_int64(stmt, 7),
	        .attempts_base = (uint64_t)sqlite3_column_int64(stmt, 8),
	        .next_wall_ms = sqlite3_column_int64(stmt, 9),
	        .created_wall_ms = sqlite3_column_int64(stmt, 10),
	        .ended_wall_ms = sqlite3_column_int64(stmt, 11),
	};
	return store_name_column(store, stmt, 2, &delivery->hook) && delivery->hook &&
	       store_name_column(store, stmt, 3, &delivery->account) && state >= DELIVERY_PENDING &&
	       state <= DELIVERY_DEAD && store_is_row_whole(store);
}

int store_deliveries_each_pending(struct store *store, store_delivery_fn *fn, void *arg)
{
	sqlite3_stmt *stmt = store_stmt(store, STMT_DELIVERIES_PENDING);
	struct store_delivery delivery;
	int r;

	while ((r = store_step(store, STMT_DELIVERIES_PENDING)) > 0) {
		if (!delivery_of_row(store, stmt, &delivery))
			return store_walk_fail(store, STMT_DELIVERIES_PENDING);
		r = fn(arg, &delivery);
		if (r != 0)
			return store_walk_end(store, STMT_DELIVERIES_PENDING, r);
	}
	return r;
}

int store_delivery_get(struct store *store, int64_t id, store_delivery_fn *fn, void *arg)
{
	sqlite3_stmt *stmt = store_stmt(store, STMT_DELIVERY_GET);
	struct store_delivery delivery;
	int r;

	store_bind_int(stmt, 1, id);
	r = store_step(store, STMT_DELIVERY_GET);
	if (r <= 0)
		return r < 0 ? r : STORE_E_NONE;
	if (!delivery_of_row(store, stmt, &delivery))
		return store_walk_fail(store, STMT_DELIVERY_GET);
	return store_walk_end(store, STMT_DELIVERY_GET, fn(arg, &delivery));
}

int store_deliveries_read(struct store *store, int64_t before, size_t limit, int state,
        const char *hook, store_delivery_fn *fn, void *arg, int64_t *last)
{
	sqlite3_stmt *stmt = store_stmt(store, STMT_DELIVERIES_BACK);
	size_t n_to_give = limit < OUTBOX_LIMIT_MAX ? limit : OUTBOX_LIMIT_MAX;
	int64_t n_to_look_at = (int64_t)n_to_give * 10 + 1000;
	struct store_delivery delivery;
	int r;

	*last = before;
	store_bind_int(stmt, 1, before > 0 ? before : INT64_MAX);
	store_bind_int(stmt, 2, n_to_look_at);
	for (int64_t n = 0; n_to_give > 0; n++) {
		r = store_step(store, STMT_DELIVERIES_BACK);
		if (r == 0 && n < n_to_look_at)
			*last = 0;
		if (r <= 0)
			return r;
		if (!delivery_of_row(store, stmt, &delivery))
			return store_walk_fail(store, STMT_DELIVERIES_BACK);
		if ((state < 0 || (int)delivery.state == state) &&
		        (!hook || str_is_equal(hook, delivery.hook))) {
			r = fn(arg, &delivery);
			if (r != 0)
				return store_walk_end(store, STMT_DELIVERIES_BACK, r);
			n_to_give--;
		}
		*last = delivery.id;
	}
	return store_walk_end(store, STMT_DELIVERIES_BACK, 0);
}

/*
 * Nothing runs while nobody has the database open: what stands as running was cut off. The attempt
 * counts, since nobody knows how far it came.
 */
int store_outbox_recover(struct store *store)
{
	int r = store_step(store, STMT_RECOVER_LOOK);

	if (r <= 0)
		return r;
	store_reset(store, STMT_RECOVER_LOOK);
	r = store_write_begin(store);
	if (r != 0)
		return r;
	store_bind_int(store_stmt(store, STMT_RECOVER_ATTEMPTS), 1, ATTEMPT_LOST);
	r = store_run(store, STMT_RECOVER_ATTEMPTS);
	if (r == 0)
		r = store_run(store, STMT_RECOVER_DELIVERIES);
	if (r == 0)
		r = store_run(store, STMT_RECOVER_TALLIES);
	return r == 0 ? store_commit(store) : r;
}

/* ---- attempts ---- */

int store_attempt_put(struct store *store, const struct store_attempt *attempt)
{
	sqlite3_stmt *stmt = store_stmt(store, STMT_ATTEMPT_PUT);
	size_t len = attempt->output ? attempt->output_len : 0;
	size_t cut = len > STORE_OUTPUT_MAX_BYTES ? len - STORE_OUTPUT_MAX_BYTES : 0;
	int r = store_write_begin(store);

	if (r != 0)
		return r;
	store_bind_int(stmt, 1, attempt->delivery_id);
	store_bind_int(stmt, 2, (int64_t)attempt->number);
	store_bind_int(stmt, 3, attempt->started_wall_ms);
	store_bind_int(stmt, 4, attempt->duration_ms);
	store_bind_int(stmt, 5, attempt->end);
	store_bind_int(stmt, 6, attempt->code);
	if (len > 0)
		sqlite3_bind_blob(stmt, 7, attempt->output + cut, (int)(len - cut), SQLITE_STATIC);
	else
		sqlite3_bind_zeroblob(stmt, 7, 0);
	r = store_run(store, STMT_ATTEMPT_PUT);
	if (r != 0 || attempt->number <= STORE_ATTEMPTS_KEPT)
		return r;
	stmt = store_stmt(store, STMT_ATTEMPT_TRIM);
	store_bind_int(stmt, 1, attempt->delivery_id);
	store_bind_int(stmt, 2, (int64_t)attempt->number - STORE_ATTEMPTS_KEPT);
	return store_run(store, STMT_ATTEMPT_TRIM);
}

int store_attempts_read(struct store *store, int64_t delivery_id, store_attempt_fn *fn, void *arg)
{
	sqlite3_stmt *stmt = store_stmt(store, STMT_ATTEMPTS_READ);
	int r;

	store_bind_int(stmt, 1, delivery_id);
	while ((r = store_step(store, STMT_ATTEMPTS_READ)) > 0) {
		const char *output = sqlite3_column_blob(stmt, 5);
		int end = sqlite3_column_int(stmt, 3);
		struct store_attempt attempt = {
		        .delivery_id = delivery_id,
		        .number = (uint64_t)sqlite3_column_int64(stmt, 0),
		        .started_wall_ms = sqlite3_column_int64(stmt, 1),
		        .duration_ms = sqlite3_column_int64(stmt, 2),
		        .end = (enum attempt_end)end,
		        .code = sqlite3_column_int(stmt, 4),
		        .output = output ? output : "",
		        .output_len = (size_t)sqlite3_column_bytes(stmt, 5),
		};

		if (end < ATTEMPT_EXITED || end > ATTEMPT_LOST)
			return store_walk_fail(store, STMT_ATTEMPTS_READ);
		r = fn(arg, &attempt);
		if (r != 0)
			return store_walk_end(store, STMT_ATTEMPTS_READ, r);
	}
	return r;
}
