/*
 * A device that fails to read, files that cannot be opened, a SQLite that is not as we ask it to
 * be: what may go well the next time is never told as damage, and whoever reads the database once
 * all is well again finds everything. What test_store_fault does, does it to writes.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "faultvfs.h"
#include "store/private.h"
#include "storekit.h"
#include "util/err.h"
#include "util/mem.h"

enum { N_JOBS = 40, WRONG = 99 };

static char dir[STOREKIT_PATH_SIZE];

static const char *path(const char *name)
{
	return storekit_path(dir, name);
}

static void write_jobs(struct store *store, int from, int n)
{
	char id[32];

	for (int i = from; i < from + n; i++) {
		snprintf(id, sizeof(id), "%d", 1000 + i);
		storekit_event(
		        store, EVENT_JOB_ADDED, storekit_job_put(store, "acme", id), NULL, "ADDED");
	}
	ck_assert_int_eq(store_commit(store), 0);
}

/* Half of what was committed stands in the database, half in the log, as after a kill. */
static void setup(void)
{
	pid_t pid;
	int status;

	storekit_dir_make(dir);
	faultvfs_install();
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		/* To the end, so that memcheck does not miss it. */
		static struct store *store;

		store = storekit_open(dir);
		write_jobs(store, 0, N_JOBS / 2);
		ck_assert_int_eq(store_checkpoint(store, true), 0);
		write_jobs(store, N_JOBS / 2, N_JOBS / 2);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}

static void teardown(void)
{
	faultvfs_remove();
	storekit_dir_remove(dir);
}

/* Everything is read; WRONG if what was read is not everything. */
static int read_all(struct store *store)
{
	struct storekit_count jobs = {0}, events = {0};
	int64_t last;
	int r = store_jobs_each_watched(store, storekit_count_job, &jobs);

	if (r == 0)
		r = store_events_read(
		        store, 0, SIZE_MAX, NULL, storekit_count_event, &events, &last);
	return r == 0 && (jobs.n != N_JOBS || events.n != N_JOBS) ? WRONG : r;
}

/* ---- a device that fails ---- */

/* Where it fails the files stay as they were. */
static int open_and_read(void)
{
	struct store *store;
	struct buf words = {0};
	int r = store_open(dir, &store, &words);

	ck_assert(r == 0 || words.len > 0);
	buf_deinit(&words);
	if (r == 0)
		r = read_all(store);
	/* What closing alone would keep to itself. */
	if (r == 0)
		r = store_mark_clean(store);
	store_close(store);
	return r;
}

static const struct {
	unsigned operations;
	enum faultvfs_kind kind;
} devices[] = {
        {FAULTVFS_READ | FAULTVFS_OF_DATABASE, FAULTVFS_EIO},
        {FAULTVFS_READ | FAULTVFS_OF_DATABASE, FAULTVFS_ENXIO},
        {FAULTVFS_READ | FAULTVFS_OF_LOG, FAULTVFS_EIO},
        {FAULTVFS_READ | FAULTVFS_OF_LOG, FAULTVFS_ENXIO},
};

START_TEST(each_read_fails)
{
	bool has_fired = true;
	int64_t nth;

	for (nth = 1; has_fired; nth++) {
		int r;

		faultvfs_fail(devices[_i].operations, nth, devices[_i].kind, false);
		r = open_and_read();
		has_fired = faultvfs_has_fired();
		ck_assert_msg(r == (has_fired ? ERR_IO : 0), "read %d: %d", (int)nth, r);
		faultvfs_heal();
	}
	ck_assert_int_gt(nth, 10);
	ck_assert_int_eq(open_and_read(), 0);
}
END_TEST

/* ---- files that cannot be opened ---- */

static const struct {
	enum faultvfs_kind kind;
	int error;
} openings[] = {
        {FAULTVFS_EACCES, -EACCES},
        {FAULTVFS_EROFS, -EROFS},
        {FAULTVFS_EPERM, -EPERM},
        {FAULTVFS_EMFILE, ERR_IO}, /* may go well the next time */
        {FAULTVFS_NO_MEMORY, -ENOMEM},
};

static void expect_refused(int error)
{
	uint64_t db = storekit_hash(path("bulkwatch.db"));
	uint64_t log = storekit_hash(path("bulkwatch.db-wal"));

	storekit_refused(dir, error);
	ck_assert(storekit_hash(path("bulkwatch.db")) == db);
	ck_assert(storekit_hash(path("bulkwatch.db-wal")) == log);
}

START_TEST(each_opening_fails)
{
	for (int64_t nth = 1; nth <= 2; nth++) {
		faultvfs_fail(FAULTVFS_OPEN, nth, openings[_i].kind, false);
		expect_refused(openings[_i].error);
		ck_assert(faultvfs_has_fired());
	}
	faultvfs_heal();
	ck_assert_int_eq(open_and_read(), 0);
}
END_TEST

static void remove_database(void)
{
	ck_assert_int_eq(rename(path("bulkwatch.db"), path("elsewhere")), 0);
}

static void expect_read_only(int error)
{
	struct buf words = {0};
	struct store *store;

	ck_assert_int_eq(store_open(dir, &store, &words), error);
	ck_assert_ptr_nonnull(strstr(buf_str(&words), "cannot be written: "));
	ck_assert_ptr_nonnull(strstr(buf_str(&words), err_text(error)));
	buf_deinit(&words);
}

START_TEST(a_database_that_opens_for_reading_alone_is_refused)
{
	struct store *store;

	/* Beside its log it cannot even be read. */
	faultvfs_open_read_only(NULL);
	expect_refused(ERR_IO);
	faultvfs_heal();
	/* A copy is read. */
	store = storekit_open(dir);
	ck_assert_int_eq(store_copy(store, path("copy")), 0);
	store_close(store);
	ck_assert_int_eq(rename(path("copy"), path("bulkwatch.db")), 0);
	faultvfs_open_read_only(NULL);
	expect_read_only(ERR_IO);
	/* It may have gone meanwhile. */
	faultvfs_open_read_only(remove_database);
	expect_read_only(-ENOENT);
}
END_TEST

/* ---- a SQLite that is not as we ask it to be ---- */

static int (*real_open)(const char *, int, int);
static bool has_refused;

static int open_for_reading_alone(const char *name, int flags, int mode)
{
	size_t len = strlen(name);

	if (!has_refused && len > 4 && strcmp(name + len - 4, "-wal") == 0 &&
	        (flags & O_ACCMODE) == O_RDWR) {
		has_refused = true;
		errno = EMFILE;
		return -1;
	}
	return real_open(name, flags, mode);
}

/* As a start leaves it that was killed before the first table was there. */
static void leave_unmade_database(void)
{
	pid_t pid = fork();
	int status;

	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		static sqlite3 *db;

		if (sqlite3_open(path(STORE_DB_NAME), &db) != SQLITE_OK ||
		        sqlite3_exec(db,
		                "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; "
		                "CREATE TABLE t (x); DROP TABLE t",
		                NULL, NULL, NULL) != SQLITE_OK)
			_exit(1);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	ck_assert_int_eq(access(path(STORE_DB_NAME "-wal"), F_OK), 0);
}

/* A start that found no descriptor for the log while it made the database: SQLite reads the one of
 * the start before it, which was killed, and then may not write. */
START_TEST(a_log_that_opens_for_reading_alone_is_no_permission)
{
	sqlite3_vfs *unix_vfs = sqlite3_vfs_find("unix");
	struct buf words = {0};
	struct store *store;

	storekit_dir_remove(dir);
	storekit_dir_make(dir);
	leave_unmade_database();
	real_open = (int (*)(const char *, int, int))unix_vfs->xGetSystemCall(unix_vfs, "open");
	unix_vfs->xSetSystemCall(unix_vfs, "open", (sqlite3_syscall_ptr)open_for_reading_alone);
	has_refused = false;
	ck_assert_int_eq(store_open(dir, &store, &words), ERR_IO);
	unix_vfs->xSetSystemCall(unix_vfs, "open", NULL);
	ck_assert(has_refused);
	buf_deinit(&words);
	store = storekit_open(dir);
	ck_assert_int_eq(store_last_seq(store), 0);
	store_close(store);
}
END_TEST

START_TEST(settings_are_read_back)
{
	struct buf words = {0};
	struct store *store;

	faultvfs_answer_pragma("synchronous", "1");
	ck_assert_int_eq(store_open(dir, &store, &words), -ENOTSUP);
	ck_assert_ptr_nonnull(strstr(buf_str(&words), "does not take synchronous = 2"));
	buf_deinit(&words);
	/* A build without it answers nothing. */
	faultvfs_answer_pragma("mmap_size", NULL);
	ck_assert_int_eq(open_and_read(), 0);
}
END_TEST

/* ---- after a fault ---- */

/* Pages have to be read from the files again. */
static void forget_pages(struct store *store)
{
	ck_assert_int_eq(store_exec(store, "PRAGMA shrink_memory"), 0);
}

/* What the files said last belongs to an old fault, and nobody knows whose the new one is. */
static void fill_quota_after(unsigned read_of, unsigned write_of)
{
	struct store *store = storekit_open(dir);
	struct store_backup *backup;
	int r;

	write_jobs(store, (int)store_last_seq(store), 10);
	forget_pages(store);
	ck_assert_int_eq(store_backup_begin(store, path("copy"), &backup), 0);
	faultvfs_fail(FAULTVFS_READ | read_of, 1, FAULTVFS_EIO, false);
	do {
		r = store_backup_step(backup, 1);
	} while (r == 1);
	ck_assert(faultvfs_has_fired());
	ck_assert_int_eq(r, ERR_IO);
	store_backup_free(backup);
	unlink(path("copy"));
	ck_assert_int_eq(store_heartbeat(store), 0);
	faultvfs_fail(FAULTVFS_WRITE | write_of, 1, FAULTVFS_EDQUOT, true);
	storekit_event(store, EVENT_ACCOUNT_PAUSED, 0, NULL, NULL);
	r = store_commit(store);
	if (r == 0)
		r = store_checkpoint(store, true);
	ck_assert_int_eq(r, ERR_IO);
	faultvfs_heal();
	store_close(store);
}

START_TEST(an_old_fault_makes_a_quota_doubtful)
{
	fill_quota_after(FAULTVFS_OF_DATABASE, FAULTVFS_OF_LOG);
	fill_quota_after(FAULTVFS_OF_LOG, FAULTVFS_OF_DATABASE);
}
END_TEST

/* An I/O error while room is looked for is one. */
START_TEST(no_room_is_looked_for_on_a_device_that_fails)
{
	struct store *store = storekit_open(dir);

	write_jobs(store, N_JOBS, 10);
	faultvfs_fail(FAULTVFS_WRITE, 1, FAULTVFS_ENOSPC, false);
	storekit_event(store, EVENT_ACCOUNT_PAUSED, 0, NULL, NULL);
	ck_assert_int_eq(store_commit(store), ERR_FULL);
	faultvfs_fail(FAULTVFS_WRITE, 1, FAULTVFS_EIO, false);
	ck_assert_int_eq(store_try_room(store), ERR_IO);
	ck_assert_int_eq(store_try_room(store), ERR_IO);
	store_close(store);
}
END_TEST

static int no_job(void *arg, const struct store_job *job)
{
	(void)arg, (void)job;
	return WRONG;
}

static int no_document(void *arg, const struct job_document *document)
{
	(void)arg, (void)document;
	return WRONG;
}

static int no_event(void *arg, const struct store_event *event)
{
	(void)arg, (void)event;
	return WRONG;
}

static int no_delivery(void *arg, const struct store_delivery *delivery)
{
	(void)arg, (void)delivery;
	return WRONG;
}

static int no_attempt(void *arg, const struct store_attempt *attempt)
{
	(void)arg, (void)attempt;
	return WRONG;
}

static int no_value(void *arg, const char *value)
{
	(void)arg, (void)value;
	return WRONG;
}

static void expect_no_write(struct store *store, int error)
{
	struct store_job job = storekit_job("acme", "1"), old = {.key = 1, .state = "ADDED"};
	struct store_event event = {.type = EVENT_ACCOUNT_PAUSED, .data = "{}"};
	struct store_delivery delivery = {.id = 1, .hook = "load"};
	struct store_attempt attempt = {.delivery_id = 1, .number = 1};
	size_t n = 1;

	ck_assert_int_eq(store_job_put(store, &job), error);
	ck_assert_int_eq(store_job_put(store, &old), error);
	ck_assert_int_eq(store_job_contact_put(store, &old), error);
	ck_assert_int_eq(store_job_document_put(store, 1, &(struct job_document){0}), error);
	ck_assert_int_eq(store_event_append(store, &event), error);
	ck_assert_int_eq(store_delivery_add(store, &delivery), error);
	ck_assert_int_eq(store_delivery_put(store, &delivery), error);
	ck_assert_int_eq(store_attempt_put(store, &attempt), error);
	ck_assert_int_eq(store_value_put(store, "a", "b"), error);
	ck_assert_int_eq(store_prune(store, 1, 10, &n), error);
	ck_assert_uint_eq(n, 0);
	ck_assert_int_eq(store_commit(store), error);
	ck_assert_int_eq(store_try_room(store), error);
	ck_assert_int_eq(store_checkpoint(store, true), error);
	ck_assert_int_eq(store_mark_clean(store), error);
	ck_assert(!store_is_dirty(store));
}

static void expect_no_read(struct store *store, int error)
{
	uint64_t counts[4];
	int64_t last;

	ck_assert_int_eq(store_jobs_each_watched(store, no_job, NULL), error);
	ck_assert_int_eq(store_job_find(store, "acme", "1000", no_job, NULL), error);
	ck_assert_int_eq(store_job_document_get(store, 1, no_document, NULL), error);
	ck_assert_int_eq(store_events_read(store, 0, 9, NULL, no_event, NULL, &last), error);
	ck_assert_int_eq(store_event_get(store, 1, no_event, NULL), error);
	ck_assert_int_eq(store_deliveries_each_pending(store, no_delivery, NULL), error);
	ck_assert_int_eq(
	        store_deliveries_read(store, 0, 9, -1, NULL, no_delivery, NULL, &last), error);
	ck_assert_int_eq(store_delivery_get(store, 1, no_delivery, NULL), error);
	ck_assert_int_eq(store_attempts_read(store, 1, no_attempt, NULL), error);
	ck_assert_int_eq(store_value_get(store, "a", no_value, NULL), error);
	ck_assert_int_eq(store_delivery_counts(store, "load", counts), error);
	ck_assert_int_eq(store_heartbeat(store), error);
}

/* What is on disk is unknown until it is read again: nothing is done or told any more. */
START_TEST(after_an_error_every_call_answers_it)
{
	struct store *store = storekit_open(dir);
	struct store_backup *before, *after;

	ck_assert_int_eq(store_backup_begin(store, path("copy"), &before), 0);
	ck_assert_int_eq(store_backup_step(before, 1), 1);
	faultvfs_fail(FAULTVFS_SYNC, 1, FAULTVFS_EIO, false);
	storekit_event(store, EVENT_ACCOUNT_PAUSED, 0, NULL, NULL);
	ck_assert_int_eq(store_commit(store), ERR_IO);
	ck_assert_int_eq(store_last_seq(store), N_JOBS);
	expect_no_write(store, ERR_IO);
	expect_no_read(store, ERR_IO);
	ck_assert_int_eq(store_backup_step(before, 1), ERR_IO);
	ck_assert_int_eq(store_backup_begin(store, path("second"), &after), ERR_IO);
	ck_assert_ptr_null(after);
	ck_assert_int_ne(access(path("second"), F_OK), 0);
	store_backup_free(before);
	store_close(store);
	store = storekit_open(dir);
	ck_assert(!store_was_clean(store));
	ck_assert_int_ge(store_last_seq(store), N_JOBS);
	store_close(store);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("store device");
	TCase *tcase = tcase_create("device");

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_loop_test(tcase, each_read_fails, 0, (int)ARRAY_LEN(devices));
	tcase_add_loop_test(tcase, each_opening_fails, 0, (int)ARRAY_LEN(openings));
	tcase_add_test(tcase, a_database_that_opens_for_reading_alone_is_refused);
	tcase_add_test(tcase, a_log_that_opens_for_reading_alone_is_no_permission);
	tcase_add_test(tcase, settings_are_read_back);
	tcase_add_test(tcase, an_old_fault_makes_a_quota_doubtful);
	tcase_add_test(tcase, no_room_is_looked_for_on_a_device_that_fails);
	tcase_add_test(tcase, after_an_error_every_call_answers_it);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);

	srunner_run_all(runner, CK_ENV);
	int n_failed = srunner_ntests_failed(runner);

	srunner_free(runner);
	return n_failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
