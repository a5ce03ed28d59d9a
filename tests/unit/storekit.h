/*
 * What the tests of the store share: a private directory, rows with every field set, and a second
 * look at the file through a connection of their own.
 */
#pragma once

#include <stdint.h>

#include "store/store.h"

enum { STOREKIT_PATH_SIZE = 512 };

/* A new directory below $TMPDIR or /tmp. */
void storekit_dir_make(char dir[static STOREKIT_PATH_SIZE]);
/* Removes it with the files in it. */
void storekit_dir_remove(const char *dir);
/* DIR/NAME; static storage, good for a few calls. */
const char *storekit_path(const char *dir, const char *name);

/* Opens or fails the test with the store's words. */
struct store *storekit_open(const char *dir);
/* Expects the open to be refused with this error, and some words. */
void storekit_refused(const char *dir, int error);

struct store_job storekit_job(const char *account, const char *id);
/* Puts the job and returns its key. */
int64_t storekit_job_put(struct store *store, const char *account, const char *id);
/* Appends an event of a job (key 0: of the account) and returns its seq. */
int64_t storekit_event(struct store *store, enum event_type type, int64_t job_key, const char *from,
        const char *to);
/* Adds a pending delivery and returns its id. */
int64_t storekit_delivery(struct store *store, int64_t seq, const char *hook);

/* The whole answer of a query over the file, columns by '|', rows by newline; owned by the caller.
 */
char *storekit_query(const char *dir, const char *sql);
/* Runs SQL over the file, from outside. */
void storekit_exec(const char *dir, const char *sql);
/* A hash of the bytes of a file; 0 if there is none. */
uint64_t storekit_hash(const char *path);

/* Counts what it is called for, or stops when it reached the bound. */
struct storekit_count {
	int64_t n, stop_at, last_seq;
};
int storekit_count_event(void *arg, const struct store_event *event);
int storekit_count_delivery(void *arg, const struct store_delivery *delivery);
int storekit_count_job(void *arg, const struct store_job *job);
