/*
 * The only durable truth: jobs, the journal of events, deliveries to hooks. In terms of those,
 * never of SQL, so that another engine can stand behind it.
 *
 * One transaction is open at a time and it is sticky: the first write begins it, store_commit()
 * ends it. What a turn of the loop harvested is so committed at once. Nothing may be announced
 * before its commit returned 0.
 *
 * Errors of every writing function and of store_commit():
 *
 *   ERR_FULL     The disk is full. The whole transaction is rolled back already, and with it what
 *                store_last_seq and the counts say; nothing of it is on disk.
 *   ERR_IO       An I/O error. What is on disk is unknown until it is read again: the process must
 *                end. Every later call answers the same.
 *   ERR_CORRUPT  The database turned out damaged while in use: likewise.
 *   -ENOMEM      SQLite's share of memory is used up; rolled back as with ERR_FULL.
 *   -EEXIST, -EINVAL, -ENOENT, -E2BIG   The caller's mistakes: there is such a row already, the row
 *                that it refers to is not there, no row has that key, the row is too big for
 * SQLite. The transaction stays as it was.
 *
 * Strings given are borrowed during the call; strings in callbacks are valid until the callback
 * returns. A callback may read from the store (but not by the function that called it); it writes,
 * commits and rolls back nothing.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/event.h"
#include "core/job.h"
#include "util/buf.h"

struct store;

/*
 * Opens (or makes) DIR/bulkwatch.db, takes the lock of the directory (DIR/bulkwatch.lock, flock,
 * never unlinked), checks, migrates and recovers (deliveries found running become pending, their
 * attempt LOST). The directory itself must be there.
 *
 * 0; ERR_LOCKED; ERR_CORRUPT, ERR_NEWER, ERR_FOREIGN (all files untouched); ERR_FULL; ERR_IO;
 * -errno (the directory). words gets a sentence about an error; beside 0 it gets one only as a
 * warning (no room for the ballast).
 */
int store_open(const char *dir, struct store **out, struct buf *words);
/*
 * Notes on disk that this is the end, and a clean one. 0; ERR_FULL: the next start checks the file
 * as after a crash; ERR_IO.
 */
int store_mark_clean(struct store *store);
/*
 * Commits nothing: an open transaction is rolled back. Notes a clean end if that was not done (not
 * after ERR_IO or ERR_CORRUPT). Takes NULL, returns NULL.
 */
struct store *store_close(struct store *store);

const char *store_instance(const struct store *store); /* 16 hex digits, made with the database */
int64_t store_last_seq(const struct store *store);     /* committed; 0 = no event yet */
/* Events up to this seq may be gone from what is read; 0 = none. As reads do, it takes what the
 * open transaction forgot for gone. */
int64_t store_pruned_through(const struct store *store);
bool store_was_clean(const struct store *store); /* the last run ended with store_close */

int store_commit(struct store *store); /* 0 too if nothing was written */
void store_rollback(struct store *store);
bool store_is_dirty(const struct store *store); /* a transaction is open */
/*
 * Whether there is room again after ERR_FULL: for the ballast, if it was given up, and for a small
 * durable write. 0, ERR_FULL, ERR_IO; -EBUSY while a transaction is open.
 */
int store_try_room(struct store *store);
/* A read that proves that the database answers (for the watchdog): 0 or an error. Never writes. */
int store_heartbeat(struct store *store);
/*
 * Moves the WAL into the database: never done by a commit, so that what waits for that waits for
 * nothing else. The caller does it in the quiet (then what the file has too much is given back),
 * and before that when store_log_size says so. 0 (also with nothing to move, or while a transaction
 * is open), ERR_FULL (nothing is lost, try later), ERR_IO.
 */
int store_checkpoint(struct store *store, bool is_quiet);
/* LARGE: move it soon. HUGE: now; nothing else bounds it. */
enum store_log { STORE_LOG_SMALL, STORE_LOG_LARGE, STORE_LOG_HUGE };
enum store_log store_log_size(const struct store *store);
/*
 * False: somebody removed the database's file, or put another in its place. All goes on as it did,
 * but ends with the process unless a backup saves it.
 */
bool store_file_is_there(const struct store *store);
/* Bytes of database and WAL. */
int64_t store_size(const struct store *store);
/*
 * A consistent copy of the database, made in slices into a new file at path, mode 0600. The store
 * is used as ever between them; what it commits meanwhile is in the copy too. It must outlive the
 * backup.
 */
struct store_backup;
/* 0; ERR_FULL, ERR_IO, -errno of the new file (-EEXIST), which is gone again then. */
int store_backup_begin(struct store *store, const char *path, struct store_backup **out);
/*
 * Copies so many pages (of 4 KiB) more, none while a transaction is open. 1: there are more; 0: the
 * file is a whole database, not synced; ERR_FULL, ERR_IO, ERR_CORRUPT, -ENOMEM: it never will be,
 * which does not harm the store.
 */
int store_backup_step(struct store_backup *backup, int n_pages);
/* The file, open for reading and writing: the caller's to close, once the last step answered. */
int store_backup_take_fd(struct store_backup *backup);
/* Gives up what is not whole. The file stays. Takes NULL, returns NULL. */
struct store_backup *store_backup_free(struct store_backup *backup);

/* ---- jobs ---- */

enum job_origin { ORIGIN_CONFIG, ORIGIN_SOCKET };

/* The narrow, often changed part of a job. */
struct store_job {
	int64_t key;                      /* ours, for ever; 0 = not stored yet */
	const char *account, *id, *name;  /* name NULL = none */
	const char *datacenter, *service; /* as last watched */
	const char *state;
	enum job_origin origin;
	bool is_watched;
	bool is_removed; /* DELETEd by hand: the config does not bring it back */
	bool is_paused;
	bool is_overdue_told;
	int64_t since_wall_ms, watched_since_wall_ms, last_polled_wall_ms, last_answered_wall_ms;
	int64_t ended_wall_ms; /* finished or unwatched since; 0 = neither */
	uint64_t polls, failures;
	int64_t error_at_wall_ms;
	const char *error_class, *error_message; /* NULL = no last error */
};

/* Here and below: what is not zero ends the walk and is returned. */
typedef int store_job_fn(void *arg, const struct store_job *job);

/*
 * Inserts (key 0: job->key is set) or rewrites the row of job->key, but for its account and id,
 * which never change.
 */
int store_job_put(struct store *store, struct store_job *job);
/* The contact fields alone: last_polled, last_answered, polls, failures, error_*. */
int store_job_contact_put(struct store *store, const struct store_job *job);
int store_job_document_put(struct store *store, int64_t key, const struct job_document *document);
/* Calls fn once (with all NULL if there is none); returns fn's value or an error. */
typedef int store_document_fn(void *arg, const struct job_document *document);
int store_job_document_get(struct store *store, int64_t key, store_document_fn *fn, void *arg);
/* All that are watched, by key. A million rows in about a second. */
int store_jobs_each_watched(struct store *store, store_job_fn *fn, void *arg);
/* How many were ever stored, pruned ones and those of the open transaction too. */
int64_t store_jobs_ever(const struct store *store);
/* STORE_E_NONE: there is no such job. Reads what the open transaction wrote, too. */
enum { STORE_E_NONE = 1 };
int store_job_find(
        struct store *store, const char *account, const char *id, store_job_fn *fn, void *arg);

/* ---- the journal ---- */

struct store_event {
	int64_t seq; /* set by store_event_append */
	enum event_type type;
	int64_t at_wall_ms;
	const char *account;               /* NULL for an event of a hook alone */
	int64_t job_key;                   /* 0 = none */
	const char *job_id;                /* NULL = none */
	const char *from_state, *to_state; /* NULL = null */
	const char *data; /* JSON: the job (or account, or hook) as of the event; never NULL */
};

/* Appends with the next seq, gapless. */
int store_event_append(struct store *store, struct store_event *event);

typedef int store_event_fn(void *arg, const struct store_event *event);
struct store_event_filter {
	event_set types;     /* 0 = all */
	const char *account; /* NULL = all */
	int64_t job_key;     /* 0 = all */
};
/*
 * Committed events after seq `after` in order, `limit` at most, looking at no more than
 * 10 * limit + 1000 rows. *last is where to go on after: the last seq looked at, or, with nothing
 * left to look at, store_last_seq(). An event for which fn said "stop" counts as not looked at.
 */
int store_events_read(struct store *store, int64_t after, size_t limit,
        const struct store_event_filter *filter, store_event_fn *fn, void *arg, int64_t *last);
/* One by seq, committed or not: STORE_E_NONE if there is none. */
int store_event_get(struct store *store, int64_t seq, store_event_fn *fn, void *arg);

/* ---- deliveries: the outbox ---- */

enum delivery_state { DELIVERY_PENDING, DELIVERY_RUNNING, DELIVERY_DELIVERED, DELIVERY_DEAD };
const char *delivery_state_name(enum delivery_state state); /* "pending" ... */

struct store_delivery {
	int64_t id; /* set by store_delivery_add */
	int64_t event_seq;
	const char *hook;
	const char *account; /* of the event; NULL = none */
	int64_t job_key;     /* of the event; 0 = none: in order by account then */
	const char *job_id;  /* NULL = none */
	enum delivery_state state;
	uint64_t attempts; /* claimed so far, for ever (BULKWATCH_ATTEMPT counts on) */
	uint64_t
	        attempts_base; /* attempts when last granted anew (by hand); dead at base + limit */
	int64_t next_wall_ms;  /* when pending: not before this */
	int64_t created_wall_ms, ended_wall_ms;
};

/*
 * In the transaction of its event. With state RUNNING it is claimed at once (attempts 1). Unique by
 * (event, hook): a second one is -EEXIST. account, job_key and job_id are not looked at: they are
 * the event's.
 */
int store_delivery_add(struct store *store, struct store_delivery *delivery);
/* Rewrites state, attempts, attempts_base, next_wall_ms, ended_wall_ms by id. */
int store_delivery_put(struct store *store, const struct store_delivery *delivery);

enum attempt_end {
	ATTEMPT_EXITED,
	ATTEMPT_SIGNALED,
	ATTEMPT_TIMED_OUT,
	ATTEMPT_NOT_STARTED,
	ATTEMPT_HTTP,
	ATTEMPT_LOST
};
const char *attempt_end_name(
        enum attempt_end end); /* "exited" "signaled" "timed_out" "not_started" "http" "lost" */

struct store_attempt {
	int64_t delivery_id;
	uint64_t number;                      /* from 1 */
	int64_t started_wall_ms, duration_ms; /* duration -1 while it runs */
	enum attempt_end end;                 /* LOST: the daemon ended before it did */
	int code;                             /* exit status, signal, errno, HTTP status */
	const char *output;                   /* 64 KiB at most; any bytes */
	size_t output_len;
};
/* The newest 20 of a delivery are kept. */
int store_attempt_put(struct store *store, const struct store_attempt *attempt);
typedef int store_attempt_fn(void *arg, const struct store_attempt *attempt);
int store_attempts_read(struct store *store, int64_t delivery_id, store_attempt_fn *fn, void *arg);

typedef int store_delivery_fn(void *arg, const struct store_delivery *delivery);
/* All pending ones by event seq (at start; running ones are pending by then). */
int store_deliveries_each_pending(struct store *store, store_delivery_fn *fn, void *arg);
int store_delivery_get(struct store *store, int64_t id, store_delivery_fn *fn, void *arg);
/*
 * Newest first below id `before` (0 = from the newest); state -1 = any, hook NULL = any; looks at
 * no more than 10 * limit + 1000 rows. *last is what to give as `before` to go on, 0 when nothing
 * is left.
 */
int store_deliveries_read(struct store *store, int64_t before, size_t limit, int state,
        const char *hook, store_delivery_fn *fn, void *arg, int64_t *last);
/* Counts by state for a hook, kept in step with the writes (cheap). */
int store_delivery_counts(struct store *store, const char *hook, uint64_t counts[4]);

/* ---- retention ---- */

/*
 * Forgets jobs that are not watched, ended before `before_wall_ms` and have no pending or running
 * delivery, with their events and deliveries, and account and hook events that are older than that
 * and likewise delivered; moves store_pruned_through. At most `limit` (10,000) of both together, *n
 * says how many: a slice, call again while *n == limit. Part of the open transaction.
 *
 * A job of the config that is_removed stays: its row is what keeps the config from bringing it
 * back.
 */
int store_prune(struct store *store, int64_t before_wall_ms, size_t limit, size_t *n);

/* ---- small values (token state, ledgers, learned durations): by name, JSON or any text ---- */

int store_value_put(struct store *store, const char *name, const char *value); /* NULL removes */
/* fn gets the value, NULL if there is none. */
typedef int store_value_fn(void *arg, const char *value);
int store_value_get(struct store *store, const char *name, store_value_fn *fn, void *arg);
