/*
 * Whether the database is whole, asked once at the start and before anything is written, as
 * thoroughly as a restart that is to be a pause of seconds allows (measured, in the page cache:
 * quick_check 2.3 ms a MiB, integrity_check 5.5, foreign_key_check 1).
 *
 * After a clean end: quick_check up to CHECK_CLEAN_MAX_BYTES. A larger file is not read: nothing
 * was being written when the last run ended, and what it ran on was checked when it began.
 *
 * After an unclean one (a kill, a power cut): up to CHECK_FULL_MAX_BYTES nothing is spared, indices
 * are compared with their tables and rows with the rows that they refer to; up to
 * CHECK_QUICK_MAX_BYTES quick_check; beyond that quick_check of the tables that decisions are taken
 * from, while the long history is checked page by page as it is read (cell_size_check).
 */
#include "store/private.h"

#include <stdlib.h>
#include <string.h>

#include "util/err.h"
#include "util/mem.h"

#define MIB                   (INT64_C(1024) * 1024)
#define CHECK_CLEAN_MAX_BYTES (256 * MIB)
#define CHECK_FULL_MAX_BYTES  (256 * MIB)
#define CHECK_QUICK_MAX_BYTES (1024 * MIB)

enum { CHECK_TEXT_SIZE = 256 };

/*
 * A page that could not be had SQLite tells as a row of the check, like damage. By its code, what
 * may go well the next time is told apart; a read that came short is a file that was cut off.
 */
static int check_error_of(struct store *store, const char *text)
{
	static const char words[] = "unable to get the page. error code=";
	const char *found = strstr(text, words);
	int rc = found ? atoi(found + strlen(words)) : SQLITE_CORRUPT;
	bool is_passing = rc == SQLITE_NOMEM ||
	                  ((rc & 0xff) == SQLITE_IOERR && rc != SQLITE_IOERR_SHORT_READ);

	return store_error_of(store, is_passing ? rc : SQLITE_CORRUPT);
}

static int check_ask(
        struct store *store, const char *sql, const char *good, char text[static CHECK_TEXT_SIZE])
{
	int r = store_query_text(store, sql, text, CHECK_TEXT_SIZE);

	if (r == 0 && text[0] != '\0' && (!good || sqlite3_stricmp(text, good) != 0))
		return check_error_of(store, text);
	return r;
}

static int check_run(struct store *store, const char *sql, const char *good, struct buf *words)
{
	char text[CHECK_TEXT_SIZE];
	int r = check_ask(store, sql, good, text);

	/* Of a list's page no code is told. If memory was short, asking again says so, or passes.
	 */
	if (r == ERR_CORRUPT && strstr(text, "failed to get page"))
		r = check_ask(store, sql, good, text);
	if (r == ERR_CORRUPT)
		buf_addf(words, "%s is damaged: %s; it was left as it is", store->path,
		        text[0] ? text : sqlite3_errmsg(store->db));
	else if (r != 0)
		buf_addf(words, "%s: %s", store->path, err_text(r));
	return r;
}

static int check_deciding(struct store *store, struct buf *words)
{
	static const char *const checks[] = {
	        "PRAGMA quick_check(meta)",
	        "PRAGMA quick_check(name)",
	        "PRAGMA quick_check(tally)",
	        "PRAGMA quick_check(small_value)",
	        "PRAGMA quick_check(job)",
	        "PRAGMA quick_check(delivery)",
	};

	for (size_t i = 0; i < ARRAY_LEN(checks); i++) {
		int r = check_run(store, checks[i], "ok", words);

		if (r != 0)
			return r;
	}
	return 0;
}

static int check_unclean(struct store *store, struct buf *words)
{
	int r;

	if (store->size_at_open > CHECK_QUICK_MAX_BYTES)
		return check_deciding(store, words);
	if (store->size_at_open > CHECK_FULL_MAX_BYTES)
		return check_run(store, "PRAGMA quick_check(1)", "ok", words);
	r = check_run(store, "PRAGMA integrity_check(1)", "ok", words);
	return r == 0 ? check_run(store, "PRAGMA foreign_key_check", NULL, words) : r;
}

int store_check(struct store *store, struct buf *words)
{
	int64_t is_clean;
	int r = store_query_int(store, "SELECT is_clean FROM meta WHERE one = 1", &is_clean);

	/* That a table is missing SQLite calls a plain error, like a misspelt statement. */
	if (r != 0) {
		int rc = sqlite3_errcode(store->db);

		buf_addf(words, "%s: %s; it was left as it is", store->path,
		        rc == SQLITE_OK ? err_text(r) : sqlite3_errmsg(store->db));
		return rc == SQLITE_ERROR ? ERR_CORRUPT : r;
	}
	store->was_clean = is_clean == 1;
	if (!store->was_clean)
		return check_unclean(store, words);
	return store->size_at_open > CHECK_CLEAN_MAX_BYTES
	               ? 0
	               : check_run(store, "PRAGMA quick_check(1)", "ok", words);
}
