#include "judge.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "evidence.h"
#include "util/mem.h"
#include "util/str.h"
#include "world.h"

/* ---- a copy of the database: the next life shall find it as the last one left it ---- */

static int copy_file(const char *name, const char *to_dir)
{
	cleanup(mem_free_p) char *from = mem_printf("%s/%s", world->dir, name);
	cleanup(mem_free_p) char *to = mem_printf("%s/%s", to_dir, name);
	cleanup(mem_close_p) int in = open(from, O_RDONLY | O_CLOEXEC);
	cleanup(mem_close_p) int out = -1;
	struct stat st;

	unlink(to);
	if (in < 0)
		return errno == ENOENT ? 0 : -errno;
	out = open(to, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (out < 0 || fstat(in, &st) != 0)
		return -errno;
	for (off_t left = st.st_size; left > 0;) {
		ssize_t n = copy_file_range(in, NULL, out, NULL, (size_t)left, 0);

		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		left -= n;
	}
	return (int)(st.st_size > 0);
}

/* NULL: there is no database yet, or a failure was noted. */
static sqlite3 *open_copy(void)
{
	cleanup(mem_free_p) char *dir = mem_printf("%s/look", world->dir);
	cleanup(mem_free_p) char *path = mem_printf("%s/bulkwatch.db", dir);
	sqlite3 *db = NULL;
	int r;

	mkdir(dir, 0700);
	r = copy_file("bulkwatch.db-wal", dir);
	if (r >= 0)
		r = copy_file("bulkwatch.db", dir);
	if (r < 0)
		world_note_failure("the database cannot be copied: %s", strerror(-r));
	if (r <= 0)
		return NULL;
	if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, "unix") == SQLITE_OK)
		return db;
	world_note_failure("the database cannot be opened: %s", sqlite3_errmsg(db));
	sqlite3_close(db);
	return NULL;
}

static sqlite3_stmt *prepare(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *stmt = NULL;

	if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK)
		world_note_failure("the database does not answer: %s: %s", sql, sqlite3_errmsg(db));
	return stmt;
}

static const char *text_at(sqlite3_stmt *stmt, int column)
{
	return (const char *)sqlite3_column_text(stmt, column);
}

static int64_t query_int(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *stmt = prepare(db, sql);
	int64_t value = stmt && sqlite3_step(stmt) == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : -1;

	sqlite3_finalize(stmt);
	return value;
}

/* ---- events ---- */

static void judge_event(const struct store_event *event, int64_t expected_seq)
{
	if (event->seq != expected_seq)
		world_note_failure("event %" PRId64 " is missing: %" PRId64 " comes in its place",
		        expected_seq, event->seq);
	else if (event->seq > world->committed_seq)
		evidence_take_event(event);
	else if (world->events[event->seq].hash != evidence_hash(event))
		world_note_failure("event %" PRId64 " is not what was committed", event->seq);
}

static void judge_events(sqlite3 *db)
{
	sqlite3_stmt *stmt = prepare(db,
	        "SELECT e.seq, e.type, e.at, a.text, e.job_id, e.from_state, e.to_state, e.data"
	        " FROM event e LEFT JOIN name a ON a.key = e.account ORDER BY e.seq");
	int64_t n = 0;

	while (stmt && !world->failure[0] && sqlite3_step(stmt) == SQLITE_ROW) {
		struct store_event event = {
		        .seq = sqlite3_column_int64(stmt, 0),
		        .type = (enum event_type)sqlite3_column_int(stmt, 1),
		        .at_wall_ms = sqlite3_column_int64(stmt, 2),
		        .account = text_at(stmt, 3),
		        .job_id = text_at(stmt, 4),
		        .from_state = text_at(stmt, 5),
		        .to_state = text_at(stmt, 6),
		        .data = text_at(stmt, 7),
		};

		judge_event(&event, ++n);
	}
	sqlite3_finalize(stmt);
	if (n < world->committed_seq)
		world_note_failure("events after %" PRId64 " were announced, but are not on disk: %" PRId64
		                   " was the last", n, world->committed_seq);
}

/* ---- deliveries ---- */

static bool has_ended(int state)
{
	return state == DELIVERY_DELIVERED || state == DELIVERY_DEAD;
}

/* What is on disk is as committed, or one step further. */
static void judge_delivery(const struct store_delivery *row)
{
	const struct seen_delivery *seen =
	        evidence_find_delivery(row->event_seq, world_find_hook(row->hook));

	if (!seen) {
		evidence_take_delivery(row);
		return;
	}
	if (seen->state == row->state && seen->attempts == row->attempts)
		return;
	if (has_ended(seen->state) || row->attempts < seen->attempts ||
	        (seen->state == DELIVERY_PENDING && row->state != DELIVERY_RUNNING))
		world_note_failure("hook %s: the delivery of event %" PRId64 " was committed as %s "
		                   "(attempt %d), on disk is %s (attempt %d)",
		        row->hook, row->event_seq, delivery_state_name((enum delivery_state)seen->state),
		        seen->attempts, delivery_state_name(row->state), (int)row->attempts);
	else if (row->state == DELIVERY_DELIVERED && !seen->has_gone_well)
		world_note_failure("hook %s: event %" PRId64 " is on disk as delivered, but no program "
		                   "ended well", row->hook, row->event_seq);
	evidence_take_delivery(row);
}

static void judge_deliveries(sqlite3 *db)
{
	sqlite3_stmt *stmt = prepare(db,
	        "SELECT d.id, d.event_seq, h.text, d.state, d.attempts FROM delivery d"
	        " LEFT JOIN name h ON h.key = d.hook ORDER BY d.id");
	size_t n = 0;

	while (stmt && !world->failure[0] && sqlite3_step(stmt) == SQLITE_ROW) {
		struct store_delivery row = {
		        .id = sqlite3_column_int64(stmt, 0),
		        .event_seq = sqlite3_column_int64(stmt, 1),
		        .hook = text_at(stmt, 2),
		        .state = (enum delivery_state)sqlite3_column_int(stmt, 3),
		        .attempts = (uint64_t)sqlite3_column_int64(stmt, 4),
		};

		judge_delivery(&row);
		n++;
	}
	sqlite3_finalize(stmt);
	if (n != world->n_deliveries)
		world_note_failure("%zu deliveries were committed, %zu are on disk", world->n_deliveries, n);
}

void judge_life(void)
{
	sqlite3 *db = open_copy();

	if (!db)
		return;
	if (query_int(db, "SELECT count(*) FROM sqlite_schema WHERE name = 'event'") == 1) {
		judge_events(db);
		judge_deliveries(db);
	} else if (world->committed_seq > 0) {
		world_note_failure("the database is empty, but %" PRId64 " events were announced",
		        world->committed_seq);
	}
	sqlite3_close(db);
}
