#include "storekit.h"

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/buf.h"

void storekit_dir_make(char dir[static STOREKIT_PATH_SIZE])
{
	const char *base = getenv("TMPDIR");

	snprintf(dir, STOREKIT_PATH_SIZE, "%s/bulkwatch-store-XXXXXX", base ? base : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(dir));
}

void storekit_dir_remove(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *entry;

	while (d && (entry = readdir(d)) != NULL) {
		if (entry->d_name[0] != '.' || entry->d_name[1] > '.')
			unlinkat(dirfd(d), entry->d_name, 0);
	}
	if (d)
		closedir(d);
	ck_assert_int_eq(rmdir(dir), 0);
}

const char *storekit_path(const char *dir, const char *name)
{
	static char paths[4][STOREKIT_PATH_SIZE * 2];
	static unsigned turn;
	char *path = paths[turn++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
	return path;
}

struct store *storekit_open(const char *dir)
{
	struct store *store = NULL;
	struct buf words = {0};
	int r = store_open(dir, &store, &words);

	ck_assert_msg(r == 0, "open: %d %s", r, buf_str(&words));
	buf_deinit(&words);
	return store;
}

void storekit_refused(const char *dir, int error)
{
	struct store *store = NULL;
	struct buf words = {0};
	int r = store_open(dir, &store, &words);

	ck_assert_msg(r == error, "open: %d instead of %d, %s", r, error, buf_str(&words));
	ck_assert_ptr_null(store);
	ck_assert_uint_gt(words.len, 0);
	buf_deinit(&words);
}

struct store_job storekit_job(const char *account, const char *id)
{
	return (struct store_job){
	        .account = account,
	        .id = id,
	        .name = "contacts",
	        .datacenter = "eu",
	        .service = "bigin",
	        .state = "ADDED",
	        .origin = ORIGIN_SOCKET,
	        .is_watched = true,
	        .since_wall_ms = 1000,
	        .watched_since_wall_ms = 900,
	};
}

int64_t storekit_job_put(struct store *store, const char *account, const char *id)
{
	struct store_job job = storekit_job(account, id);

	ck_assert_int_eq(store_job_put(store, &job), 0);
	ck_assert_int_gt(job.key, 0);
	return job.key;
}

int64_t storekit_event(struct store *store, enum event_type type, int64_t job_key, const char *from,
        const char *to)
{
	struct store_event event = {
	        .type = type,
	        .at_wall_ms = 1700000000123,
	        .account = "acme",
	        .job_key = job_key,
	        .job_id = job_key ? "123" : NULL,
	        .from_state = from,
	        .to_state = to,
	        .data = "{}",
	};

	ck_assert_int_eq(store_event_append(store, &event), 0);
	return event.seq;
}

int64_t storekit_delivery(struct store *store, int64_t seq, const char *hook)
{
	struct store_delivery delivery = {.event_seq = seq, .hook = hook, .created_wall_ms = 5};

	ck_assert_int_eq(store_delivery_add(store, &delivery), 0);
	return delivery.id;
}

static sqlite3 *storekit_connect(const char *dir)
{
	sqlite3 *db = NULL;

	ck_assert_int_eq(sqlite3_open(storekit_path(dir, "bulkwatch.db"), &db), SQLITE_OK);
	return db;
}

char *storekit_query(const char *dir, const char *sql)
{
	sqlite3 *db = storekit_connect(dir);
	sqlite3_stmt *stmt = NULL;
	struct buf out = {0};
	int rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);

	ck_assert_msg(rc == SQLITE_OK, "%s: %s", sql, sqlite3_errmsg(db));
	while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		for (int i = 0; i < sqlite3_column_count(stmt); i++) {
			const char *text = (const char *)sqlite3_column_text(stmt, i);

			buf_addf(&out, "%s%s", i ? "|" : out.len ? "\n" : "", text ? text : "NULL");
		}
	}
	ck_assert_msg(rc == SQLITE_DONE, "%s: %s", sql, sqlite3_errmsg(db));
	sqlite3_finalize(stmt);
	sqlite3_close(db);
	return buf_steal(&out);
}

void storekit_exec(const char *dir, const char *sql)
{
	sqlite3 *db = storekit_connect(dir);
	int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);

	ck_assert_msg(rc == SQLITE_OK, "%s: %s", sql, sqlite3_errmsg(db));
	sqlite3_close(db);
}

/* FNV-1a: equal files compare equal, which is all that is asked. */
uint64_t storekit_hash(const char *path)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);
	unsigned char block[4096];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return 0;
	while ((n = read(fd, block, sizeof(block))) > 0) {
		for (ssize_t i = 0; i < n; i++)
			hash = (hash ^ block[i]) * UINT64_C(0x100000001b3);
	}
	close(fd);
	return hash;
}

int storekit_count_event(void *arg, const struct store_event *event)
{
	struct storekit_count *count = arg;

	if (count->stop_at && count->n == count->stop_at)
		return 77;
	count->n++;
	count->last_seq = event->seq;
	return 0;
}

int storekit_count_delivery(void *arg, const struct store_delivery *delivery)
{
	struct storekit_count *count = arg;

	count->n++;
	count->last_seq = delivery->event_seq;
	return 0;
}

int storekit_count_job(void *arg, const struct store_job *job)
{
	struct storekit_count *count = arg;

	(void)job;
	count->n++;
	return 0;
}
