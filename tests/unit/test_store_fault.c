/*
 * What was acknowledged is there afterwards, whole: with any one operation on the disk failing, at
 * a power cut, at a kill. Each harness also runs on a planted fault, and must then find losses.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "faultvfs.h"
#include "storekit.h"
#include "util/err.h"
#include "util/rng.h"

static char dir[STOREKIT_PATH_SIZE];

static void setup(void)
{
	storekit_dir_make(dir);
	faultvfs_install();
}

static void teardown(void)
{
	faultvfs_remove();
	storekit_dir_remove(dir);
}

/* The ballast stays: making it anew for each of a thousand runs is what would take the time. */
static void empty_dir(void)
{
	static const char *const names[] = {
	        "bulkwatch.db", "bulkwatch.db-wal", "bulkwatch.db-journal"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unlink(storekit_path(dir, names[i]));
}

/*
 * One transaction as the daemon makes them: a job, its event, its delivery. The event's data says
 * its seq, so that a row cannot be taken for another.
 */
static int write_one(struct store *store, int64_t number, size_t n_padding)
{
	char id[24], data[8192];
	struct store_job job;
	struct store_event event = {
	        .type = EVENT_JOB_ADDED, .account = "acme", .to_state = "ADDED", .data = data};
	struct store_delivery delivery = {.hook = "load"};
	int r;

	snprintf(id, sizeof(id), "%lld", (long long)number);
	snprintf(data, sizeof(data), "%lld %0*d", (long long)number, (int)n_padding, 0);
	job = storekit_job("acme", id);
	r = store_job_put(store, &job);
	if (r != 0)
		return r;
	event.job_key = job.key;
	event.job_id = id;
	r = store_event_append(store, &event);
	if (r != 0)
		return r;
	delivery.event_seq = event.seq;
	return store_delivery_add(store, &delivery);
}

/* ---- after it ---- */

static int check_event(void *arg, const struct store_event *event)
{
	int64_t *expected = arg;

	return event->seq == *expected && strtoll(event->data, NULL, 10) == event->seq &&
	                       event->job_key != 0
	               ? (++*expected, 0)
	               : 99;
}

/* The number of whole transactions in the database; -1 if it is not made of whole ones. */
static int64_t count_whole(void)
{
	struct store *store;
	struct buf words = {0};
	struct storekit_count jobs = {0}, deliveries = {0};
	int64_t expected = 1, last = 0, n = -1;
	int r = store_open(dir, &store, &words);

	buf_deinit(&words);
	if (r != 0)
		return -1;
	while (r == 0 && last < store_last_seq(store))
		r = store_events_read(store, last, 50, NULL, check_event, &expected, &last);
	if (r == 0)
		r = store_jobs_each_watched(store, storekit_count_job, &jobs);
	if (r == 0)
		r = store_deliveries_each_pending(store, storekit_count_delivery, &deliveries);
	if (r == 0 && expected - 1 == store_last_seq(store) && jobs.n == expected - 1 &&
	        deliveries.n == expected - 1)
		n = expected - 1;
	store_close(store);
	return n;
}

/* ---- one operation fails ---- */

struct run {
	int64_t n_acknowledged;
	int error; /* the last that a call answered */
};

/* Opens, commits, moves the log, closes; goes on after a full disk, ends at an I/O error. */
static struct run run_through(void)
{
	struct run run = {0};
	struct store *store;
	struct buf words = {0};

	run.error = store_open(dir, &store, &words);
	buf_deinit(&words);
	if (run.error != 0)
		return run;
	for (int i = 0; i < 4 && (run.error == 0 || run.error == ERR_FULL); i++) {
		int64_t number = store_last_seq(store) + 1;
		int r = write_one(store, number, 3000);

		ck_assert_int_eq(store_last_seq(store), number - 1);
		if (r == 0)
			r = store_commit(store);
		if (r == 0)
			run.n_acknowledged = number;
		ck_assert_int_eq(store_last_seq(store), run.n_acknowledged);
		ck_assert(!store_is_dirty(store));
		if (r == 0 && i % 2)
			r = store_checkpoint(store, true);
		if (r == ERR_FULL)
			r = store_try_room(store) == ERR_FULL ? ERR_FULL : 0;
		if (r != 0)
			run.error = r;
	}
	/* What the program must end for, it does not get to do again. */
	if (run.error == ERR_IO) {
		ck_assert_int_eq(store_commit(store), ERR_IO);
		ck_assert_int_eq(store_value_put(store, "a", "b"), ERR_IO);
	}
	if (run.error == 0 && store_mark_clean(store) == ERR_IO)
		run.error = ERR_IO;
	store_close(store);
	return run;
}

static void fail_each(unsigned operation, enum faultvfs_kind kind, bool is_lasting, int error)
{
	int64_t n_points = 0;

	for (int64_t nth = 1;; nth++) {
		struct run run;
		int64_t n;
		bool has_fired;

		empty_dir();
		/* A journal, which only the making of a database has, takes its errno with it. */
		if (kind == FAULTVFS_EDQUOT)
			store_close(storekit_open(dir));
		faultvfs_fail(operation, nth, kind, is_lasting);
		run = run_through();
		has_fired = faultvfs_has_fired();
		faultvfs_heal();
		n = count_whole();
		ck_assert_msg(run.error == 0 || run.error == error, "point %lld: error %d",
		        (long long)nth, run.error);
		ck_assert_msg(n >= run.n_acknowledged, "point %lld: %lld acknowledged, %lld there",
		        (long long)nth, (long long)run.n_acknowledged, (long long)n);
		/* A device that fails is told of, at the latest by the clean end. */
		ck_assert_msg(!has_fired || kind != FAULTVFS_EIO ||
		                      !(operation & (FAULTVFS_WRITE | FAULTVFS_SYNC)) ||
		                      run.error == ERR_IO,
		        "point %lld: an I/O error that nobody heard of", (long long)nth);
		/* A commit that failed may be there after an I/O error, never after a full disk. */
		ck_assert_msg(n <= run.n_acknowledged + (run.error == ERR_IO),
		        "point %lld: %lld acknowledged, %lld there", (long long)nth,
		        (long long)run.n_acknowledged, (long long)n);
		if (!has_fired)
			break;
		n_points++;
	}
	ck_assert_int_gt(n_points, operation == FAULTVFS_TRUNCATE ? -1 : 5);
}

START_TEST(each_write_fails)
{
	fail_each(FAULTVFS_WRITE, FAULTVFS_EIO, false, ERR_IO);
	fail_each(FAULTVFS_WRITE, FAULTVFS_EIO, true, ERR_IO);
}
END_TEST

START_TEST(each_write_finds_a_full_disk)
{
	fail_each(FAULTVFS_WRITE, FAULTVFS_ENOSPC, false, ERR_FULL);
	fail_each(FAULTVFS_WRITE, FAULTVFS_ENOSPC, true, ERR_FULL);
	fail_each(FAULTVFS_WRITE, FAULTVFS_SHORT, false, ERR_FULL);
	fail_each(FAULTVFS_WRITE, FAULTVFS_SHORT, true, ERR_FULL);
	fail_each(FAULTVFS_WRITE, FAULTVFS_EDQUOT, false, ERR_FULL);
}
END_TEST

START_TEST(each_sync_fails)
{
	fail_each(FAULTVFS_SYNC, FAULTVFS_EIO, false, ERR_IO);
	fail_each(FAULTVFS_SYNC, FAULTVFS_ENOSPC, false, ERR_IO);
	fail_each(FAULTVFS_SYNC, FAULTVFS_EIO, true, ERR_IO);
	fail_each(FAULTVFS_TRUNCATE, FAULTVFS_EIO, true, ERR_IO);
}
END_TEST

START_TEST(full_disk_gives_up_the_ballast_and_gets_it_back)
{
	struct store *store = storekit_open(dir);
	const char *ballast = storekit_path(dir, "bulkwatch.ballast");

	ck_assert_int_eq(write_one(store, 1, 10), 0);
	ck_assert_int_eq(store_commit(store), 0);
	ck_assert_int_eq(access(ballast, F_OK), 0);
	faultvfs_fail(FAULTVFS_WRITE, 1, FAULTVFS_ENOSPC, true);
	ck_assert_int_eq(write_one(store, 2, 10), 0);
	ck_assert_int_eq(store_commit(store), ERR_FULL);
	ck_assert_int_ne(access(ballast, F_OK), 0);
	ck_assert(!store_is_dirty(store));
	ck_assert_int_eq(store_last_seq(store), 1);
	ck_assert_int_eq(store_heartbeat(store), 0);
	ck_assert_int_eq(store_try_room(store), ERR_FULL);
	ck_assert_int_ne(access(ballast, F_OK), 0);
	faultvfs_heal();
	ck_assert_int_eq(store_try_room(store), 0);
	ck_assert_int_eq(access(ballast, F_OK), 0);
	ck_assert_int_eq(write_one(store, 2, 10), 0);
	ck_assert_int_eq(store_commit(store), 0);
	store_close(store);
	ck_assert_int_eq(count_whole(), 2);
}
END_TEST

/* ---- a power cut ---- */

enum { N_CUTS = 100 };

/* What was acknowledged when the power went, which it does at the nth operation on the disk. */
static int64_t run_to_power_cut(uint64_t seed, bool is_lying)
{
	struct rng rng;
	struct store *store;
	struct buf words = {0};
	int64_t n_acknowledged = 0;
	int r;

	rng_seed(&rng, seed);
	faultvfs_record(seed);
	faultvfs_lie_about_syncs(is_lying);
	faultvfs_fail(FAULTVFS_WRITE | FAULTVFS_SYNC | FAULTVFS_TRUNCATE,
	        1 + (int64_t)rng_below(&rng, 400), FAULTVFS_POWER_CUT, true);
	r = store_open(dir, &store, &words);
	buf_deinit(&words);
	if (r != 0)
		return 0;
	while (r == 0) {
		int64_t number = store_last_seq(store);

		for (uint64_t i = 1 + rng_below(&rng, 3); i > 0 && r == 0; i--)
			r = write_one(store, ++number, rng_below(&rng, 6000));
		if (r == 0)
			r = store_commit(store);
		if (r == 0)
			n_acknowledged = number;
		if (r == 0 && rng_below(&rng, 4) == 0)
			r = store_checkpoint(store, true);
	}
	ck_assert_int_eq(r, ERR_IO);
	store_close(store);
	return n_acknowledged;
}

/* How many of the rounds lost something, or everything. */
static int count_losing_cuts(int n_rounds, bool is_lying)
{
	int n_losing = 0;

	for (int round = 0; round < n_rounds; round++) {
		int64_t n_acknowledged, n;

		empty_dir();
		n_acknowledged = run_to_power_cut(1000 + (uint64_t)round, is_lying);
		faultvfs_heal();
		n = count_whole();
		/* At most the group that was being committed is there beyond. */
		if (n < n_acknowledged || n > n_acknowledged + 3) {
			n_losing++;
			if (!is_lying)
				printf("seed %d: %lld acknowledged, %lld there\n", 1000 + round,
				        (long long)n_acknowledged, (long long)n);
		}
	}
	return n_losing;
}

START_TEST(power_cut_loses_nothing)
{
	ck_assert_int_eq(count_losing_cuts(N_CUTS, false), 0);
}
END_TEST

START_TEST(power_cut_is_felt_where_syncs_lie)
{
	ck_assert_int_gt(count_losing_cuts(20, true), 5);
}
END_TEST

/* ---- a kill ---- */

enum { N_KILLS = 20 };

static _Noreturn void child_commits(int fd, bool is_hasty)
{
	struct store *store;
	struct buf words = {0};

	if (store_open(dir, &store, &words) != 0)
		_exit(1);
	for (;;) {
		int64_t number = store_last_seq(store) + 1;

		if (write_one(store, number, 500) != 0)
			_exit(1);
		/* The planted fault: said before it is so. */
		if (is_hasty && write(fd, &number, sizeof(number)) != sizeof(number))
			_exit(1);
		if (store_commit(store) != 0)
			_exit(1);
		if (!is_hasty && write(fd, &number, sizeof(number)) != sizeof(number))
			_exit(1);
		if (number % 16 == 0 && store_checkpoint(store, true) != 0)
			_exit(1);
	}
}

/* Kills a child after it acknowledged n more; what it acknowledged in all. */
static int64_t kill_after(int64_t n, bool is_hasty)
{
	int64_t number = 0, n_acknowledged = 0;
	int fds[2], status;
	pid_t pid;

	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		close(fds[0]);
		child_commits(fds[1], is_hasty);
	}
	close(fds[1]);
	for (int64_t i = 0; read(fds[0], &number, sizeof(number)) == sizeof(number); i++) {
		n_acknowledged = number;
		if (i + 1 == n)
			kill(pid, SIGKILL);
	}
	close(fds[0]);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFSIGNALED(status), "the child ended by itself: %d", status);
	return n_acknowledged;
}

START_TEST(kill_loses_nothing)
{
	uint64_t seed = (uint64_t)getpid();
	struct rng rng;

	rng_seed(&rng, seed);
	for (int round = 0; round < N_KILLS; round++) {
		int64_t n_acknowledged = kill_after(1 + (int64_t)rng_below(&rng, 40), false);
		int64_t n = count_whole();

		ck_assert_msg(n == n_acknowledged || n == n_acknowledged + 1,
		        "seed %llu, round %d: %lld acknowledged, %lld there",
		        (unsigned long long)seed, round, (long long)n_acknowledged, (long long)n);
	}
}
END_TEST

START_TEST(kill_is_felt_by_the_hasty)
{
	int n_losing = 0;

	for (int round = 0; round < N_KILLS && n_losing == 0; round++) {
		empty_dir();
		n_losing += kill_after(3, true) > count_whole();
	}
	ck_assert_int_gt(n_losing, 0);
}
END_TEST

static Suite *store_fault_suite(void)
{
	Suite *suite = suite_create("store_fault");
	TCase *faults = tcase_create("faults");

	tcase_add_checked_fixture(faults, setup, teardown);
	tcase_set_timeout(faults, 120);
	tcase_add_test(faults, each_write_fails);
	tcase_add_test(faults, each_write_finds_a_full_disk);
	tcase_add_test(faults, each_sync_fails);
	tcase_add_test(faults, full_disk_gives_up_the_ballast_and_gets_it_back);
	tcase_add_test(faults, power_cut_loses_nothing);
	tcase_add_test(faults, power_cut_is_felt_where_syncs_lie);
	tcase_add_test(faults, kill_loses_nothing);
	tcase_add_test(faults, kill_is_felt_by_the_hasty);
	suite_add_tcase(suite, faults);
	return suite;
}

int main(void)
{
	SRunner *runner = srunner_create(store_fault_suite());
	int n_failed;

	srunner_run_all(runner, CK_ENV);
	n_failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return n_failed == 0 ? 0 : 1;
}
