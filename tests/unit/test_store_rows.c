/*
 * Rows that SQLite finds in order, but that no version of ours wrote: each walk that meets one says
 * ERR_CORRUPT, and so does every later call.
 */
#include <check.h>
#include <stdlib.h>

#include "store/private.h"
#include "storekit.h"
#include "util/err.h"
#include "util/mem.h"

static char dir[STOREKIT_PATH_SIZE];
static struct store *store;
static int64_t job_key, event_seq, delivery_id;

/* A job, an event, a delivery, an attempt. */
static void setup(void)
{
	struct store_attempt attempt = {.number = 1, .output = "x", .output_len = 1};

	storekit_dir_make(dir);
	store = storekit_open(dir);
	job_key = storekit_job_put(store, "acme", "1");
	event_seq = storekit_event(store, EVENT_JOB_ADDED, job_key, NULL, "ADDED");
	delivery_id = storekit_delivery(store, event_seq, "load");
	attempt.delivery_id = delivery_id;
	ck_assert_int_eq(store_attempt_put(store, &attempt), 0);
	ck_assert_int_eq(store_commit(store), 0);
}

static void teardown(void)
{
	store = store_close(store);
	storekit_dir_remove(dir);
}

/* ---- the walks ---- */

static int on_job(void *arg, const struct store_job *job)
{
	(void)arg, (void)job;
	return 0;
}

static int on_event(void *arg, const struct store_event *event)
{
	(void)arg, (void)event;
	return 0;
}

static int on_delivery(void *arg, const struct store_delivery *delivery)
{
	(void)arg, (void)delivery;
	return 0;
}

static int on_attempt(void *arg, const struct store_attempt *attempt)
{
	(void)arg, (void)attempt;
	return 0;
}

static int walk_jobs(void)
{
	return store_jobs_each_watched(store, on_job, NULL);
}

static int find_job(void)
{
	return store_job_find(store, "acme", "1", on_job, NULL);
}

static int walk_events(void)
{
	int64_t last;

	return store_events_read(store, 0, SIZE_MAX, NULL, on_event, NULL, &last);
}

static int get_event(void)
{
	return store_event_get(store, event_seq, on_event, NULL);
}

static int walk_pending(void)
{
	return store_deliveries_each_pending(store, on_delivery, NULL);
}

static int walk_deliveries(void)
{
	int64_t last;

	return store_deliveries_read(store, 0, SIZE_MAX, -1, NULL, on_delivery, NULL, &last);
}

static int get_delivery(void)
{
	return store_delivery_get(store, delivery_id, on_delivery, NULL);
}

static int walk_attempts(void)
{
	return store_attempts_read(store, delivery_id, on_attempt, NULL);
}

static const struct {
	const char *sql; /* what is done to the row */
	int (*walks[3])(void);
} rows[] = {
        {"UPDATE job SET account = 99", {walk_jobs}},
        {"UPDATE job SET account = 0", {walk_jobs}},
        {"UPDATE job SET datacenter = -1", {walk_jobs, find_job}},
        {"UPDATE job SET service = 99", {walk_jobs, find_job}},
        {"UPDATE event SET account = 99", {walk_events, get_event, walk_deliveries}},
        {"UPDATE event SET type = 0", {walk_events, get_event}},
        {"UPDATE event SET type = 99", {walk_events, get_event}},
        {"UPDATE delivery SET hook = 99", {walk_pending, walk_deliveries, get_delivery}},
        {"UPDATE delivery SET state = -1", {walk_deliveries, get_delivery}},
        {"UPDATE delivery SET state = 9", {walk_deliveries, get_delivery}},
        {"UPDATE attempt SET ending = -1", {walk_attempts}},
        {"UPDATE attempt SET ending = 9", {walk_attempts}},
};

START_TEST(a_strange_row_is_damage)
{
	for (size_t i = 0; i < ARRAY_LEN(rows[_i].walks) && rows[_i].walks[i]; i++) {
		ck_assert_int_eq(rows[_i].walks[i](), 0);
		ck_assert_int_eq(store_exec(store, "PRAGMA ignore_check_constraints = ON"), 0);
		ck_assert_int_eq(store_exec(store, rows[_i].sql), 0);
		ck_assert_msg(rows[_i].walks[i]() == ERR_CORRUPT, "%s: walk %zu", rows[_i].sql, i);
		ck_assert_int_eq(rows[_i].walks[i](), ERR_CORRUPT);
		ck_assert_int_eq(store_heartbeat(store), ERR_CORRUPT);
		ck_assert_int_eq(store_try_room(store), ERR_CORRUPT);
		teardown();
		setup();
	}
}
END_TEST

/* ---- what an open looks at ---- */

static const char *const tables[] = {
        "DELETE FROM name WHERE key = 1",
        "UPDATE meta SET instance = 'short'",
        "DELETE FROM meta",
        "UPDATE meta SET last_seq = 0",
        "UPDATE meta SET last_job_key = 0",
        "UPDATE meta SET last_delivery_id = 0",
        "PRAGMA user_version = 0",
};

START_TEST(a_strange_table_is_refused)
{
	store = store_close(store);
	storekit_exec(dir, tables[_i]);
	storekit_refused(dir, ERR_CORRUPT);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("store rows");
	TCase *tcase = tcase_create("rows");

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_loop_test(tcase, a_strange_row_is_damage, 0, (int)ARRAY_LEN(rows));
	tcase_add_loop_test(tcase, a_strange_table_is_refused, 0, (int)ARRAY_LEN(tables));
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);

	srunner_run_all(runner, CK_ENV);
	int n_failed = srunner_ntests_failed(runner);

	srunner_free(runner);
	return n_failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
