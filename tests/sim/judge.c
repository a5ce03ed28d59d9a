/* After each life: what is on disk against what was seen. judge_end.c has the end of all. */
#include "judge.h"

#include <inttypes.h>
#include <stdio.h>

#include "evidence.h"
#include "look.h"
#include "util/buf.h"
#include "util/mem.h"
#include "world.h"

/* ---- events ---- */

/* The next one that is not forgotten. */
static int64_t next_seq(int64_t seq, int64_t end)
{
	do
		seq++;
	while (seq < end && seq <= world->committed_seq && evidence_is_forgotten(seq));
	return seq;
}

static void judge_event(const struct store_event *event, int64_t expected_seq)
{
	if (event->seq <= world->committed_seq && world->events[event->seq].is_forgotten)
		world_note_failure("event %" PRId64 " was forgotten, yet is on disk", event->seq);
	else if (event->seq != expected_seq)
		world_note_failure("event %" PRId64 " is missing: %" PRId64 " comes in its place",
		        expected_seq, event->seq);
	else if (event->seq > world->committed_seq)
		evidence_take_event(event);
	else if (world->events[event->seq].hash != evidence_hash(event))
		world_note_failure("event %" PRId64 " is not what was committed", event->seq);
}

static void judge_events(sqlite3 *db)
{
	sqlite3_stmt *stmt = look_prepare(db,
	        "SELECT e.seq, e.type, e.at, a.text, e.job_id, e.from_state, e.to_state, e.data"
	        " FROM event e LEFT JOIN name a ON a.key = e.account ORDER BY e.seq");
	int64_t n = 0;

	while (stmt && !world->failure[0] && sqlite3_step(stmt) == SQLITE_ROW) {
		struct store_event event = {
		        .seq = sqlite3_column_int64(stmt, 0),
		        .type = (enum event_type)sqlite3_column_int(stmt, 1),
		        .at_wall_ms = sqlite3_column_int64(stmt, 2),
		        .account = look_text(stmt, 3),
		        .job_id = look_text(stmt, 4),
		        .from_state = look_text(stmt, 5),
		        .to_state = look_text(stmt, 6),
		        .data = look_text(stmt, 7),
		};

		n = next_seq(n, event.seq);
		judge_event(&event, n);
	}
	sqlite3_finalize(stmt);
	n = next_seq(n, INT64_MAX) - 1;
	if (n < world->committed_seq)
		world_note_failure("events after %" PRId64
		                   " were announced, but are not on disk: %" PRId64 " was the last",
		        n, world->committed_seq);
}

/* ---- deliveries ---- */

static bool has_ended(int state)
{
	return state == DELIVERY_DELIVERED || state == DELIVERY_DEAD;
}

/* Without another attempt: the daemon died in the last attempt that there was. */
static bool is_given_up(const struct store_delivery *row, const struct seen_delivery *seen)
{
	return row->state == DELIVERY_DEAD &&
	       (int)row->attempts - seen->granted >=
	               world->hooks[world_find_hook(row->hook)].attempts;
}

/* Somebody asked for another try, and had no answer. */
static bool is_retried(const struct store_delivery *row, const struct seen_delivery *seen)
{
	return seen->may_be_retried && seen->state == DELIVERY_DEAD &&
	       row->state == DELIVERY_PENDING && row->attempts == seen->attempts;
}

/* What is on disk is as committed, or one step further. */
static void judge_delivery(const struct store_delivery *row)
{
	const struct seen_delivery *seen =
	        evidence_find_delivery(row->event_seq, world_find_hook(row->hook));

	if (world->events[row->event_seq].is_forgotten)
		world_note_failure("a delivery of event %" PRId64
		                   " is on disk, which was forgotten",
		        row->event_seq);
	if (!seen) {
		evidence_take_delivery(row);
		return;
	}
	if (seen->state == row->state && seen->attempts == row->attempts)
		return;
	if ((has_ended(seen->state) && !is_retried(row, seen)) || row->attempts < seen->attempts ||
	        (seen->state == DELIVERY_PENDING && row->state != DELIVERY_RUNNING &&
	                !is_given_up(row, seen)))
		world_note_failure("hook %s: the delivery of event %" PRId64 " was committed as %s "
		                   "(attempt %d), on disk is %s (attempt %d)",
		        row->hook, row->event_seq,
		        delivery_state_name((enum delivery_state)seen->state), seen->attempts,
		        delivery_state_name(row->state), (int)row->attempts);
	else if (row->state == DELIVERY_DELIVERED && !seen->has_gone_well)
		world_note_failure("hook %s: event %" PRId64
		                   " is on disk as delivered, but no attempt "
		                   "went well",
		        row->hook, row->event_seq);
	evidence_take_delivery(row);
}

static void judge_deliveries(sqlite3 *db)
{
	sqlite3_stmt *stmt = look_prepare(db,
	        "SELECT d.id, d.event_seq, h.text, d.state, d.attempts, d.next_at FROM delivery d"
	        " LEFT JOIN name h ON h.key = d.hook ORDER BY d.id");
	size_t n = 0;

	while (stmt && !world->failure[0] && sqlite3_step(stmt) == SQLITE_ROW) {
		struct store_delivery row = {
		        .id = sqlite3_column_int64(stmt, 0),
		        .event_seq = sqlite3_column_int64(stmt, 1),
		        .hook = look_text(stmt, 2),
		        .state = (enum delivery_state)sqlite3_column_int(stmt, 3),
		        .attempts = (uint64_t)sqlite3_column_int64(stmt, 4),
		        .next_wall_ms = sqlite3_column_int64(stmt, 5),
		};

		judge_delivery(&row);
		n++;
	}
	sqlite3_finalize(stmt);
	if (n != world->n_deliveries - world->n_forgotten_deliveries)
		world_note_failure(
		        "%zu deliveries were committed and not forgotten, %zu are on disk",
		        world->n_deliveries - world->n_forgotten_deliveries, n);
}

/* Nothing that is kept, but for the tokens' own files, holds a secret. */
static void judge_secrets(const char *name)
{
	cleanup(mem_free_p) char *path = mem_printf("%s/%s", world->dir, name);
	cleanup(buf_deinit) struct buf bytes = {0};
	FILE *file = fopen(path, "r");
	char block[64 * 1024];
	size_t n;

	if (!file)
		return;
	while ((n = fread(block, 1, sizeof(block), file)) > 0)
		buf_add(&bytes, block, n);
	fclose(file);
	evidence_no_secret(name, buf_str(&bytes), bytes.len);
}

void judge_life(void)
{
	judge_secrets("log");
	judge_secrets("bulkwatch.db");
	judge_secrets("bulkwatch.db-wal");
	sqlite3 *db = look_open();

	if (!db)
		return;
	if (look_int(db, "SELECT count(*) FROM sqlite_schema WHERE name = 'event'") == 1) {
		judge_events(db);
		judge_deliveries(db);
	} else if (world->committed_seq > 0) {
		world_note_failure("the database is empty, but %" PRId64 " events were announced",
		        world->committed_seq);
	}
	sqlite3_close(db);
}
