/*
 * The state directory as others leave it: files that are removed, replaced, cut short, or no files;
 * what may not be written; a ballast that is none; starts that were cut off.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/private.h"
#include "storekit.h"
#include "util/err.h"
#include "util/mem.h"

enum { NOBODY = 65534, SOMEBODY = 65533 };

int __real_fsync(int fd);
int __wrap_fsync(int fd);

static char dir[STOREKIT_PATH_SIZE];
static int n_dir_syncs;    /* the store's own; SQLite makes others */
static int dir_sync_error; /* what they come to; 0 = they are made */

int __wrap_fsync(int fd)
{
	struct stat st;

	ck_assert_int_eq(fstat(fd, &st), 0);
	if (!S_ISDIR(st.st_mode))
		return __real_fsync(fd);
	n_dir_syncs++;
	errno = dir_sync_error;
	return dir_sync_error ? -1 : __real_fsync(fd);
}

/* Where another user may go, too, wherever TMPDIR is. */
static void setup(void)
{
	unsetenv("TMPDIR");
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

static bool is_there(const char *name)
{
	return access(path(name), F_OK) == 0;
}

static void write_file(const char *name, const void *bytes, size_t n)
{
	int fd = open(path(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, bytes, n), (ssize_t)n);
	close(fd);
}

/* A database of one job, ended cleanly. */
static void make_database(void)
{
	struct store *store = storekit_open(dir);

	storekit_event(store, EVENT_JOB_ADDED, storekit_job_put(store, "acme", "1"), NULL, "ADDED");
	ck_assert_int_eq(store_commit(store), 0);
	store_close(store);
}

static void expect_words(int error, const char *expected)
{
	struct buf words = {0};
	struct store *store;
	int r = store_open(dir, &store, &words);

	ck_assert_msg(r == error, "%d instead of %d: %s", r, error, buf_str(&words));
	ck_assert_msg(
	        strstr(buf_str(&words), expected), "no \"%s\": %s", expected, buf_str(&words));
	buf_deinit(&words);
	store_close(store);
}

/* ---- while the database is open ---- */

START_TEST(a_removed_file_is_missed)
{
	struct store *store = storekit_open(dir);

	ck_assert(store_file_is_there(store));
	ck_assert_int_gt(store_size(store), 0);
	ck_assert_int_eq(unlink(path("bulkwatch.db")), 0);
	ck_assert(!store_file_is_there(store));
	unlink(path("bulkwatch.db-wal"));
	ck_assert_int_eq(store_size(store), 0);
	/* All goes on as it did. */
	storekit_event(store, EVENT_ACCOUNT_PAUSED, 0, NULL, NULL);
	ck_assert_int_eq(store_commit(store), 0);
	ck_assert_int_eq(store_heartbeat(store), 0);
	/* A backup saves it. */
	ck_assert_int_eq(store_copy(store, path("bulkwatch.db")), 0);
	ck_assert(!store_file_is_there(store));
	store_close(store);
	store = storekit_open(dir);
	ck_assert_int_eq(store_last_seq(store), 1);
	store_close(store);
}
END_TEST

/* ---- no files ---- */

static void expect_no_log(void)
{
	expect_words(ERR_FOREIGN, "bulkwatch.db-wal is not a file");
}

START_TEST(a_log_must_be_a_file)
{
	make_database();
	ck_assert_int_eq(mkdir(path("bulkwatch.db-wal"), 0700), 0);
	expect_no_log();
	ck_assert_int_eq(rmdir(path("bulkwatch.db-wal")), 0);
	ck_assert_int_eq(symlink("elsewhere", path("bulkwatch.db-wal")), 0);
	expect_no_log();
	ck_assert(!is_there("elsewhere"));
	ck_assert_int_eq(unlink(path("bulkwatch.db-wal")), 0);
	ck_assert_int_eq(mkfifo(path("bulkwatch.db-wal"), 0600), 0);
	expect_no_log();
	ck_assert_int_eq(unlink(path("bulkwatch.db-wal")), 0);
	store_close(storekit_open(dir));
}
END_TEST

/* ---- what may not be written or read ---- */

static void become(uid_t uid)
{
	if (getuid() == 0)
		ck_assert_int_eq(seteuid(uid), 0);
}

/* As if another user had run it once: root may do everything. */
static void give_away(void)
{
	static const char *const names[] = {"", STORE_DB_NAME, STORE_LOCK_NAME, STORE_BALLAST_NAME};

	for (size_t i = 0; getuid() == 0 && i < ARRAY_LEN(names); i++)
		ck_assert_int_eq(chown(path(names[i]), NOBODY, NOBODY), 0);
}

START_TEST(what_may_not_be_written_is_refused)
{
	uint64_t before;

	make_database();
	give_away();
	before = storekit_hash(path(STORE_DB_NAME));
	become(NOBODY);
	ck_assert_int_eq(chmod(dir, 0500), 0);
	storekit_refused(dir, -EACCES);
	ck_assert_int_eq(chmod(dir, 0700), 0);
	ck_assert_int_eq(chmod(path(STORE_DB_NAME), 0400), 0);
	storekit_refused(dir, -EACCES);
	ck_assert_int_eq(chmod(path(STORE_DB_NAME), 0600), 0);
	ck_assert_int_eq(chmod(path(STORE_LOCK_NAME), 0400), 0);
	storekit_refused(dir, -EACCES);
	ck_assert_int_eq(chmod(path(STORE_LOCK_NAME), 0600), 0);
	ck_assert(storekit_hash(path(STORE_DB_NAME)) == before);
	ck_assert(!is_there("bulkwatch.db-wal"));
	store_close(storekit_open(dir));
	become(0);
}
END_TEST

/* Whoever has to mend it is told, and no service manager tries for ever. */
START_TEST(a_log_that_may_not_be_read_is_refused)
{
	char log[64] = "";

	make_database();
	write_file("bulkwatch.db-wal", log, sizeof(log));
	give_away();
	if (getuid() != 0)
		ck_assert_int_eq(chmod(path("bulkwatch.db-wal"), 0), 0);
	become(NOBODY);
	expect_words(-EACCES, "bulkwatch.db-wal: ");
	become(0);
	ck_assert_int_eq(unlink(path("bulkwatch.db-wal")), 0);
}
END_TEST

/* Another user's process may not be signalled: it is there all the same. */
START_TEST(the_holder_is_named_whoever_it_belongs_to)
{
	struct store *store = storekit_open(dir);
	pid_t pid = getuid() == 0 ? fork() : 1;
	char expected[32], text[32];

	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		if (setresuid(NOBODY, NOBODY, NOBODY) != 0)
			_exit(1);
		for (;;)
			pause();
	}
	/* Until it belongs to the other. */
	become(SOMEBODY);
	while (pid > 1 && kill(pid, 0) == 0)
		sched_yield();
	become(0);
	snprintf(text, sizeof(text), "%d\n", (int)pid);
	write_file(STORE_LOCK_NAME, text, strlen(text));
	ck_assert_int_eq(chmod(path(STORE_LOCK_NAME), 0666), 0);
	ck_assert_int_eq(chmod(dir, 0755), 0);
	snprintf(expected, sizeof(expected), ", process %d", (int)pid);
	become(SOMEBODY);
	expect_words(ERR_LOCKED, expected);
	become(0);
	if (pid > 1) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	store_close(store);
}
END_TEST

/* ---- the ballast ---- */

START_TEST(a_ballast_without_blocks_is_filled)
{
	struct stat st;

	make_database();
	ck_assert_int_eq(truncate(path(STORE_BALLAST_NAME), 0), 0);
	ck_assert_int_eq(truncate(path(STORE_BALLAST_NAME), STORE_BALLAST_BYTES), 0);
	store_close(storekit_open(dir));
	ck_assert_int_eq(stat(path(STORE_BALLAST_NAME), &st), 0);
	ck_assert_int_ge((int64_t)st.st_blocks * 512, STORE_BALLAST_BYTES);
}
END_TEST

/* No room for it is a warning. */
START_TEST(no_room_for_a_ballast_is_told)
{
	struct rlimit limit, before;
	void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);

	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
	limit = before;
	limit.rlim_cur = STORE_BALLAST_BYTES / 2;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	expect_words(0, "no room");
	ck_assert(!is_there(STORE_BALLAST_NAME));
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
	signal(SIGXFSZ, handler);
	store_close(storekit_open(dir));
	ck_assert(is_there(STORE_BALLAST_NAME));
}
END_TEST

/* ---- starts that were cut off, and what only looks so ---- */

/* Begins a transaction that a kill cuts off: its journal stands beside the file. */
static void leave_journal(void)
{
	pid_t pid = fork();
	int status;

	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		sqlite3 *db;

		if (sqlite3_open(path(STORE_DB_NAME), &db) == SQLITE_OK)
			sqlite3_exec(db, "PRAGMA synchronous = OFF; BEGIN; CREATE TABLE t (x)",
			        NULL, NULL, NULL);
		raise(SIGKILL);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_uint_ne(storekit_hash(path("bulkwatch.db-journal")), 0);
}

START_TEST(a_start_that_was_cut_off_is_begun_again)
{
	struct store *store;

	/* A file of one page. */
	storekit_exec(dir, "PRAGMA user_version = 0");
	leave_journal();
	store = storekit_open(dir);
	ck_assert_int_eq(store_last_seq(store), 0);
	store_close(store);
	ck_assert(!is_there("bulkwatch.db-journal"));
}
END_TEST

/* A name is on disk with its directory alone (fsync(2)): without it a power cut takes the file. */
START_TEST(the_name_of_a_new_database_is_synced)
{
	n_dir_syncs = 0;
	dir_sync_error = EIO;
	expect_words(ERR_IO, "I/O error");
	ck_assert_int_eq(n_dir_syncs, 1);
	dir_sync_error = 0;
	make_database();
	ck_assert_int_eq(n_dir_syncs, 2);
}
END_TEST

START_TEST(anothers_journal_is_left)
{
	uint64_t before, journal;

	storekit_exec(dir, "CREATE TABLE theirs (x)");
	leave_journal();
	before = storekit_hash(path(STORE_DB_NAME));
	journal = storekit_hash(path("bulkwatch.db-journal"));
	storekit_refused(dir, ERR_FOREIGN);
	ck_assert(storekit_hash(path(STORE_DB_NAME)) == before);
	ck_assert(storekit_hash(path("bulkwatch.db-journal")) == journal);
	/* Without one it is looked into. */
	storekit_exec(dir, "DROP TABLE theirs; PRAGMA user_version = 1");
	storekit_refused(dir, ERR_FOREIGN);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("store dir");
	TCase *tcase = tcase_create("dir");

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, a_removed_file_is_missed);
	tcase_add_test(tcase, a_log_must_be_a_file);
	tcase_add_test(tcase, what_may_not_be_written_is_refused);
	tcase_add_test(tcase, a_log_that_may_not_be_read_is_refused);
	tcase_add_test(tcase, the_holder_is_named_whoever_it_belongs_to);
	tcase_add_test(tcase, a_ballast_without_blocks_is_filled);
	tcase_add_test(tcase, no_room_for_a_ballast_is_told);
	tcase_add_test(tcase, a_start_that_was_cut_off_is_begun_again);
	tcase_add_test(tcase, the_name_of_a_new_database_is_synced);
	tcase_add_test(tcase, anothers_journal_is_left);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);

	srunner_run_all(runner, CK_ENV);
	int n_failed = srunner_ntests_failed(runner);

	srunner_free(runner);
	return n_failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
