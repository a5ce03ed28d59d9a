/*
 * Opening and closing the database, in the order that keeps a file which is refused as it was:
 * lock, look at the header, connect without the right to move a WAL, look at the schema, check,
 * and only then the first write (WAL mode, migration, recovery).
 *
 * One connection, ever, with an exclusive lock: SQLite before 3.51.3 can corrupt a WAL database
 * that has two (https://sqlite.org/wal.html, "the WAL-reset bug"), and without a second no -shm is
 * needed.
 */
#include "store/private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "util/err.h"
#include "util/mem.h"

struct pragma {
	const char *name, *value;
	const char *read_back; /* NULL = as value */
};

/* Before the first access: none of these reads the file. */
static const struct pragma pragmas_first[] = {
        {"locking_mode", "exclusive", NULL},
        {"foreign_keys", "1", NULL},
        {"cell_size_check", "1", NULL},
        {"trusted_schema", "0", NULL},
        {"mmap_size", "0", NULL},
        {"temp_store", "2", NULL}, /* in memory: a full disk shall not fail a sort */
        {"busy_timeout", "0", NULL},
};

/* Once the file is known to be ours and whole. */
static const struct pragma pragmas_then[] = {
        {"journal_mode", "wal", NULL},
        {"synchronous", "2", NULL}, /* FULL: NORMAL loses the last commits at a power cut */
        {"wal_autocheckpoint", "0", NULL},
        {"secure_delete", "fast", "2"}, /* Debian's ON costs writes; there is no secret */
};

static int open_pragma(struct store *store, const struct pragma *pragma, struct buf *words)
{
	cleanup(mem_free_p) char *set = mem_printf("PRAGMA %s = %s", pragma->name, pragma->value);
	cleanup(mem_free_p) char *get = mem_printf("PRAGMA %s", pragma->name);
	const char *expected = pragma->read_back ? pragma->read_back : pragma->value;
	char text[32];
	int r = store_exec(store, set);

	if (r == 0)
		r = store_query_text(store, get, text, sizeof(text));
	if (r == ERR_LOCKED) {
		buf_addf(words, "another program has %s open", store->path);
		return r;
	}
	if (r != 0) {
		buf_addf(words, "%s: %s (%s)", store->path, err_text(r), sqlite3_errmsg(store->db));
		return r;
	}
	/* A build without mmap answers nothing, which is as good. */
	if (sqlite3_stricmp(text, expected) != 0 && text[0] != '\0') {
		buf_addf(words, "%s: the database does not take %s = %s (it says %s)", store->path,
		        pragma->name, pragma->value, text);
		return -ENOTSUP;
	}
	return 0;
}

static int open_pragmas(
        struct store *store, const struct pragma *pragmas, size_t n, struct buf *words)
{
	for (size_t i = 0; i < n; i++) {
		int r = open_pragma(store, &pragmas[i], words);

		if (r != 0)
			return r;
	}
	return 0;
}

static int open_on_wal(void *arg, sqlite3 *db, const char *name, int n_pages)
{
	struct store *store = arg;

	(void)db;
	(void)name;
	store->n_wal_pages = n_pages;
	if (n_pages > store->n_wal_file_pages)
		store->n_wal_file_pages = n_pages;
	return SQLITE_OK;
}

static int open_connect(struct store *store, struct buf *words)
{
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE |
	            SQLITE_OPEN_EXRESCODE;
	int rc = sqlite3_open_v2(store->path, &store->db, flags, NULL);
	int r = store->db ? store_error_of(store, rc) : -ENOMEM;

	if (r != 0) {
		buf_addf(words, "%s: %s", store->path, err_text(r));
		return r;
	}
	/* Closing a file with a hot WAL would rewrite both: store_close() allows it. */
	sqlite3_db_config(store->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	sqlite3_db_config(store->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(store->db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
	sqlite3_db_config(store->db, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
	sqlite3_hard_heap_limit64(STORE_HEAP_MAX_BYTES);
	return open_pragmas(store, pragmas_first, ARRAY_LEN(pragmas_first), words);
}

static int open_prepare(struct store *store, struct buf *words)
{
	char cache[128];
	int rc;

	snprintf(cache, sizeof(cache), "PRAGMA cache_size = -%d; PRAGMA journal_size_limit = %d",
	        STORE_CACHE_KIB, STORE_WAL_HUGE_BYTES);
	rc = sqlite3_exec(store->db, cache, NULL, NULL, NULL);
	for (size_t i = 0; rc == SQLITE_OK && i < STMT_COUNT; i++)
		rc = sqlite3_prepare_v3(store->db, store_statements[i], -1,
		        SQLITE_PREPARE_PERSISTENT, &store->stmts[i], NULL);
	if (rc == SQLITE_OK)
		return 0;
	buf_addf(words, "%s: its tables are not those of its schema: %s", store->path,
	        sqlite3_errmsg(store->db));
	return rc == SQLITE_ERROR ? ERR_CORRUPT : store_error_of(store, rc);
}

static int open_load_meta(struct store *store)
{
	sqlite3_stmt *stmt = store_stmt(store, STMT_META_READ);
	int r = store_step_to_row(store, STMT_META_READ);
	const char *instance;

	if (r < 0)
		return r;
	instance = store_column_text(stmt, 0);
	if (!instance || strlen(instance) != 16)
		return store_walk_fail(store, STMT_META_READ);
	memcpy(store->instance, instance, sizeof(store->instance));
	store->committed = (struct store_counters){
	        .last_seq = sqlite3_column_int64(stmt, 1),
	        .last_job_key = sqlite3_column_int64(stmt, 2),
	        .last_delivery_id = sqlite3_column_int64(stmt, 3),
	        .pruned_through = sqlite3_column_int64(stmt, 4),
	};
	store->now = store->committed;
	store->is_clean_on_disk = sqlite3_column_int(stmt, 5) == 1;
	return store_walk_end(store, STMT_META_READ, 0);
}

/* A number beyond the one last given out would be given out again. */
static int open_check_counters(struct store *store)
{
	int64_t seq, job, delivery;
	int r = store_query_int(store, "SELECT coalesce(max(seq), 0) FROM event", &seq);

	if (r == 0)
		r = store_query_int(store, "SELECT coalesce(max(key), 0) FROM job", &job);
	if (r == 0)
		r = store_query_int(store, "SELECT coalesce(max(id), 0) FROM delivery", &delivery);
	if (r != 0)
		return r;
	return seq > store->committed.last_seq || job > store->committed.last_job_key ||
	                       delivery > store->committed.last_delivery_id
	               ? ERR_CORRUPT
	               : 0;
}

/* Statements and caches: a database of our version whose tables are not ours shows here. */
static int open_load(struct store *store, struct buf *words)
{
	int r = open_prepare(store, words);

	if (r != 0)
		return r;
	r = open_load_meta(store);
	if (r == 0)
		r = open_check_counters(store);
	if (r == 0)
		r = store_names_load(store);
	if (r == ERR_CORRUPT)
		buf_addf(words,
		        "%s is damaged: its rows contradict each other; it was left as it is",
		        store->path);
	else if (r != 0)
		buf_addf(words, "%s: %s", store->path, err_text(r));
	return r;
}

static int open_refuse_readonly(struct store *store, struct buf *words)
{
	int error = store_dir_write_error(store);

	buf_addf(words, "%s cannot be written: %s", store->path, err_text(error));
	return error;
}

/* All that must hold before the first byte is written. */
static int open_examine(struct store *store, bool *is_current, struct buf *words)
{
	int64_t version;
	int r = store_schema_look(store, words);

	*is_current = false;
	if (r == 0 && sqlite3_db_readonly(store->db, "main") == 1)
		return open_refuse_readonly(store, words);
	store->was_clean = true;
	if (r != 0 || store->is_new)
		return r;
	r = store_check(store, words);
	if (r != 0)
		return r;
	r = store_query_int(store, "PRAGMA user_version", &version);
	if (r != 0) {
		buf_addf(words, "%s: %s", store->path, err_text(r));
		return r;
	}
	*is_current = version == store_schema_newest(store);
	return *is_current ? open_load(store, words) : 0;
}

/*
 * A copy (backup.c) is no WAL database until it is opened. It goes on beside what became of the
 * original since: the numbers that it gives out stand for other events there, and the name of the
 * database is what tells them apart. While it is none, so that a crash in between loses nothing.
 */
static int open_rename_copy(struct store *store, bool is_current, struct buf *words)
{
	char mode[16];
	int r = store_query_text(store, "PRAGMA journal_mode", mode, sizeof(mode));

	if (r == 0 && (store->is_new || strcmp(mode, "wal") == 0))
		return 0;
	if (r == 0)
		r = store_exec(store, "UPDATE meta SET instance = lower(hex(randomblob(8)))");
	if (r == 0 && is_current)
		r = open_load_meta(store);
	if (r == 0)
		buf_addf(words,
		        "%s is a copy from a backup: it goes on under a name of its own, with "
		        "which "
		        "the ids of its events begin",
		        store->path);
	else
		buf_addf(words, "%s: %s", store->path, err_text(r));
	return r;
}

static int open_recover(struct store *store, struct buf *words)
{
	int r;

	sqlite3_wal_hook(store->db, open_on_wal, store);
	store_ballast_look(store);
	r = store_outbox_recover(store);
	/* A disk that was full at the last run's end may have room only without the ballast. */
	if (r == ERR_FULL)
		r = store_outbox_recover(store);
	if (r == 0)
		r = store_tallies_load(store);
	if (r != 0)
		buf_addf(words, "%s: %s", store->path, err_text(r));
	return r;
}

static int open_all(struct store *store, const char *dir, struct buf *words)
{
	bool is_current = false;
	int r = store_dir_open(store, dir, words);

	if (r == 0)
		r = store_dir_lock(store, words);
	if (r == 0)
		r = store_dir_look(store, words);
	if (r == 0)
		r = open_connect(store, words);
	if (r == 0)
		r = open_examine(store, &is_current, words);
	if (r == 0)
		r = open_rename_copy(store, is_current, words);
	if (r == 0)
		r = open_pragmas(store, pragmas_then, ARRAY_LEN(pragmas_then), words);
	if (r == 0 && !is_current) {
		r = store_schema_migrate(store, words);
		if (r == 0)
			r = open_load(store, words);
	}
	return r == 0 ? open_recover(store, words) : r;
}

static struct store *store_free(struct store *store)
{
	for (size_t i = 0; i < STMT_COUNT; i++)
		sqlite3_finalize(store->stmts[i]);
	sqlite3_close_v2(store->db);
	store_names_deinit(store);
	free(store->tallies);
	return store;
}

int store_open_with(const struct store_migration *migrations, size_t n, const char *dir,
        struct store **out, struct buf *words)
{
	struct store *store = MEM_NEW(struct store);
	int r;

	*out = NULL;
	store->migrations = migrations;
	store->n_migrations = n;
	store->dir_fd = store->lock_fd = -1;
	r = open_all(store, dir, words);
	if (r != 0) {
		store_free(store);
		if (r != ERR_LOCKED)
			store_dir_tidy(store);
		store_dir_close(store);
		free(store);
		return r;
	}
	store_dir_tell_holder(store);
	if (store_ballast_make(store) != 0)
		buf_addf(words, "%sno room in %s for a ballast of %d MiB", words->len ? "; " : "",
		        dir, STORE_BALLAST_BYTES / 1024 / 1024);
	*out = store;
	return 0;
}

int store_open(const char *dir, struct store **out, struct buf *words)
{
	return store_open_with(store_migrations, store_n_migrations, dir, out, words);
}

struct store *store_close(struct store *store)
{
	if (!store)
		return NULL;
	store_rollback(store);
	/* The mark says that the file is as a working program left it: a broken one cannot say so.
	 */
	if (!store->broken && !store->is_clean_on_disk)
		store_mark_clean(store);
	sqlite3_db_config(store->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, store->broken != 0, NULL);
	store_free(store);
	store_dir_close(store);
	free(store);
	return NULL;
}
