/*
 * Opening: what is made, what is refused and then left to the byte as it was, who holds the lock,
 * how a clean end is told from a kill; copies and migrations.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/private.h"
#include "storekit.h"
#include "util/err.h"
#include "util/mem.h"

static char dir[STOREKIT_PATH_SIZE];

static void setup(void)
{
	storekit_dir_make(dir);
}

static void teardown(void)
{
	storekit_dir_remove(dir);
}

static const char *path(const char *name)
{
	return storekit_path(dir, name);
}

static void expect_mode(const char *name, mode_t mode)
{
	struct stat st;

	ck_assert_msg(stat(path(name), &st) == 0, "%s is not there", name);
	ck_assert_msg((st.st_mode & 07777) == mode, "%s is %o", name, st.st_mode & 07777);
}

static bool is_there(const char *name)
{
	return access(path(name), F_OK) == 0;
}

/* A database with rows in it, ended cleanly. */
static void make_database(void)
{
	struct store *store = storekit_open(dir);
	char id[32];

	for (int i = 0; i < 2000; i++) {
		int64_t key;

		snprintf(id, sizeof(id), "%d", 1000 + i);
		key = storekit_job_put(store, "acme", id);
		storekit_event(store, EVENT_JOB_ADDED, key, NULL, "ADDED");
	}
	ck_assert_int_eq(store_commit(store), 0);
	store_close(store);
}

/* SQL whose commit stays in the -wal, as after a kill. */
static void exec_into_wal(const char *sql)
{
	sqlite3 *db;

	ck_assert_int_eq(sqlite3_open(path("bulkwatch.db"), &db), SQLITE_OK);
	sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	ck_assert_int_eq(sqlite3_exec(db, "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL",
	                         NULL, NULL, NULL),
	        SQLITE_OK);
	ck_assert_int_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	ck_assert(is_there("bulkwatch.db-wal"));
}

static void write_lock(const char *text)
{
	FILE *file = fopen(path("bulkwatch.lock"), "w");

	ck_assert_ptr_nonnull(file);
	fputs(text, file);
	fclose(file);
}

static void expect_refused_untouched(int error)
{
	static const char *const names[] = {"bulkwatch.db", "bulkwatch.db-wal",
	        "bulkwatch.db-journal", "bulkwatch.db-shm", "bulkwatch.lock"};
	uint64_t before[ARRAY_LEN(names)];

	write_lock("4194305\n"); /* of a process that cannot be */
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		before[i] = storekit_hash(path(names[i]));
	storekit_refused(dir, error);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		ck_assert_msg(storekit_hash(path(names[i])) == before[i], "%s changed", names[i]);
}

static void scribble(const char *name, off_t at, size_t n)
{
	int fd = open(path(name), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	unsigned char byte = 0xa5;

	ck_assert_int_ge(fd, 0);
	for (size_t i = 0; i < n; i++)
		ck_assert_int_eq(pwrite(fd, &byte, 1, at + (off_t)i), 1);
	close(fd);
}

/* ---- what is made ---- */

START_TEST(new_database_is_private)
{
	struct store *store = storekit_open(dir);
	char instance[17];
	struct stat st;

	ck_assert(store_was_clean(store));
	ck_assert_int_eq(store_last_seq(store), 0);
	ck_assert_uint_eq(strlen(store_instance(store)), 16);
	ck_assert_uint_eq(strspn(store_instance(store), "0123456789abcdef"), 16);
	memcpy(instance, store_instance(store), sizeof(instance));
	storekit_event(store, EVENT_ACCOUNT_PAUSED, 0, NULL, NULL);
	ck_assert_int_eq(store_commit(store), 0);
	expect_mode("bulkwatch.db", 0600);
	expect_mode("bulkwatch.db-wal", 0600);
	expect_mode("bulkwatch.lock", 0600);
	expect_mode("bulkwatch.ballast", 0600);
	ck_assert(!is_there("bulkwatch.db-shm"));
	ck_assert_int_eq(stat(path("bulkwatch.ballast"), &st), 0);
	ck_assert_int_ge((int64_t)st.st_blocks * 512, 8 * 1024 * 1024);
	store = store_close(store);
	ck_assert_ptr_null(store);
	ck_assert(!is_there("bulkwatch.db-wal"));

	store = storekit_open(dir);
	ck_assert_str_eq(store_instance(store), instance);
	ck_assert_int_eq(store_last_seq(store), 1);
	ck_assert(store_was_clean(store));
	store_close(store);
	ck_assert_ptr_null(store_close(NULL));
}
END_TEST

START_TEST(clean_start_and_end_write_nothing)
{
	uint64_t before;

	make_database();
	before = storekit_hash(path("bulkwatch.db"));
	store_close(storekit_open(dir));
	ck_assert(storekit_hash(path("bulkwatch.db")) == before);
}
END_TEST

START_TEST(file_of_no_bytes_is_a_new_database)
{
	scribble("bulkwatch.db", 0, 0);
	store_close(storekit_open(dir));
	/* Also one that a first start left before its first commit. */
	ck_assert_int_eq(unlink(path("bulkwatch.db")), 0);
	storekit_exec(dir, "PRAGMA journal_mode = WAL");
	store_close(storekit_open(dir));
}
END_TEST

/* ---- what is refused ---- */

START_TEST(directory_must_be_there)
{
	char gone[STOREKIT_PATH_SIZE + 8];

	snprintf(gone, sizeof(gone), "%s/gone", dir);
	storekit_refused(gone, -ENOENT);
	ck_assert_int_ne(access(gone, F_OK), 0);
	scribble("file", 0, 1);
	snprintf(gone, sizeof(gone), "%s/file", dir);
	storekit_refused(gone, -ENOTDIR);
}
END_TEST

START_TEST(not_a_database_is_refused)
{
	scribble("bulkwatch.db", 0, 5000);
	expect_refused_untouched(ERR_FOREIGN);
	ck_assert_int_eq(unlink(path("bulkwatch.db")), 0);
	scribble("bulkwatch.db", 0, 7);
	expect_refused_untouched(ERR_FOREIGN);
	ck_assert_int_eq(unlink(path("bulkwatch.db")), 0);
	ck_assert_int_eq(mkfifo(path("bulkwatch.db"), 0600), 0);
	storekit_refused(dir, ERR_FOREIGN);
	ck_assert_int_eq(unlink(path("bulkwatch.db")), 0);
	ck_assert_int_eq(symlink("elsewhere", path("bulkwatch.db")), 0);
	storekit_refused(dir, -ELOOP);
	ck_assert(!is_there("elsewhere"));
}
END_TEST

START_TEST(foreign_database_is_refused)
{
	storekit_exec(dir, "CREATE TABLE t (x); INSERT INTO t VALUES (1)");
	expect_refused_untouched(ERR_FOREIGN);
	ck_assert(!is_there("bulkwatch.db-wal"));
	storekit_exec(dir, "PRAGMA application_id = 7");
	expect_refused_untouched(ERR_FOREIGN);
	exec_into_wal("INSERT INTO t VALUES (2)");
	expect_refused_untouched(ERR_FOREIGN);
}
END_TEST

START_TEST(newer_database_is_refused)
{
	make_database();
	exec_into_wal("PRAGMA user_version = 99");
	expect_refused_untouched(ERR_NEWER);
	storekit_exec(dir, "PRAGMA wal_checkpoint(TRUNCATE)");
	expect_refused_untouched(ERR_NEWER);
	ck_assert(!is_there("bulkwatch.db-wal"));
}
END_TEST

START_TEST(damage_is_found)
{
	static const off_t pages[] = {1, 3, 10, 20, 40};

	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
		make_database();
		scribble("bulkwatch.db", pages[i] * 4096, 512);
		expect_refused_untouched(ERR_CORRUPT);
		ck_assert(!is_there("bulkwatch.db-wal"));
		ck_assert_int_eq(unlink(path("bulkwatch.db")), 0);
	}
	/* Pages of no size: no database to SQLite, but ours. */
	make_database();
	scribble("bulkwatch.db", 16, 2);
	expect_refused_untouched(ERR_CORRUPT);
}
END_TEST

START_TEST(damage_is_found_beside_a_log)
{
	make_database();
	exec_into_wal("UPDATE meta SET is_clean = 0");
	scribble("bulkwatch.db", 10 * 4096, 512);
	expect_refused_untouched(ERR_CORRUPT);
}
END_TEST

START_TEST(cut_file_is_found)
{
	make_database();
	ck_assert_int_eq(truncate(path("bulkwatch.db"), 20 * 4096), 0);
	expect_refused_untouched(ERR_CORRUPT);
	ck_assert_int_eq(truncate(path("bulkwatch.db"), 4096), 0);
	expect_refused_untouched(ERR_CORRUPT);
	scribble("bulkwatch.db-wal", 0, 100);
	ck_assert_int_eq(truncate(path("bulkwatch.db"), 0), 0);
	expect_refused_untouched(ERR_CORRUPT);
	ck_assert_int_eq(unlink(path("bulkwatch.db")), 0);
	expect_refused_untouched(ERR_CORRUPT);
	ck_assert(!is_there("bulkwatch.db"));
}
END_TEST

START_TEST(emptied_file_is_no_new_one)
{
	make_database();
	ck_assert(is_there("bulkwatch.ballast"));
	ck_assert_int_eq(truncate(path("bulkwatch.db"), 0), 0);
	expect_refused_untouched(ERR_CORRUPT);
}
END_TEST

/* What the log alone held would be gone without a word. */
START_TEST(log_without_its_header_is_found)
{
	static const char nothing[32];
	int fd;

	make_database();
	exec_into_wal("UPDATE meta SET is_clean = 0");
	fd = open(path("bulkwatch.db-wal"), O_WRONLY);
	ck_assert_int_eq(pwrite(fd, nothing, sizeof(nothing), 0), (ssize_t)sizeof(nothing));
	close(fd);
	expect_refused_untouched(ERR_CORRUPT);
}
END_TEST

START_TEST(contradicting_rows_are_found)
{
	static const char *const damages[] = {
	        "DROP TABLE small_value",
	        "DROP TABLE meta",
	        "DELETE FROM meta",
	        "UPDATE meta SET last_seq = 5",
	        "UPDATE meta SET last_job_key = 5",
	        /* An index that misses a row, and a row that refers to none: after a kill only. */
	        "UPDATE meta SET is_clean = 0; PRAGMA foreign_keys = OFF; DELETE FROM job WHERE "
	        "key = 1",
	        "UPDATE meta SET is_clean = 0; PRAGMA writable_schema = ON;"
	        "UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema "
	        "WHERE name = 'event_of_no_job') WHERE name = 'event_of_job'",
	};

	for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
		make_database();
		storekit_exec(dir, damages[i]);
		expect_refused_untouched(ERR_CORRUPT);
		ck_assert_int_eq(unlink(path("bulkwatch.db")), 0);
	}
}
END_TEST

/* What the checks of the start do not look for is found by who reads it, and ends the run. */
START_TEST(damage_is_found_in_use)
{
	struct storekit_count count = {0};
	struct store *store;

	make_database();
	storekit_exec(dir, "DELETE FROM name");
	store = storekit_open(dir);
	ck_assert_int_eq(store_jobs_each_watched(store, storekit_count_job, &count), ERR_CORRUPT);
	ck_assert_int_eq(count.n, 0);
	ck_assert_int_eq(store_value_put(store, "a", "b"), ERR_CORRUPT);
	ck_assert_int_eq(store_commit(store), ERR_CORRUPT);
	ck_assert_int_eq(store_heartbeat(store), ERR_CORRUPT);
	store_close(store);
}
END_TEST

/* A long history is not read at the start; what decisions are taken from is. */
START_TEST(check_follows_the_size)
{
	static const int64_t sizes[] = {0, INT64_C(300) << 20, INT64_C(2000) << 20};
	struct store *store;
	struct buf words = {0};

	make_database();
	store = storekit_open(dir);
	for (size_t i = 0; i < 3; i++) {
		store->size_at_open = sizes[i];
		ck_assert_int_eq(store_check(store, &words), 0);
		ck_assert(store->was_clean);
	}
	ck_assert_int_eq(store_value_put(store, "a", "b"), 0);
	ck_assert_int_eq(store_commit(store), 0);
	for (size_t i = 0; i < 3; i++) {
		store->size_at_open = sizes[i];
		ck_assert_int_eq(store_check(store, &words), 0);
		ck_assert(!store->was_clean);
	}
	ck_assert_uint_eq(words.len, 0);
	store_close(store);
}
END_TEST

/* Beyond a GiB, and after a kill: of what decisions are taken from damage is found at the start, of
 * the long history by who reads it. */
static void damage_large(const char *table)
{
	cleanup(mem_free_p) char *sql =
	        mem_printf("SELECT rootpage FROM sqlite_schema WHERE name = '%s'", table);
	char *page;

	make_database();
	storekit_exec(dir, "UPDATE meta SET is_clean = 0");
	page = storekit_query(dir, sql);
	scribble("bulkwatch.db", (atoi(page) - 1) * 4096, 512);
	free(page);
	/* It has no blocks. */
	ck_assert_int_eq(truncate(path("bulkwatch.db"), INT64_C(1100) << 20), 0);
}

static int no_document(void *arg, const struct job_document *document)
{
	(void)arg, (void)document;
	return 99;
}

START_TEST(damage_is_found_in_a_large_file)
{
	struct storekit_count count = {0};
	struct store *store;

	damage_large("job");
	storekit_refused(dir, ERR_CORRUPT);
	ck_assert_int_eq(unlink(path("bulkwatch.db")), 0);
	damage_large("document");
	store = storekit_open(dir);
	ck_assert_int_eq(store_jobs_each_watched(store, storekit_count_job, &count), 0);
	ck_assert_int_eq(count.n, 2000);
	ck_assert_int_eq(store_job_document_get(store, 1, no_document, NULL), ERR_CORRUPT);
	store_close(store);
}
END_TEST

/* ---- the lock ---- */

START_TEST(second_instance_is_refused)
{
	/* Static, so that the other process has it too: memcheck looks at both. */
	static struct store *store;
	int status;
	pid_t pid;

	store = storekit_open(dir);
	storekit_refused(dir, ERR_LOCKED);
	pid = fork();
	if (pid == 0) {
		struct store *other;
		struct buf words = {0};
		int r = store_open(dir, &other, &words);

		_exit(r == ERR_LOCKED && strstr(buf_str(&words), "process") ? 0 : 1);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	store_close(store);
	ck_assert(is_there("bulkwatch.lock"));
	store_close(storekit_open(dir));
}
END_TEST

/* The number of one that is gone would mislead; it stands there until the next start is through. */
START_TEST(no_dead_process_is_named)
{
	struct store *store = storekit_open(dir), *other;
	struct buf words = {0};

	write_lock("4194305\n");
	ck_assert_int_eq(store_open(dir, &other, &words), ERR_LOCKED);
	ck_assert_ptr_nonnull(strstr(buf_str(&words), "another instance holds"));
	ck_assert_ptr_null(strstr(buf_str(&words), "process"));
	buf_deinit(&words);
	store_close(store);
}
END_TEST

/* No program reads or copies through SQLite while the daemon runs, nor the other way round. */
START_TEST(other_programs_are_kept_out)
{
	struct store *store = storekit_open(dir);
	char copy[STOREKIT_PATH_SIZE + 32];
	sqlite3 *db;

	ck_assert_int_eq(sqlite3_open(path("bulkwatch.db"), &db), SQLITE_OK);
	ck_assert_int_eq(
	        sqlite3_exec(db, "SELECT count(*) FROM jobs", NULL, NULL, NULL), SQLITE_BUSY);
	snprintf(copy, sizeof(copy), "VACUUM INTO '%s/copy'", dir);
	ck_assert_int_eq(sqlite3_exec(db, copy, NULL, NULL, NULL), SQLITE_BUSY);
	store_close(store);
	ck_assert_int_eq(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	storekit_refused(dir, ERR_LOCKED);
	ck_assert_int_eq(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	store_close(storekit_open(dir));
}
END_TEST

/* ---- ends ---- */

/* A child that commits one event and dies without closing anything. */
static void run_and_die(void)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		struct store *store = storekit_open(dir);

		storekit_event(store, EVENT_ACCOUNT_PAUSED, 0, NULL, NULL);
		ck_assert_int_eq(store_commit(store), 0);
		storekit_event(store, EVENT_ACCOUNT_RESUMED, 0, NULL, NULL);
		raise(SIGKILL);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status));
}

START_TEST(kill_is_told_from_a_clean_end)
{
	struct store *store;

	run_and_die();
	store = storekit_open(dir);
	ck_assert(!store_was_clean(store));
	ck_assert_int_eq(store_last_seq(store), 1);
	/* A run that wrote nothing still ends cleanly. */
	store_close(store);
	store = storekit_open(dir);
	ck_assert(store_was_clean(store));
	store_close(store);
	run_and_die();
	run_and_die();
	store = storekit_open(dir);
	ck_assert(!store_was_clean(store));
	ck_assert_int_eq(store_last_seq(store), 3);
	store_close(store);
}
END_TEST

/* ---- migrations ---- */

static const struct store_migration two_steps[] = {
        {1, "SELECT must_not_run"},
        {2, "CREATE TABLE later (x INTEGER) STRICT; INSERT INTO later VALUES (17);"},
        {3, "ALTER TABLE later ADD COLUMN y INTEGER"},
};
static const struct store_migration bad_step[] = {
        {1, "SELECT must_not_run"},
        {2, "CREATE TABLE later (x INTEGER) STRICT; INSERT INTO nowhere VALUES (17);"},
};

static void expect_not_migrated(const struct store_migration *list, size_t n, int error)
{
	struct buf words = {0};
	struct store *store;
	char *answer;

	ck_assert_int_eq(store_open_with(list, n, dir, &store, &words), error);
	ck_assert_ptr_null(store);
	ck_assert_uint_gt(words.len, 0);
	buf_deinit(&words);
	answer = storekit_query(dir, "SELECT user_version, (SELECT count(*) FROM sqlite_schema "
	                             "WHERE name = 'later') FROM pragma_user_version");
	ck_assert_str_eq(answer, "1|0");
	free(answer);
}

START_TEST(migration_copies_first)
{
	struct buf words = {0};
	struct store *store;
	char *answer;

	make_database();
	ck_assert_int_eq(mkdir(path("bulkwatch.db.v1"), 0700), 0);
	expect_not_migrated(two_steps, 3, -EISDIR);
	ck_assert_int_eq(rmdir(path("bulkwatch.db.v1")), 0);
	expect_not_migrated(bad_step, 2, ERR_IO);
	ck_assert(is_there("bulkwatch.db.v1"));
	/* The copy may be made again; once all is done nothing is. */
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(store_open_with(two_steps, 3, dir, &store, &words), 0);
		ck_assert_int_eq(store_last_seq(store), 2000);
		store_close(store);
	}
	ck_assert_uint_eq(words.len, 0);
	ck_assert(!is_there("bulkwatch.db.v3"));
	answer = storekit_query(dir, "SELECT x, y, user_version FROM later, pragma_user_version");
	ck_assert_str_eq(answer, "17|NULL|3");
	free(answer);
	storekit_refused(dir, ERR_NEWER);
	ck_assert_int_eq(rename(path("bulkwatch.db.v1"), path("bulkwatch.db")), 0);
	store = storekit_open(dir);
	ck_assert_int_eq(store_last_seq(store), 2000);
	store_close(store);
}
END_TEST

START_TEST(nothing_to_migrate_copies_nothing)
{
	make_database();
	store_close(storekit_open(dir));
	ck_assert(!is_there("bulkwatch.db.v0"));
	ck_assert(!is_there("bulkwatch.db.v1"));
}
END_TEST

static Suite *store_open_suite(void)
{
	Suite *suite = suite_create("store_open");
	TCase *opening = tcase_create("opening");

	tcase_add_checked_fixture(opening, setup, teardown);
	tcase_set_timeout(opening, 60);
	tcase_add_test(opening, new_database_is_private);
	tcase_add_test(opening, clean_start_and_end_write_nothing);
	tcase_add_test(opening, file_of_no_bytes_is_a_new_database);
	tcase_add_test(opening, directory_must_be_there);
	tcase_add_test(opening, not_a_database_is_refused);
	tcase_add_test(opening, foreign_database_is_refused);
	tcase_add_test(opening, newer_database_is_refused);
	tcase_add_test(opening, damage_is_found);
	tcase_add_test(opening, damage_is_found_beside_a_log);
	tcase_add_test(opening, cut_file_is_found);
	tcase_add_test(opening, emptied_file_is_no_new_one);
	tcase_add_test(opening, log_without_its_header_is_found);
	tcase_add_test(opening, contradicting_rows_are_found);
	tcase_add_test(opening, damage_is_found_in_use);
	tcase_add_test(opening, check_follows_the_size);
	tcase_add_test(opening, damage_is_found_in_a_large_file);
	tcase_add_test(opening, second_instance_is_refused);
	tcase_add_test(opening, no_dead_process_is_named);
	tcase_add_test(opening, other_programs_are_kept_out);
	tcase_add_test(opening, kill_is_told_from_a_clean_end);
	tcase_add_test(opening, migration_copies_first);
	tcase_add_test(opening, nothing_to_migrate_copies_nothing);
	suite_add_tcase(suite, opening);
	return suite;
}

int main(void)
{
	SRunner *runner = srunner_create(store_open_suite());
	int n_failed;

	srunner_run_all(runner, CK_ENV);
	n_failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return n_failed == 0 ? 0 : 1;
}
