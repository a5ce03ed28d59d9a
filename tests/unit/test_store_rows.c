/*
 * Rows that SQLite finds in order, but that no version of ours wrote: each walk that meets one says
 * ERR_CORRUPT, and so does every later call.
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

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

static int heartbeat(void)
{
	return store_heartbeat(store);
}

/* NULL may stand everywhere then, as in a file that is not what it says it is. */
#define LOOSEN                                                                                     \
	"PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = replace(sql, ' NOT NULL', "   \
	"'') WHERE type = 'table'; PRAGMA writable_schema = RESET;"

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
        {LOOSEN "UPDATE job SET account = NULL", {walk_jobs}},
        {LOOSEN "UPDATE job SET id = NULL", {walk_jobs}},
        {LOOSEN "UPDATE job SET state = NULL", {walk_jobs, find_job}},
        {LOOSEN "UPDATE event SET data = NULL", {walk_events, get_event}},
        {LOOSEN "UPDATE delivery SET hook = NULL", {walk_pending, walk_deliveries, get_delivery}},
        {"DELETE FROM meta", {heartbeat}},
};

START_TEST(a_strange_row_is_damage)
{
	for (size_t i = 0; i < ARRAY_LEN(rows[_i].walks) && rows[_i].walks[i]; i++) {
		if (i > 0) {
			teardown();
			setup();
		}
		ck_assert_int_eq(rows[_i].walks[i](), 0);
		ck_assert_int_eq(store_exec(store, "PRAGMA ignore_check_constraints = ON"), 0);
		sqlite3_db_config(store->db, SQLITE_DBCONFIG_DEFENSIVE, 0, NULL);
		ck_assert_int_eq(store_exec(store, rows[_i].sql), 0);
		ck_assert_msg(rows[_i].walks[i]() == ERR_CORRUPT, "%s: walk %zu", rows[_i].sql, i);
		ck_assert_int_eq(rows[_i].walks[i](), ERR_CORRUPT);
		ck_assert_int_eq(store_heartbeat(store), ERR_CORRUPT);
		ck_assert_int_eq(store_try_room(store), ERR_CORRUPT);
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
        LOOSEN "UPDATE name SET text = NULL WHERE key = 1",
        LOOSEN "UPDATE meta SET instance = NULL",
        LOOSEN "UPDATE meta SET is_clean = NULL",
};

START_TEST(a_strange_table_is_refused)
{
	store = store_close(store);
	storekit_exec(dir, tables[_i]);
	storekit_refused(dir, ERR_CORRUPT);
}
END_TEST

/* ---- mistakes of the caller ---- */

START_TEST(a_number_that_is_taken_leaves_the_transaction)
{
	struct store_event event = {.type = EVENT_ACCOUNT_PAUSED, .data = "{}"};

	ck_assert_int_eq(store_value_put(store, "kept", "1"), 0);
	ck_assert_int_eq(store_exec(store, "INSERT INTO event (seq, type, at, data) "
	                                   "VALUES (2, 1, 0, '{}')"),
	        0);
	ck_assert_int_eq(store_event_append(store, &event), -EEXIST);
	ck_assert_int_eq(event.seq, 0);
	ck_assert(store_is_dirty(store));
	ck_assert_int_eq(store_commit(store), 0);
}
END_TEST

/* Nothing of that size comes from outside; SQLite's bound is a thousand million bytes. */
START_TEST(a_row_that_is_too_big_leaves_the_transaction)
{
	char text[6000];
	struct job_document document = {.query = text, .result = text};
	char *answer;

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	ck_assert_int_eq(store_value_put(store, "kept", "1"), 0);
	sqlite3_limit(store->db, SQLITE_LIMIT_LENGTH, 10000);
	ck_assert_int_eq(store_job_document_put(store, job_key, &document), -E2BIG);
	document.result = NULL;
	ck_assert_int_eq(store_job_document_put(store, job_key, &document), 0);
	ck_assert_int_eq(store_commit(store), 0);
	store = store_close(store);
	answer = storekit_query(
	        dir, "SELECT value, length(query), result FROM small_value, document");
	ck_assert_str_eq(answer, "1|5999|NULL");
	free(answer);
	store = storekit_open(dir);
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
	tcase_add_test(tcase, a_number_that_is_taken_leaves_the_transaction);
	tcase_add_test(tcase, a_row_that_is_too_big_leaves_the_transaction);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);

	srunner_run_all(runner, CK_ENV);
	int n_failed = srunner_ntests_failed(runner);

	srunner_free(runner);
	return n_failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
