/*
 * Copies of a database in use: whole, with what was committed between two slices, without what was
 * rolled back; given up half-way; and what a full disk or an I/O error of the copy does to the
 * store, which is nothing.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "faultvfs.h"
#include "store/private.h"
#include "storekit.h"
#include "util/err.h"
#include "util/mem.h"

enum { N_JOBS = 2000, SLICE_PAGES = 4 };

static char dir[STOREKIT_PATH_SIZE], copy[STOREKIT_PATH_SIZE + 8];
static struct store *store;

/* What was done in turn: f, a file was synced; d, a directory; r, something got its name. */
static char steps[64];
static size_t n_steps;

static void note(char step)
{
	if (n_steps < sizeof(steps) - 1)
		steps[n_steps++] = step;
}

int __real_fsync(int fd);
int __real_rename(const char *from, const char *to);
int __wrap_fsync(int fd);
int __wrap_rename(const char *from, const char *to);

int __wrap_fsync(int fd)
{
	struct stat st;

	ck_assert_int_eq(fstat(fd, &st), 0);
	note(S_ISDIR(st.st_mode) ? 'd' : 'f');
	return __real_fsync(fd);
}

int __wrap_rename(const char *from, const char *to)
{
	note('r');
	return __real_rename(from, to);
}

static void write_jobs(int from, int n)
{
	char id[32];

	for (int i = from; i < from + n; i++) {
		int64_t key;

		snprintf(id, sizeof(id), "%d", 1000 + i);
		key = storekit_job_put(store, "acme", id);
		storekit_event(store, EVENT_JOB_ADDED, key, NULL, "ADDED");
	}
}

static void setup(void)
{
	faultvfs_install();
	storekit_dir_make(dir);
	snprintf(copy, sizeof(copy), "%s/copy", dir);
	store = storekit_open(dir);
	write_jobs(0, N_JOBS);
	ck_assert_int_eq(store_commit(store), 0);
}

static void teardown(void)
{
	faultvfs_heal();
	store_close(store);
	storekit_dir_remove(dir);
	faultvfs_remove();
}

static struct store_backup *begin(void)
{
	struct store_backup *backup;

	ck_assert_int_eq(store_backup_begin(store, copy, &backup), 0);
	return backup;
}

/* How many slices it took; 0 is its last answer. */
static int finish(struct store_backup *backup)
{
	int n = 0, r;

	do {
		r = store_backup_step(backup, SLICE_PAGES);
		n++;
	} while (r == 1);
	ck_assert_int_eq(r, 0);
	ck_assert_int_eq(store_backup_step(backup, SLICE_PAGES), 0);
	store_backup_free(backup);
	return n;
}

/* The copy becomes the database of the store, under a name that it keeps; the query is put to it.
 */
static void expect_copy(const char *sql, const char *answer)
{
	char instance[17];
	char *got;
	int64_t last_seq = store_last_seq(store);

	memcpy(instance, store_instance(store), sizeof(instance));
	store_close(store);
	/* With a WAL beside it the file would not be all of it. */
	ck_assert_int_ne(access(storekit_path(dir, "copy-wal"), F_OK), 0);
	ck_assert_int_eq(rename(copy, storekit_path(dir, "bulkwatch.db")), 0);
	got = storekit_query(dir, "SELECT journal_mode, integrity_check FROM pragma_journal_mode, "
	                          "pragma_integrity_check");
	ck_assert_str_eq(got, "delete|ok");
	free(got);
	got = storekit_query(dir, sql);
	ck_assert_str_eq(got, answer);
	free(got);
	store = storekit_open(dir);
	ck_assert_uint_eq(strspn(store_instance(store), "0123456789abcdef"), 16);
	ck_assert_str_ne(store_instance(store), instance);
	ck_assert_int_eq(store_last_seq(store), last_seq);
	memcpy(instance, store_instance(store), sizeof(instance));
	store_close(store);
	store = storekit_open(dir);
	ck_assert_str_eq(store_instance(store), instance);
}

START_TEST(copy_is_a_whole_database)
{
	struct store_backup *backup = begin(), *second;
	struct stat st;

	ck_assert_int_eq(store_backup_begin(store, copy, &second), -EEXIST);
	ck_assert_ptr_null(second);
	ck_assert_int_eq(
	        store_backup_begin(store, storekit_path(dir, "gone/copy"), &second), -ENOENT);
	ck_assert_int_eq(stat(copy, &st), 0);
	ck_assert_int_eq(st.st_mode & 07777, 0600);
	ck_assert_int_ge(finish(backup), 20);
	expect_copy("SELECT count(*), (SELECT count(*) FROM transitions) FROM jobs", "2000|2000");
}
END_TEST

START_TEST(commits_in_between_are_carried_over)
{
	struct store_backup *backup = begin();
	int n = 0, n_added = 0, r;

	while ((r = store_backup_step(backup, SLICE_PAGES)) == 1) {
		n++;
		if (n_added == 10 * N_JOBS / 40)
			continue;
		write_jobs(N_JOBS + n_added, 10);
		/* In the middle of a transaction nothing is copied. */
		ck_assert_int_eq(store_backup_step(backup, INT32_MAX), 1);
		ck_assert_int_eq(store_commit(store), 0);
		n_added += 10;
		write_jobs(9 * N_JOBS, 3);
		store_rollback(store);
		if (n % 7 == 0)
			ck_assert_int_eq(store_checkpoint(store, true), 0);
	}
	ck_assert_int_eq(r, 0);
	ck_assert_int_eq(n_added, N_JOBS / 4);
	store_backup_free(backup);
	expect_copy("SELECT count(*), max(seq) FROM transitions", "2500|2500");
}
END_TEST

/* Beyond the page cache a transaction writes before it commits: into the copy, too. */
START_TEST(a_spilled_rollback_is_not_in_the_copy)
{
	struct store_backup *backup = begin();

	ck_assert_int_eq(store_exec(store, "PRAGMA cache_size = 20"), 0);
	ck_assert_int_eq(store_backup_step(backup, 60), 1);
	write_jobs(N_JOBS, 3000);
	store_rollback(store);
	write_jobs(N_JOBS, 1);
	ck_assert_int_eq(store_commit(store), 0);
	finish(backup);
	expect_copy("SELECT count(*), max(seq) FROM transitions", "2001|2001");
}
END_TEST

START_TEST(one_that_is_given_up_leaves_the_store_as_it_was)
{
	struct store_backup *backup = begin();

	ck_assert_int_eq(store_backup_step(backup, SLICE_PAGES), 1);
	store_backup_free(backup);
	ck_assert_int_eq(unlink(copy), 0);
	ck_assert_ptr_null(store_backup_free(NULL));
	write_jobs(N_JOBS, 10);
	ck_assert_int_eq(store_commit(store), 0);
	finish(begin());
	expect_copy("SELECT count(*) FROM transitions", "2010");
}
END_TEST

/* Unlinked after its beginning, as the daemon does, it is read by its descriptor. */
START_TEST(the_descriptor_holds_the_copy)
{
	struct store_backup *backup = begin();
	char head[20];
	int fd, r;

	ck_assert_int_eq(unlink(copy), 0);
	do {
		r = store_backup_step(backup, SLICE_PAGES);
	} while (r == 1);
	ck_assert_int_eq(r, 0);
	fd = store_backup_take_fd(backup);
	store_backup_free(backup);
	ck_assert_int_eq(pread(fd, head, sizeof(head), 0), sizeof(head));
	ck_assert_int_eq(memcmp(head, "SQLite format 3", 16), 0);
	ck_assert_int_eq(lseek(fd, 0, SEEK_END) % 4096, 0);
	ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	close(fd);
}
END_TEST

static void fail_at(int64_t nth, enum faultvfs_kind kind, int error)
{
	struct store_backup *backup = begin();
	int r;

	faultvfs_fail(FAULTVFS_WRITE, nth, kind, true);
	do {
		r = store_backup_step(backup, SLICE_PAGES);
	} while (r == 1);
	ck_assert(faultvfs_has_fired());
	ck_assert_int_eq(r, error);
	ck_assert_int_eq(store_backup_step(backup, SLICE_PAGES), error);
	faultvfs_heal();
	store_backup_free(backup);
	ck_assert_int_eq(unlink(copy), 0);
}

START_TEST(its_faults_are_not_the_stores)
{
	fail_at(1, FAULTVFS_ENOSPC, ERR_FULL);
	fail_at(5, FAULTVFS_SHORT, ERR_FULL);
	fail_at(2, FAULTVFS_EDQUOT, ERR_FULL);
	fail_at(3, FAULTVFS_EIO, ERR_IO);
	ck_assert_int_eq(access(storekit_path(dir, STORE_BALLAST_NAME), F_OK), 0);
	write_jobs(N_JOBS, 1);
	ck_assert_int_eq(store_commit(store), 0);
	finish(begin());
	expect_copy("SELECT count(*) FROM transitions", "2001");
}
END_TEST

/* ---- a copy in one go ---- */

/* By another name first: one that an earlier process of our number left is replaced, a directory is
 * not. */
START_TEST(what_stands_in_the_way_of_a_copy)
{
	cleanup(mem_free_p) char *temporary = mem_printf("%s.%d.tmp", copy, (int)getpid());
	cleanup(mem_free_p) char *nowhere = mem_printf("%s/nowhere/copy", dir);

	ck_assert_int_eq(store_copy(store, nowhere), -ENOENT);
	close(open(temporary, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	ck_assert_int_eq(store_copy(store, copy), 0);
	expect_copy("SELECT count(*) FROM transitions", "2000");
	ck_assert_int_ne(access(temporary, F_OK), 0);
	ck_assert_int_eq(mkdir(temporary, 0700), 0);
	ck_assert_int_eq(store_copy(store, copy), -EEXIST);
	ck_assert_int_eq(rmdir(temporary), 0);
	ck_assert_int_eq(mkdir(copy, 0700), 0);
	ck_assert_int_eq(store_copy(store, copy), -EISDIR);
	ck_assert_int_ne(access(temporary, F_OK), 0);
	ck_assert_int_eq(rmdir(copy), 0);
	write_jobs(N_JOBS, 1);
	ck_assert_int_eq(store_copy(store, copy), -EBUSY);
	store_rollback(store);
}
END_TEST

/* What stood there stays until all of the new one is on disk. */
START_TEST(a_copy_that_fails_replaces_nothing)
{
	cleanup(mem_free_p) char *temporary = mem_printf("%s.%d.tmp", copy, (int)getpid());
	cleanup(mem_free_p) char *value = mem_new((2 << 20) + 1, 1);
	uint64_t before;

	ck_assert_int_eq(store_copy(store, copy), 0);
	before = storekit_hash(copy);
	memset(value, 'x', 2 << 20);
	ck_assert_int_eq(store_value_put(store, "big", value), 0);
	ck_assert_int_eq(store_commit(store), 0);
	faultvfs_fail(FAULTVFS_WRITE, 300, FAULTVFS_ENOSPC, true);
	ck_assert_int_eq(store_copy(store, copy), ERR_FULL);
	ck_assert(faultvfs_has_fired());
	faultvfs_fail(FAULTVFS_OPEN, 1, FAULTVFS_EMFILE, true);
	ck_assert_int_eq(store_copy(store, copy), ERR_IO);
	faultvfs_heal();
	ck_assert(storekit_hash(copy) == before);
	ck_assert_int_ne(access(temporary, F_OK), 0);
	ck_assert_int_eq(store_copy(store, copy), 0);
	expect_copy("SELECT count(*), (SELECT length(value) FROM small_value) FROM transitions",
	        "2000|2097152");
}
END_TEST

/* A power cut leaves the old one or the new one, and a migration begins after that. */
START_TEST(a_copy_is_synced_before_and_after_it_has_its_name)
{
	n_steps = 0;
	ck_assert_int_eq(store_copy(store, copy), 0);
	steps[n_steps] = '\0';
	ck_assert_str_eq(steps, "frd");
}
END_TEST

static Suite *store_backup_suite(void)
{
	Suite *suite = suite_create("store_backup");
	TCase *copies = tcase_create("copies");

	tcase_set_timeout(copies, 60);
	tcase_add_checked_fixture(copies, setup, teardown);
	tcase_add_test(copies, copy_is_a_whole_database);
	tcase_add_test(copies, commits_in_between_are_carried_over);
	tcase_add_test(copies, a_spilled_rollback_is_not_in_the_copy);
	tcase_add_test(copies, one_that_is_given_up_leaves_the_store_as_it_was);
	tcase_add_test(copies, the_descriptor_holds_the_copy);
	tcase_add_test(copies, its_faults_are_not_the_stores);
	tcase_add_test(copies, what_stands_in_the_way_of_a_copy);
	tcase_add_test(copies, a_copy_that_fails_replaces_nothing);
	tcase_add_test(copies, a_copy_is_synced_before_and_after_it_has_its_name);
	suite_add_tcase(suite, copies);
	return suite;
}

int main(void)
{
	SRunner *runner = srunner_create(store_backup_suite());
	int n_failed;

	srunner_run_all(runner, CK_ENV);
	n_failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return n_failed == 0 ? 0 : 1;
}
