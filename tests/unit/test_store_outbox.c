/*
 * The store's outbox: deliveries and attempts come back as put, are counted, recovered after a
 * restart, and forgotten with the jobs and events that they belong to.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/private.h"
#include "storekit.h"
#include "util/err.h"
#include "util/str.h"

static char dir[STOREKIT_PATH_SIZE];
static struct store *store;

static void setup(void)
{
	storekit_dir_make(dir);
	store = storekit_open(dir);
}

static void teardown(void)
{
	store = store_close(store);
	storekit_dir_remove(dir);
}

static void reopen(void)
{
	store = store_close(store);
	store = storekit_open(dir);
}

/* ---- deliveries ---- */

static int expect_delivery(void *arg, const struct store_delivery *got)
{
	const struct store_delivery *want = arg;

	ck_assert_int_eq(got->id, want->id);
	ck_assert_int_eq(got->event_seq, want->event_seq);
	ck_assert_str_eq(got->hook, want->hook);
	ck_assert(str_is_equal(got->account, want->account));
	ck_assert_int_eq(got->job_key, want->job_key);
	ck_assert(str_is_equal(got->job_id, want->job_id));
	ck_assert_int_eq(got->state, want->state);
	ck_assert_uint_eq(got->attempts, want->attempts);
	ck_assert_uint_eq(got->attempts_base, want->attempts_base);
	ck_assert_int_eq(got->next_wall_ms, want->next_wall_ms);
	ck_assert_int_eq(got->created_wall_ms, want->created_wall_ms);
	ck_assert_int_eq(got->ended_wall_ms, want->ended_wall_ms);
	return 5;
}

START_TEST(delivery_comes_back_as_put)
{
	struct store_delivery delivery = {
	        .hook = "load", .account = "acme", .job_id = "123", .created_wall_ms = 9};
	struct store_delivery twice;
	uint64_t counts[4];

	delivery.job_key = storekit_job_put(store, "acme", "123");
	delivery.event_seq =
	        storekit_event(store, EVENT_JOB_ADDED, delivery.job_key, NULL, "ADDED");
	delivery.state = DELIVERY_RUNNING;
	ck_assert_int_eq(store_delivery_add(store, &delivery), 0);
	ck_assert_uint_eq(delivery.attempts, 1);
	twice = delivery;
	ck_assert_int_eq(store_delivery_add(store, &twice), -EEXIST);
	twice.event_seq = 99;
	ck_assert_int_eq(store_delivery_add(store, &twice), -EINVAL);
	ck_assert_int_eq(store_commit(store), 0);
	ck_assert_int_eq(store_delivery_get(store, delivery.id, expect_delivery, &delivery), 5);
	delivery.state = DELIVERY_DEAD;
	delivery.attempts = 20;
	delivery.attempts_base = 10;
	delivery.next_wall_ms = 3;
	delivery.ended_wall_ms = 4;
	ck_assert_int_eq(store_delivery_put(store, &delivery), 0);
	ck_assert_int_eq(store_commit(store), 0);
	reopen();
	ck_assert_int_eq(store_delivery_get(store, delivery.id, expect_delivery, &delivery), 5);
	ck_assert_int_eq(store_delivery_get(store, 99, expect_delivery, &delivery), STORE_E_NONE);
	ck_assert_int_eq(store_delivery_counts(store, "load", counts), 0);
	ck_assert_uint_eq(counts[DELIVERY_DEAD], 1);
	ck_assert_uint_eq(counts[DELIVERY_RUNNING], 0);
	delivery.id = 99;
	ck_assert_int_eq(store_delivery_put(store, &delivery), -ENOENT);
	ck_assert_str_eq(delivery_state_name(DELIVERY_PENDING), "pending");
	ck_assert_str_eq(delivery_state_name(DELIVERY_DEAD), "dead");
}
END_TEST

START_TEST(deliveries_are_listed_newest_first)
{
	struct storekit_count count = {0};
	int64_t last;

	for (int i = 0; i < 30; i++) {
		int64_t seq = storekit_event(store, EVENT_ACCOUNT_PAUSED, 0, NULL, NULL);

		storekit_delivery(store, seq, i % 2 ? "load" : "chat");
	}
	ck_assert_int_eq(store_commit(store), 0);
	ck_assert_int_eq(store_deliveries_read(
	                         store, 0, 4, -1, "load", storekit_count_delivery, &count, &last),
	        0);
	ck_assert_int_eq(count.n, 4);
	ck_assert_int_eq(count.last_seq, 24);
	ck_assert_int_eq(last, 24);
	ck_assert_int_eq(store_deliveries_read(store, last, 100, DELIVERY_PENDING, "load",
	                         storekit_count_delivery, &count, &last),
	        0);
	ck_assert_int_eq(count.n, 15);
	ck_assert_int_eq(last, 0);
	ck_assert_int_eq(store_deliveries_read(store, 0, 100, DELIVERY_DEAD, NULL,
	                         storekit_count_delivery, &count, &last),
	        0);
	ck_assert_int_eq(count.n, 15);
	count.n = 0;
	ck_assert_int_eq(store_deliveries_each_pending(store, storekit_count_delivery, &count), 0);
	ck_assert_int_eq(count.n, 30);
	ck_assert_int_eq(count.last_seq, 30);
}
END_TEST

struct attempts_seen {
	uint64_t first, last;
	size_t n;
	enum attempt_end end;
	int64_t duration_ms;
	size_t output_len;
	char tail;
};

static int see_attempt(void *arg, const struct store_attempt *attempt)
{
	struct attempts_seen *seen = arg;

	if (seen->n++ == 0)
		seen->first = attempt->number;
	ck_assert_uint_gt(attempt->number, seen->last);
	seen->last = attempt->number;
	seen->end = attempt->end;
	seen->duration_ms = attempt->duration_ms;
	seen->output_len = attempt->output_len;
	seen->tail = (char)(attempt->output_len ? attempt->output[attempt->output_len - 1] : '\0');
	return 0;
}

static int stop(void *arg, const struct store_delivery *delivery)
{
	int64_t *id = arg;

	return delivery->id == *id ? 77 : 0;
}

START_TEST(deliveries_are_looked_at_within_a_bound)
{
	struct storekit_count count = {0};
	int64_t last, id = 1095;

	storekit_delivery(
	        store, storekit_event(store, EVENT_ACCOUNT_PAUSED, 0, NULL, NULL), "chat");
	for (int i = 0; i < 1100; i++)
		storekit_delivery(
		        store, storekit_event(store, EVENT_ACCOUNT_PAUSED, 0, NULL, NULL), "load");
	ck_assert_int_eq(store_commit(store), 0);
	/* 10 * 1 + 1000 rows are looked at, none of them wanted: the reader goes on from there. */
	ck_assert_int_eq(store_deliveries_read(
	                         store, 0, 1, -1, "chat", storekit_count_delivery, &count, &last),
	        0);
	ck_assert_int_eq(count.n, 0);
	ck_assert_int_eq(last, 1101 - 1009);
	ck_assert_int_eq(store_deliveries_read(store, last, 1, -1, "chat", storekit_count_delivery,
	                         &count, &last),
	        0);
	ck_assert_int_eq(count.n, 1);
	ck_assert_int_eq(count.last_seq, 1);
	/* One at which the reader stopped comes again. */
	ck_assert_int_eq(store_deliveries_read(store, 0, 99, -1, NULL, stop, &id, &last), 77);
	ck_assert_int_eq(last, 1096);
}
END_TEST

static int stop_at_attempt(void *arg, const struct store_attempt *attempt)
{
	*(uint64_t *)arg = attempt->number;
	return attempt->number == 2 ? 77 : 0;
}

START_TEST(attempts_keep_the_newest_twenty)
{
	static char output[70000];
	struct store_attempt attempt = {.end = ATTEMPT_SIGNALED, .code = 15, .duration_ms = 12};
	struct attempts_seen seen = {0};
	int64_t seq = storekit_event(store, EVENT_ACCOUNT_PAUSED, 0, NULL, NULL);

	memset(output, 'a', sizeof(output));
	output[sizeof(output) - 1] = 'z';
	output[sizeof(output) - 2] = '\0';
	attempt.delivery_id = storekit_delivery(store, seq, "load");
	for (attempt.number = 1; attempt.number <= 25; attempt.number++)
		ck_assert_int_eq(store_attempt_put(store, &attempt), 0);
	attempt.number = 25;
	attempt.output = output;
	attempt.output_len = sizeof(output);
	ck_assert_int_eq(store_attempt_put(store, &attempt), 0);
	ck_assert_int_eq(store_commit(store), 0);
	ck_assert_int_eq(store_attempts_read(store, attempt.delivery_id, see_attempt, &seen), 0);
	ck_assert_uint_eq(seen.n, 20);
	ck_assert_uint_eq(seen.first, 6);
	ck_assert_uint_eq(seen.last, 25);
	ck_assert_uint_eq(seen.output_len, 65536);
	ck_assert_int_eq(seen.tail, 'z');
	attempt.delivery_id = storekit_delivery(store, seq, "chat");
	for (attempt.number = 1; attempt.number <= 3; attempt.number++)
		ck_assert_int_eq(store_attempt_put(store, &attempt), 0);
	ck_assert_int_eq(
	        store_attempts_read(store, attempt.delivery_id, stop_at_attempt, &attempt.number),
	        77);
	ck_assert_uint_eq(attempt.number, 2);
	ck_assert_str_eq(attempt_end_name(ATTEMPT_EXITED), "exited");
	ck_assert_str_eq(attempt_end_name(ATTEMPT_LOST), "lost");
	attempt.delivery_id = 99;
	ck_assert_int_eq(store_attempt_put(store, &attempt), -EINVAL);
}
END_TEST

START_TEST(running_is_pending_after_a_restart)
{
	struct store_delivery delivery = {
	        .hook = "load", .state = DELIVERY_RUNNING, .next_wall_ms = 50, .account = "acme"};
	struct store_attempt attempt = {.number = 1, .started_wall_ms = 3, .duration_ms = -1};
	struct attempts_seen seen = {0};
	uint64_t counts[4];

	delivery.event_seq = storekit_event(store, EVENT_ACCOUNT_PAUSED, 0, NULL, NULL);
	ck_assert_int_eq(store_delivery_add(store, &delivery), 0);
	attempt.delivery_id = delivery.id;
	ck_assert_int_eq(store_attempt_put(store, &attempt), 0);
	ck_assert_int_eq(store_commit(store), 0);
	reopen();
	delivery.state = DELIVERY_PENDING;
	delivery.next_wall_ms = 0;
	ck_assert_int_eq(store_deliveries_each_pending(store, expect_delivery, &delivery), 5);
	ck_assert_int_eq(store_attempts_read(store, delivery.id, see_attempt, &seen), 0);
	ck_assert_uint_eq(seen.n, 1);
	ck_assert_int_eq(seen.end, ATTEMPT_LOST);
	ck_assert_int_eq(seen.duration_ms, 0);
	ck_assert_int_eq(store_delivery_counts(store, "load", counts), 0);
	ck_assert_uint_eq(counts[DELIVERY_PENDING], 1);
	ck_assert_uint_eq(counts[DELIVERY_RUNNING], 0);
}
END_TEST

START_TEST(counts_follow_a_rollback)
{
	struct store_delivery delivery = {.hook = "load", .state = DELIVERY_PENDING};
	int64_t seq = storekit_event(store, EVENT_ACCOUNT_PAUSED, 0, NULL, NULL);
	uint64_t counts[4];

	delivery.event_seq = seq;
	ck_assert_int_eq(store_delivery_add(store, &delivery), 0);
	ck_assert_int_eq(store_commit(store), 0);
	delivery.state = DELIVERY_DEAD;
	ck_assert_int_eq(store_delivery_put(store, &delivery), 0);
	delivery.event_seq = storekit_event(store, EVENT_ACCOUNT_PAUSED, 0, NULL, NULL);
	ck_assert_int_eq(store_delivery_add(store, &delivery), 0);
	storekit_delivery(store, seq, "chat");
	store_rollback(store);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(store_delivery_counts(store, "load", counts), 0);
		ck_assert_uint_eq(counts[DELIVERY_PENDING], 1);
		ck_assert_uint_eq(counts[DELIVERY_DEAD], 0);
		ck_assert_int_eq(store_delivery_counts(store, "chat", counts), 0);
		ck_assert_uint_eq(counts[DELIVERY_PENDING], 0);
		reopen(); /* nor do they stand on disk */
	}
}
END_TEST

/* ---- retention ---- */

/* Later than what storekit_event() makes. */
static const int64_t ended_wall_ms = 1700000001000;

static int64_t put_ended(const char *id, bool is_watched, bool is_removed, enum job_origin origin)
{
	struct store_job job = storekit_job("acme", id);

	job.is_watched = is_watched;
	job.is_removed = is_removed;
	job.origin = origin;
	job.ended_wall_ms = ended_wall_ms;
	ck_assert_int_eq(store_job_put(store, &job), 0);
	return job.key;
}

START_TEST(prune_forgets_what_is_over_and_old)
{
	struct storekit_count count = {0};
	struct job_document document = {.query = "{}"};
	struct store_attempt attempt = {.number = 1};
	struct store_delivery delivery = {.state = DELIVERY_DELIVERED};
	int64_t gone = put_ended("1", false, false, ORIGIN_CONFIG), last;
	int64_t open_one = put_ended("2", false, false, ORIGIN_CONFIG);
	uint64_t counts[4];
	size_t n;

	put_ended("3", true, false, ORIGIN_CONFIG);
	put_ended("4", false, true, ORIGIN_CONFIG);
	ck_assert_int_eq(store_job_document_put(store, gone, &document), 0);
	storekit_event(store, EVENT_JOB_ADDED, open_one, NULL, "ADDED");
	storekit_event(store, EVENT_JOB_ADDED, gone, NULL, "ADDED");
	storekit_event(store, EVENT_JOB_COMPLETED, gone, "ADDED", "COMPLETED");
	storekit_delivery(store, 1, "load");
	delivery.id = attempt.delivery_id = storekit_delivery(store, 3, "load");
	ck_assert_int_eq(store_attempt_put(store, &attempt), 0);
	ck_assert_int_eq(store_delivery_put(store, &delivery), 0);
	ck_assert_int_eq(store_commit(store), 0);

	ck_assert_int_eq(store_prune(store, ended_wall_ms, 10, &n), 0);
	ck_assert_uint_eq(n, 0);
	ck_assert_int_eq(store_prune(store, ended_wall_ms + 1, 10, &n), 0);
	ck_assert_uint_eq(n, 1);
	/* Reads miss it already. */
	ck_assert_int_eq(store_pruned_through(store), 3);
	ck_assert_int_eq(store_event_get(store, 3, storekit_count_event, &count), STORE_E_NONE);
	store_rollback(store);
	ck_assert_int_eq(store_pruned_through(store), 0);
	ck_assert_int_eq(store_event_get(store, 3, storekit_count_event, &count), 0);
	ck_assert_int_eq(store_prune(store, ended_wall_ms + 1, 10, &n), 0);
	ck_assert_int_eq(store_commit(store), 0);
	ck_assert_int_eq(store_pruned_through(store), 3);
	ck_assert_int_eq(
	        store_job_find(store, "acme", "1", storekit_count_job, &count), STORE_E_NONE);
	for (const char *const *id = (const char *const[]){"2", "3", "4", NULL}; *id; id++)
		ck_assert_int_eq(store_job_find(store, "acme", *id, storekit_count_job, &count), 0);
	ck_assert_int_eq(store_event_get(store, 1, storekit_count_event, &count), 0);
	ck_assert_int_eq(store_event_get(store, 2, storekit_count_event, &count), STORE_E_NONE);
	ck_assert_int_eq(store_delivery_counts(store, "load", counts), 0);
	ck_assert_uint_eq(counts[DELIVERY_PENDING], 1);
	ck_assert_uint_eq(counts[DELIVERY_DELIVERED], 0);
	reopen();

	/* Neither a seq, nor a key, nor an id comes a second time. */
	ck_assert_int_eq(store_last_seq(store), 3);
	ck_assert_int_eq(storekit_event(store, EVENT_ACCOUNT_PAUSED, 0, NULL, NULL), 4);
	ck_assert_int_eq(storekit_job_put(store, "acme", "1"), 5);
	ck_assert_int_eq(storekit_delivery(store, 4, "load"), 3);
	ck_assert_int_eq(store_commit(store), 0);
	count.n = 0;
	ck_assert_int_eq(
	        store_events_read(store, 0, 9, NULL, storekit_count_event, &count, &last), 0);
	ck_assert_int_eq(count.n, 2);
	ck_assert_int_eq(last, 4);
}
END_TEST

/* The hook of a job that was dropped long ago runs, and gives up now: that is news. */
START_TEST(prune_leaves_what_is_under_way_or_young)
{
	struct store_delivery delivery = {.state = DELIVERY_RUNNING};
	struct store_event dead = {
	        .type = EVENT_HOOK_DEAD, .account = "acme", .job_id = "1", .data = "{}"};
	size_t n;

	dead.job_key = put_ended("1", false, false, ORIGIN_CONFIG);
	dead.at_wall_ms = ended_wall_ms + 500;
	storekit_event(store, EVENT_JOB_COMPLETED, dead.job_key, "ADDED", "COMPLETED");
	delivery.id = storekit_delivery(store, 1, "load");
	ck_assert_int_eq(store_delivery_put(store, &delivery), 0);
	ck_assert_int_eq(store_prune(store, ended_wall_ms + 1, 10, &n), 0);
	ck_assert_uint_eq(n, 0);
	delivery.state = DELIVERY_DEAD;
	ck_assert_int_eq(store_delivery_put(store, &delivery), 0);
	ck_assert_int_eq(store_event_append(store, &dead), 0);
	ck_assert_int_eq(store_prune(store, dead.at_wall_ms, 10, &n), 0);
	ck_assert_uint_eq(n, 0);
	ck_assert_int_eq(store_prune(store, dead.at_wall_ms + 1, 10, &n), 0);
	ck_assert_uint_eq(n, 1);
	ck_assert_int_eq(store_commit(store), 0);
	ck_assert_int_eq(store_pruned_through(store), dead.seq);
}
END_TEST

START_TEST(prune_goes_by_slices)
{
	struct store_delivery done = {.state = DELIVERY_DELIVERED};
	size_t n, n_calls = 0;
	char id[16];

	for (int i = 1; i <= 7; i++) {
		snprintf(id, sizeof(id), "%d", i);
		put_ended(id, false, false, ORIGIN_SOCKET);
		storekit_event(store, EVENT_ACCOUNT_PAUSED, 0, NULL, NULL);
	}
	/* An account's event that is not delivered yet stays as well. */
	done.id = storekit_delivery(store, 7, "load");
	ck_assert_int_eq(store_commit(store), 0);
	do {
		ck_assert_int_eq(store_prune(store, INT64_MAX, 4, &n), 0);
		ck_assert_int_eq(store_commit(store), 0);
		n_calls++;
	} while (n == 4);
	ck_assert_uint_eq(n_calls, 4);
	ck_assert_uint_eq(n, 1);
	ck_assert_int_eq(store_pruned_through(store), 6);
	ck_assert_int_eq(store_delivery_put(store, &done), 0);
	ck_assert_int_eq(store_prune(store, INT64_MAX, 4, &n), 0);
	ck_assert_uint_eq(n, 1);
	ck_assert_int_eq(store_pruned_through(store), 7);
	store_rollback(store);
	ck_assert_int_eq(store_pruned_through(store), 6);
}
END_TEST

/* Jobs go in the order of their ends, events in that of the journal. */
START_TEST(pruned_through_only_grows)
{
	struct store_job job = storekit_job("acme", "1");
	size_t n;

	job.is_watched = false;
	job.ended_wall_ms = ended_wall_ms + 10;
	ck_assert_int_eq(store_job_put(store, &job), 0);
	storekit_event(store, EVENT_JOB_COMPLETED, job.key, "ADDED", "COMPLETED");
	job.key = 0;
	job.id = "2";
	job.ended_wall_ms = ended_wall_ms;
	ck_assert_int_eq(store_job_put(store, &job), 0);
	storekit_event(store, EVENT_JOB_COMPLETED, job.key, "ADDED", "COMPLETED");
	ck_assert_int_eq(store_commit(store), 0);
	ck_assert_int_eq(store_prune(store, ended_wall_ms + 100, 0, &n), 0);
	ck_assert_uint_eq(n, 0);
	ck_assert(!store_is_dirty(store));
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(store_prune(store, ended_wall_ms + 100, 1, &n), 0);
		ck_assert_uint_eq(n, 1);
		ck_assert_int_eq(store_commit(store), 0);
		ck_assert_int_eq(store_pruned_through(store), 2);
	}
	ck_assert_int_eq(store_prune(store, ended_wall_ms + 100, 1, &n), 0);
	ck_assert_uint_eq(n, 0);
}
END_TEST

START_TEST(prune_has_a_bound)
{
	size_t n;

	ck_assert_int_eq(
	        store_exec(store, "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
	                          "WHERE i < 10001) INSERT INTO event (seq, type, at, data) "
	                          "SELECT i, 1, 0, '{}' FROM n"),
	        0);
	ck_assert_int_eq(store_prune(store, INT64_MAX, SIZE_MAX, &n), 0);
	ck_assert_uint_eq(n, 10000);
	ck_assert_int_eq(store_prune(store, INT64_MAX, SIZE_MAX, &n), 0);
	ck_assert_uint_eq(n, 1);
	store_rollback(store);
}
END_TEST

static Suite *store_outbox_suite(void)
{
	Suite *suite = suite_create("store_outbox");
	TCase *rows = tcase_create("rows");

	tcase_add_checked_fixture(rows, setup, teardown);
	tcase_set_timeout(rows, 60);
	tcase_add_test(rows, delivery_comes_back_as_put);
	tcase_add_test(rows, deliveries_are_listed_newest_first);
	tcase_add_test(rows, deliveries_are_looked_at_within_a_bound);
	tcase_add_test(rows, attempts_keep_the_newest_twenty);
	tcase_add_test(rows, running_is_pending_after_a_restart);
	tcase_add_test(rows, counts_follow_a_rollback);
	tcase_add_test(rows, prune_forgets_what_is_over_and_old);
	tcase_add_test(rows, prune_goes_by_slices);
	tcase_add_test(rows, prune_leaves_what_is_under_way_or_young);
	tcase_add_test(rows, pruned_through_only_grows);
	tcase_add_test(rows, prune_has_a_bound);
	suite_add_tcase(suite, rows);
	return suite;
}

int main(void)
{
	SRunner *runner = srunner_create(store_outbox_suite());
	int n_failed;

	srunner_run_all(runner, CK_ENV);
	n_failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return n_failed == 0 ? 0 : 1;
}
