/*
 * What the files of this layer share: the connection, its statements, the caches that mirror rows.
 * Nobody outside src/store includes it (the layer's own tests of migration apart).
 *
 * The caches (counters, names, tallies) hold what the open transaction made of them, and remember
 * what was committed: a rollback puts that back.
 */
#pragma once

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "store/store.h"
#include "util/buf.h"
#include "util/hash.h"

enum {
	STORE_APPLICATION_ID = 0x42574c4b, /* "BWLK", at byte 68 of the file */
	STORE_BALLAST_BYTES = 8 * 1024 * 1024,
	STORE_WAL_LARGE_BYTES = 4 * 1024 * 1024, /* the caller shall move it soon, or now */
	STORE_WAL_HUGE_BYTES = 32 * 1024 * 1024,
	STORE_CACHE_KIB = 32 * 1024,
	STORE_HEAP_MAX_BYTES = 256 * 1024 * 1024,
	STORE_OUTPUT_MAX_BYTES = 64 * 1024,
	STORE_ATTEMPTS_KEPT = 20,
};

#define STORE_DB_NAME      "bulkwatch.db"
#define STORE_LOCK_NAME    "bulkwatch.lock"
#define STORE_BALLAST_NAME "bulkwatch.ballast"

/* Every statement, prepared once; the texts stand in statements.c in this order. */
enum store_stmt {
	STMT_BEGIN,
	STMT_COMMIT,
	STMT_ROLLBACK,
	STMT_HEARTBEAT,
	STMT_META_READ,
	STMT_META_WRITE,
	STMT_PROBE,
	STMT_NAMES_READ,
	STMT_NAME_ADD,
	STMT_TALLIES_READ,
	STMT_TALLY_PUT,
	STMT_JOB_INSERT,
	STMT_JOB_UPDATE,
	STMT_JOB_CONTACT,
	STMT_JOB_FIND,
	STMT_JOBS_WATCHED,
	STMT_DOCUMENT_PUT,
	STMT_DOCUMENT_GET,
	STMT_EVENT_ADD,
	STMT_EVENT_GET,
	STMT_EVENTS_READ,
	STMT_EVENTS_OF_JOB,
	STMT_DELIVERY_ADD,
	STMT_DELIVERY_STATE,
	STMT_DELIVERY_PUT,
	STMT_DELIVERY_GET,
	STMT_DELIVERIES_PENDING,
	STMT_DELIVERIES_BACK,
	STMT_RECOVER_LOOK,
	STMT_RECOVER_ATTEMPTS,
	STMT_RECOVER_DELIVERIES,
	STMT_RECOVER_TALLIES,
	STMT_ATTEMPT_PUT,
	STMT_ATTEMPT_TRIM,
	STMT_ATTEMPTS_READ,
	STMT_PRUNE_JOBS,
	STMT_PRUNE_EVENTS,
	STMT_PRUNE_EVENT_OF_JOB,
	STMT_PRUNE_DELIVERY_OF_EVENT,
	STMT_PRUNE_ATTEMPTS,
	STMT_PRUNE_DELIVERY,
	STMT_PRUNE_EVENT,
	STMT_PRUNE_DOCUMENT,
	STMT_PRUNE_JOB,
	STMT_VALUE_PUT,
	STMT_VALUE_REMOVE,
	STMT_VALUE_GET,
	STMT_COUNT,
};

/* The row of `meta` that counts what was ever given out: none of it is used twice. */
struct store_counters {
	int64_t last_seq;
	int64_t last_job_key;
	int64_t last_delivery_id;
	int64_t pruned_through;
};

/* Short words that rows repeat (accounts, hooks, data centers, services), by number from 1. */
struct store_names {
	char **texts; /* owned, as are the strings; [0] is unused */
	size_t n;     /* the last number */
	size_t n_committed;
	size_t cap;
	struct hash by_text;
};

/* Deliveries of a hook by state; `hook` is its name's number. */
struct store_tally {
	int64_t hook;
	uint64_t now[4], committed[4];
	bool is_changed;
};

/* How the schema came to be what it is, a version a step. */
struct store_migration {
	int version; /* user_version afterwards; ascending from 1 */
	const char *sql;
};

struct store {
	const struct store_migration *migrations; /* borrowed */
	size_t n_migrations;
	char *dir, *path; /* owned */
	int dir_fd, lock_fd;
	bool had_wal; /* a -wal stood there before the database was opened */
	bool is_new;
	int64_t size_at_open; /* of the database and its WAL, in bytes */
	dev_t file_dev;       /* file_*: which file the database is */
	ino_t file_ino;
	sqlite3 *db;
	sqlite3_stmt *stmts[STMT_COUNT];

	bool is_dirty;         /* our transaction is open */
	bool is_clean_on_disk; /* the committed mark of a clean end */
	bool was_clean;
	bool has_ballast;
	bool wants_ballast;   /* it was dropped for want of room */
	int broken;           /* ERR_IO, ERR_CORRUPT: every later call answers this */
	int n_wal_pages;      /* to be moved */
	int n_wal_file_pages; /* that the file holds, moved or not */

	char instance[17];
	struct store_counters now, committed;
	struct store_names names;
	struct store_tally *tallies; /* owned; a handful, looked through from the front */
	size_t n_tallies;
};

/* ---- dir.c: the directory and its files, as files ---- */

/* ERR_FULL, ERR_IO, -error: what the kernel's errno of a file is to the caller. */
int store_error_of_errno(int error);
int store_dir_open(struct store *store, const char *dir, struct buf *words);
int store_dir_lock(struct store *store, struct buf *words);
/* Writes our pid into the lock, for the words of the one who comes second; nothing depends on it.
 * Not before every check has passed: a directory that is refused stays as it was. */
void store_dir_tell_holder(struct store *store);
/* Looks at the database file before SQLite does; makes it, empty, if there is none. */
int store_dir_look(struct store *store, struct buf *words);
/*
 * SQLite reads what it cannot open for writing, whatever the reason: why it cannot. -errno if that
 * may not be written; else ERR_IO, for a device or a want of descriptors or memory, which passes.
 */
int store_dir_write_error(const struct store *store);
/* After a refused open: an empty -wal that this attempt left behind goes away. */
void store_dir_tidy(struct store *store);
void store_dir_close(struct store *store);
/* Whether an earlier run left one. */
void store_ballast_look(struct store *store);
/* 0, ERR_FULL, ERR_IO, -errno. */
int store_ballast_make(struct store *store);
void store_ballast_drop(struct store *store);

/* ---- db.c: connection, transaction, errors ---- */

/* The errno that SQLite keeps for a file (SQLITE_FCNTL_..._POINTER); 0 also for ENOSPC. */
int store_file_errno(sqlite3 *db, int which);
/* A negative error for SQLite's code. Changes nothing. */
int store_error_of(struct store *store, int rc);
/* The same, and what follows from it: rollback, ballast, broken. Reset the statement first. */
int store_fail(struct store *store, int rc);
/* Before the first write of a function: broken? begin if nothing is open. */
int store_write_begin(struct store *store);
/* Runs a bound statement that gives no rows, and resets it. */
int store_run(struct store *store, enum store_stmt stmt);
/* Steps: 1 a row, 0 no more (reset already), or an error (likewise). */
int store_step(struct store *store, enum store_stmt stmt);
/* The same to a row that has to be there: 1, or an error, ERR_CORRUPT without it. */
int store_step_to_row(struct store *store, enum store_stmt stmt);
/* The statement, ready for binding; a read by a caller that must look whether we are broken itself.
 */
sqlite3_stmt *store_stmt(struct store *store, enum store_stmt stmt);
void store_reset(struct store *store, enum store_stmt stmt);
void store_bind_text(sqlite3_stmt *stmt, int column, const char *text);
void store_bind_int(sqlite3_stmt *stmt, int column, int64_t value);
void store_bind_name(sqlite3_stmt *stmt, int column, int64_t key); /* 0 = NULL */
/* NULL also without memory for it. */
const char *store_column_text(sqlite3_stmt *stmt, int column);
/* Whether there was memory for all texts of a row: asked when they were fetched. */
bool store_is_row_whole(const struct store *store);
/* What a walk does after fn or step said other than "go on": resets, gives result back. */
int store_walk_end(struct store *store, enum store_stmt stmt, int result);
/* What it does at a row that SQLite likes and we do not, or that is not whole: resets,
 * store_fail(). */
int store_walk_fail(struct store *store, enum store_stmt stmt);
/* One statement of our own text, for what is done once. */
int store_exec(struct store *store, const char *sql);
/* The first column of the first row, "" if there is none. */
int store_query_text(struct store *store, const char *sql, char *text, size_t size);
int store_query_int(struct store *store, const char *sql, int64_t *value);

/* ---- open.c, check.c, schema.c ---- */

extern const char *const store_statements[STMT_COUNT];

/* store_open() with other migrations than those of this version: for tests of older files. */
int store_open_with(const struct store_migration *migrations, size_t n, const char *dir,
        struct store **out, struct buf *words);

extern const struct store_migration store_migrations[];
extern const size_t store_n_migrations;
int store_schema_newest(const struct store *store);
/* What the file is, as of its header: sets is_new, or ERR_FOREIGN, ERR_NEWER, ERR_CORRUPT. */
int store_schema_look(struct store *store, struct buf *words);
/* Brings an older schema, or none, up to the newest, one transaction a step, a copy of the file
 * first.
 */
int store_schema_migrate(struct store *store, struct buf *words);

int store_check(struct store *store, struct buf *words);

/* ---- names.c, tally.c, outbox.c, backup.c ---- */

int store_names_load(struct store *store);
void store_names_deinit(struct store *store);
void store_names_committed(struct store *store);
void store_names_rolled_back(struct store *store);
/* The number of a word, given out if it has none yet; 0 for NULL. In a transaction. */
int store_name_key(struct store *store, const char *text, int64_t *key);
int64_t store_name_find(const struct store *store, const char *text); /* 0 = none */
/* The word of a column that holds a number or NULL. False: no such number. */
bool store_name_column(struct store *store, sqlite3_stmt *stmt, int column, const char **text);

int store_tallies_load(struct store *store);
void store_tally_move(struct store *store, int64_t hook, int from, int to); /* -1 = none */
int store_tallies_write(struct store *store);
void store_tallies_committed(struct store *store);
void store_tallies_rolled_back(struct store *store);
/* Running deliveries of a run that is over become pending. Writes only if there are any. */
int store_outbox_recover(struct store *store);

/* A copy in one go, by temporary name, fsync and rename: what stands at path is replaced. -EBUSY in
 * a transaction; else as store_backup_step. */
int store_copy(struct store *store, const char *path);
