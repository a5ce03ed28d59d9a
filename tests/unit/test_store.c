/*
 * The store's rows: what is put is what comes back, in the order that the header promises, and a
 * rollback leaves no trace of what it took back.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

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

/* ---- jobs ---- */

static int expect_job(void *arg, const struct store_job *got)
{
	const struct store_job *want = arg;

	ck_assert_int_eq(got->key, want->key);
	ck_assert_str_eq(got->account, want->account);
	ck_assert_str_eq(got->id, want->id);
	ck_assert(str_is_equal(got->name, want->name));
	ck_assert(str_is_equal(got->datacenter, want->datacenter));
	ck_assert(str_is_equal(got->service, want->service));
	ck_assert_str_eq(got->state, want->state);
	ck_assert_int_eq(got->origin, want->origin);
	ck_assert_int_eq(got->is_watched, want->is_watched);
	ck_assert_int_eq(got->is_removed, want->is_removed);
	ck_assert_int_eq(got->is_paused, want->is_paused);
	ck_assert_int_eq(got->is_overdue_told, want->is_overdue_told);
	ck_assert_int_eq(got->since_wall_ms, want->since_wall_ms);
	ck_assert_int_eq(got->watched_since_wall_ms, want->watched_since_wall_ms);
	ck_assert_int_eq(got->last_polled_wall_ms, want->last_polled_wall_ms);
	ck_assert_int_eq(got->last_answered_wall_ms, want->last_answered_wall_ms);
	ck_assert_int_eq(got->ended_wall_ms, want->ended_wall_ms);
	ck_assert_uint_eq(got->polls, want->polls);
	ck_assert_uint_eq(got->failures, want->failures);
	ck_assert_int_eq(got->error_at_wall_ms, want->error_at_wall_ms);
	ck_assert(str_is_equal(got->error_class, want->error_class));
	ck_assert(str_is_equal(got->error_message, want->error_message));
	return 42;
}

START_TEST(job_comes_back_as_put)
{
	struct store_job job = {
	        .account = "acme-eu",
	        .id = "00012345678901234567",
	        .name = "n\xc3\xa4"
	                "chtlich",
	        .datacenter = "eu",
	        .service = "bigin",
	        .state = "IN PROGRESS",
	        .origin = ORIGIN_SOCKET,
	        .is_watched = true,
	        .is_removed = true,
	        .is_paused = true,
	        .is_overdue_told = true,
	        .since_wall_ms = 1,
	        .watched_since_wall_ms = 2,
	        .last_polled_wall_ms = 3,
	        .last_answered_wall_ms = 4,
	        .ended_wall_ms = 5,
	        .polls = 6,
	        .failures = 7,
	        .error_at_wall_ms = 8,
	        .error_class = "timeout",
	        .error_message = "no answer in 30 s",
	};

	ck_assert_int_eq(store_job_put(store, &job), 0);
	ck_assert_int_eq(job.key, 1);
	ck_assert(store_is_dirty(store));
	ck_assert_int_eq(store_job_find(store, "acme-eu", job.id, expect_job, &job), 42);
	ck_assert_int_eq(store_commit(store), 0);
	ck_assert(!store_is_dirty(store));
	reopen();
	ck_assert_int_eq(store_job_find(store, "acme-eu", job.id, expect_job, &job), 42);
	ck_assert_int_eq(store_jobs_each_watched(store, expect_job, &job), 42);
}
END_TEST

START_TEST(job_is_rewritten_by_key)
{
	struct store_job job = storekit_job("acme", "1");

	ck_assert_int_eq(store_job_put(store, &job), 0);
	job.name = NULL;
	job.state = "COMPLETED";
	job.origin = ORIGIN_CONFIG;
	job.datacenter = "us";
	job.service = NULL;
	job.ended_wall_ms = 77;
	ck_assert_int_eq(store_job_put(store, &job), 0);
	ck_assert_int_eq(store_job_find(store, "acme", "1", expect_job, &job), 42);
	job.polls = 12;
	job.failures = 3;
	job.last_polled_wall_ms = 50;
	job.last_answered_wall_ms = 49;
	job.error_at_wall_ms = 48;
	job.error_class = "http";
	job.error_message = "500";
	ck_assert_int_eq(store_job_contact_put(store, &job), 0);
	ck_assert_int_eq(store_job_find(store, "acme", "1", expect_job, &job), 42);
	ck_assert_int_eq(store_commit(store), 0);
	ck_assert_int_eq(store_job_find(store, "acme", "1", expect_job, &job), 42);
}
END_TEST

START_TEST(job_mistakes_leave_the_transaction)
{
	struct store_job job = storekit_job("acme", "1"), again = job, unknown = job;
	struct storekit_count count = {0};

	ck_assert_int_eq(store_job_put(store, &job), 0);
	ck_assert_int_eq(store_job_put(store, &again), -EEXIST);
	ck_assert_int_eq(again.key, 0);
	unknown.key = 99;
	ck_assert_int_eq(store_job_put(store, &unknown), -ENOENT);
	ck_assert_int_eq(store_job_contact_put(store, &unknown), -ENOENT);
	ck_assert_int_eq(
	        store_job_document_put(store, 99, &(struct job_document){.query = "{}"}), -EINVAL);
	ck_assert_int_eq(storekit_job_put(store, "acme", "2"), 2);
	ck_assert_int_eq(store_commit(store), 0);
	ck_assert_int_eq(store_jobs_each_watched(store, storekit_count_job, &count), 0);
	ck_assert_int_eq(count.n, 2);
	ck_assert_int_eq(
	        store_job_find(store, "acme", "3", storekit_count_job, &count), STORE_E_NONE);
	ck_assert_int_eq(
	        store_job_find(store, "nobody", "1", storekit_count_job, &count), STORE_E_NONE);
}
END_TEST

static int expect_document(void *arg, const struct job_document *got)
{
	const struct job_document *want = arg;

	ck_assert(str_is_equal(got->operation, want->operation));
	ck_assert(str_is_equal(got->created_by, want->created_by));
	ck_assert(str_is_equal(got->created_time, want->created_time));
	ck_assert(str_is_equal(got->query, want->query));
	ck_assert(str_is_equal(got->result, want->result));
	ck_assert(str_is_equal(got->other, want->other));
	return 7;
}

START_TEST(document_comes_back_as_put)
{
	struct job_document none = {0}, document = {
	                                        .operation = "read",
	                                        .created_by = "{\"id\":\"1\"}",
	                                        .created_time = "\"2026\"",
	                                        .query = "{\"module\":\"Contacts\"}",
	                                        .other = "{}",
	                                };
	int64_t key = storekit_job_put(store, "acme", "1");

	ck_assert_int_eq(store_job_document_get(store, key, expect_document, &none), 7);
	ck_assert_int_eq(store_job_document_put(store, key, &document), 0);
	ck_assert_int_eq(store_job_document_get(store, key, expect_document, &document), 7);
	document.result = "{\"page\":1}";
	document.query = NULL;
	ck_assert_int_eq(store_job_document_put(store, key, &document), 0);
	ck_assert_int_eq(store_commit(store), 0);
	reopen();
	ck_assert_int_eq(store_job_document_get(store, key, expect_document, &document), 7);
}
END_TEST

/* ---- the journal ---- */

static int expect_event(void *arg, const struct store_event *got)
{
	const struct store_event *want = arg;

	ck_assert_int_eq(got->seq, want->seq);
	ck_assert_int_eq(got->type, want->type);
	ck_assert_int_eq(got->at_wall_ms, want->at_wall_ms);
	ck_assert(str_is_equal(got->account, want->account));
	ck_assert_int_eq(got->job_key, want->job_key);
	ck_assert(str_is_equal(got->job_id, want->job_id));
	ck_assert(str_is_equal(got->from_state, want->from_state));
	ck_assert(str_is_equal(got->to_state, want->to_state));
	ck_assert_str_eq(got->data, want->data);
	return 9;
}

START_TEST(event_comes_back_as_appended)
{
	struct store_event hook = {.type = EVENT_HOOK_DEAD, .at_wall_ms = 5, .data = "{\"h\":1}"};
	struct store_event event = {
	        .type = EVENT_JOB_COMPLETED,
	        .at_wall_ms = 6,
	        .account = "acme",
	        .job_id = "17",
	        .from_state = "ADDED",
	        .to_state = "COMPLETED",
	        .data = "{}",
	};

	event.job_key = storekit_job_put(store, "acme", "17");
	ck_assert_int_eq(store_event_append(store, &hook), 0);
	ck_assert_int_eq(store_event_append(store, &event), 0);
	ck_assert_int_eq(hook.seq, 1);
	ck_assert_int_eq(event.seq, 2);
	ck_assert_int_eq(store_last_seq(store), 0);
	ck_assert_int_eq(store_commit(store), 0);
	ck_assert_int_eq(store_last_seq(store), 2);
	ck_assert_int_eq(store_event_get(store, 1, expect_event, &hook), 9);
	ck_assert_int_eq(store_event_get(store, 2, expect_event, &event), 9);
	ck_assert_int_eq(store_event_get(store, 3, expect_event, &event), STORE_E_NONE);
	event.job_key = 99;
	ck_assert_int_eq(store_event_append(store, &event), -EINVAL);
	ck_assert_int_eq(storekit_event(store, EVENT_ACCOUNT_PAUSED, 0, NULL, NULL), 3);
}
END_TEST

START_TEST(events_are_read_once_committed)
{
	struct storekit_count count = {0};
	int64_t last = -1;

	for (int i = 0; i < 5; i++)
		storekit_event(store, EVENT_ACCOUNT_PAUSED, 0, NULL, NULL);
	ck_assert_int_eq(
	        store_events_read(store, 0, 10, NULL, storekit_count_event, &count, &last), 0);
	ck_assert_int_eq(count.n, 0);
	ck_assert_int_eq(last, 0);
	ck_assert_int_eq(store_commit(store), 0);
	storekit_event(store, EVENT_ACCOUNT_RESUMED, 0, NULL, NULL);
	ck_assert_int_eq(
	        store_events_read(store, 0, 3, NULL, storekit_count_event, &count, &last), 0);
	ck_assert_int_eq(count.n, 3);
	ck_assert_int_eq(last, 3);
	ck_assert_int_eq(
	        store_events_read(store, last, 3, NULL, storekit_count_event, &count, &last), 0);
	ck_assert_int_eq(count.n, 5);
	ck_assert_int_eq(last, 5);
	ck_assert_int_eq(
	        store_events_read(store, 50, 3, NULL, storekit_count_event, &count, &last), 0);
	ck_assert_int_eq(last, 50);
	count = (struct storekit_count){.stop_at = 2};
	ck_assert_int_eq(
	        store_events_read(store, 0, 9, NULL, storekit_count_event, &count, &last), 77);
	ck_assert_int_eq(last, 2);
}
END_TEST

START_TEST(events_are_filtered_within_a_bound)
{
	struct store_event_filter by_job = {0}, by_type = {0}, by_account = {.account = "acme"};
	struct store_event_filter by_nobody = {.account = "nobody"};
	int64_t a = storekit_job_put(store, "acme", "1"), b = storekit_job_put(store, "acme", "2");
	struct storekit_count count = {0};
	int64_t last;

	for (int i = 0; i < 1500; i++)
		storekit_event(store, EVENT_JOB_ADDED, a, NULL, "ADDED");
	storekit_event(store, EVENT_JOB_COMPLETED, b, "ADDED", "COMPLETED");
	ck_assert_int_eq(store_commit(store), 0);
	by_job.job_key = b;
	ck_assert_int_eq(
	        store_events_read(store, 0, 1, &by_job, storekit_count_event, &count, &last), 0);
	ck_assert_int_eq(count.n, 1);
	ck_assert_int_eq(last, 1501);

	by_job.job_key = a;
	ck_assert_int_eq(
	        store_events_read(store, 1500, 1, &by_job, storekit_count_event, &count, &last), 0);
	ck_assert_int_eq(count.n, 1);
	ck_assert_int_eq(last, 1501);

	/* 10 * 1 + 1000 rows are looked at, none of them wanted: the reader goes on from there. */
	by_type.types = 1u << EVENT_JOB_COMPLETED;
	count.n = 0;
	ck_assert_int_eq(
	        store_events_read(store, 0, 1, &by_type, storekit_count_event, &count, &last), 0);
	ck_assert_int_eq(count.n, 0);
	ck_assert_int_eq(last, 1010);
	ck_assert_int_eq(
	        store_events_read(store, last, 1, &by_type, storekit_count_event, &count, &last),
	        0);
	ck_assert_int_eq(count.n, 1);
	ck_assert_int_eq(last, 1501);

	ck_assert_int_eq(
	        store_events_read(store, 1400, 99, &by_nobody, storekit_count_event, &count, &last),
	        0);
	ck_assert_int_eq(count.n, 1);
	ck_assert_int_eq(last, 1501);
	ck_assert_int_eq(store_events_read(store, 1400, 200, &by_account, storekit_count_event,
	                         &count, &last),
	        0);
	ck_assert_int_eq(count.n, 102);
}
END_TEST

/* ---- rollback ---- */

START_TEST(rollback_takes_everything_back)
{
	uint64_t counts[4];
	struct storekit_count count = {0};
	int64_t seq, id;

	storekit_job_put(store, "acme", "1");
	seq = storekit_event(store, EVENT_ACCOUNT_PAUSED, 0, NULL, NULL);
	id = storekit_delivery(store, seq, "load");
	ck_assert_int_eq(store_commit(store), 0);

	ck_assert_int_eq(storekit_job_put(store, "new-account", "2"), 2);
	ck_assert_int_eq(storekit_event(store, EVENT_ACCOUNT_PAUSED, 0, NULL, NULL), 2);
	storekit_delivery(store, 2, "load");
	storekit_delivery(store, 2, "new-hook");
	ck_assert_int_eq(store_value_put(store, "v", "1"), 0);
	ck_assert_int_eq(store_delivery_counts(store, "load", counts), 0);
	ck_assert_uint_eq(counts[DELIVERY_PENDING], 2);
	store_rollback(store);

	ck_assert(!store_is_dirty(store));
	ck_assert_int_eq(store_last_seq(store), 1);
	ck_assert_int_eq(store_delivery_counts(store, "load", counts), 0);
	ck_assert_uint_eq(counts[DELIVERY_PENDING], 1);
	ck_assert_int_eq(store_delivery_counts(store, "new-hook", counts), 0);
	ck_assert_uint_eq(counts[DELIVERY_PENDING], 0);
	ck_assert_int_eq(store_job_find(store, "new-account", "2", storekit_count_job, &count),
	        STORE_E_NONE);

	/* The numbers were not given out; the words may get other ones. */
	ck_assert_int_eq(storekit_job_put(store, "other", "2"), 2);
	ck_assert_int_eq(storekit_event(store, EVENT_ACCOUNT_PAUSED, 0, NULL, NULL), 2);
	ck_assert_int_eq(storekit_delivery(store, 2, "load"), id + 1);
	ck_assert_int_eq(storekit_job_put(store, "new-account", "2"), 3);
	ck_assert_int_eq(store_commit(store), 0);
	reopen();
	ck_assert_int_eq(store_job_find(store, "other", "2", storekit_count_job, &count), 0);
	ck_assert_int_eq(store_job_find(store, "new-account", "2", storekit_count_job, &count), 0);
	ck_assert_int_eq(store_delivery_counts(store, "load", counts), 0);
	ck_assert_uint_eq(counts[DELIVERY_PENDING], 2);
}
END_TEST

/* Accounts, hooks, data centers: a hundred words, of which a few are taken back. */
START_TEST(words_are_many)
{
	struct storekit_count count = {0};
	char account[16];

	for (int i = 0; i < 200; i++) {
		snprintf(account, sizeof(account), "account-%d", i);
		storekit_job_put(store, account, "1");
		if (i == 99)
			ck_assert_int_eq(store_commit(store), 0);
		if (i == 149)
			store_rollback(store);
	}
	ck_assert_int_eq(store_commit(store), 0);
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 200; i++) {
			bool is_gone = i >= 100 && i < 150;

			snprintf(account, sizeof(account), "account-%d", i);
			ck_assert_int_eq(
			        store_job_find(store, account, "1", storekit_count_job, &count),
			        is_gone ? STORE_E_NONE : 0);
		}
		reopen();
	}
	ck_assert_int_eq(count.n, 300);
}
END_TEST

START_TEST(close_commits_nothing)
{
	storekit_event(store, EVENT_ACCOUNT_PAUSED, 0, NULL, NULL);
	ck_assert_int_eq(store_commit(store), 0);
	storekit_event(store, EVENT_ACCOUNT_PAUSED, 0, NULL, NULL);
	reopen();
	ck_assert_int_eq(store_last_seq(store), 1);
	ck_assert(store_was_clean(store));
}
END_TEST

/* ---- values, views, health ---- */

static int expect_value(void *arg, const char *value)
{
	ck_assert(str_is_equal(value, arg));
	return 3;
}

START_TEST(values_are_kept_by_name)
{
	char first[] = "{\"a\":1}", second[] = "";

	ck_assert_int_eq(store_value_get(store, "x", expect_value, NULL), 3);
	ck_assert_int_eq(store_value_put(store, "x", first), 0);
	ck_assert_int_eq(store_value_put(store, "y", second), 0);
	ck_assert_int_eq(store_value_get(store, "x", expect_value, first), 3);
	ck_assert_int_eq(store_value_put(store, "x", second), 0);
	ck_assert_int_eq(store_commit(store), 0);
	reopen();
	ck_assert_int_eq(store_value_get(store, "x", expect_value, second), 3);
	ck_assert_int_eq(store_value_put(store, "x", NULL), 0);
	ck_assert_int_eq(store_value_put(store, "never", NULL), 0);
	ck_assert_int_eq(store_value_get(store, "x", expect_value, NULL), 3);
	ck_assert_int_eq(store_value_get(store, "y", expect_value, second), 3);
}
END_TEST

static void expect_query(const char *sql, const char *want)
{
	char *got = storekit_query(dir, sql);

	ck_assert_str_eq(got, want);
	free(got);
}

START_TEST(views_tell_the_story)
{
	struct store_job job = storekit_job("acme", "123");

	job.state = "FAILED";
	job.ended_wall_ms = 1700000000999;
	ck_assert_int_eq(store_job_put(store, &job), 0);
	storekit_event(store, EVENT_JOB_WATCHED, job.key, NULL, NULL);
	storekit_event(store, EVENT_JOB_ADDED, job.key, NULL, "ADDED");
	storekit_event(store, EVENT_JOB_OVERDUE, job.key, "ADDED", "ADDED");
	storekit_event(store, EVENT_JOB_UNKNOWN_STATE, job.key, "ADDED", "MUSING");
	storekit_event(store, EVENT_JOB_UNKNOWN_STATE, job.key, "MUSING", "MUSING");
	storekit_event(store, EVENT_JOB_FAILED, job.key, "MUSING", "FAILED");
	storekit_event(store, EVENT_JOB_UNWATCHED, job.key, "FAILED", "FAILED");
	storekit_event(store, EVENT_ACCOUNT_PAUSED, 0, NULL, NULL);
	storekit_delivery(store, 6, "load");
	ck_assert_int_eq(store_commit(store), 0);
	store = store_close(store);

	expect_query("SELECT * FROM transitions ORDER BY seq",
	        "2|2023-11-14T22:13:20.123Z|acme|123|NULL|ADDED\n"
	        "4|2023-11-14T22:13:20.123Z|acme|123|ADDED|MUSING\n"
	        "6|2023-11-14T22:13:20.123Z|acme|123|MUSING|FAILED");
	expect_query("SELECT account, job_id, name, state, finished, watched, datacenter, service, "
	             "since, last_polled, ended FROM jobs",
	        "acme|123|contacts|FAILED|1|1|eu|bigin|1970-01-01T00:00:01.000Z|NULL|"
	        "2023-11-14T22:13:20.999Z");
	expect_query("SELECT event_seq, hook, account, job_id, state, attempts FROM deliveries",
	        "6|load|acme|123|pending|0");
	store = storekit_open(dir);
}
END_TEST

START_TEST(heartbeat_reads_only)
{
	int64_t size;

	storekit_event(store, EVENT_ACCOUNT_PAUSED, 0, NULL, NULL);
	ck_assert_int_eq(store_commit(store), 0);
	size = store_size(store);
	ck_assert_int_gt(size, 0);
	ck_assert_int_eq(store_heartbeat(store), 0);
	ck_assert(!store_is_dirty(store));
	ck_assert_int_eq(store_size(store), size);
	ck_assert_int_eq(store_checkpoint(store, true), 0);
	ck_assert_int_eq(store_checkpoint(store, true), 0);
	ck_assert_int_eq(store_commit(store), 0);
	ck_assert_int_eq(store_try_room(store), 0);
	storekit_event(store, EVENT_ACCOUNT_PAUSED, 0, NULL, NULL);
	ck_assert_int_eq(store_try_room(store), -EBUSY);
	ck_assert_int_eq(store_checkpoint(store, true), 0);
	ck_assert_int_eq(store_heartbeat(store), 0);
}
END_TEST

/* ---- the log ---- */

enum { MIB = 1 << 20, LARGE = STORE_WAL_LARGE_BYTES, HUGE = STORE_WAL_HUGE_BYTES };

/* A commit of so much. */
static void fill_log(size_t n)
{
	static char letter = 'a';
	char *value = malloc(n + 1);

	ck_assert_ptr_nonnull(value);
	memset(value, letter++, n);
	value[n] = '\0';
	ck_assert_int_eq(store_value_put(store, "big", value), 0);
	ck_assert_int_eq(store_commit(store), 0);
	free(value);
}

START_TEST(log_says_how_large_it_is)
{
	struct stat st;

	fill_log(LARGE - MIB);
	ck_assert_int_eq(store_log_size(store), STORE_LOG_SMALL);
	fill_log(MIB);
	ck_assert_int_eq(store_log_size(store), STORE_LOG_LARGE);
	fill_log(HUGE - LARGE - MIB);
	ck_assert_int_eq(store_log_size(store), STORE_LOG_LARGE);
	fill_log(MIB);
	ck_assert_int_eq(store_log_size(store), STORE_LOG_HUGE);
	/* The file is written from its front again. */
	ck_assert_int_eq(store_checkpoint(store, false), 0);
	ck_assert_int_eq(store_log_size(store), STORE_LOG_SMALL);
	fill_log(LARGE);
	ck_assert_int_eq(store_log_size(store), STORE_LOG_LARGE);
	ck_assert_int_eq(store_checkpoint(store, false), 0);
	ck_assert_int_eq(stat(storekit_path(dir, "bulkwatch.db-wal"), &st), 0);
	ck_assert_int_ge(st.st_size, HUGE);
	ck_assert_int_lt(st.st_size, HUGE + 2 * MIB);
	/* In the quiet it is given back. */
	ck_assert_int_eq(store_checkpoint(store, true), 0);
	ck_assert_int_eq(stat(storekit_path(dir, "bulkwatch.db-wal"), &st), 0);
	ck_assert_int_eq(st.st_size, 0);
}
END_TEST

static int checkpoint_in_between(void *arg, const struct store_event *event)
{
	(void)event;
	++*(int *)arg;
	ck_assert_int_eq(store_checkpoint(store, true), 0);
	return 0;
}

/* It is not moved under the feet of who reads: the next call does it. */
START_TEST(walk_holds_the_log_back)
{
	int n_seen = 0;
	int64_t last;

	for (int i = 0; i < 3; i++)
		storekit_event(store, EVENT_ACCOUNT_PAUSED, 0, NULL, NULL);
	fill_log(LARGE);
	fill_log(LARGE);
	ck_assert_int_eq(
	        store_events_read(store, 0, 9, NULL, checkpoint_in_between, &n_seen, &last), 0);
	ck_assert_int_eq(n_seen, 3);
	ck_assert_int_eq(store_log_size(store), STORE_LOG_LARGE);
	ck_assert_int_eq(store_checkpoint(store, true), 0);
	ck_assert_int_eq(store_log_size(store), STORE_LOG_SMALL);
}
END_TEST

static Suite *store_suite(void)
{
	Suite *suite = suite_create("store");
	TCase *rows = tcase_create("rows");

	tcase_add_checked_fixture(rows, setup, teardown);
	tcase_set_timeout(rows, 60);
	tcase_add_test(rows, job_comes_back_as_put);
	tcase_add_test(rows, job_is_rewritten_by_key);
	tcase_add_test(rows, job_mistakes_leave_the_transaction);
	tcase_add_test(rows, document_comes_back_as_put);
	tcase_add_test(rows, event_comes_back_as_appended);
	tcase_add_test(rows, events_are_read_once_committed);
	tcase_add_test(rows, events_are_filtered_within_a_bound);
	tcase_add_test(rows, rollback_takes_everything_back);
	tcase_add_test(rows, words_are_many);
	tcase_add_test(rows, close_commits_nothing);
	tcase_add_test(rows, values_are_kept_by_name);
	tcase_add_test(rows, views_tell_the_story);
	tcase_add_test(rows, heartbeat_reads_only);
	tcase_add_test(rows, log_says_how_large_it_is);
	tcase_add_test(rows, walk_holds_the_log_back);
	suite_add_tcase(suite, rows);
	return suite;
}

int main(void)
{
	SRunner *runner = srunner_create(store_suite());
	int n_failed;

	srunner_run_all(runner, CK_ENV);
	n_failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return n_failed == 0 ? 0 : 1;
}
