/*
 * The connection while it is in use: the sticky transaction, statements, and what SQLite's errors
 * mean. Opening and closing it is open.c's.
 *
 * Promises: after any failure that may have rolled back (SQLITE_FULL, SQLITE_IOERR and their like,
 * https://sqlite.org/lang_transaction.html section 3.1) the whole transaction is rolled back and
 * the caches are as after the last commit. After an I/O error nothing is tried again, an fsync
 * least of all: Linux marks the pages clean after the failed one, so that the next would lie.
 *
 * A COMMIT that fails with an I/O error may be on disk all the same. SQLITE_FULL cannot be that: it
 * comes from a write that fell short, and the frame that commits is written last.
 */
#include "store/private.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "util/err.h"
#include "util/str.h"

int store_file_errno(sqlite3 *db, int which)
{
	sqlite3_file *file = NULL;
	int error = 0;

	/* It is left NULL where nothing could be opened. */
	sqlite3_file_control(db, "main", which, &file);
	if (!file || !file->pMethods)
		return 0;
	file->pMethods->xFileControl(file, SQLITE_FCNTL_LAST_ERRNO, &error);
	return error;
}

/*
 * A quota that is used up is a full disk, but SQLite tells only ENOSPC apart. The errno of the file
 * that did not fail may be an old one: so either file's other trouble counts more.
 */
static bool is_over_quota(struct store *store)
{
	int of_db = store_file_errno(store->db, SQLITE_FCNTL_FILE_POINTER);
	int of_log = store_file_errno(store->db, SQLITE_FCNTL_JOURNAL_POINTER);

	return (of_db == EDQUOT || of_log == EDQUOT) && (of_db == EDQUOT || of_db == 0) &&
	       (of_log == EDQUOT || of_log == 0);
}

/*
 * A read that the device failed SQLite calls a damaged database (SQLITE_IOERR_CORRUPTFS), and
 * integrity_check does so of every read that failed, although the same may go well the next time.
 */
static bool is_unread(struct store *store)
{
	int of_db = store_file_errno(store->db, SQLITE_FCNTL_FILE_POINTER);
	int of_log = store_file_errno(store->db, SQLITE_FCNTL_JOURNAL_POINTER);

	return err_is_passing(-of_db) || of_db == ENXIO || err_is_passing(-of_log) ||
	       of_log == ENXIO;
}

int store_error_of(struct store *store, int rc)
{
	int error = sqlite3_system_errno(store->db);

	switch (rc & 0xff) {
	case SQLITE_OK:
		return 0;
	case SQLITE_FULL:
		return ERR_FULL;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return is_unread(store) ? ERR_IO : ERR_CORRUPT;
	case SQLITE_BUSY:
		return ERR_LOCKED;
	case SQLITE_CONSTRAINT:
		return rc == SQLITE_CONSTRAINT_UNIQUE || rc == SQLITE_CONSTRAINT_PRIMARYKEY
		               ? -EEXIST
		               : -EINVAL;
	case SQLITE_TOOBIG:
		return -E2BIG;
	case SQLITE_IOERR:
		return rc == SQLITE_IOERR_WRITE && is_over_quota(store) ? ERR_FULL : ERR_IO;
	case SQLITE_READONLY:
		return store_dir_write_error(store);
	case SQLITE_CANTOPEN:
		return error == EACCES || error == EROFS || error == EPERM ? -error : ERR_IO;
	default:
		return ERR_IO;
	}
}

static void store_roll_back(struct store *store)
{
	/* As prepared at the start: there may be no memory to do it now. */
	if (!sqlite3_get_autocommit(store->db)) {
		sqlite3_step(store->stmts[STMT_ROLLBACK]);
		store_reset(store, STMT_ROLLBACK);
	}
	if (!store->is_dirty)
		return;
	store->is_dirty = false;
	store->now = store->committed;
	store_names_rolled_back(store);
	store_tallies_rolled_back(store);
}

int store_fail(struct store *store, int rc)
{
	int error = store_error_of(store, rc);

	/* A constraint, or a text too big, takes back its own statement alone. */
	if (error == 0 || error == -EEXIST || error == -EINVAL || error == -E2BIG)
		return error;
	store_roll_back(store);
	if (error == ERR_FULL)
		store_ballast_drop(store);
	else if (error != -ENOMEM)
		store->broken = error = error == ERR_CORRUPT ? ERR_CORRUPT : ERR_IO;
	return error;
}

sqlite3_stmt *store_stmt(struct store *store, enum store_stmt stmt)
{
	return store->stmts[stmt];
}

void store_reset(struct store *store, enum store_stmt stmt)
{
	sqlite3_reset(store->stmts[stmt]);
	/* The texts bound are borrowed for the length of one call. */
	sqlite3_clear_bindings(store->stmts[stmt]);
}

int store_step(struct store *store, enum store_stmt stmt)
{
	int rc;

	if (store->broken)
		return store->broken;
	rc = sqlite3_step(store->stmts[stmt]);
	if (rc == SQLITE_ROW)
		return 1;
	store_reset(store, stmt);
	return rc == SQLITE_DONE ? 0 : store_fail(store, rc);
}

int store_run(struct store *store, enum store_stmt stmt)
{
	int r = store_step(store, stmt);

	assert(r <= 0);
	return r;
}

int store_step_to_row(struct store *store, enum store_stmt stmt)
{
	int r = store_step(store, stmt);

	return r == 0 ? store_fail(store, SQLITE_CORRUPT) : r;
}

int store_walk_end(struct store *store, enum store_stmt stmt, int result)
{
	store_reset(store, stmt);
	return result;
}

int store_walk_fail(struct store *store, enum store_stmt stmt)
{
	bool is_whole = store_is_row_whole(store);

	store_reset(store, stmt);
	return store_fail(store, is_whole ? SQLITE_CORRUPT : SQLITE_NOMEM);
}

void store_bind_text(sqlite3_stmt *stmt, int column, const char *text)
{
	if (text)
		sqlite3_bind_text(stmt, column, text, -1, SQLITE_STATIC);
	else
		sqlite3_bind_null(stmt, column);
}

void store_bind_int(sqlite3_stmt *stmt, int column, int64_t value)
{
	sqlite3_bind_int64(stmt, column, value);
}

void store_bind_name(sqlite3_stmt *stmt, int column, int64_t key)
{
	if (key != 0)
		sqlite3_bind_int64(stmt, column, key);
	else
		sqlite3_bind_null(stmt, column);
}

const char *store_column_text(sqlite3_stmt *stmt, int column)
{
	return (const char *)sqlite3_column_text(stmt, column);
}

bool store_is_row_whole(const struct store *store)
{
	return sqlite3_errcode(store->db) != SQLITE_NOMEM;
}

int store_exec(struct store *store, const char *sql)
{
	return store_error_of(store, sqlite3_exec(store->db, sql, NULL, NULL, NULL));
}

int store_query_text(struct store *store, const char *sql, char *text, size_t size)
{
	sqlite3_stmt *stmt = NULL;
	int rc = sqlite3_prepare_v2(store->db, sql, -1, &stmt, NULL);

	text[0] = '\0';
	if (rc == SQLITE_OK)
		rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW) {
		const char *value = store_column_text(stmt, 0);

		str_copy(text, size, value ? value : "");
		rc = store_is_row_whole(store) ? SQLITE_DONE : SQLITE_NOMEM;
	}
	if (rc == SQLITE_DONE)
		rc = SQLITE_OK;
	sqlite3_finalize(stmt);
	return store_error_of(store, rc);
}

int store_query_int(struct store *store, const char *sql, int64_t *value)
{
	char text[32];
	int r = store_query_text(store, sql, text, sizeof(text));

	*value = 0;
	if (r == 0 && str_to_int(text, INT64_MIN, INT64_MAX, value) != 0)
		return ERR_CORRUPT;
	return r;
}

int store_write_begin(struct store *store)
{
	int r;

	if (store->broken)
		return store->broken;
	if (store->is_dirty)
		return 0;
	r = store_run(store, STMT_BEGIN);
	if (r == 0)
		store->is_dirty = true;
	return r;
}

static int store_meta_write(struct store *store, bool is_clean)
{
	sqlite3_stmt *stmt = store_stmt(store, STMT_META_WRITE);

	store_bind_int(stmt, 1, store->now.last_seq);
	store_bind_int(stmt, 2, store->now.last_job_key);
	store_bind_int(stmt, 3, store->now.last_delivery_id);
	store_bind_int(stmt, 4, store->now.pruned_through);
	store_bind_int(stmt, 5, is_clean);
	return store_run(store, STMT_META_WRITE);
}

/* The mark goes with the transaction that it speaks of: a run that wrote nothing leaves it. */
static int store_commit_marked(struct store *store, bool is_clean)
{
	int r = store_tallies_write(store);

	if (r == 0 && (is_clean || store->is_clean_on_disk ||
	                      memcmp(&store->now, &store->committed, sizeof(store->now)) != 0))
		r = store_meta_write(store, is_clean);
	if (r == 0)
		r = store_run(store, STMT_COMMIT);
	if (r != 0) {
		store_rollback(store);
		return r;
	}
	store->is_dirty = false;
	store->is_clean_on_disk = is_clean;
	store->committed = store->now;
	store_names_committed(store);
	store_tallies_committed(store);
	return 0;
}

int store_commit(struct store *store)
{
	if (store->broken)
		return store->broken;
	if (!store->is_dirty)
		return 0;
	return store_commit_marked(store, false);
}

void store_rollback(struct store *store)
{
	store_roll_back(store);
}

bool store_is_dirty(const struct store *store)
{
	return store->is_dirty;
}

/*
 * With one connection and no walk open it moves everything, and the next commit starts the log from
 * its front: writing over the file is cheaper than growing it. What SQLITE_CHECKPOINT_TRUNCATE does
 * beyond that needs no new block anywhere.
 */
static int wal_move(struct store *store, int mode)
{
	int n_log = 0, n_moved = 0;
	int rc = sqlite3_wal_checkpoint_v2(store->db, "main", mode, &n_log, &n_moved);

	/* A walk of our own holds it back (LOCKED): the next call does it. */
	if (rc == SQLITE_BUSY || rc == SQLITE_LOCKED)
		return 0;
	if (rc == SQLITE_OK) {
		store->n_wal_pages = n_log - n_moved;
		if (mode == SQLITE_CHECKPOINT_TRUNCATE)
			store->n_wal_file_pages = 0;
	}
	return store_fail(store, rc);
}

static int64_t wal_bytes(int n_pages)
{
	return (int64_t)n_pages * 4096;
}

enum store_log store_log_size(const struct store *store)
{
	if (wal_bytes(store->n_wal_pages) >= STORE_WAL_HUGE_BYTES)
		return STORE_LOG_HUGE;
	return wal_bytes(store->n_wal_pages) >= STORE_WAL_LARGE_BYTES ? STORE_LOG_LARGE
	                                                              : STORE_LOG_SMALL;
}

int store_checkpoint(struct store *store, bool is_quiet)
{
	bool is_cut =
	        is_quiet && wal_bytes(store->n_wal_file_pages) > INT64_C(2) * STORE_WAL_LARGE_BYTES;

	if (store->broken)
		return store->broken;
	if (store->is_dirty || (store->n_wal_pages == 0 && !is_cut))
		return 0;
	return wal_move(store, is_cut ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_PASSIVE);
}

/* The log is moved here and not by closing, which would keep an I/O error to itself. */
int store_mark_clean(struct store *store)
{
	int r = store_write_begin(store);

	if (r == 0)
		r = store_commit_marked(store, true);
	if (r != 0)
		return r;
	r = wal_move(store, SQLITE_CHECKPOINT_PASSIVE);
	return r == ERR_FULL || r == -ENOMEM ? 0 : r;
}

int store_try_room(struct store *store)
{
	int r;

	if (store->broken)
		return store->broken;
	if (store->is_dirty)
		return -EBUSY;
	/* The blocks of the log are given back: they may be all that is missing. */
	r = wal_move(store, SQLITE_CHECKPOINT_TRUNCATE);
	if (r != 0 && r != ERR_FULL)
		return r;
	/* Going on without the ballast would only end in a full disk that has none. */
	if (store->wants_ballast && store_ballast_make(store) == ERR_FULL)
		return ERR_FULL;
	r = store_write_begin(store);
	/* A row rewritten as it was would not be written at all. */
	if (r == 0)
		r = store_run(store, STMT_PROBE);
	return r == 0 ? store_commit_marked(store, false) : r;
}

int store_heartbeat(struct store *store)
{
	int r = store_step_to_row(store, STMT_HEARTBEAT);

	return r < 0 ? r : store_walk_end(store, STMT_HEARTBEAT, 0);
}

const char *store_instance(const struct store *store)
{
	return store->instance;
}

int64_t store_last_seq(const struct store *store)
{
	return store->committed.last_seq;
}

int64_t store_pruned_through(const struct store *store)
{
	return store->now.pruned_through;
}

bool store_was_clean(const struct store *store)
{
	return store->was_clean;
}
